"""Reading a TOML file and holding it against the sections of a config: every fault at once, with key, value and what to do."""

from __future__ import annotations

import difflib
import errno
import stat
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import ValidationError

from catalogs import storage
from catalogs.errors import Fault, Refused
from catalogs.survey import Section
from kernels.networks import encoder_pattern, encoders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PATTERNS", "checked", "credentials_fault", "read_toml"]

Checked = TypeVar("Checked", bound=Section)

LARGEST_NUMBER = 2**63 - 1
LARGEST_FILE = 16 << 20
"""Bytes: what is larger is no config."""
PATTERNS = {
    encoder_pattern(): f"{', '.join(encoders())} or timm:NAME",
    r"^timm:.+$": "timm:NAME",
    r"^[^\s/]+$": "a name without spaces and slashes",
    r"^[A-Za-z0-9_.-]+$": "a name of letters, digits, underscores, dots and hyphens",
    r"^grpcs?://[^/:]+:\d+$": "grpc://HOST:PORT, or grpcs://HOST:PORT for TLS",
    r"^[A-Za-z0-9_-]+$": "a name of letters, digits, underscores and hyphens",
    r"\S": "a text that is not blank",
}
"""The patterns of texts, in words."""


def read_toml(path: Path) -> dict[str, Any]:
    """Values of a TOML file; refused where it is missing or is no TOML."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            # A pipe can be read once, or never ends; a run that goes on reads its config again.
            raise OSError(errno.EINVAL, "it is a pipe or a device")
        if found.st_size > LARGEST_FILE:
            raise OSError(errno.EFBIG, f"it is larger than {LARGEST_FILE >> 20} MiB")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(
            [Fault(str(path), f"cannot be read ({error.strerror})", "Give the path of a TOML file")]
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused([Fault(str(path), f"is no TOML ({error})", "Correct the file")]) from error
    except RecursionError as error:
        raise Refused([_too_deep(str(path))]) from error


def _too_deep(name: str) -> Fault:
    return Fault(name, "is nested too deeply", "See docs/config.md for the tables that there are")


def credentials_fault(name: str, key: str | None = None) -> Fault:
    """What is wrong with a URL that holds a secret; it is not shown, since logs are kept."""
    remedy = "Take them out, and give them in the environment (AWS_ACCESS_KEY_ID …; docs/security.md)"
    return Fault(name, "a URL with credentials would stand in every log and file of the run", remedy, key=key)


def checked(model: type[Checked], values: dict[str, Any], name: str, page: str = "docs/config.md") -> Checked:
    """Values of a file as a section, or a refusal with every fault in them; `name` stands in the faults, and their page."""
    try:
        return _checked(model, values, name, page)
    except RecursionError as error:
        raise Refused([_too_deep(name)]) from error


def _checked(model: type[Checked], values: dict[str, Any], name: str, page: str) -> Checked:
    secret = [
        credentials_fault(name, key) for key, text in _texts(values) if storage.carries_credentials(text)
    ]
    if secret:
        raise Refused(secret)
    beyond = [
        Fault(name, f"a whole number has 64 bits: {LARGEST_NUMBER} at most", "Give a smaller one", key=key)
        for key in _beyond(values)
    ]
    if beyond:
        raise Refused(beyond)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong: dict[str, list[Any]] = {}
        for details in error.errors():
            wrong.setdefault(".".join(_keys(values, details)), []).append(details)
        # A value that may be a list, and is one with a wrong entry, is not wrong for being no string.
        wrong = {
            key: d for key, d in wrong.items() if not any(other.startswith(f"{key}.") for other in wrong)
        }
        raise Refused([_fault(model, name, page, key, details) for key, details in wrong.items()]) from error


def _beyond(values: Any, key: str = "") -> Iterator[str]:
    """The dotted names of keys with whole numbers that TOML has none of: Python reads any, and arithmetic with floats then fails."""
    if isinstance(values, int):
        if not -LARGEST_NUMBER <= values <= LARGEST_NUMBER:
            yield key
    elif isinstance(values, dict):
        for name, value in values.items():
            yield from _beyond(value, f"{key}.{name}".lstrip("."))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _beyond(value, f"{key}.{number}")


def _texts(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a config, and the dotted name of its key."""
    if isinstance(values, str):
        yield key, values
    elif isinstance(values, dict):
        for name, value in values.items():
            yield from _texts(value, f"{key}.{name}".lstrip("."))
    elif isinstance(values, list):
        for value in values:
            yield from _texts(value, key)


def _keys(values: Any, details: Any) -> list[str]:
    """The keys to the wrong value; where a value may be of several types, pydantic's path goes on into the types."""
    keys = []
    for part in details["loc"]:
        here = isinstance(values, dict) and part in values
        if not here and not (isinstance(values, list) and isinstance(part, int) and part < len(values)):
            if details["type"] == "missing" and part == details["loc"][-1]:
                keys.append(str(part))
            # The rest of the path names a type, or an entry of a list behind one.
            continue
        keys.append(str(part))
        values = values[part]
    return keys


def _fault(model: type[Section], name: str, page: str, key: str, alternatives: list[Any]) -> Fault:
    # Where one of several types fitted but for something inside it, that is what the author meant.
    deepest = max(len(details["loc"]) for details in alternatives)
    details = next(d for d in alternatives if len(d["loc"]) == deepest)
    value = None if isinstance(details["input"], dict) else repr(details["input"])[:80]
    section, _, rest = key.partition(".")
    see = f"See [{section}] in {page}" if rest else f"See {page}"
    if details["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key.rpartition(".")[2], _known(model, key), 1)
        remedy = f"Did you mean {near[0]}? {see}" if near else f"{see} for the keys there are"
        return Fault(name, "unknown key", remedy, value=value, key=key)
    if details["type"] == "missing":
        remedy = "Add it, or make a catalog with tuningfork detect" if key == "survey.catalogs" else "Add it"
        return Fault(name, "this key is missing", f"{remedy}. {see}", key=key)
    problems = list(dict.fromkeys(_problem(d) for d in alternatives))
    problem = " or ".join([problems[0], *(p.removeprefix("must be ") for p in problems[1:])])
    return Fault(name, problem, see, value=value, key=key or None)


def _problem(details: Any) -> str:
    kinds = {
        "model_type": "must be a table",
        "list_type": "must be a list",
        "dict_type": "must be a table",
        "float_type": "must be a number",
    }
    kinds |= {
        "string_type": "must be a text",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
    }
    if details["type"] in kinds:
        return kinds[details["type"]]
    if details["type"] == "string_pattern_mismatch":
        return f"must be {PATTERNS[details['ctx']['pattern']]}"
    problem = str(details["msg"]).removeprefix("Value error, ")
    for pydantic, plain in (
        ("Input should be", "must be"),
        ("List should have", "must have"),
        (" after validation", ""),
    ):
        problem = problem.replace(pydantic, plain)
    return problem.rstrip(".")


def _known(model: type[Section], key: str) -> list[str]:
    """Keys of the table that a dotted name is in."""
    for part in key.split(".")[:-1]:
        field = next((f for name, f in model.model_fields.items() if part == (f.alias or name)), None)
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
