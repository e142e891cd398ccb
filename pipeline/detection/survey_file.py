"""The config that `tuningfork run` takes: what the user's own says, the catalog that was made, and paths that hold from its folder."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from catalogs import path_template, storage

__all__ = ["survey_file"]

PATHS = (
    ("survey", "images", "path"),
    ("survey", "images", "mask", "path"),
    ("survey", "images", "weight", "path"),
    ("measure", "psf"),
    ("encode", "tls_ca"),
    ("encode", "tls_key"),
    ("encode", "tls_certificate"),
    ("publish", "extends"),
)
"""Keys with a path or template."""
NAMES_OR_FILES = {("encode", "checkpoint"), ("denoise", "checkpoint"), ("augment", "model")}
"""Keys with a file, or the name of something that comes with the package."""
HEAD = """# Sources of `tuningfork detect`; run them with: tuningfork run {place} --out RUN
# Without stars: where = "NOT STAR" in [survey]
"""


def survey_file(values: dict[str, Any], folder: str, out: str) -> str:
    """Text of the config.

    Parameters
    ----------
    values : dict
        Of the config that sources were found by, with the catalog's keys.
    folder : str
        That its relative paths are relative to.
    out : str
        Where the text will lie.
    """
    values = deepcopy(values)
    values.pop("detect", None)
    for keys in PATHS:
        _absolute(values, keys, folder, always=True)
    for keys in NAMES_OR_FILES:
        _absolute(values, keys, folder, always=False)
    with_ = values.get("predict", {}).get("with")
    if isinstance(with_, list):
        values["predict"]["with"] = [storage.absolute(path, folder) for path in with_]
    return HEAD.format(place=storage.join(out, "survey.toml")) + _section(values, "")


def _absolute(values: dict[str, Any], keys: tuple[str, ...], folder: str, *, always: bool) -> None:
    *tables, last = keys
    for table in tables:
        values = values.get(table, {})
        if not isinstance(values, dict):
            return
    text = values.get(last)
    if not isinstance(text, str):
        return
    plain = storage.absolute(text, folder)
    if always or (not path_template.columns_of(text) and storage.exists(plain)):
        values[last] = plain


def _section(values: dict[str, Any], name: str) -> str:
    plain, tables = "", ""
    for key, value in values.items():
        inner = f"{name}.{_key(key)}".lstrip(".")
        if isinstance(value, dict):
            tables += f"\n[{inner}]\n" + _section(value, inner)
        else:
            plain += f"{_key(key)} = {_value(value)}\n"
    return plain + tables


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for this one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
