"""The tables of docs/science.md, written from the CSVs of `benchmarks.encoder`, `.invariance` and `.denoiser`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import read_csv

PAGE = Path(__file__).parents[1] / "docs" / "science.md"


def write_tables() -> None:
    """Replace what stands between the page's markers."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (
        ("scores", _scores()),
        ("votes", _plain("vote_encoders")),
        ("invariance", _plain("invariance")),
        ("denoiser", _plain("denoiser") + "\n" + _plain("denoiser_noise")),
    ):
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        assert text.count(start) == text.count(end) == 1, f"{PAGE} has lost its markers {name}"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}{table}{end}{after}"
    PAGE.write_text(text, encoding="utf-8")


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
