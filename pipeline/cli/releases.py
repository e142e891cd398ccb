"""Commands that make releases: `simulate` and `pack`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from catalogs.errors import BadRequest
from pipeline.console import console

releases = typer.Typer()

Fit = Literal["pad", "resize", "galaxy", "extent"]


@releases.command()
def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the release; new or empty.")],
    galaxies: Annotated[int, typer.Option(help="Number of catalogued galaxies.")] = 1000,
    shards: Annotated[int, typer.Option(help="Catalog files.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    bands: Annotated[
        str | None,
        typer.Option(help="Bands, comma-separated: i or g,r,i …; default: i, with --cosmology g,r,i,z,y."),
    ] = None,
    density: Annotated[
        float | None, typer.Option(help="Catalogued galaxies an arcmin²; default 5.3: 30 is crowded.")
    ] = None,
    noise: Annotated[bool, typer.Option(help="Noisy images; clean ones to train a denoiser on.")] = True,
    cosmology: Annotated[
        bool,
        typer.Option(
            "--cosmology",
            help="Galaxies with redshift, mass, magnitudes in nine bands, SED and spectrum; a stamp a row.",
        ),
    ] = False,
) -> None:
    """Make a release of simulated galaxies with known truth (needs the extra `sim`)."""
    from pipeline.simulate.cosmic_release import simulate_cosmic
    from pipeline.simulate.release import DENSITY
    from pipeline.simulate.release import simulate as make

    names = tuple(b.strip() for b in (bands or ("g,r,i,z,y" if cosmology else "i")).split(","))
    if cosmology:
        if density is not None:
            raise BadRequest(
                "--density is for tiles, --cosmology makes a stamp a galaxy: leave one of them out"
            )
        simulate_cosmic(directory, galaxies, shards, seed, names, noisy=noise)
    else:
        density = DENSITY if density is None else density
        make(directory, galaxies, shards, seed, names, density=density, noisy=noise)
    console.print(f"release: {escape(str(directory))}; next:", soft_wrap=True)
    console.print(
        f"  tuningfork run {escape(shlex.quote(f'{directory}/survey.toml'))} --out RUN", soft_wrap=True
    )


@releases.command()
def pack(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS.csv|FOLDER", help="Table with a column `file`, or a folder of images."
        ),
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the release; new or empty.")],
    shards: Annotated[
        int | None, typer.Option(help="Catalog files; default: as many as hold 256 MiB of stamps each.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the stamps; default: the largest image's, at most 88 if galaxies fill them."
        ),
    ] = None,
    fit: Annotated[
        Fit,
        typer.Option(
            help="Other sizes: pad (and crop), resize, zoom in on the galaxy, or extent: measure all pixels, encode what the galaxy fills."
        ),
    ] = "pad",
    bands: Annotated[
        str | None,
        typer.Option(
            help="Of FITS cutouts: EXTNAMEs of the images to take, or names of a cube's planes, comma-separated; default: all that are light."
        ),
    ] = None,
) -> None:
    """Make a FITS release of JPEG, PNG, TIFF or FITS stamps in files of their own."""
    from pipeline.cli.pack import pack as make

    names = None if bands is None else [name.strip() for name in bands.split(",")]
    for note in make(labels, directory, shards, size, fit, names):
        console.print(f"[bold yellow]note:[/] {escape(note)}", soft_wrap=True, highlight=False)
    console.print(f"release: {escape(str(directory))}; next:", soft_wrap=True)
    console.print(
        f"  tuningfork run {escape(shlex.quote(f'{directory}/survey.toml'))} --out RUN", soft_wrap=True
    )
