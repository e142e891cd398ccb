"""The report itself: everything gathered, drawn and written as one folder."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from catalogs import storage
from catalogs.errors import BadRequest, Fault, Refused
from kernels.group_tree import group_tree
from pipeline.config.fit import Vote
from pipeline.report import (
    dendrogram,
    facts,
    palette,
    plots,
    predictions,
    reliability,
    scoring,
    sheets,
    stamps,
    surfaces,
    words,
)
from pipeline.report.chart import chart
from pipeline.report.source import LARGEST, MEASURED, Source, open_source
from pipeline.rundir.fitted import read_fitted
from pipeline.rundir.run_directory import is_synthetic

if TYPE_CHECKING:
    from pathlib import Path

    from kernels.group_tree import GroupTree
    from pipeline.report.scoring import Score
    from pipeline.report.sheets import Sheets

SCRIPTS = ("common.js", "palette.js", "frame.js", "stamps.js", "naming.js", "map.js")
CLASSES = ("SPH", "ETD", "LTD", "IRR")
BRIEF = (
    *("sn_pixel", "r50", "ellipticity", "gini", "m20", "concentration", "asymmetry", "smoothness"),
    *("sersic_n", "sersic_r_e"),
)
"""Medians that stand on a group's card; all of them are in the table."""
MARK = b'content="tuningfork report"'


@dataclass(frozen=True)
class Options:
    """Options of a report."""

    out: str | None = None
    truth: str | None = None
    truth_column: str = "class"
    stamps: int = 12
    sample: int = 20_000
    config: Path | None = None
    umap: bool = True


def report(run: str, options: Options = Options()) -> str:
    """Write a run's report.

    Parameters
    ----------
    run : str
        A run directory, local or a URL, that has published its catalog.
    options : Options

    Returns
    -------
    str
        Path of its `index.html`.

    Raises
    ------
    Refused, BadRequest
        If there is no catalog yet, the truth cannot be read, or the folder holds something else.
    """
    out = _folder(run, options.out)
    source = open_source(run)
    by = "class" if source.has_classes else "group"
    truths = [scoring.truth_of_file(source, options.truth, options.truth_column)] if options.truth else []
    scores = [scoring.score(source, truth) for truth in truths]
    # before the next truth takes the place of this one
    answers, trust = predictions.predictions(source, by, options.truth_column if options.truth else None)
    held_out = scoring.truth_of_held_out(source)
    scores += [scoring.score(source, held_out)] if held_out else []
    files: dict[str, bytes] = {}
    sheet = sheets.choose(source, options.stamps)
    gone, caption = _stamps(source, sheet, options, files)
    files |= trust
    drawn = _plots(source, by, files)
    figures = _confusions(scores, files)
    tree = _tree(source)
    about = _facts(source, sheet, tree)
    branches = Vote.model_construct(**source.record["config"]["vote"]).branches
    files["plots/tree.svg"] = dendrogram.draw(tree, about["groups"], branches)
    points = chart(source, options.sample, umap=options.umap)
    for column in points["columns"]:
        if column["name"] == "class":
            places = palette.places(column["categories"])
            column["places"] = [places.get(name, -1) for name in column["categories"]]
    values = {
        "stamps_caption": caption,
        "gone": gone,
        "drawn": {name.removeprefix("stamps/").removesuffix(".png") for name in files},
        "plots": drawn,
        "plots_by": by,
        "fewest": plots.FEWEST,
        "scores": [
            {**_attributes(score), "figures": pair} for score, pair in zip(scores, figures, strict=True)
        ],
        "predictors": answers,
        "predictors_gone": source.predictors_gone,
        "accuracy_wanted": predictions.ACCURACY,
        "trust_width": reliability.WIDTH,
        "trust_height": reliability.HEIGHT,
        "has_map": bool(points["ids"]),
        "map_notes": points["notes"],
        "tree": {"width": plots.WIDTH, "height": dendrogram.height(tree), "branches": branches},
        **about,
    }
    files["index.html"] = _page(source, sheet, points, values).encode()
    _clear(out)
    storage.parallel(lambda name: storage.write(storage.join(out, name), files[name]), files)
    return storage.join(out, "index.html")


def _folder(run: str, out: str | None) -> str:
    """Where the report goes: never over anything that is not a report."""
    if out is None:
        if not storage.is_local(run):
            raise BadRequest(f"{run} is not on this machine: say where the report goes with --out DIR")
        out = storage.join(run, "report")
    index = storage.join(out, "index.html")
    ours = storage.exists(index) and MARK in storage.read(index)
    if storage.names(out) and not ours:
        raise Refused([Fault(out, "is not empty and holds no report", "Choose another --out")])
    return out


def _clear(out: str) -> None:
    for name in ("index.html", "stamps", "plots"):
        storage.remove(storage.join(out, name))


def _stamps(
    source: Source, sheet: Sheets, options: Options, files: dict[str, bytes]
) -> tuple[str | None, str]:
    """Draw the stamps; answers why there are none, and how they are drawn."""
    try:
        release = stamps.reopened(source, options.config)
        for key, picture in stamps.pictures(release, sheet.objects):
            files[f"stamps/{key}.png"] = picture
    except stamps.ReleaseGone as error:
        for name in list(files):
            del files[name]
        return str(error), ""
    if sheet.objects and not files:
        return "the release holds other objects than those of this run.", ""
    bands = release.survey.images.bands
    how = "dark is bright" if len(bands) < 3 else "colours are the reddest, the middle and the bluest band"
    return None, f"Bands {', '.join(bands)}; asinh stretch, each stamp by its own brightness; {how}."


