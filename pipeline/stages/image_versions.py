"""Whether all parts of a run were made of the same versions of the images: old and new are not mixed in one catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalogs import identity, madeof, parts, storage
from catalogs.errors import FileChanged
from pipeline.rundir.file_versions import shown
from pipeline.stages.barrier import on_named_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan


def _unmixed(plan: Plan, engine: Engine, names: Sequence[str], *, now: bool = False) -> dict[str, str]:
    """See that all of these parts were made of the same version of every image file, and of the one that the plan has seen.

    Parameters
    ----------
    plan : Plan
    engine : Engine
    names : sequence of str
        Of parts.
    now : bool
        Look at the files themselves: the plan of a large release has not.

    Returns
    -------
    dict
        Identities of all image files, by their names.

    Raises
    ------
    FileChanged
        If old and new would be in one catalog.
    """
    found: dict[str, str] = {}
    mixed: set[str] = set()
    for images, differing in on_named_parts(plan, engine, names, madeof.together):
        mixed |= madeof.add(found, images) | differing
    known: Mapping[str, str] = plan.release.images
    if now:
        urls = {name: storage.absolute(name, plan.release.folder) for name in found}
        there = identity.identities(urls.values(), plan.release.survey.identify)
        known = {name: there[url] for name, url in urls.items() if url in there}
    mixed |= {name for name, version in found.items() if not identity.same(version, known.get(name, version))}
    if mixed:
        files = shown([storage.absolute(name, plan.release.folder) for name in sorted(mixed)])
        raise FileChanged(
            f"{plan.run.url}: its parts were made of different versions of {files}, which changed while the run was made; "
            f"old and new are not mixed in one catalog. Begin anew: {plan.command} --anew"
        )
    return found


def look_again(plan: Plan, engine: Engine) -> None:
    """Before the slices that are left are encoded: the plan of a large release does not look at images, and the end would be late to learn of it.

    Raises
    ------
    FileChanged
        If an image is another one than the parts were made of that are there.
    """
    done = sorted(parts.done(plan.run.objects))
    if done and plan.release.has_files and not plan.release.images:
        _unmixed(plan, engine, done, now=True)


def settle(plan: Plan, engine: Engine) -> None:
    """When every slice is encoded: see that old and new are not mixed, and write down what the run was made of.

    Raises
    ------
    FileChanged
        If parts were made of different versions of an image.
    """
    if not plan.release.has_files or storage.exists(plan.run.images):
        return
    madeof.write(plan.run.images, _unmixed(plan, engine, [piece.name for piece in plan.slices()]))
