"""A command that ends quickly still ends: what it registered is called, what it printed arrives, threads finish."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def ended(*words: str) -> list[str]:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ENDING, *words], capture_output=True, text=True, check=True, cwd=root
    )
    assert not done.stderr
    return done.stdout.split()


def test_what_was_registered_is_left_out_or_output_is_lost():
    assert ended() == ["printed", "registered"]


def test_thread_is_killed():
    assert ended("thread") == ["printed", "worked", "registered"]
