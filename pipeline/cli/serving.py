"""The commands `export-encoder` and `serve`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from pipeline.console import console
from pipeline.engine.interrupts import watch_for_interrupts

serving_commands = typer.Typer()

Wire = Literal["float32", "float16"]
Flavour = Literal["python", "onnxruntime"]
Precision = Literal["auto", "float32", "bfloat16"]
Bands = Annotated[str, typer.Option(help="Bands of the stamps, comma-separated, where MODEL is a name.")]


@serving_commands.command("export-encoder")
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


@serving_commands.command()
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
