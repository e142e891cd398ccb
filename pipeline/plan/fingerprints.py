"""Fingerprints of the stages, chained like a makefile: what may be kept after a change, and what may not."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from pipeline.config.serving import Served
from pipeline.plan.modalities import takes_modalities
from pipeline.rundir import group_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from catalogs.hats_primary import Primary
    from catalogs.release import Release
    from catalogs.survey import Survey
    from pipeline.config.file import Config
    from pipeline.plan.predicting import Prediction
    from pipeline.rundir.frozen import Frozen
    from pipeline.rundir.group_labels import Label

VALUES_VERSION = 10
"""Raise this when equal configs begin to give other catalog values, so that old parts are not mixed with new."""


def fingerprints(
    config: Config, release: Release, weights: str, psf: str, diffusion: str = "", like: Frozen | None = None
) -> dict[str, str]:
    """One fingerprint a stage up to the vote: equal where the stage would write the same, and resting on the stage before.

    `diffusion` is the diffusion model's, where bags are balanced; `like` what a run goes by that fits nothing itself.
    """
    # How the work is spread (workers, threads, batch size) does not change what comes out.
    spread = {"workers", "cpus", "gpus", "threads", "batch_size", *Served.model_fields}
    shards = [[shard.label, shard.table.rows, shard.table.digest] for shard in release.shards]
    fit, vote = config.fit.model_dump(mode="json"), config.vote.model_dump(mode="json")
    balanced = {
        "first_fit": fit,
        "first_vote": vote,
        "augment": {
            "augment": config.augment.model_dump(mode="json", exclude={*spread, "model"}),
            "model": diffusion,
        },
    }
    own: dict[str, Any] = {
        "encode": {
            "values": VALUES_VERSION,
            # The shards' headers record whether the release is synthetic, and `run.json` records the versions of its files.
            "survey": _survey(config.survey),
            "shards": shards,
            **({} if release.tiles is None else {"tiles": release.tiles.digest}),
            "slice_rows": config.run.slice_rows,
            "denoise": config.denoise is not None,
            "encode": config.encode.model_dump(mode="json", exclude={*spread, "checkpoint"}),
            "weights": weights,
            "measure": config.measure.model_dump(mode="json", exclude={"psf"}),
            "psf": psf,
            # embeddings that travelled in half precision differ a little
            "wire": config.encode.wire if config.encode.served_by else "float32",
            **_modalities(config),
        },
        "reduce": {
            # runs from before there were columns do not have them
            "reduce": config.reduce.model_dump(
                mode="json", exclude=set() if config.reduce.columns else {"columns", "weight"}
            ),
            "pilot": [config.fit.pilot_rows, config.fit.seed],
        },
        **(balanced if config.augment.balance else {}),
        "fit": fit,
        "vote": vote,
    }
    if like is not None:
        own |= {"reduce": like.files["components"], "fit": like.files["ensemble"]}
    return _chained(own, "")


def _modalities(config: Config) -> dict[str, Any]:
    """What the network is told beside the stamps, if it takes any; what training alone reads changes nothing."""
    if not takes_modalities(config):
        return {}
    of_training = {"scalars": {"__all__": {"transform"}}, "vectors": {"__all__": {"patch"}}}
    return {"modalities": config.modalities.model_dump(mode="json", exclude=of_training)}


def _survey(survey: Survey) -> dict[str, Any]:
    values = survey.model_dump(mode="json", exclude={"name", "catalogs", "synthetic", "identify"})
    if survey.images.layout != "struct":
        del values["images"]["field"]  # which runs from before there were records do not have
    return values


def with_labels(
    before: dict[str, str],
    config: Config,
    labels: dict[int, Label],
    predictions: Sequence[Prediction] = (),
    like: Frozen | None = None,
    primary: Primary | None = None,
) -> dict[str, str]:
    """The fingerprints up to the vote, and those of the stages that also depend on what people added: labels of groups, and predictors."""
    own = {
        "classify": {
            "classes": config.classes.model_dump(mode="json", by_alias=True),
            "labels": group_labels.as_values(labels),
            **({} if like is None else {"like": like.files["classes"]}),
        },
        "publish": {
            **config.publish.model_dump(mode="json"),
            "name": config.survey.name,
            **({} if primary is None else {"primary": primary.digest}),
            **({"predictions": [[p.name, p.fingerprint] for p in predictions]} if predictions else {}),
        },
    }
    return {**before, **_chained(own, before["vote"])}


def _chained(own: dict[str, Any], before: str) -> dict[str, str]:
    chained = {}
    for stage, values in own.items():
        text = json.dumps([before, values], sort_keys=True)
        before = chained[stage] = hashlib.sha256(text.encode()).hexdigest()
    return chained
