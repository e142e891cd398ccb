"""What the denoiser does to stamps of known truth: benchmarks/results/denoiser.csv and docs/denoiser.jpg.

    python -m benchmarks.denoiser [--checkpoint FILE] [--galaxies 2400]

Clean galaxies come from `tuningfork simulate --no-noise` with another seed than the training's, and get white noise at a
matched-filter S/N, sqrt(sum x^2) / sigma, drawn log-uniformly from each bin. Fluxes are sums over the whole stamp and over the
central square of half its side; biases are medians. Noise-only stamps show what is invented: the rms, in units of the noise, of all that comes out,
and of what is left of it without the cosine modes that `kernels.denoise` passes on; and the brightest pixel.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import torch
from torch import nn

from benchmarks.common import write_csv
from benchmarks.science import write_tables
from catalogs.inspect import inspect
from catalogs.slices import slices_of
from kernels import nets
from kernels.denoise import denoise
from kernels.nets import weights
from pipeline.config.file import load
from pipeline.simulate.release import simulate

SIZE, SEED = 64, 1
BINS = ((3, 10), (10, 20), (20, 50), (50, 100), (100, 300), (300, 3000))
FIGURE = Path(__file__).parents[1] / "docs" / "denoiser.jpg"
COLUMNS = (
    "S/N", "PSNR_gain_dB", "PSNR_gain_5_percent_dB", "flux_bias_stamp_%", "flux_bias_centre_%", "flux_scatter_centre_%",
    "before_%",
)  # fmt: skip


def clean_stamps(galaxies: int) -> torch.Tensor:
    """Noiseless stamps (n, 1, y, x), each of root sum of squares 1."""
    with TemporaryDirectory() as scratch:
        simulate(Path(scratch) / "truth", galaxies, shards=2, seed=SEED, noisy=False)
        config, folder = load(Path(scratch) / "truth" / "survey.toml")
        images = config.survey.images.model_copy(update={"background": "none"})
        release = inspect(config.survey.model_copy(update={"images": images}), folder)
        rows = pa.concat_tables([release.read(piece) for piece in slices_of(release.shards, 1024)])
    pixels = rows.filter(rows["usable"])["stamp"].combine_chunks().flatten()
    stamps = torch.tensor(pixels.to_numpy(zero_copy_only=False)).reshape(-1, 1, SIZE, SIZE)
    return stamps / stamps.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


@torch.inference_mode()
def score(net: nn.Module, clean: torch.Tensor, low: float, high: float, draw: torch.Generator) -> list[str]:
    """One row of the table, of stamps with noise of standard deviation 1."""
    span = math.log(high / low) * torch.rand(len(clean), 1, 1, 1, generator=draw)
    clean = clean * low * span.exp()
    noisy = clean + torch.randn(clean.shape, generator=draw)
    cleaned = denoise(noisy, net)
    before, after = ((image - clean).square().mean(dim=(1, 2, 3)) for image in (noisy, cleaned))
    gain = 10 * torch.log10(before / after)
    stamp, centre = slice(None), slice(SIZE // 4, -SIZE // 4)
    whole, inner, untouched = (
        100 * (image - clean)[..., part, part].sum(dim=(1, 2, 3)) / clean[..., part, part].sum(dim=(1, 2, 3))
        for image, part in ((cleaned, stamp), (cleaned, centre), (noisy, centre))
    )
    biases = [whole.median(), inner.median(), robust_deviation(inner), robust_deviation(untouched)]
    return [
        f"{low}-{high}", f"{gain.median():.1f}", f"{gain.quantile(0.05):.1f}", *(f"{float(v):.2f}" for v in biases)
    ]  # fmt: skip


def robust_deviation(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation of a Gaussian with these quartiles."""
    return 0.7413 * (values.quantile(0.75) - values.quantile(0.25))


@torch.inference_mode()
def invented(net: nn.Module, stamps: int, draw: torch.Generator) -> list[tuple[str, str]]:
    """What comes out where there is nothing but noise of standard deviation 1."""
    noise = torch.randn(stamps, 1, SIZE, SIZE, generator=draw)
    left = denoise(noise, net)
    sharp = left - denoise(noise, _Nothing())
    brightest = left.amax(dim=(1, 2, 3))
    return [
        ("rms", f"{left.square().mean().sqrt():.4f}"),
        ("rms without the modes that pass", f"{sharp.square().mean().sqrt():.4f}"),
        ("brightest pixel, median stamp", f"{brightest.median():.3f}"),
        ("brightest pixel, 99 % of stamps stay below", f"{brightest.quantile(0.99):.3f}"),
    ]


class _Nothing(nn.Module):
    """A net that takes everything for noise, so that only the modes that pass are left."""

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(stamps)


@torch.inference_mode()
def sheet(net: nn.Module, clean: torch.Tensor, draw: torch.Generator) -> None:
    """Clean, noisy and denoised beside each other, at four S/N; in the last row noise alone."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(15, 9), layout="constrained")
    axes = page.subplots(7, 12)
    for group, sn in enumerate((5, 15, 50, 200)):
        truth = sn * clean[group * 6 : group * 6 + 6]
        truth = torch.cat([truth, torch.zeros(1, 1, SIZE, SIZE)])
        noisy = truth + torch.randn(truth.shape, generator=draw)
        for offset, (name, images) in enumerate(
            (("clean", truth), ("noisy", noisy), ("denoised", denoise(noisy, net)))
        ):
            axes[0, 3 * group + offset].set_title(f"S/N {sn}, {name}", fontsize=8)
            for row, image in enumerate(images[:, 0]):
                top = max(float(truth[row].amax().asinh()), 1.0) + 0.5
                axes[row, 3 * group + offset].imshow(
                    image.asinh(), vmin=-1, vmax=top, cmap="magma", origin="lower"
                )
    for axis in axes.flat:
        axis.set_axis_off()
    page.savefig(FIGURE, dpi=75, pil_kwargs={"quality": 85})


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="bundled")
    parser.add_argument("--galaxies", type=int, default=2400)
    options = parser.parse_args()
    net = nets.create("denoiser")
    weights.load(net, weights.bundled("denoiser") if options.checkpoint == "bundled" else options.checkpoint)
    clean, draw = clean_stamps(options.galaxies), torch.Generator().manual_seed(SEED)
    write_csv("denoiser", COLUMNS, [score(net, clean, low, high, draw) for low, high in BINS])
    write_csv("denoiser_noise", ("noise alone", "sigma"), invented(net, 1000, draw))
    sheet(net, clean, draw)
    write_tables()


if __name__ == "__main__":
    main()
