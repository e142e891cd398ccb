"""What a PSF of its own for each object costs a Sérsic fit: time against one PSF for all, same stamps, same process, in turn.

::

    python -m benchmarks.measure_psfs
"""

from __future__ import annotations

import time

import galsim
import numpy as np
import torch

from kernels.measure.fit_windows import Optics, fit_in_windows
from kernels.measure.profiles import Camera
from kernels.measure.psf import PSF, full_width, gaussian
from kernels.measure.shapes import Ellipse

COUNT, SIDE, CHUNK, ROUNDS = 96, 64, 32, 4


def moffat(fwhm: float) -> torch.Tensor:
    light = galsim.Moffat(beta=3.0, fwhm=fwhm).drawImage(nx=49, ny=49, scale=1, dtype=float)
    return torch.from_numpy(light.array.copy()).float()


def main() -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(1)
    near, wide = 3.4 + 0.05 * random.normal(size=COUNT), random.uniform(2, 5, COUNT)
    cases = {
        "Moffat 3.4 px, 0.05 px scatter": [moffat(float(fwhm)) for fwhm in near],
        "Gaussian 3.4 px, 0.05 px scatter": [gaussian(float(fwhm)) for fwhm in near],
        "Gaussian 2 to 5 px": [gaussian(float(fwhm)) for fwhm in wide],
    }
    shapes = torch.stack(
        [
            *torch.from_numpy((SIDE - 1) / 2 + random.uniform(-1.5, 1.5, (2, COUNT))),
            torch.from_numpy(np.log(random.uniform(2, 6, COUNT))),
            torch.from_numpy(np.log(random.uniform(0.7, 4, COUNT))),
            *torch.from_numpy(random.uniform(-0.4, 0.4, (2, COUNT))),
        ],
        dim=1,
    )
    noise = torch.from_numpy(random.normal(size=(COUNT, SIDE, SIDE))).float()
    print("| PSFs | ms, one for all | ms, each its own | ratio |\n|---|---|---|---|")
    for name, psfs in cases.items():
        cpu = torch.device("cpu")
        light = [
            Camera(SIDE, SIDE, psf.double(), cpu).render(shapes[i : i + 1])[0] for i, psf in enumerate(psfs)
        ]
        images = 3000 * torch.cat(light) + noise
        for_all = psfs[COUNT // 2]
        taken: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for each in (False, True):
                # made anew: a run meets most PSFs for the first time
                own = tuple(PSF(psf) for psf in psfs) if each else None
                optics = Optics(psfs=own) if each else Optics(for_all, full_width(for_all))
                taken[each].append(milliseconds(images, shapes, optics))
        one, each_own = min(taken[False]), min(taken[True])
        print(f"| {name} | {one:.2f} | {each_own:.2f} | {each_own / one:.2f} |", flush=True)


def milliseconds(images: torch.Tensor, shapes: torch.Tensor, optics: Optics) -> float:
    """CPU time a stamp; the FWHM, which a flag needs, included."""
    centre, size, round_ = (
        shapes[:, :2] + 0.3,
        shapes[:, 2].exp(),
        torch.full((COUNT,), 0.8, dtype=torch.float64),
    )
    start = time.process_time()
    for first in range(0, COUNT, CHUNK):
        part = slice(first, first + CHUNK)
        some = optics.part(first, CHUNK)
        masked, unknown = torch.zeros(images[part].shape, dtype=torch.bool), torch.full((CHUNK,), torch.nan)
        shape = Ellipse(centre[part], round_[part], 0 * round_[part])
        fit_in_windows(
            images[part], torch.ones(CHUNK), masked, some, centre[part], size[part], unknown, shape
        )
        some.widths(size[part], 2.0)
    return (time.process_time() - start) / COUNT * 1e3


if __name__ == "__main__":
    main()
