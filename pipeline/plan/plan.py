"""The plan: everything that a run will do, found out and checked before anything is done."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from actors.voter import Voter
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.inspect_extents import with_extents
from catalogs.slices import Slice, count_slices, slices_of
from pipeline.engine.cluster import is_own
from pipeline.engine.temp_folder import temp_faults
from pipeline.plan import (
    balancing,
    class_rules,
    config_faults,
    config_notes,
    engine_choice,
    enough_objects,
    extending,
    frozen,
    measuring,
    predicting,
    serving,
)
from pipeline.plan.encoding import encoder_options, look_at_encoder, resolved, segmenter_options
from pipeline.plan.fingerprints import VALUES_VERSION, fingerprints, with_labels
from pipeline.plan.predictor_encoder import encoder_of_run
from pipeline.rundir import file_versions, group_labels
from pipeline.rundir.frozen import find_frozen
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


def make_plan(
    config: Config,
    folder: str,
    source: str,
    out: str,
    address: str | None = None,
    *,
    encoded: bool = False,
    like: str | None = None,
) -> Plan:
    """Resolve a config against its release, its model and its run directory.

    Parameters
    ----------
    config : Config
    folder : str
        Folder of the config file: relative paths are relative to it.
    source : str
        Path of the config file.
    out : str
        Run directory.
    address : str, optional
        Cluster that will do the work; its nodes may have GPUs that this machine lacks.
    encoded : bool
        Nothing is left to encode: neither GPUs nor servers are needed.
    like : str, optional
        Run whose models this one goes by; one that has begun so goes on so without it.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    run, release = RunDirectory(out), None
    models = find_frozen(run, like)
    config, faults = frozen.taken_over(config, models, source)
    config = resolved(config)
    try:
        seen = inspect(config.survey, folder, measuring.psf_source(config, folder))
        release = replace(with_extents(seen, config.run.slice_rows), cached_bytes=config.run.cached_bytes)
    except Refused as refused:
        faults += refused.faults
    options = encoder_options(config, folder)
    features, weights, found = look_at_encoder(config, source, options)
    faults += found
    faults += _group_faults(config, source, release, features, weights, models)
    if release is not None:
        faults += config_faults.slice_faults(config, source, release)
    if is_own(address) and config.run.engine != "local":
        faults += temp_faults()
    faults += engine_choice.engine_faults(config, source, address)
    if is_own(address) and not encoded and not torch.cuda.is_available():
        faults += config_faults.no_gpu(config, source)
    notes: list[str] = []
    unseen = False
    if config.encode.served_by is not None and features and weights:
        options = serving.served_options(config, folder, options, features, weights)
        found, notes, unseen = ([], [], False) if encoded else serving.look(options, source, address)
        faults += found
    measurer, schema = None, pa.schema([])
    if release is not None:
        measurer, found = measuring.measurer_options(config, folder, source, release)
        faults += found
        schema, kept = catalog_schema(config, release), list(release.kept)
        config, found = frozen.classes_here(config, schema, kept, source, models)
        faults += found
    primary, found = extending.look_at_primary(config, folder, source, release)
    faults += found
    generator, diffusion, found, neighbours = balancing.look_at_generator(
        config, folder, source, release, schema
    )
    faults += found
    if faults or release is None:
        raise Refused(faults)
    psf = measuring.psf_fingerprint(measurer, release.psf)
    prints = fingerprints(config, release, weights, psf, diffusion, models)

    def ask_servers(served: dict[str, Any]) -> list[Fault]:
        return [] if encoded else serving.look(served, source, address)[0]

    predictions, predicting_notes = predicting.in_force(
        config,
        folder,
        source,
        run,
        encoder_of_run(config, weights, features),
        schema,
        prints["encode"],
        ask_servers,
        models,
    )
    decided = group_labels.read(run)
    labels = group_labels.in_force(decided, prints["fit"])
    notes = [
        *config_notes.notes(config, release),
        *([] if models else enough_objects.notes(config, release)),
        *measuring.notes(config),
        *extending.notes(primary),
        *neighbours,
        *notes,
        *predicting_notes,
        *group_labels.notes(decided, prints["fit"]),
        *([] if models else class_rules.notes(config.classes, labels)),
    ]
    return Plan(
        config,
        source,
        release,
        run,
        options,
        measurer,
        features,
        weights,
        with_labels(prints, config, labels, predictions, models, primary),
        notes,
        labels,
        generator,
        predictions,
        unseen,
        models,
        primary,
    )


def _group_faults(
    config: Config, source: str, release: Release | None, features: int, weights: str, like: Frozen | None
) -> list[Fault]:
    """Why there can be no such groups: of the objects and features here, or by the models of another run."""
    if like is not None:
        return frozen.differences(config, source, release, weights, like)
    faults = config_faults.component_faults(config, source, features)
    faults += config_faults.vote_faults(config, source)
    return faults if release is None else faults + enough_objects.group_faults(config, source, release)


def as_decided(plan: Plan) -> Plan:
    """The plan with what people have decided on the groups of the run until now."""
    labels = group_labels.in_force(group_labels.read(plan.run), plan.fingerprints["fit"])
    prints = with_labels(plan.fingerprints, plan.config, labels, plan.predictions, plan.like, plan.primary)
    return replace(plan, labels=labels, fingerprints=prints)


def plan_of(path: str | Path, out: str, address: str | None = None, like: str | None = None) -> Plan:
    """Load a config file and make its plan."""
    from pipeline.config.file import load  # noqa: PLC0415

    config, folder = load(path)
    return make_plan(config, folder, str(path), out, address, like=like)


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
