"""The command line: `tuningfork COMMAND`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from actors.serving.contract import ServingError
from catalogs.errors import BadRequest, Fault, Refused, TuningforkError
from pipeline.cli.augment import augmenting
from pipeline.cli.detect import detecting
from pipeline.cli.releases import releases
from pipeline.cli.results import results
from pipeline.cli.run import running
from pipeline.cli.serving import serving_commands
from pipeline.cli.similar import finding
from pipeline.cli.train import training
from pipeline.console import console
from pipeline.engine.interrupts import FAULTS, INTERRUPTED, REFUSED, leave

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Put a survey release on the tuning fork: FITS in, a voted morphology catalog out.",
    epilog="Exit codes: 0 done, 2 refused before any work, 3 finished with faults, 130 interrupted.",
)
app.add_typer(running)
app.add_typer(serving_commands)
app.add_typer(releases)
app.add_typer(detecting)
app.add_typer(results)
app.add_typer(finding)
app.add_typer(augmenting)
app.add_typer(training, name="train")


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"tuningfork {version('tuningfork')}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Put a survey release on the tuning fork: FITS in, a voted morphology catalog out."""


def _refuse_unreadable(arguments: list[str]) -> None:
    """File names may be bytes that are no text: no record and no message could name them."""
    for number, text in enumerate(arguments, 1):
        if any("\ud800" <= c <= "\udfff" for c in text):
            shown = text.encode("utf-8", "backslashreplace").decode()
            problem, remedy = "is no text in UTF-8", "Give the file or folder another name"
            raise Refused([Fault(f"argument {number}", problem, remedy, value=shown)])


def _refuse_credentials(arguments: list[str]) -> None:
    from catalogs.storage import carries_credentials
    from pipeline.config.check import credentials_fault

    faults = [
        credentials_fault(f"argument {number}")
        for number, text in enumerate(arguments, 1)
        if carries_credentials(text)
    ]
    if faults:
        raise Refused(faults)


def main() -> None:
    """Run the command line; errors that we raise on purpose are printed plainly and end with their exit code."""
    # Before torch is loaded: threads that spin while they wait starve whatever else shares the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from catalogs.arrow_alone import arrow_alone

    arrow_alone()
    from pipeline.cli import printing

    try:
        _refuse_unreadable(sys.argv[1:])
        _refuse_credentials(sys.argv[1:])
        app()
    except Refused as refused:
        printing.refusal(refused)
        sys.exit(REFUSED)
    except BadRequest as error:
        console.print(f"[bold red]refused:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(REFUSED)
    except (TuningforkError, ServingError) as error:
        console.print(f"[bold red]stopped:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        leave(FAULTS)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
