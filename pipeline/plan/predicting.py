"""Predictors of a run: those that its config names and those that people added, each checked against the release and its encoder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.predictor import prediction_schema
from catalogs import storage
from catalogs.errors import Fault, Refused
from catalogs.headers import first_line
from kernels.heads.predictor import NotAPredictor, Predictor
from pipeline.plan.encoding import segmenter_options
from pipeline.plan.predictor_encoder import differences, own_options
from pipeline.plan.predictor_files import SUFFIX, files_of, predictor_name
from pipeline.plan.serving import served_options

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from pipeline.config.file import Config
    from pipeline.rundir.frozen import Frozen
    from pipeline.rundir.run_directory import RunDirectory

__all__ = ["REMEDY", "SUFFIX", "Prediction", "in_force", "look_at_predictor", "predictor_name"]

REMEDY = "Give a file that `tuningfork train predictor` made"
_SCALE = 1.2  # of pixel scales that differ by more, a note says so


@dataclass(frozen=True)
class Prediction:
    """One predictor of a run."""

    name: str
    file: str
    """Path or URL."""
    fingerprint: str
    """Of what its answers rest on: the run's stage encode, or its own way to codes, and its file."""
    schema: pa.Schema
    """Columns that it adds."""
    encoder_options: dict[str, Any] | None = None
    """Of `actors.factory.make_encoder`, where its network is its own; None: it takes the run's embeddings."""
    segmenter_options: dict[str, Any] | None = None
    """Of `actors.segmenter.Segmenter`; None: its network sees stamps as they are, or it takes embeddings."""

    @property
    def folder(self) -> str:
        """Name of the folder of its parts: another file or other codes give another one."""
        return f"{self.name}-{self.fingerprint[:12]}"


def in_force(
    config: Config,
    folder: str,
    source: str,
    run: RunDirectory,
    run_encoder: dict[str, Any],
    schema: pa.Schema,
    encoded: str,
    ask_servers: Callable[[dict[str, Any]], list[Fault]],
    like: Frozen | None = None,
) -> tuple[list[Prediction], list[str]]:
    """The predictors of a run, and notes on them: first those of the config, then those that people added, then another run's, by name.

    Parameters
    ----------
    config, folder, source
        As of `pipeline.plan.make_plan.make_plan`.
    run : RunDirectory
    run_encoder : dict
        See `pipeline.plan.predictor_encoder.encoder_of_run`.
    schema : pa.Schema
        Columns of the catalog without them.
    encoded : str
        Fingerprint of the run's stage encode.
    ask_servers : callable
        What is wrong with the servers that these options of `actors.serving.client.ServedEncoder` name.
    like : Frozen, optional
        Another run whose predictors answer here too.

    Raises
    ------
    Refused
    """
    others = [] if like is None else like.predictors
    configured, added = files_of(config.predict.with_, folder, run, others)
    named = [(file, "predict.with", source) for file in configured] + [(file, "", file) for file in added]
    found, faults, notes, taken = (
        [],
        list[Fault](),
        list[str](),
        {name.lower(): "the catalog" for name in schema.names},
    )
    for file, key, where in named:
        try:
            prediction, said = look_at_predictor(file, config, folder, run_encoder, encoded)
        except (NotAPredictor, OSError, ValueError) as error:
            value = repr(file) if key else None
            faults.append(
                Fault(
                    where, first_line(error).removeprefix(f"{file}: "), REMEDY, key=key or None, value=value
                )
            )
            continue
        doubled = [name for name in prediction.schema.names if name.lower() in taken]
        if doubled:
            owner = taken[doubled[0].lower()]
            problem = f"adds a column {doubled[0]!r}, which {owner} has"
            remedy = "Leave one of the two out, or train it anew with another name of the question"
            faults.append(Fault(where, problem, remedy, key=key or None, value=repr(file) if key else None))
        taken |= {name.lower(): f"the predictor {prediction.name}" for name in prediction.schema.names}
        if "endpoints" in (prediction.encoder_options or {}):
            faults += ask_servers(prediction.encoder_options or {})
        found.append(prediction)
        notes += said
    if faults:
        raise Refused(faults)
    return found, notes


def look_at_predictor(
    file: str, config: Config, folder: str, run_encoder: dict[str, Any], encoded: str
) -> tuple[Prediction, list[str]]:
    """One predictor, and notes on it.

    Raises
    ------
    NotAPredictor
        If it is none, or one for other stamps or codes than the run's.
    OSError
        If it cannot be read.
    """
    data, name = storage.read(file), predictor_name(file)
    predictor = Predictor.from_bytes(data, file)
    taught = predictor.encoder
    if list(taught["bands"]) != list(run_encoder["bands"]):
        raise NotAPredictor(
            f"{file}: was taught on bands {taught['bands']}, and the release has {run_encoder['bands']}"
        )
    notes = _scale_notes(name, taught, run_encoder)
    schema = prediction_schema(predictor.columns(name))
    made_of = [name, hashlib.sha256(data).hexdigest()]
    if not predictor.has_network:
        other = differences(taught, run_encoder)
        if other:
            raise NotAPredictor(f"{file}: was taught on embeddings of another encoder: {'; '.join(other)}")
        return Prediction(name, file, _digest(*made_of, encoded), schema), notes
    own = config.model_copy(
        update={"encode": config.encode.model_copy(update={"neighbours": taught["neighbours"]})}
    )
    options = own_options(taught, file, config)
    how = {
        key: value
        for key, value in options.items()
        if key not in ("checkpoint", "batch_size", "threads", "device")
    }
    if config.encode.served_by is not None:
        named = config.model_copy(update={"encode": config.encode.model_copy(update={"served_name": name})})
        options = served_options(named, folder, options, taught["features"], taught["weights"])
    prediction = Prediction(
        name,
        file,
        _digest(*made_of, encoded, repr(sorted(how.items()))),
        schema,
        options,
        segmenter_options(own),
    )
    return prediction, notes


def _scale_notes(name: str, taught: dict[str, Any], here: dict[str, Any]) -> list[str]:
    scales = [s for s in (taught.get("pixel_scale"), here.get("pixel_scale")) if isinstance(s, float | int)]
    if len(scales) < 2 or 1 / _SCALE < scales[0] / scales[1] < _SCALE:
        return []
    return [
        f"predictor {name} was taught on pixels of {scales[0]:g} arcsec, and these have {scales[1]:g}: galaxies look larger or smaller to it"
    ]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
