"""The run directory: what lies where in it, and `run.json`, which says what may be mixed with what."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from catalogs import storage
from catalogs.errors import Fault, Refused
from pipeline.output.places import as_place, refuse_file
from pipeline.rundir import file_versions
from pipeline.rundir.record import read_record

STAGES = (
    "encode",
    "reduce",
    # these three in runs with balanced bags
    "first_fit",
    "first_vote",
    "augment",
    "fit",
    "vote",
    "classify",
    "publish",
)
COLLECTION = ("collection.properties", "embeddings.properties", "README.md")
"""Files that make a HATS collection of a run directory."""


@dataclass(frozen=True)
class RunDirectory:
    """A run's directory, local or on an object store."""

    url: str

    @property
    def objects(self) -> str:
        """Parts of the encoding pass."""
        return storage.join(self.url, "objects")

    @property
    def images(self) -> str:
        """Which version of every image file the parts of the encoding pass were made of; there when all are."""
        return storage.join(self.url, "images.parquet")

    @property
    def models(self) -> str:
        """What the barriers fitted."""
        return storage.join(self.url, "models")

    @property
    def components(self) -> str:
        """Principal components and the pilot's codes."""
        return storage.join(self.models, "components.safetensors")

    @property
    def first_ensemble(self) -> str:
        """Every member, fitted on bags of real objects alone; where bags are balanced."""
        return storage.join(self.models, "first_ensemble.safetensors")

    @property
    def first_votes(self) -> str:
        """Parts of the vote that says which groups are rare; where bags are balanced."""
        return storage.join(self.url, "first_votes")

    @property
    def synthetic(self) -> str:
        """Parts of the synthetic neighbours that join the bags: embeddings, and what they are like."""
        return storage.join(self.url, "synthetic")

    @property
    def balance(self) -> str:
        """Which groups are rare, and how many synthetic neighbours each gets."""
        return storage.join(self.models, "balance.json")

    @property
    def ensemble(self) -> str:
        """Every member, aligned."""
        return storage.join(self.models, "ensemble.safetensors")

    @property
    def votes(self) -> str:
        """Parts of the vote."""
        return storage.join(self.url, "votes")

    @property
    def classes(self) -> str:
        """The class of each group, and the evidence for it."""
        return storage.join(self.models, "classes.json")

    @property
    def finisher(self) -> str:
        """The predictor that finishes what the vote left over; empty where there was nothing to learn from."""
        return storage.join(self.models, "finish.safetensors")

    @property
    def labels(self) -> str:
        """What people decided on the groups: no stage's output, and kept when stages are done anew."""
        return storage.join(self.url, "labels", "labels.json")

    @property
    def predictors(self) -> str:
        """The predictors that `tuningfork predict` added: no stage's output, and kept when stages are done anew."""
        return storage.join(self.url, "predictors")

    @property
    def predictions(self) -> str:
        """Parts of the answers, in a folder for each predictor."""
        return storage.join(self.url, "predictions")

    @property
    def frozen(self) -> dict[str, str]:
        """What other runs may go by (`--like`), by its name: the models, and what names the groups."""
        return {"components": self.components, "ensemble": self.ensemble, "classes": self.classes}

    @property
    def predictor_copies(self) -> str:
        """Copies of all predictors that answer in it: other runs may go by them."""
        return storage.join(self.models, "predictors")

    def frozen_file(self, name: str) -> str:
        """Where something of that name lies that other runs go by: one of `frozen`, or a file in `models/`."""
        return self.frozen.get(name) or storage.join(self.models, name)

    @property
    def like(self) -> RunDirectory:
        """Copies of what this run goes by, if those are another run's models: no stage's output, and kept when stages are done anew."""
        return RunDirectory(storage.join(self.url, "like"))

    @property
    def catalog(self) -> str:
        """The published morphology catalog."""
        return storage.join(self.url, "catalog")

    @property
    def embeddings(self) -> str:
        """The published embeddings."""
        return storage.join(self.url, "embeddings")

    @property
    def margin(self) -> str:
        """The margin cache of the catalog: copies of objects just outside each partition."""
        return storage.join(self.url, "margin")

    @property
    def borders(self) -> str:
        """Rows on their way into margins; gone when the catalog is complete."""
        return storage.join(self.margin, "borders")

    @property
    def extension(self) -> str:
        """What was found, as an extension of another catalog."""
        return storage.join(self.url, "extension")

    @property
    def unplaced(self) -> str:
        """Published objects whose position is not usable: a HATS catalog has no place for them."""
        return storage.join(self.url, "unplaced.parquet")

    @property
    def index(self) -> str:
        """Index of the published embeddings: a cache that `tuningfork similar` makes and checks by itself, and no stage's."""
        return storage.join(self.url, "index")

    @property
    def database(self) -> str:
        """DuckDB views of the catalog."""
        return storage.join(self.url, "catalog.duckdb")

    @property
    def validation(self) -> str:
        """What `tuningfork validate` found in the catalog."""
        return storage.join(self.url, "validation.parquet")

    @property
    def published(self) -> str:
        """The file whose presence says that the catalog is complete."""
        return storage.join(self.url, "published.json")

    def outputs(self, stage: str) -> list[str]:
        """Everything that a stage writes."""
        return {
            # Answers rest on stamps or embeddings; those of one predictor do not change when another one joins it.
            "encode": [self.images, self.objects, self.predictions],
            "reduce": [self.components],
            "first_fit": [self.first_ensemble],
            "first_vote": [self.first_votes],
            "augment": [self.synthetic, self.balance],
            "fit": [self.ensemble],
            "vote": [self.votes],
            "classify": [self.classes, self.finisher],
            # The mark goes first: a catalog that is being removed must not look complete.
            "publish": [
                self.published,
                *(storage.join(self.url, name) for name in COLLECTION),
                self.catalog,
                self.margin,
                self.embeddings,
                self.extension,
                self.unplaced,
                self.database,
                self.validation,
            ],
        }[stage]

    def record(self, *, whole: bool = True) -> dict[str, Any] | None:
        """What `run.json` says, or None where there is no run yet; with `whole`, all that must be in it.

        Raises
        ------
        Refused
            If the directory holds something else.
        """
        url = storage.join(self.url, "run.json")
        with as_place(self.url):
            refuse_file(self.url)
            if storage.exists(url):
                return read_record(url, whole=whole)
            if storage.names(self.url):
                raise Refused([Fault(self.url, "is not empty and holds no run", "Choose another --out")])
        return None

    def prepare(self, record: dict[str, Any], *, anew: bool, remedy: str) -> None:
        """Make the directory ready for a run with these fingerprints: nothing stale is left in it.

        Parameters
        ----------
        record : dict
            The new `run.json`.
        anew : bool
            Whether the embeddings of an earlier run may be thrown away.
        remedy : str
            Command that would start anew, for the refusal.

        Raises
        ------
        Refused
            If the directory belongs to another run, or can't be written to.
        """
        stale = self.check(record, anew=anew, remedy=remedy)
        try:
            for stage in reversed(stale):
                for output in self.outputs(stage):
                    storage.remove(output)
            record = {"tuningfork": version("tuningfork"), **record}
            storage.write(
                storage.join(self.url, "run.json"), json.dumps(record, indent=1, sort_keys=True).encode()
            )
        except OSError as error:
            raise Refused(
                [Fault(self.url, f"cannot be written to ({error})", "Choose another --out")]
            ) from error

    def check(self, record: dict[str, Any], *, remedy: str, anew: bool = False) -> list[str]:
        """Stages of the run here that the new record makes stale; refuses as `prepare` does, but writes nothing."""
        before = self.record()
        if before is None:
            return []
        stale = [s for s in STAGES if before["fingerprints"].get(s) != record["fingerprints"].get(s)]
        choose = f"Choose another --out, or start anew: {remedy}"
        if not anew and _models(before) != _models(record):
            whose = before["like"]["run"] if before["like"] else "its own fit"
            problem = f"goes by the models of {whose}, and --like gives others"
            raise Refused([Fault(self.url, problem, choose)])
        if "encode" in stale and not anew:
            changed = ", ".join(differences(before, record)) or file_versions.shown(
                file_versions.other_shards(before, record)
            )
            problem = f"holds another run's embeddings; changed: {changed or 'the release'}"
            raise Refused([Fault(self.url, problem, choose)])
        if "encode" in stale:
            return stale
        replaced = file_versions.replaced(self.objects, self.images, before, record)
        if replaced and not anew:
            problem = f"was made of other files than there are now: {file_versions.shown(replaced)}"
            raise Refused([Fault(self.url, problem, choose)])
        return list(STAGES) if replaced else stale


