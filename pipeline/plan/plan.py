"""The plan: everything that a run will do, found out and checked before anything is done."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.voter import Voter
from catalogs.slices import Slice, count_slices, slices_of
from pipeline.plan import (
    class_rules,
    config_faults,
    measuring,
)
from pipeline.plan.encoding import segmenter_options
from pipeline.plan.fingerprints import VALUES_VERSION, with_labels
from pipeline.rundir import file_versions, group_labels
from pipeline.rundir.run_directory import RunDirectory, run_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalogs.hats_primary import Primary
    from catalogs.release import Release
    from pipeline.config.file import Config
    from pipeline.plan.predicting import Prediction
    from pipeline.rundir.frozen import Frozen
    from pipeline.rundir.group_labels import Label


@dataclass(frozen=True)
class Plan:
    """A run, resolved: small enough to travel, printable, and complete."""

    config: Config
    source: str
    """Path of the config file, for messages."""
    release: Release
    run: RunDirectory
    encoder_options: dict[str, Any]
    """Of `actors.factory.make_encoder`."""
    measurer_options: dict[str, Any] | None
    """Of `actors.measurer.Measurer`; None where nothing is measured."""
    features: int
    """Length of an embedding."""
    weights: str
    """Fingerprint of the encoder's."""
    fingerprints: dict[str, str]
    """One a stage, each resting on the one before it."""
    notes: list[str] = field(default_factory=list)
    """Notes for the user."""
    labels: dict[int, Label] = field(default_factory=dict)
    """Classes that people gave to groups."""
    generator_options: dict[str, Any] | None = None
    """Of `actors.generator.StampGenerator`; None where bags are not balanced."""
    predictions: list[Prediction] = field(default_factory=list)
    """Predictors, and how each gets at the codes that it needs."""
    servers_unseen: bool = False
    """Encoders have servers beside them, on machines that this one is not among."""
    like: Frozen | None = None
    """Another run's models, by which this one goes; None where it fits its own."""
    primary: Primary | None = None
    """Another catalog that is extended."""

    def slices(self) -> Iterator[Slice]:
        """All slices of the release, in order."""
        return slices_of(self.release.shards, self.config.run.slice_rows)

    @property
    def slice_count(self) -> int:
        """How many slices the release has."""
        return count_slices(self.release.shards, self.config.run.slice_rows)

    @property
    def slice_bytes(self) -> int:
        """Memory of the largest slice while its stamps are in it."""
        return config_faults.largest_slice(self.config, self.release) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Memory of an object while its stamp is with it, see `config_faults.stamp_bytes`."""
        return config_faults.stamp_bytes(self.config, self.release)

    @property
    def segmenter_options(self) -> dict[str, Any] | None:
        """Of `actors.segmenter.Segmenter`; None where stamps are encoded as they are."""
        return segmenter_options(self.config)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the published catalog."""
        return catalog_schema(self.config, self.release, self.predictions)

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` keeps."""
        config = self.config.model_dump(mode="json", exclude={"detect"})  # says nothing of a run
        made_of = file_versions.of_release(self.release)
        return {
            "config": config,
            "source": self.source,
            "fingerprints": self.fingerprints,
            **made_of,
            "seen": {
                "values": VALUES_VERSION,
                "weights": self.weights,
                "pixel_scale": self.release.pixel_scale,
            },
            "like": None if self.like is None else self.like.record,
        }

    @property
    def run_id(self) -> str:
        """Name of the run in metrics, logs and dashboards."""
        return run_id(self.config.survey.name, self.run.url, self.fingerprints["encode"])

    @property
    def command(self) -> str:
        """The command that starts or continues this run."""
        like = [] if self.like is None else ["--like", self.like.run]
        return shlex.join(["tuningfork", "run", self.source, "--out", self.run.url, *like])


def catalog_schema(config: Config, release: Release, predictions: Sequence[Prediction] = ()) -> pa.Schema:
    """Columns of the catalog that a config makes of a release."""
    votes = Voter.columns(config.fit.families).schema
    measured = measuring.measured_columns(config, release)
    return pa.schema(
        [
            *release.objects_schema,
            *measured,
            *votes,
            class_rules.CLASS_FIELD,
            class_rules.SHARE_FIELD,
            *(class_rules.FINISHED_FIELDS if config.classes.finish else ()),
            *(field for each in predictions for field in each.schema),
        ]
    )


def as_decided(plan: Plan) -> Plan:
    """The plan with what people have decided on the groups of the run until now."""
    labels = group_labels.in_force(group_labels.read(plan.run), plan.fingerprints["fit"])
    prints = with_labels(plan.fingerprints, plan.config, labels, plan.predictions, plan.like, plan.primary)
    return replace(plan, labels=labels, fingerprints=prints)


def as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, for `--json`."""
    return {
        "run": plan.run_id,
        **plan.record,
        "rows": plan.release.rows,
        "selected": plan.release.selected,
        "slices": plan.slice_count,
        "columns": {f.name: str(f.type) for f in plan.schema},
        "embedding": plan.features,
        "pixel_scale": plan.release.pixel_scale,
        "notes": plan.notes,
        "encoder": {k: v for k, v in plan.encoder_options.items() if not isinstance(v, Path)},
    }
