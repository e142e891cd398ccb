"""Do masks leave pixels? One that marks what is good, or whose bits are others, would cost a whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catalogs.errors import Fault, Refused
from catalogs.flags import Flag
from catalogs.inspect_noise import some_stamps

if TYPE_CHECKING:
    from catalogs.release import Release

__all__ = ["look_at_masks"]

FEWEST = 8
"""Objects that tell."""


def look_at_masks(release: Release) -> None:
    """Check that the mask leaves pixels of a few objects.

    Raises
    ------
    Refused
        If it leaves none of any.
    """
    mask = release.survey.images.mask
    if mask is None:
        return
    flags = np.concatenate([np.empty(0, np.int32), *(found.flags for found in some_stamps(release))])
    flags = flags[flags & Flag.OFF_IMAGE == 0]
    if len(flags) < FEWEST or not (flags & Flag.NO_PIXELS).all():
        return
    remedy = "Correct bits" if mask.good else "Correct bits, or set good = true if they mark good pixels"
    problem = f"leaves no pixel of any of {len(flags)} objects that were looked at"
    raise Refused([Fault("[survey.images.mask]", problem, remedy, key="survey.images.mask")])
