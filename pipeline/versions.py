"""Which versions of a release's files a run was made of, and whether those are still the ones that lie there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalogs import identity, madeof, parts, storage
from catalogs.errors import FileChanged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.plan import Plan
    from pipeline.rundir import RunDirectory

SHOWN = 5
"""Files that a message names."""


def of_release(plan: Plan) -> dict[str, Any]:
    """What `run.json` keeps of the files: the shards with their versions, and those images that the plan has looked at."""
    return {
        "shards": [
            {"label": s.label, "url": s.table.url, "rows": s.table.rows, "identity": s.table.identity}
            for s in plan.release.shards
        ],
        "folder": plan.release.folder,
        "images": dict(plan.release.images),
    }


def replaced(run: RunDirectory, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Files that are other versions than those that parts of the run were made of, each with what changed and how to get on.

    A file that no part was made of yet may change freely: one that was damaged is fetched again, and the run goes on.

    Parameters
    ----------
    run : RunDirectory
    before, now : mapping
        Two records, as `run.json` keeps them.
    """
    return [
        f"{url} {identity.changed(url, old, new)}"
        for url, old, new in [*_replaced_shards(run, before, now), *_replaced_images(run, before, now)]
    ]


def other_shards(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Shards that two records do not share, for a message."""
    old, new = ({shard["label"]: shard for shard in record["shards"]} for record in (before, now))
    lost = [f"{label} is gone" for label in old if label not in new]
    added = [f"{label} is new" for label in new if label not in old]
    changed = [
        f"{shard['url']} {identity.changed(shard['url'], old[label]['identity'], shard['identity'])}"
        for label, shard in new.items()
        if label in old and not identity.same(old[label]["identity"], shard["identity"])
    ]
    return [*changed, *lost, *added]


def _replaced_shards(
    run: RunDirectory, before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    old = {shard["label"]: shard["identity"] for shard in before["shards"]}
    changed = {
        number: (shard["url"], old[shard["label"]], shard["identity"])
        for number, shard in enumerate(now["shards"])
        if shard["label"] in old and not identity.same(old[shard["label"]], shard["identity"])
    }
    if not changed:
        return []
    done = {int(name.split("-")[1]) for name in parts.done(run.objects)}
    return [told for number, told in changed.items() if number in done]


def _replaced_images(
    run: RunDirectory, before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    versions: Mapping[str, str] = now["images"]
    if storage.exists(run.images):
        used = madeof.read(run.images)
        # a run that went by time may go by content since
        used |= {n: v for n, v in before["images"].items() if n in used and identity.same(used[n], v)}
        if not versions:  # too large a release for the plan to know its images
            urls = {name: storage.absolute(name, now["folder"]) for name in used}
            there = identity.identities(urls.values(), now["config"]["survey"].get("identify", "time"))
            versions = {name: there[url] for name, url in urls.items() if url in there}
    else:
        old = before["images"]
        if all(identity.same(old[name], version) for name, version in versions.items() if name in old):
            return []
        used = {}
        for name in sorted(parts.done(run.objects)):
            madeof.add(used, madeof.images_of(run.objects, name))
    return [
        (storage.absolute(name, now["folder"]), version, versions[name])
        for name, version in sorted(used.items())
        if name in versions and not identity.same(version, versions[name])
    ]


def shown(files: Sequence[str]) -> str:
    """The first files of a list, for one line."""
    more = f"; and {len(files) - SHOWN} more files" if len(files) > SHOWN else ""
    return "; ".join(files[:SHOWN]) + more


def _unmixed(plan: Plan, names: Sequence[str], *, now: bool = False) -> dict[str, str]:
    """See that all of these parts were made of the same version of every image file, and of the one that the plan has seen.

    Parameters
    ----------
    plan : Plan
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
    from pipeline.barriers import on_named_parts  # noqa: PLC0415

    found: dict[str, str] = {}
    mixed: set[str] = set()
    for images, differing in on_named_parts(plan, names, madeof.together):
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


def look_again(plan: Plan) -> None:
    """Before the slices that are left are encoded: the plan of a large release does not look at images, and the end would be late to learn of it.

    Raises
    ------
    FileChanged
        If an image is another one than the parts were made of that are there.
    """
    done = sorted(parts.done(plan.run.objects))
    if done and plan.release.survey.images.layout != "column" and not plan.release.images:
        _unmixed(plan, done, now=True)


def settle(plan: Plan) -> None:
    """When every slice is encoded: see that old and new are not mixed, and write down what the run was made of.

    Raises
    ------
    FileChanged
        If parts were made of different versions of an image.
    """
    if plan.release.survey.images.layout == "column" or storage.exists(plan.run.images):
        return
    madeof.write(plan.run.images, _unmixed(plan, [piece.name for piece in plan.slices()]))
