"""The tables of docs/method.md, vote.md, encoder.md, denoiser.md, measurement.md, diffusion.md and operations.md, written from the CSVs of the benchmarks of these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import read_csv, with_tables

if TYPE_CHECKING:
    from collections.abc import Callable

DIFFUSION = ("adherence", "fidelity", "copies", "brightness", "use", "balance", "speed", "steps")
VOTE = ("rules", "calibration", "search", "halves", "crowded")
DOCS = Path(__file__).parents[1] / "docs"


def write_tables() -> None:
    """Replace what stands between the pages' markers."""
    for page, found in tables().items():
        text = page.read_text(encoding="utf-8")
        page.write_text(with_tables(text, found), encoding="utf-8")


def tables() -> dict[Path, dict[str, str]]:
    """Page: its tables, by the names of their markers."""
    pages = {
        "encoder": {
            "scores": _scores(),
            "votes": _plain("vote_encoders"),
            "invariance": _plain("invariance"),
        },
        "method": {
            "neighbours vote": _plain("neighbours_vote"),
            "extents vote": _plain("extents_vote"),
        },
        "vote": {f"vote {name}": _plain(f"vote_{name}") for name in VOTE},
        "denoiser": {"denoiser": _plain("denoiser") + "\n" + _plain("denoiser_noise")},
        "measurement": {
            "measure": _crossed("measure_statmorph", "set", _difference),
            "measure truth": _crossed("measure_truth", "S/N", _errors),
            "measure speed": _plain("measure_speed"),
            "measure binned": _plain("measure_binned"),
            "neighbours pairs": _plain("neighbours_pairs"),
            "extents values": _plain("extents_values"),
        },
        "operations": {"like": _plain("like")},
        "predictors": {"predictors": _plain("predictors")},
        "diffusion": {f"diffusion {name}": _plain(f"diffusion_{name}") for name in DIFFUSION},
    }
    return {DOCS / f"{name}.md": found for name, found in pages.items()}


def _scores() -> str:
    rows = read_csv("encoder")
    columns = list(dict.fromkeys(row["score"] for row in rows))
    cells = {
        (row["encoder"], row["score"]): row["mean"] + (f" ± {row['spread']}" if row["folds"] != "1" else "")
        for row in rows
    }
    folds = {row["encoder"]: row["folds"] for row in rows}
    lines = [[name, count, *(cells[name, column] for column in columns)] for name, count in folds.items()]
    return _table(["encoder", "folds", *columns], lines)


def _crossed(name: str, across: str, cell: Callable[[dict[str, str]], str]) -> str:
    """Quantities down, the values of a column across, with the most objects that one of its cells rests on."""
    rows = read_csv(name)
    if not rows:
        return ""
    columns, quantities = (list(dict.fromkeys(row[key] for row in rows)) for key in (across, "quantity"))
    cells = {(row["quantity"], row[across]): cell(row) for row in rows}
    counts = [_most(rows, across, column) for column in columns]
    head = ["quantity", *(f"{column} ({count})" for column, count in zip(columns, counts, strict=True))]
    units = {row["quantity"]: f" {row['unit']}" if row["unit"] else "" for row in rows}
    lines = [
        [_code(q) + units[q], *(cells.get((q, column), "none") for column in columns)] for q in quantities
    ]
    return _table(head, lines)


def _most(rows: list[dict[str, str]], across: str, column: str) -> str:
    """The most objects that a column's cells rest on."""
    return str(max(int(row["objects"]) for row in rows if row[across] == column))


def _code(name: str) -> str:
    return f"`{name}`"


def _difference(row: dict[str, str]) -> str:
    middle, size, scatter = (
        row[key] for key in ("median_difference", "median_absolute_difference", "scatter")
    )
    return f"{float(middle):+.{len(middle.partition('.')[2])}f} ± {scatter} ({size})"


def _errors(row: dict[str, str]) -> str:
    return f"{row['median_absolute_error']} / {row['statmorph_median_absolute_error']}"


def _plain(name: str) -> str:
    rows = read_csv(name)
    if not rows:
        return ""
    lines = [["none" if value == "nan" else value for value in row.values()] for row in rows]
    return _table([key.replace("_", " ") for key in rows[0]], lines)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write_tables()
