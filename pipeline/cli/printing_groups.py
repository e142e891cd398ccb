"""What `tuningfork groups` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from pipeline.cli.tree_text import draw
from pipeline.console import console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.results.groups import Findings, Group

NARROWEST, WIDEST = 12, 48
"""Characters of the tree."""
LONGEST_CLASS = 12
SPACIOUS = 100
"""Characters of a line in which columns stand apart."""


def groups(found: Findings) -> None:
    """How many groups, how stable they are, and which are alike."""
    if found.numbers:
        console.print(_numbers(found))
        console.print(
            "stability: adjusted Rand index of k-means on disjoint halves; higher is better, as for silhouettes. Davies-Bouldin: lower is better."
        )
    for note in found.notes:
        console.print(f"[bold yellow]note:[/] {escape(note)}")
    console.print()
    room = console.width - console.measure(_groups(found, [""] * found.own)).maximum
    console.print(_groups(found, draw(found.tree, max(NARROWEST, min(WIDEST, room)))))
    console.print(
        "Groups on neighbouring lines are alike. merging loses: how much of the scatter between groups is lost where a line's branch "
        "merges with the next line's (the tree's scale is logarithmic). Jaccard: how much of a group k-means on halves of the "
        "objects find again; below 0.5 it dissolves, from 0.75 it is stable."
    )


def _numbers(found: Findings) -> Table:
    table = _table(f"how many groups: k-means of {found.pilot:,} objects")
    for name in ("groups", "stability", "silhouette", "Davies-Bouldin", "smallest", ""):
        table.add_column(name, justify="right")
    for each in found.numbers:
        own = each.groups == found.own
        table.add_row(
            str(each.groups),
            f"{each.agreement:.2f} ± {each.spread:.2f}",
            f"{each.silhouette:.3f}",
            f"{each.davies_bouldin:.2f}",
            _percent(each.smallest),
            "this run" if own else "",
            style="bold" if own else None,
        )
    return table


def _groups(found: Findings, tree: Iterable[str]) -> Table:
    table = _table("the groups, as their tree has them")
    counted = any(group.objects is not None for group in found.groups)
    named = any(group.class_ for group in found.groups)
    table.add_column("group", justify="right")
    if named:
        table.add_column("class", max_width=LONGEST_CLASS, no_wrap=True, overflow="ellipsis")
    for name in (
        "branch",
        *(("objects", "kept") if counted else ("share",)),
        "agree-\nment",
        "Jaccard",
        "merging\nloses",
    ):
        table.add_column(name, justify="right")
    table.add_column("", no_wrap=True)
    gaps = [*(_percent(gap) for gap in found.tree.gaps()), ""]
    for group, gap, line in zip(found.groups, gaps, tree, strict=True):
        cells = [str(group.group), *([escape(group.class_ or "")] if named else []), str(group.branch)]
        cells += _counts(group) if counted else [_percent(group.share)]
        table.add_row(*cells, _digits(group.agreement), _digits(group.jaccard), gap, line)
    return table


def _table(title: str) -> Table:
    """Without lines between its columns: a tree is drawn in one."""
    gap = 2 if console.width >= SPACIOUS else 1
    return Table(title=title, title_justify="left", box=None, padding=(0, gap, 0, 0), pad_edge=False)


def _counts(group: Group) -> list[str]:
    if group.objects is None or group.kept is None:
        return ["", ""]
    return [f"{group.objects:,}", f"{group.kept / group.objects:.0%}" if group.objects else ""]


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
