"""The tables of docs/method.md, vote.md, encoder.md, networks.md, predictors.md, experts.md, denoiser.md, measurement.md, diffusion.md, similar.md, detect.md, modalities.md and operations.md, from the CSVs of their benchmarks."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from benchmarks.common import read_csv, with_tables

if TYPE_CHECKING:
    from collections.abc import Callable

DIFFUSION = ("adherence", "fidelity", "copies", "brightness", "use", "balance", "speed", "steps")
VOTE = ("rules", "calibration", "search", "halves", "crowded", "columns")
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
        "networks": {
            "networks": _networks(),
            "networks costs": _plain("networks_costs"),
            "networks vote": _networks_vote(),
            "networks rates": _plain("networks_rates"),
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
            "measure errors fast": _crossed("measure_errors_fast", "S/N", _pull),
            "measure errors full": _crossed("measure_errors_full", "S/N", _pull),
            "measure errors cost": _plain("measure_errors_cost"),
            "measure asymmetries": _plain("measure_asymmetries"),
            "neighbours pairs": _plain("neighbours_pairs"),
            "extents values": _plain("extents_values"),
        },
        "operations": {"like": _plain("like")},
        "similar": {
            "similar examples": _plain("similar_examples"),
            "similar": _turned("similar"),
            "anomalies": _plain("anomalies"),
            "anomalies kinds": _plain("anomalies_kinds"),
        },
        "modalities": {
            "modalities": _plain("modalities"),
            **{
                f"modalities {name}": _plain(f"modalities_{name}")
                for name in ("real", "subsets", "flux", "efigi", "speed")
            },
        },
        "detect": {
            f"detect {name}": _plain(f"detect_{name}") for name in ("simulated", "stars", "kids", "speed")
        },
        "predictors": {
            "predictors": _plain("predictors"),
            "tree heads": _plain("tree_heads"),
            "tree questions": _accuracies("tree_questions"),
            "tree odd spirals": _plain("tree_odd_spirals"),
            "predict speed": _plain("predict_speed"),
        },
        "diffusion": {f"diffusion {name}": _plain(f"diffusion_{name}") for name in DIFFUSION},
    }
    return {DOCS / f"{name}.md": found for name, found in pages.items()}


def _pull(row: dict[str, str]) -> str:
    if not row["width"]:
        return "none"
    return f"{row['width']}, {row['centre']} ({row['width_of_two_draws']})"


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


def _networks() -> str:
    """Networks down, sets and shares of their labels across, accuracies over the seeds."""
    rows = read_csv("networks")
    cells: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        column = f"{row['set']}, {float(row['labels']):.0%} ({row['galaxies']})"
        cells.setdefault(row["network"], {}).setdefault(column, []).append(row["accuracy"])
    columns = sorted({column for found in cells.values() for column in found})
    lines = [[name, *(_spread(found.get(column, [])) for column in columns)] for name, found in cells.items()]
    return _table(["network", *columns], lines)


def _networks_vote() -> str:
    rows = read_csv("networks_vote")
    names = list(dict.fromkeys(row["network"] for row in rows))
    columns = [column for column in (rows[0] if rows else {}) if column not in ("network", "seed")]
    lines = []
    for name in names:
        own = [row for row in rows if row["network"] == name]
        worst = max(own, key=lambda row: float(row["largest_difference"] or "nan"))
        spreads = [_spread([row[column] for row in own]) for column in columns[:-1]]
        lines.append([name, str(len(own)), *spreads, worst["largest_difference"] or "not measured"])
    return _table(["network", "seeds", *(column.replace("_", " ") for column in columns)], lines)


def _spread(values: list[str]) -> str:
    """Mean and standard deviation of what several seeds gave."""
    numbers = [float(value) for value in values if value not in ("", "nan")]
    if not numbers:
        return "none"
    return f"{mean(numbers):.3f}" + (f" ± {stdev(numbers):.3f}" if len(numbers) > 1 else "")


def _crossed(name: str, across: str, cell: Callable[[dict[str, str]], str]) -> str:
    """Quantities down, the values of a column across, with the most objects that one of its cells rests on."""
    rows = read_csv(name)
    if not rows:
        return ""
    columns, quantities = (list(dict.fromkeys(row[key] for row in rows)) for key in (across, "quantity"))
    cells = {(row["quantity"], row[across]): cell(row) for row in rows}
    counts = [_most(rows, across, column) for column in columns]
    head = ["quantity", *(f"{column} ({count})" for column, count in zip(columns, counts, strict=True))]
    units = {row["quantity"]: f" {row['unit']}" if row.get("unit") else "" for row in rows}
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


def _accuracies(name: str) -> str:
    """Questions down, methods across."""
    rows = read_csv(name)
    if not rows:
        return ""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cells = {(row["question"], row["method"]): row["accuracy"] for row in rows}
    agreed = {row["question"]: row["agreed"] for row in rows}
    lines = [[_code(q), n, *(cells[q, method] for method in methods)] for q, n in agreed.items()]
    return _table(["question", "galaxies", *methods], lines)


def _turned(name: str) -> str:
    """A table with a row for each column, whose first column is the head."""
    rows = read_csv(name)
    names = list(rows[0])
    head = [names[0], *(f"{int(row[names[0]]):,}" for row in rows)]
    return _table(head, [[column.replace("_", " "), *(row[column] for row in rows)] for column in names[1:]])


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
