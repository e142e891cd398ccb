"""The commands `plan` and `run`."""

from __future__ import annotations

import shlex
import sys
import time
from typing import Annotated

import typer
from rich.markup import escape

from catalogs import strict_json
from catalogs.errors import BadRequest
from pipeline.cli.loading import loading
from pipeline.cli.options import Address, ConfigPath, Like, Out
from pipeline.console import console
from pipeline.engine.interrupts import resumable

running = typer.Typer()


@running.command()
def plan(
    config: ConfigPath,
    out: Out = "run",
    address: Address = None,
    like: Like = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    offline: Annotated[
        bool, typer.Option(help="Check the config alone, where the release is out of reach.")
    ] = False,
) -> None:
    """Check a release and its config, and say what a run would do. Nothing is written but what the trial took."""
    if offline:
        if like is not None:
            raise BadRequest("--offline looks at no run: leave out --like")
        from pipeline.plan.offline import check

        unseen = ", ".join(check(config))
        console.print(f"{escape(str(config))}: sound. Not looked at: {escape(unseen)}", soft_wrap=True)
        return
    with loading():
        from pipeline.config.file import load

        load(config)  # what is mistyped is told before all that plans is loaded, which takes seconds
        from pipeline.cli import printing
        from pipeline.plan.make_plan import plan_of
        from pipeline.plan.plan import as_dict
        from pipeline.plan.run_time import estimate

    planned = plan_of(config, out, address, like)
    planned.run.check(planned.record, remedy=f"{planned.command} --anew")
    if as_json:
        sys.stdout.write(strict_json.dumps(as_dict(planned), indent=1) + "\n")
    else:
        printing.plan(planned, estimate(planned, address))


@running.command()
def run(
    config: ConfigPath,
    out: Out,
    address: Address = None,
    like: Like = None,
    anew: Annotated[bool, typer.Option(help="Throw away the embeddings of an earlier run in --out.")] = False,
    dashboard: Annotated[bool, typer.Option(help="Start the Ray dashboard.")] = False,
) -> None:
    """Run a release through to its catalog. Run it again to continue after any interruption."""
    with loading():
        from pipeline.config.file import load

        load(config)
        from pipeline.cli import printing
        from pipeline.output.lock import locked
        from pipeline.plan.make_plan import plan_of
        from pipeline.plan.plan import as_decided
        from pipeline.plan.run_time import estimate

    words = [
        "tuningfork",
        "run",
        str(config),
        "--out",
        out,
        *([] if address is None else ["--address", address]),
        *([] if like is None else ["--like", like]),
    ]
    with resumable(shlex.join(words)):
        planned = plan_of(config, out, address, like)
        remedy = f"{planned.command} --anew"
        planned.run.check(planned.record, anew=anew, remedy=remedy)  # before anything is written
        with locked(out, "run") as lock:
            planned = as_decided(planned)  # somebody may have named groups while this one planned
            planned.run.prepare(planned.record, anew=anew, remedy=remedy)
            judged = estimate(planned, address, dashboard=dashboard)
            printing.plan(planned, judged)
            from pipeline import flow

            flow.run(planned, address, engine=judged.engine, dashboard=dashboard, lock=lock)
    printing.summary(out)


@running.command("warm-up")
def warm_up() -> None:
    """Compile what measures stamps, for the first run not to wait: where an image is built, or before many jobs start at once."""
    from kernels.compiled import folder
    from pipeline.engine.warm_up import compile_loops

    start = time.monotonic()
    compile_loops()
    console.print(
        f"compiled in {time.monotonic() - start:.0f} s, kept in {escape(str(folder()))}", soft_wrap=True
    )
