"""A billion objects in 200,000 shards, without their pixels: what a plan, a status and a run that goes on do before any work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
import ray.cloudpickle
from astropy.io import fits

from catalogs import parts
from catalogs.errors import CorruptFile
from catalogs.source import SliceSource
from catalogs.tables import open_table
from pipeline.plan.make_plan import plan_of
from tests.cluster.inventory import write_parts, write_release
from tests.survey.conftest import COMMAND

SHARDS, ROWS, SLICES = 200_000, 5_000, 1_000_000
MEMORY = 2 << 30
SECONDS = 60.0
"""Of processor time: the wall's depends on what else the machine does."""
SCAN = """
import sys
from pipeline.plan.make_plan import plan_of
from pipeline.stages.part_writer import slices_left
plan = plan_of(sys.argv[1], sys.argv[2])
plan.run.prepare(plan.record, anew=False, remedy="")
left = slices_left(plan, "encode", plan.run.objects)
print(left.done, left.missing[0].name, len(left.missing), sum(piece.rows for piece in left.missing))
"""


def measured(*command: str | Path) -> str:
    """What a command prints; it takes no more memory and processor time than it may."""
    start = time.monotonic()
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    assert process.returncode == 0, told
    seconds = used.ru_utime + used.ru_stime
    wall, what = time.monotonic() - start, command[1] if command[1] != "-c" else "resume scan"
    print(f"{what}: {wall:.0f} s, {seconds:.0f} s of processor time, {used.ru_maxrss >> 10} MiB")
    assert used.ru_maxrss << 10 < MEMORY
    assert seconds < 2 * SECONDS  # two cores, for a minute
    return told


@pytest.mark.slow
def test_billion_objects_are_planned_within_a_minute_and_gone_on_with(tmp_path):
    config, out = write_release(tmp_path, SHARDS, ROWS), tmp_path / "run"
    plan = json.loads(measured(COMMAND, "plan", config, "--out", out, "--json"))
    assert (len(plan["shards"]), plan["rows"], plan["slices"]) == (SHARDS, SHARDS * ROWS, SLICES)

    half = plan_of(config, str(out))
    write_parts(half, islice(half.slices(), 0, None, 2))
    done, first, missing, rows = measured(sys.executable, "-c", SCAN, config, out).split()
    left = [piece.rows for piece in islice(half.slices(), 1, None, 2)]
    assert (int(done), int(missing), int(rows)) == (SLICES // 2, SLICES // 2, sum(left))
    assert first == "part-000000-000000001024"

    stages = json.loads(measured(COMMAND, "status", out, "--json"))["stages"]
    encode = stages["encode"]
    assert (encode["done"], encode["missing"], stages["vote"]["done"]) == (SLICES // 2, SLICES // 2, 0)
    assert encode["objects"] == SHARDS * ROWS - sum(left)
    assert encode["usable"] == encode["objects"] - SLICES // 2
    assert encode["flags"] == {"saturated": 3 * SLICES // 2}


@pytest.fixture
def large(tmp_path):
    """Rows enough that nobody looks at each, in few shards."""
    return plan_of(write_release(tmp_path, 4, 12_000_000), str(tmp_path / "run"))


def test_read_tasks_carry_the_whole_release(large, ray_cluster):
    source = SliceSource(large.release.read, list(islice(large.slices(), 100)), 1)
    task = ray.cloudpickle.dumps(source.get_read_tasks(100)[0])
    assert b"shard000003" not in task


def test_receipt_is_not_what_the_footer_says(large):
    write_parts(large, islice(large.slices(), 3))
    name = "part-000000-000000001024"
    told = parts.receipt(large.run.objects, name)
    assert (told.start, told.stop, told.objects, told.usable) == (1024, 2048, 1024, 1023)
    path = parts.url(large.run.objects, name)
    with Path(path).open("r+b") as stream:
        stream.truncate(stream.seek(0, os.SEEK_END) - 1)
    with pytest.raises(CorruptFile, match="does not end as Parquet does"):
        parts.receipt(large.run.objects, name)


def rewritten(path: Path, key: str, value: object) -> None:
    with fits.open(path, mode="update") as file:
        file[1].header[key] = value


def test_shard_is_taken_for_one_that_it_is_only_like(tmp_path):
    """Headers of the same length, which differ in one card each."""
    write_release(tmp_path, 5, 10)
    shards = [tmp_path / "catalogs" / f"{n:03d}" / f"shard{n:06d}.fits" for n in range(5)]
    rewritten(shards[1], "NAXIS2", 9)
    rewritten(shards[2], "TUNIT3", "arcsec")
    rewritten(shards[3], "TFORM5", "J")
    rewritten(shards[4], "TTYPE5", "FLUX_U")
    first, fewer, unit, form, name = (open_table(str(path)) for path in shards)
    assert (fewer.rows, first.rows) == (9, 10)
    assert fewer.header is first.header
    assert fewer.digest != first.digest
    assert unit.empty.schema.field("RIGHT_ASCENSION").metadata[b"unit"] == b"arcsec"
    assert str(form.empty.schema.field("FLUX_VIS").type) == "int32"
    assert "FLUX_U" in name.columns.names
    assert first.empty.schema.field("RIGHT_ASCENSION").metadata[b"unit"] == b"deg"
    assert open_table(str(shards[0])) == first
