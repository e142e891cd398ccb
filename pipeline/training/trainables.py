"""The things that can be trained, by name: a new one is a file like `encoder` beside this one, and an entry here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.training.autoregressive import AutoregressiveTraining
from pipeline.training.denoiser import DenoiserTraining
from pipeline.training.diffusion import DiffusionTraining
from pipeline.training.encoder import EncoderTraining
from pipeline.training.predictor import PredictorTraining

if TYPE_CHECKING:
    from pipeline.training.trainable import Trainable

TRAINABLES: dict[str, Trainable] = {
    trainable.name: trainable
    for trainable in (
        EncoderTraining(),
        PredictorTraining(),
        DenoiserTraining(),
        DiffusionTraining(),
        AutoregressiveTraining(),
    )
}
