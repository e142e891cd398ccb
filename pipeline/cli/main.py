"""The command line: `tuningfork COMMAND`."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from actors.serving.contract import ServingError
from catalogs import strict_json
from catalogs.errors import BadRequest, Fault, Refused, TuningforkError
from pipeline.cli.augment import augmenting
from pipeline.cli.results import results
from pipeline.console import console
from pipeline.engine.interrupts import FAULTS, INTERRUPTED, REFUSED, leave, resumable, watch_for_interrupts

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Put a survey release on the tuning fork: FITS in, a voted morphology catalog out.",
    epilog="Exit codes: 0 done, 2 refused before any work, 3 finished with faults, 130 interrupted.",
)
app.add_typer(results)
app.add_typer(augmenting)
training = typer.Typer(no_args_is_help=True, help="Train networks on releases.")
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


ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The TOML config of the release.")]
Out = Annotated[str, typer.Option("--out", help="Run directory, local or a URL.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to join; default: start one here.")]


Wire = Literal["float32", "float16"]
Flavour = Literal["python", "onnxruntime"]
Precision = Literal["auto", "float32", "bfloat16"]
Fit = Literal["pad", "resize", "galaxy"]


@app.command()
def plan(
    config: ConfigPath,
    out: Out = "run",
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    offline: Annotated[
        bool, typer.Option(help="Check the config alone, where the release is out of reach.")
    ] = False,
) -> None:
    """Check a release and its config, and say what a run would do. Nothing is written."""
    if offline:
        from pipeline.plan.offline import check

        unseen = ", ".join(check(config))
        console.print(f"{escape(str(config))}: sound. Not looked at: {escape(unseen)}", soft_wrap=True)
        return
    from pipeline.cli import printing
    from pipeline.plan.plan import as_dict, plan_of
    from pipeline.plan.run_time import estimate

    planned = plan_of(config, out, address)
    planned.run.check(planned.record, remedy=f"{planned.command} --anew")
    if as_json:
        sys.stdout.write(strict_json.dumps(as_dict(planned), indent=1) + "\n")
    else:
        printing.plan(planned, estimate(planned, address))


@app.command()
def run(
    config: ConfigPath,
    out: Out,
    address: Address = None,
    anew: Annotated[bool, typer.Option(help="Throw away the embeddings of an earlier run in --out.")] = False,
    dashboard: Annotated[bool, typer.Option(help="Start the Ray dashboard.")] = False,
) -> None:
    """Run a release through to its catalog. Run it again to continue after any interruption."""
    from pipeline.cli import printing
    from pipeline.output.lock import locked
    from pipeline.plan.plan import as_decided, plan_of
    from pipeline.plan.run_time import estimate

    words = [
        "tuningfork",
        "run",
        str(config),
        "--out",
        out,
        *([] if address is None else ["--address", address]),
    ]
    with resumable(shlex.join(words)):
        planned = plan_of(config, out, address)
        remedy = f"{planned.command} --anew"
        planned.run.check(planned.record, anew=anew, remedy=remedy)  # before anything is written
        with locked(out, "run") as lock:
            planned = as_decided(planned)  # somebody may have named groups while this one planned
            planned.run.prepare(planned.record, anew=anew, remedy=remedy)
            printing.plan(planned, estimate(planned, address))
            from pipeline import flow

            flow.run(planned, address, dashboard=dashboard, lock=lock)
    printing.summary(out)


Configs = Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="TOML configs of releases.")]
TrainOut = Annotated[str, typer.Option("--out", help="Folder for weights, metrics and checkpoints.")]
TrainAnew = Annotated[bool, typer.Option(help="Throw away what an earlier training left in --out.")]


@training.command()
def encoder(configs: Configs, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train galaxy-atto on releases, with their labels if the configs name some. Run it again to continue."""
    _train("encoder", configs, out, address, anew=anew)