def _plots(source: Source, by: str, files: dict[str, bytes]) -> list[dict[str, Any]]:
    drawn = []
    for found in surfaces.available(source):
        made = plots.surface(source, found, by)
        if made is None:
            continue
        svg, caption = made
        surface = found.surface
        files[f"plots/{surface.name}.svg"] = svg
        lines = [line.title for line in surface.lines]
        drawn.append(
            {
                "name": surface.name,
                "title": surface.title,
                "caption": caption,
                "lines": lines,
                "about": surface.about,
                "width": plots.WIDTH,
                "height": plots.HEIGHT,
            }
        )
    return drawn


def _confusions(scores: list[Score], files: dict[str, bytes]) -> list[list[str]]:
    names = []
    for number, score in enumerate(scores):
        pair = [f"confusion_{number}_kept", f"confusion_{number}_all"]
        for name, table in zip(pair, (score.kept, score.everything), strict=True):
            if table.objects:
                files[f"plots/{name}.svg"] = plots.confusion(table)
        names.append([name if f"plots/{name}.svg" in files else "" for name in pair])
    return names


def _tree(source: Source) -> GroupTree:
    fitted = read_fitted(source.run, source.record)
    return group_tree(fitted.ensemble.centres, fitted.weights)


def _facts(source: Source, sheet: Sheets, tree: GroupTree) -> dict[str, Any]:
    classes = (scoring.classes_of(source) or {}).get("groups", [])
    named = {group["group"]: group for group in classes}
    place = {group: row for row, group in enumerate(tree.order.tolist())}
    groups = sorted(facts.groups(source), key=lambda group: place[group["name"]])
    brief = [c for c in source.parameters if c.name in BRIEF or c.name not in MEASURED][: len(BRIEF)]
    for group in groups:
        about = named.get(group["name"], {})
        mine = about.get("by") == "label"
        group |= {
            "sheet": sheet.keys.get(group["name"], {kind: [] for kind in sheets.KINDS}),
            "class": about.get("class"),
            "by": about.get("by"),
            "given": about.get("class") if mine else None,
            "notes": about.get("notes") if mine else None,
            "short": [(c.label, words.short(group["medians"].get(c.name))) for c in brief],
        }
    known = [*CLASSES, *sorted({g["class"] for g in classes if g["class"]} - {*CLASSES})]
    medians = [("Medians of each group's kept objects", groups)]
    if source.has_classes:
        medians.insert(0, ("Medians of each class", facts.class_medians(source)))
    return {
        "name": source.record["config"]["survey"]["name"],
        "run_url": source.run.url,
        "synthetic": is_synthetic(source.record),
        "plan": facts.plan_rows(source),
        "counts": facts.counts(source),
        "flags": facts.flag_tables(source),
        "measured": source.is_measured,
        "fingerprints": facts.fingerprints(source),
        "wanted": source.record["config"]["fit"]["groups"],
        "software": facts.software(source),
        "groups": groups,
        "kinds": sheets.KINDS,
        "ids": {key: row["object_id"] for key, row in sheet.objects.items()},
        "known_classes": known,
        "parameters": source.parameters,
        "medians": medians,
        "validation": facts.validation(source),
        "classes": classes if any(group["class"] for group in classes) else [],
    }


def _page(source: Source, sheet: Sheets, points: dict[str, Any], values: dict[str, Any]) -> str:
    folder = resources.files("pipeline.report") / "static"
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = {
        "run": source.run.url,
        "fit": source.record["fingerprints"]["fit"],
        "palette": {"colours": palette.COLOURS, "grey": palette.GREY},
        "objects": {key: _object(source, row) for key, row in sheet.objects.items()},
        "map": points,
    }
    pages = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals.update(short=words.short, share=words.share, percent=words.percent, evidence=words.evidence)
    template = pages.get_template("index.html.j2")
    style = (folder / "report.css").read_text(encoding="utf-8")
    # Our own files, and JSON in which no tag can begin: the only texts that are not escaped.
    safe = {"style": Markup(style), "script": Markup(script), "data": Markup(_json(data))}  # noqa: S704
    return template.render(values, script_hash=digest, **safe)


def _object(source: Source, row: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for column in source.columns.values():
        if column.name not in row or isinstance(row[column.name], list | dict):
            continue
        value = row[column.name]
        if column.bits and isinstance(value, int):
            value = ", ".join(name for name, bit in column.bits.items() if value & bit) or "none"
        if isinstance(value, float):
            # a position in degrees needs its digits
            value = float(f"{value:.10g}" if column.name in ("ra", "dec") else f"{value:.5g}")
            value = value if math.isfinite(value) else None
        is_exact = isinstance(value, float) or (isinstance(value, int) and abs(value) <= LARGEST)
        # JavaScript rounds larger numbers.
        rows.append((column.label, value if is_exact or value is None else str(value)))
    first = ("group", "class", "kept", "agreement")
    rows.sort(key=lambda item: first.index(item[0]) if item[0] in first else len(first))
    return {"id": str(row["object_id"]), "rows": rows}


def _json(value: Any) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _attributes(score: Score) -> dict[str, Any]:
    return {name: getattr(score, name) for name in ("truth", "matched", "kept", "everything", "by_group")}
