"""What a predictor is taught of a release: stamps as its network sees them, with labels, dealt out to three parts by their ids."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn import functional

from actors.segmenter import Segmenter
from kernels.bags import hash_ids
from kernels.stretch import stretch
from kernels.training.prepare import prepared_side
from pipeline.training import enough_labels
from pipeline.training.dataset import Dataset, fold_of
from pipeline.training.label_targets import reweighted
from pipeline.training.targets import label_columns, label_rows_by_id, label_targets_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from catalogs.release import Release
    from kernels.heads.head import Head
    from pipeline.config.file import Config
    from pipeline.training.label_targets import LabelTarget

__all__ = ["Part", "PredictorDataset", "predictor_dataset"]

Part = Literal["learned", "validation", "held out"]

VALIDATION_SEED = 0x76616C  # "val" in ASCII
ENOUGH, LARGEST_SHARE, MOST = 30, 0.3, 20_000
"""Objects of validation: as many as there are at least, if that takes no larger share; and at most."""


@dataclass(frozen=True)
class PredictorDataset(Dataset):
    """Labelled stamps of one part."""

    side: int
    """Of what the network sees, pixels."""
    encoder: dict[str, Any]
    """How codes are made, see `pipeline.plan.predictor_encoder.encoder_of_run`."""
    encoder_options: dict[str, Any]
    """Of `actors.encoder.Encoder`, of the network before it learns."""
    label_targets: list[LabelTarget]
    segmenter: dict[str, Any] | None
    """Options of `actors.segmenter.Segmenter`; None: neighbours are kept."""
    validation: float
    """Share of the objects that are not held out."""
    labelled: int
    """Objects with a label that are not held out."""
    part: Part = "learned"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Finer than what the network sees, where stamps are."""
        side = min(prepared_side(self.side), max(self.side, self.encoder_options["size"]))
        return (self.encoder_options["bands"], side, side)

    @property
    def answers(self) -> int:
        """Of all targets."""
        return sum(head.width for head in self.heads)

    @property
    def heads(self) -> list[Head]:
        """Those of each target."""
        return [head for target in self.label_targets for head in target.heads]

    @property
    def metadata(self) -> dict[str, Any]:
        """How codes are made, what is asked, and how objects are dealt out."""
        questions = [asdict(head) for head in self.heads]
        encoder = {key: value for key, value in self.encoder.items() if key != "checkpoint"}
        return {"encoder": encoder, "questions": questions, "validation": self.validation}

    def of(self, part: Part) -> PredictorDataset:
        """The same release, another part of its objects."""
        return replace(self, part=part)

    def wanted(self, rows: pa.Table) -> NDArray[np.bool_]:
        """Those of the part that have a label."""
        named = self.parts(rows["object_id"].to_numpy()) == self.part
        return np.asarray(named & self.targets(rows).isfinite().any(dim=1).numpy())

    def parts(self, ids: NDArray[Any]) -> NDArray[np.str_]:
        """The part of each object, (n,): a hash of its id, so that it never changes."""
        import pyarrow as pa  # noqa: PLC0415

        share = hash_ids(ids, VALIDATION_SEED) / np.float64(2**64)
        found = np.where(share < self.validation, "validation", "learned").astype("<U10")
        if self.fold is not None:
            found[fold_of(pa.chunked_array([pa.array(ids)]), self.folds) == self.fold] = "held out"
        return found

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Targets (n, answers) float32; NaN where there is no label."""
        return torch.cat([target.targets(rows) for target in self.label_targets], dim=1)

    def looked_at(self, rows: pa.Table, side: int) -> pa.Table:
        """Neighbours are filled, as before a stamp is encoded."""
        if self.segmenter is None:
            return rows
        segmenter = Segmenter(**{**self.segmenter, "size": side})
        return segmenter.filled(rows, segmenter(rows))

    def learned(self, rows: pa.Table, stamps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Stretched, in the network's order of bands, and no larger than a view needs."""
        images = stretch(stamps, self.encoder_options["stretch"])
        if self.encoder_options["order"] is not None:
            images = images[:, self.encoder_options["order"]]
        side = self.shape[-1]
        if images.shape[-1] != side:
            images = functional.interpolate(
                images, (side, side), mode="bilinear", align_corners=False, antialias=True
            )
        return images.half(), self.targets(rows)


def predictor_dataset(
    config: Config, release: Release, source: str, encoder: dict[str, Any], options: dict[str, Any]
) -> PredictorDataset:
    """The part of a release, inspected with its label columns, that is learned from.

    Raises
    ------
    Refused
        If there are too few labels, or a column is not what its target needs.
    """
    from pipeline.plan.encoding import segmenter_options  # noqa: PLC0415

    train, slice_rows = config.train, config.run.slice_rows
    targets = label_targets_of(release, train.labels, slice_rows)
    whole = PredictorDataset(
        release,
        slice_rows,
        train.fold,
        train.folds,
        config.encode.input,
        encoder,
        options,
        targets,
        segmenter_options(config),
        0.0,
        0,
    )
    ids, rows = label_rows_by_id(release, slice_rows, label_columns(train.labels))
    values = whole.targets(rows).numpy()
    ours = (whole.parts(ids.to_numpy(zero_copy_only=False)) != "held out") & np.isfinite(values).any(axis=1)
    labelled = int(ours.sum())
    enough_labels.check(whole.heads, values[ours], source)
    if train.predictor.balance:
        heads = enough_labels.with_balance(whole.heads, values[ours])
        targets = [_balanced(target, heads) for target in targets]
    share = max(train.predictor.validation, min(LARGEST_SHARE, ENOUGH / max(1, labelled)))
    share = min(share, MOST / max(1, labelled))
    return replace(whole, label_targets=targets, validation=share, labelled=labelled)


def _balanced(target: LabelTarget, heads: list[Head]) -> LabelTarget:
    weights = {head.name: head.balance for head in heads}[target.heads[0].name]
    return reweighted(target, weights) if weights else target