@training.command()
def denoiser(configs: Configs, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train a denoiser on releases of clean stamps. Run it again to continue."""
    _train("denoiser", configs, out, address, anew=anew)


@training.command()
def diffusion(config: ConfigPath, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train a model that draws galaxies of a wanted morphology, for `augment`. Run it again to continue."""
    _train("diffusion", [config], out, address, anew=anew)


def _train(network: str, configs: list[Path], out: str, address: str | None, *, anew: bool) -> None:
    from pipeline.training.train import train

    words = ["tuningfork", "train", network, *map(str, configs), "--out", out]
    words += [] if address is None else ["--address", address]
    with resumable(shlex.join(words)):
        train(network, configs, out, address, anew=anew)


Bands = Annotated[str, typer.Option(help="Bands of the stamps, comma-separated, where MODEL is a name.")]


@app.command("export-encoder")
def export_encoder(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run's config (.toml), or a model's name.")],
    repository: Annotated[Path, typer.Argument(metavar="REPOSITORY", help="Model repository to add it to.")],
    name: Annotated[str, typer.Option(help="Its name there, where MODEL is a name.")] = "encoder",
    bands: Bands = "r",
    size: Annotated[int, typer.Option(help="Side of the stamps, where MODEL is a name.")] = 64,
    wire: Annotated[Wire, typer.Option(help="What stamps travel as, where MODEL is a name.")] = "float32",
    instances: Annotated[int, typer.Option(help="Copies of the model, on each GPU.")] = 1,
    gpus: Annotated[bool, typer.Option(help="Run it on GPUs.")] = False,
    flavour: Annotated[Flavour, typer.Option(help="Backend of the server.")] = "python",
    precision: Annotated[Precision, typer.Option(help="Arithmetic, where MODEL is a name.")] = "auto",
) -> None:
    """Write an encoder as a model that tritonserver serves."""
    from actors.serving.repository import Serving
    from pipeline.serving.export import export_encoder as export

    serving = Serving(name, wire, instances, gpus, flavour=flavour)
    names = [band.strip() for band in bands.split(",")]
    folder = export(model, repository, serving, bands=names, size=size, precision=precision)
    console.print(f"model: {escape(str(folder))}; next:", soft_wrap=True)
    console.print(f"  tuningfork serve {escape(shlex.quote(str(repository)))}", soft_wrap=True)


@app.command()
def serve(
    repository: Annotated[Path, typer.Argument(metavar="REPOSITORY", help="Made by export-encoder.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of gRPC.")] = 8001,
    http_port: Annotated[int, typer.Option(help="Port of HTTP.")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="Port of Prometheus metrics.")] = 8002,
    certificate: Annotated[Path | None, typer.Option(help="PEM file to show clients: gRPC by TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    ca: Annotated[
        Path | None, typer.Option(help="Let in only clients that this PEM file vouches for.")
    ] = None,
) -> None:
    """Run tritonserver on a model repository until Ctrl-C."""
    from pipeline.serving.serve import Ports, ServerFailed, serving

    if (certificate is None) != (key is None) or (ca is not None and certificate is None):
        raise typer.BadParameter("--certificate and --key come together, and --ca needs them")
    ports = Ports(host, port, http_port, metrics_port, certificate, key, ca)
    interrupted = watch_for_interrupts()
    try:
        with serving(repository, ports) as process:
            console.print(f"ready: {ports.endpoint}, metrics http://{host}:{metrics_port}/metrics")
            raise ServerFailed(f"tritonserver ended with code {process.wait()}")
    except KeyboardInterrupt:
        if not interrupted:
            raise
    console.print("stopped.")


@app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the release; new or empty.")],
    galaxies: Annotated[int, typer.Option(help="Number of catalogued galaxies.")] = 1000,
    shards: Annotated[int, typer.Option(help="Catalog files.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    bands: Annotated[str, typer.Option(help="Bands, comma-separated: i or g,r,i …")] = "i",
    noise: Annotated[bool, typer.Option(help="Noisy images; clean ones to train a denoiser on.")] = True,
) -> None:
    """Make a release of simulated galaxies with known truth (needs the extra `sim`)."""
    from pipeline.simulate.release import simulate as make

    make(directory, galaxies, shards, seed, tuple(b.strip() for b in bands.split(",")), noisy=noise)
    console.print(f"release: {escape(str(directory))}; next:", soft_wrap=True)
    console.print(
        f"  tuningfork run {escape(shlex.quote(f'{directory}/survey.toml'))} --out RUN", soft_wrap=True
    )


@app.command()
def pack(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="Table with a column `file`.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the release; new or empty.")],
    shards: Annotated[
        int | None, typer.Option(help="Catalog files; default: as many as hold 256 MiB of stamps each.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the stamps; default: the largest image's.")
    ] = None,
    fit: Annotated[
        Fit, typer.Option(help="Other sizes: pad (and crop), resize, or zoom in on the galaxy.")
    ] = "pad",
) -> None:
    """Make a FITS release of a folder of JPEG, PNG or TIFF stamps and a table."""
    from pipeline.cli.pack import pack as make

    for note in make(labels, directory, shards, size, fit):
        console.print(f"[bold yellow]note:[/] {escape(note)}", soft_wrap=True, highlight=False)
    console.print(f"release: {escape(str(directory))}; next:", soft_wrap=True)
    console.print(
        f"  tuningfork run {escape(shlex.quote(f'{directory}/survey.toml'))} --out RUN", soft_wrap=True
    )


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
