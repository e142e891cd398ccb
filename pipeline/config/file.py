"""The TOML config as a whole: its sections, how it is read and how it is checked; what is wrong with one, `pipeline.config.check` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from catalogs.survey import Section, Survey
from pipeline.config.augment import Augment
from pipeline.config.check import checked, read_toml
from pipeline.config.classes import Classes
from pipeline.config.detect import Detect
from pipeline.config.encode import Denoise, Encode
from pipeline.config.fit import Fit, Reduce, Vote
from pipeline.config.measure import Measure
from pipeline.config.modalities import Modalities
from pipeline.config.predict import Predict
from pipeline.config.publish import Publish
from pipeline.config.run import Run
from pipeline.config.training import Train
from pipeline.config.validation import Validate


class Config(Section):
    """A whole config file."""

    model_config = ConfigDict(serialize_by_alias=True)

    survey: Survey
    run: Run = Run()
    detect: Detect = Detect()
    denoise: Denoise | None = None
    encode: Encode = Encode()
    modalities: Modalities = Modalities()
    measure: Measure = Measure()
    reduce: Reduce = Reduce()
    fit: Fit = Fit()
    vote: Vote = Vote()
    augment: Augment = Augment()
    classes: Classes = Classes()
    predict: Predict = Predict()
    publish: Publish = Publish()
    train: Train = Train()
    validation: Validate = Field(default=Validate(), alias="validate")  # pydantic has a method `validate`


def load(path: str | Path) -> tuple[Config, str]:
    """Read a config.

    Returns
    -------
    config : Config
    folder : str
        The file's folder, which relative paths are relative to.

    Raises
    ------
    Refused
        If the file is missing, is no TOML, or has a key or value that is not allowed.
    """
    path = Path(path)
    return parse(read_toml(path), str(path)), str(path.resolve().parent)


def parse(values: dict[str, Any], name: str) -> Config:
    """Check a config that is already read; `name` stands in its faults."""
    config = checked(Config, values, name)
    images = config.survey.images
    planes = len(images.bands) * (1 if images.weight is None else 2)
    run = config.run.for_stamps_of(4 * (planes * images.largest_window**2 + config.modalities.width))
    return config.model_copy(update={"run": run})
