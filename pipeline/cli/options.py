"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The TOML config of the release.")]
Out = Annotated[str, typer.Option("--out", help="Run directory, local or a URL.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to join; default: start one here.")]
Like = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Fit nothing: use the components, members, groups and classes of this run, of another release.",
    ),
]