def run_id(name: str, url: str, fingerprint: str) -> str:
    """Name of a run in metrics, logs and dashboards. It stays the same when the run is resumed, and on every machine.

    Parameters
    ----------
    name : str
        Of the survey, for people.
    url : str
        Run directory.
    fingerprint : str
        Of its first stage: a run that starts anew with other settings has another id.
    """
    place = (url if "://" in url else str(Path(url).absolute())).rstrip("/")
    return f"{name}-{hashlib.sha256(f'{place} {fingerprint}'.encode()).hexdigest()[:8]}"


def _models(record: dict[str, Any]) -> list[str] | None:
    """Hashes of the models that a run goes by; None where it fits its own. Groups may get other names, but stay the same."""
    like = record.get("like")
    return None if like is None else [like["files"].get(name, "") for name in ("components", "ensemble")]


def is_synthetic(record: dict[str, Any] | None) -> bool:
    """Whether a `run.json` is of a release that a diffusion model drew."""
    return record is not None and bool(record["config"]["survey"].get("synthetic", False))


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Dotted names of the config keys whose values differ between two records."""

    def flat(values: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(values, dict):
            return {prefix: values}
        return {
            k: v
            for name, value in values.items()
            for k, v in flat(value, f"{prefix}.{name}".lstrip(".")).items()
        }

    a, b = flat(before.get("config", {})), flat(after.get("config", {}))
    return sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
