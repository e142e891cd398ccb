"""What the commands print for people: plans, refusals, statuses, summaries."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from catalogs import strict_json, views
from catalogs.extents import sides
from pipeline.console import console
from pipeline.rundir.arrays import read_with
from pipeline.rundir.classes_file import read_classes
from pipeline.rundir.run_directory import RunDirectory, is_synthetic

if TYPE_CHECKING:
    from catalogs.errors import Refused
    from pipeline.plan.plan import Plan
    from pipeline.plan.run_time import Estimate
    from pipeline.rundir.status import StageStatus, Status

SYNTHETIC = "[bold yellow]SYNTHETIC:[/] a diffusion model drew these objects; nothing of them was observed"


def plan(planned: Plan, judged: Estimate) -> None:
    """What will run, with its resources, columns, bytes and time."""
    from pipeline.plan.run_time import notes

    release, config = planned.release, planned.config
    survey, layout, encode = config.survey, config.survey.images, config.encode
    selected = "not looked at yet" if release.selected is None else f"{release.selected:,}"
    scale = f"{release.pixel_scale:.4g} arcsec" if release.pixel_scale else "unknown"
    grid = Table.grid(padding=(0, 2))
    grid.add_row("release", escape(f"{survey.name}: {len(release.shards)} shards, {release.rows:,} rows"))
    grid.add_row(
        "objects", f"{selected}, in {planned.slice_count:,} slices of {config.run.slice_rows:,} rows at most"
    )
    bands = ", ".join(layout.bands)
    stamp = f"{layout.layout}: {layout.size} px a side, bands {bands}, pixel {scale}, background {layout.background}"
    if layout.extent is not None:
        largest = sides(layout)[-1]
        stamp += f", extent {layout.extent} ({layout.extent_unit}): measured on up to {largest} px, encoded with {layout.size}"
    if layout.mask is not None:
        stamp += ", masked"
    if layout.weight is not None:
        stamp += f", noise by {layout.weight.kind} maps"
    if layout.segmentation is not None:
        stamp += ", segments by the survey's map"
    grid.add_row("stamps", escape(stamp))
    where = f"{encode.gpus:g} GPU" if encode.gpus else f"CPU, {encode.threads} threads"
    if encode.served_by is not None:
        where = f"send {encode.wire} to {', '.join(encode.endpoints)}"
    neighbours = "fill neighbours, " if encode.neighbours == "fill" else ""
    steps = f"{neighbours}{'denoise, ' if config.denoise else ''}unwrap {encode.unwrap}, {encode.stretch}"
    grid.add_row(
        "encode", escape(f"{steps}, {encode.model} ({encode.checkpoint}) → {planned.features} features")
    )
    grid.add_row(
        "", escape(f"{encode.workers} workers ({where}, {encode.precision}), batches of {encode.batch_size}")
    )
    grid.add_row("measure", escape(_measured(planned)))
    for row in _fitted(planned):
        grid.add_row(*row)
    augment = config.augment
    if augment.balance:
        text = f"groups with less than {augment.rare:.3g} of what is kept get synthetic neighbours, drawn by {augment.model}"
        grid.add_row("augment", escape(f"{text}, up to {augment.fill:.3g} of what is usable"))
        drawn = f"at most {augment.most:,} in all, {augment.steps} steps, guidance {augment.guidance:g}; then fit and vote again"
        grid.add_row("", drawn)
    grid.add_row("vote", config.vote.in_words)
    for each in planned.predictions:
        how = "from embeddings" if each.encoder_options is None else "by a network of its own, from stamps"
        grid.add_row("predict", escape(f"{each.name}, {how}: {len(each.schema)} columns ({each.file})"))
    grid.add_row("columns", escape(", ".join(f"{f.name} {f.type}" for f in planned.schema)))
    grid.add_row("bytes", _sizes(planned))
    grid.add_row("time", escape(_duration(planned, judged)))
    grid.add_row("engine", escape(_engine(judged)))
    grid.add_row("run", escape(f"{planned.run.url} ({planned.run_id})"))
    console.print(grid)
    for note in [*planned.notes, *notes(planned, judged)]:
        console.print(f"[bold yellow]note:[/] {escape(note)}")


def _sizes(planned: Plan) -> str:
    config, rows = planned.config, planned.release.rows
    out = rows * (2 * planned.features * (2 if config.publish.embeddings else 1) + 120)
    text = f"about {_bytes(out)} written; {_bytes(planned.slice_bytes)} of memory a slice in flight"
    return text + _cached(planned)


def _engine(judged: Estimate) -> str:
    if not judged.why:
        return "none"
    return f"{'Ray' if judged.engine == 'ray' else 'this process, without Ray'} ({judged.why})"


def _fitted(planned: Plan) -> list[tuple[str, str]]:
    config, fit = planned.config, planned.config.fit
    members = fit.bags * len(fit.families)
    rows = [
        ("reduce", config.reduce.in_words),
        ("fit", f"{fit.bags} bags x {', '.join(fit.families)} = {members} members, {fit.groups} groups"),
    ]
    if planned.like is not None:
        rows.append(("", escape(f"those of {planned.like.run}, with its classes: nothing is fitted")))
    return rows


def _cached(planned: Plan) -> str:
    most = planned.config.run.cached_bytes
    if planned.config.survey.images.layout != "tiles" or not most:
        return ""
    return f"; up to {_bytes(most)} of temporary files a reader for decoded tiles"


def _duration(planned: Plan, judged: Estimate) -> str:
    fitting = "fitting" if planned.like is None else "voting"
    rest = f"{_time(judged.rest)} of starting, {fitting} and publishing"
    if planned.config.augment.balance:
        rest += ", and the drawing of synthetic neighbours, which nobody tried"
    if judged.unknown:
        least = f", of which measuring takes {_time(judged.measuring)} at least" if judged.measuring else ""
        return f"{judged.unknown}{least}; {rest}"
    if not judged.objects:
        return f"about {rest}" if judged.rest else "none: everything is done"
    rate = judged.objects / judged.stamps
    return f"about {_time(judged.seconds)}, judged by a trial: {_time(judged.stamps)} of stamps ({rate:,.3g} objects/s), {rest}"


def _measured(planned: Plan) -> str:
    from pipeline.plan.measuring import measured_bands

    bands, options = measured_bands(planned.config), planned.measurer_options
    settings = planned.config.measure.of(bands[0])
    if options is None:
        return "nothing"
    psf = settings.psf or "unknown"
    if settings.fwhm is not None:
        width = f"{options['fwhm']:.3g} pixels" if options["fwhm"] else f"of column {settings.fwhm}"
        psf = f"Gaussian, FWHM {width}"
    gain = "unknown" if settings.gain is None else f"{settings.gain:g}"
    others = f", and {', '.join(bands[1:])}" if bands[1:] else ""
    return f"{', '.join(settings.quantities)}; errors {settings.errors}; band {bands[0]}, PSF {psf}, gain {gain}{others}"


def refusal(refused: Refused) -> None:
    """Everything that is wrong."""
    count = len(refused.faults)
    console.print(f"[bold red]refused:[/] {count} {'thing is' if count == 1 else 'things are'} wrong")
    for fault in refused.faults:
        console.print(f"  {escape(str(fault))}", soft_wrap=True, highlight=False)


def summary(run: str) -> None:
    """What came out: the groups, the kept fraction, where the catalog is and what to try next."""
    with views.connect(run) as connection:
        queries = views.canned()
        groups = connection.execute(queries["groups"].sql)
        table = Table(*[d[0] for d in groups.description or []], title="groups")
        for row in groups.fetchall():
            table.add_row(*[str(value) for value in row])
        console.print(table)
        objects, usable, kept, fraction, unanimous, _ = (
            connection.execute(queries["kept"].sql).fetchone() or ()
        )
    classes(run, only_named=True)
    if is_synthetic(RunDirectory(run).record()):
        console.print(SYNTHETIC)
    console.print(
        f"{objects:,} objects, {usable:,} usable; kept {kept:,} ({fraction:.1%}), unanimous {unanimous:.1%}"
    )
    where = escape(run.rstrip("/"))
    console.print(f"catalog: {where}/catalog", soft_wrap=True)
    extension = read_with(RunDirectory(run).published, dict).get("extension")
    if extension is not None:
        absent = f"; not in that catalog: {extension['absent']:,}, {where}/extension/absent"
        rows = f"extension: {extension['rows']:,} objects, {where}/extension/morphology.properties"
        console.print(rows + (absent if extension["absent"] else ""), soft_wrap=True)
    console.print("next:", style="bold")
    typed = shlex.quote(run)
    console.print(f"  tuningfork query {escape(typed)} --name agreement", soft_wrap=True)
    again = f"""tuningfork query {typed} 'SELECT "group", count(*) FROM objects WHERE kept GROUP BY ALL ORDER BY ALL'"""
    console.print("  " + escape(again), soft_wrap=True)


def classes(run: str, *, only_named: bool = False) -> None:
    """Which class each group of a run has; nothing where `only_named` and no group has one."""
    groups = read_classes(RunDirectory(run).classes)["groups"]
    if only_named and not any(group["class"] for group in groups):
        return
    table = Table("group", "class", "by", "objects", "kept", "notes", title="classes")
    for group in groups:
        by = f"{group['by']}: {group['author']}" if group["author"] else group["by"] or ""
        counts = (f"{group['objects']:,}", f"{group['kept']:,}")
        texts = [escape(text) for text in (group["class"] or "", by, *counts, group["notes"] or "")]
        table.add_row(str(group["group"]), *texts)
    console.print(table)


def status(found: Status, *, as_json: bool) -> None:
    """How far a run is."""
    if as_json:
        balance = found.balance
        streams = found.stages if balance is None else [*found.stages, balance.vote]
        stages = {
            s.stage: {**vars(s), "done": s.done, "missing": len(s.missing), "first_missing": s.missing[:10]}
            for s in streams
        }
        barriers: dict[str, object] = {
            "reduced": found.reduced,
            "fitted": found.fitted,
            "published": found.published,
        }
        if balance is not None:
            barriers |= {
                "first_fitted": balance.fitted,
                "augment": {"wanted": balance.wanted, "drawn": balance.drawn},
            }
        whole = {
            "run": found.run_id,
            "rows": found.rows,
            "synthetic": found.synthetic,
            "like": found.like,
        }
        console.print_json(strict_json.dumps({**whole, "stages": stages, **barriers}))
        return
    table = Table("stage", "slices", "objects", "usable", "objects/s", "missing")
    encode, vote = found.stages
    _stream(table, encode)
    _barrier(table, "reduce", done=found.reduced)
    if found.balance is not None:
        _barrier(table, "first_fit", done=found.balance.fitted)
        _stream(table, found.balance.vote)
        wanted, drawn = found.balance.wanted, found.balance.drawn
        left = (
            "not counted yet" if wanted is None else f"{wanted - drawn:,} to draw" if wanted > drawn else ""
        )
        table.add_row("augment", "", f"{drawn:,} synthetic", "", "", left or "nothing")
    _barrier(table, "fit", done=found.fitted)
    _stream(table, vote)
    _barrier(table, "publish", done=found.published)
    console.print(f"run: {escape(found.run_id)}", highlight=False)
    console.print(table)
    flags = found.stages[0].flags
    console.print(
        "flags: " + (", ".join(f"{name} {count:,}" for name, count in sorted(flags.items())) or "none")
    )
    if found.synthetic:
        console.print(SYNTHETIC)
    if found.like is not None:
        console.print(f"models: those of {escape(found.like)}", soft_wrap=True, highlight=False)
    if not found.published:
        console.print(
            f"continue: {escape(shlex.join(['tuningfork', 'run', found.source, '--out', found.run.url]))}",
            soft_wrap=True,
        )


def _stream(table: Table, stage: StageStatus) -> None:
    rate = "" if stage.rate is None else f"{stage.rate:,.0f}"
    missing = ", ".join(stage.missing[:3])
    if len(stage.missing) > 3:
        missing += f" and {len(stage.missing) - 3} more"
    slices = f"{stage.done:,}/{stage.total:,}"
    table.add_row(stage.stage, slices, f"{stage.objects:,}", f"{stage.usable:,}", rate, missing or "nothing")


def _barrier(table: Table, name: str, *, done: bool) -> None:
    table.add_row(name, "done" if done else "to do", "", "", "", "")


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:,.0f} {unit}"
        count /= 1024
    return ""


def _time(seconds: float) -> str:
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds / 86400:,.1f} days"
