"""Look whether the survey's segmentation map has some of the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catalogs.errors import Fault, Refused
from catalogs.flags import Flag
from catalogs.inspect_noise import some_stamps

if TYPE_CHECKING:
    from catalogs.release import Release

__all__ = ["look_at_segments"]


def look_at_segments(release: Release) -> list[str]:
    """Find objects of a few that the map does not have.

    Raises
    ------
    Refused
        If it has none of those that lie on it: the labels are another column's, or the map another tile's.
    """
    segmentation = release.survey.images.segmentation
    if segmentation is None:
        return []
    flags = np.concatenate([found.flags for found in some_stamps(release)] or [np.zeros(0, np.int32)])
    flags = flags[flags & Flag.OFF_IMAGE == 0]
    lost = int((flags & Flag.NO_SEGMENT != 0).sum())
    if not lost:
        return []
    if lost == len(flags):
        raise Refused(
            [
                Fault(
                    "[survey.images.segmentation]",
                    f"the map has none of the {lost} objects that were looked at: no pixel in their stamps has their label",
                    "Give the column with the map's labels, and check path",
                    value=repr(segmentation.id),
                    key="survey.images.segmentation.id",
                )
            ]
        )
    return [
        f"The segmentation map lacks {lost} of {len(flags)} objects that were looked at: they are segmented here, and flagged no_segment."
    ]
