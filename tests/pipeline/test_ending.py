"""A command that ends quickly still ends: what it registered is called, what it printed arrives, threads finish."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from astropy.table import Table

ENDING = """
import atexit, sys, threading, time
from pipeline.cli.ending import end_quickly
atexit.register(print, "registered")
print("printed")
def work():
    time.sleep(0.3)
    print("worked")
if "thread" in sys.argv:
    threading.Thread(target=work).start()
end_quickly()
"""
ROOT = Path(__file__).parents[2]


def ended(*words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not done.stderr
    return done.stdout.split()


def test_what_was_registered_is_left_out_or_output_is_lost():
    assert ended() == ["printed", "registered"]


def test_thread_is_killed():
    assert ended("thread") == ["printed", "worked", "registered"]


def test_a_refusal_is_followed_by_what_duckdb_leaves_in_memory(tmp_path):
    blobs = Table(
        {"id": [1, 2], "ra": [1.0, 2.0], "dec": [3.0, 4.0], "image": np.ones((2, 8, 8), np.float32)}
    )
    blobs.write(tmp_path / "blobs.fits")
    config = tmp_path / "survey.toml"
    config.write_text(
        '[survey]\nname = "blobs"\ncatalogs = "blobs.fits"\nid = "id"\nra = "ra"\ndec = "nowhere"\nwhere = "ra < 2"\n'
        '[survey.images]\nlayout = "column"\ncolumn = "image"\nbands = ["r"]\nsize = 8\npixel_scale = 1\n'
    )
    command = [sys.executable, "-m", "pipeline.cli", "plan", str(config), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "'nowhere'" in done.stdout + done.stderr
    assert "nanobind" not in done.stdout + done.stderr
