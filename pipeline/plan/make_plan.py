"""A plan is made: a config is resolved against its release, its model and its run directory, and everything that is wrong is listed at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.inspect_extents import with_extents
from pipeline.config.file import load
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
    modality_faults,
    predicting,
    serving,
)
from pipeline.plan.code_columns import column_faults
from pipeline.plan.encoding import encoder_options, look_at_encoder, resolved
from pipeline.plan.fingerprints import fingerprints, with_labels
from pipeline.plan.modalities import known_to, source_of, takes_modalities
from pipeline.plan.plan import Plan, catalog_schema
from pipeline.plan.predictor_encoder import encoder_of_run
from pipeline.rundir import group_labels
from pipeline.rundir.frozen import find_frozen
from pipeline.rundir.run_directory import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from catalogs.release import Release
    from pipeline.config.file import Config
    from pipeline.rundir.frozen import Frozen

__all__ = ["make_plan", "plan_of"]


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
    options = encoder_options(config, folder)
    network = known_to(config, options)
    told = source_of(config, network) if takes_modalities(config) else None
    try:
        seen = inspect(config.survey, folder, measuring.psf_source(config, folder), told)
        release = replace(with_extents(seen, config.run.slice_rows), cached_bytes=config.run.cached_bytes)
    except Refused as refused:
        faults += refused.faults
    faults += modality_faults.faults(config, source, release, network)
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
        faults += [*column_faults(config, schema, source), *found]
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
        *modality_faults.notes(config, release, network),
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


def plan_of(path: str | Path, out: str, address: str | None = None, like: str | None = None) -> Plan:
    """Load a config file and make its plan."""
    config, folder = load(path)
    return make_plan(config, folder, str(path), out, address, like=like)


def _group_faults(
    config: Config, source: str, release: Release | None, features: int, weights: str, like: Frozen | None
) -> list[Fault]:
    """Why there can be no such groups: of the objects and features here, or by the models of another run."""
    if like is not None:
        return frozen.differences(config, source, release, weights, like)
    faults = config_faults.component_faults(config, source, features)
    faults += config_faults.vote_faults(config, source)
    return faults if release is None else faults + enough_objects.group_faults(config, source, release)
