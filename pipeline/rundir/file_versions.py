"""Which versions of a release's files a run was made of, and whether those are still the ones that lie there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalogs import identity, madeof, parts, storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalogs.release import Release

SHOWN = 5
"""Files that a message names."""


def of_release(release: Release) -> dict[str, Any]:
    """What `run.json` keeps of the files: the shards with their versions, and those images that the plan has looked at."""
    return {
        "shards": [
            {"label": s.label, "url": s.table.url, "rows": s.table.rows, "identity": s.table.identity}
            for s in release.shards
        ],
        "folder": release.folder,
        "images": dict(release.images),
    }


def replaced(objects: str, images: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Files that are other versions than those that parts of the run were made of, each with what changed and how to get on.

    A file that no part was made of yet may change freely: one that was damaged is fetched again, and the run goes on.

    Parameters
    ----------
    objects, images : str
        Folder of the run's parts, and its file of image versions.
    before, now : mapping
        Two records, as `run.json` keeps them.
    """
    return [
        f"{url} {identity.changed(url, old, new)}"
        for url, old, new in [
            *_replaced_shards(objects, before, now),
            *_replaced_images(objects, images, before, now),
        ]
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
    objects: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    old = {shard["label"]: shard["identity"] for shard in before["shards"]}
    changed = {
        number: (shard["url"], old[shard["label"]], shard["identity"])
        for number, shard in enumerate(now["shards"])
        if shard["label"] in old and not identity.same(old[shard["label"]], shard["identity"])
    }
    if not changed:
        return []
    done = {int(name.split("-")[1]) for name in parts.done(objects)}
    return [change for number, change in changed.items() if number in done]


def _replaced_images(
    objects: str, images: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    versions: Mapping[str, str] = now["images"]
    if storage.exists(images):
        used = madeof.read(images)
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
        for name in sorted(parts.done(objects)):
            madeof.add(used, madeof.images_of(objects, name))
    return [
        (storage.absolute(name, now["folder"]), version, versions[name])
        for name, version in sorted(used.items())
        if name in versions and not identity.same(version, versions[name])
    ]


def shown(files: Sequence[str]) -> str:
    """The first files of a list, for one line."""
    more = f"; and {len(files) - SHOWN} more files" if len(files) > SHOWN else ""
    return "; ".join(files[:SHOWN]) + more
