"""docs/config.md, written from the config's own classes: `python -m pipeline.config.reference > docs/config.md`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pipeline.config.file import Config

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

HEAD = """# Config reference

One TOML file says everything. Unknown keys are errors; relative paths are relative to the file. Keys without a default must be given
where their section is. This page is written by `python -m pipeline.config.reference`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections(Config, "")]).rstrip() + "\n"


def _sections(model: type[BaseModel], name: str, *, several: bool = False) -> list[str]:
    nested = {key: found for key, f in model.model_fields.items() if (found := _section_of(f.annotation))}
    lines = []
    if name:
        about = " ".join((model.__doc__ or "").split("\n\n")[0].split())
        lines += [
            f"## `[[{name}]]`" if several else f"## `[{name}]`",
            "",
            about,
            "",
            "| key | values | default | meaning |",
            "|---|---|---|---|",
        ]
        own_first = sorted(model.model_fields.items(), key=lambda item: item[0] not in model.__annotations__)
        lines += [_row(f.alias or key, f) for key, f in own_first if key not in nested]
        lines.append("")
    for key, section in nested.items():
        field = model.model_fields[key]
        several = get_origin(field.annotation) is list
        lines += _sections(section, f"{name}.{field.alias or key}".lstrip("."), several=several)
    return lines


def _section_of(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation, *get_args(annotation)]
    found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return found[0] if found else None


def _row(key: str, field: FieldInfo) -> str:
    default = "" if field.default is PydanticUndefined else f"`{json.dumps(field.default)}`"
    default = default.replace("`null`", "none")
    meaning = " ".join((field.description or "").split())
    return f"| `{key}` | {_values(field)} | {default} | {meaning} |".replace("||", "| |")


def _values(field: FieldInfo) -> str:
    kind = field.annotation
    limits = []
    for constraint in field.metadata:
        for bound, sign, attribute in ((Ge, "≥", "ge"), (Gt, ">", "gt"), (Le, "≤", "le"), (Lt, "<", "lt")):
            if isinstance(constraint, bound):
                limits.append(f"{sign} {getattr(constraint, attribute)}")
    return ", ".join([_type_name(kind), *limits])


def _type_name(kind: Any) -> str:
    arguments = [a for a in get_args(kind) if a is not type(None)]
    origin = getattr(kind, "__name__", str(kind))
    if isinstance(kind, type) and not arguments:
        return {"str": "text", "int": "integer", "float": "number", "bool": "true, false"}.get(origin, origin)
    if all(isinstance(a, str | int) and not isinstance(a, type) for a in arguments):
        return ", ".join(f"`{json.dumps(a)}`" for a in arguments)
    if getattr(kind, "__origin__", None) is list:
        return f"list of {_type_name(arguments[0])}"
    if getattr(kind, "__origin__", None) is dict:
        return f"table of {_type_name(arguments[1])}"
    if hasattr(kind, "__metadata__"):
        return _type_name(arguments[0])
    return " or ".join(dict.fromkeys(_type_name(a) for a in arguments))


if __name__ == "__main__":
    sys.stdout.write(reference())
