"""Two commands in one folder: one of them works there, the other one is told who does; and the dead hold nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from catalogs import storage
from catalogs.errors import Refused
from pipeline.output import lock as locks
from pipeline.output import lock_file
from pipeline.output.holder import holder_of, this_process
from pipeline.output.lock import NAME, LockLost, locked
from tests.survey.conftest import COMMAND, tuningfork, write_toml

HOLD = """
import sys, time
from pipeline.output.lock import locked
with locked(sys.argv[1], "run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def quick(monkeypatch):
    """Signs of life and waits of a second."""
    monkeypatch.setattr(locks, "BEAT", 0.1)
    monkeypatch.setattr(locks, "STALE", 1.0)
    monkeypatch.setattr(locks, "LOOK", 0.05)
    for module in (locks, lock_file):
        monkeypatch.setattr(module, "SETTLE", 0.1)


@pytest.fixture(params=["disk", "store"])
def place(request, tmp_path, quick):
    """A folder on either."""
    if request.param == "disk":
        return str(tmp_path / "run")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


def elsewhere(url: str, token: str = "other") -> bytes:
    """Let another machine hold the folder."""
    held = replace(this_process(token, "run"), host="node-7", boot="other").as_bytes()
    storage.write(storage.join(url, NAME), held)
    return held


def test_two_commands_write_into_one_folder(holder, tmp_path):
    with pytest.raises(Refused) as refused, locked(str(tmp_path / "run"), "run"):
        pytest.fail("both work there")
    told = str(refused.value)
    assert "tuningfork run works there" in told
    for word in (f"process {holder.pid}", "host ", "user ", "since ", "last sign of life", "kill", "--out"):
        assert word in told
    assert "\n" not in told


def test_two_threads_get_one_folder(tmp_path):
    """Whoever comes at the same moment: exactly one gets it."""
    got, refused, start = [], [], threading.Barrier(8)

    def take() -> None:
        start.wait()
        try:
            with locked(str(tmp_path), "run"):
                got.append(1)
                time.sleep(0.5)
        except Refused:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)


def test_a_killed_command_holds_its_folder(holder, tmp_path, capsys):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    start = time.monotonic()
    with locked(str(tmp_path / "run"), "run"):
        assert time.monotonic() - start < 5
    assert "has ended without letting go" in capsys.readouterr().out
    assert list((tmp_path / "run").iterdir()) == []


def test_the_number_of_a_killed_process_is_used_again(tmp_path):
    mine = replace(this_process("other", "run"), started="17")
    storage.write(storage.join(str(tmp_path), NAME), mine.as_bytes())
    with locked(str(tmp_path), "run"):
        pass


def test_a_folder_is_held_after_an_end(place):
    for error in (KeyboardInterrupt, ValueError, SystemExit):
        with pytest.raises(error), locked(place, "run"):
            raise error
    with locked(place, "run"):
        assert holder_of(storage.read(storage.join(place, NAME))) is not None
        assert storage.names(place) == []  # the folder of a run that has not begun is empty
    assert not storage.exists(storage.join(place, NAME))


def test_a_folder_that_was_made_for_nothing_is_left(tmp_path):
    with locked(str(tmp_path / "run"), "run"):
        pass
    assert not (tmp_path / "run").exists()


def test_a_holder_elsewhere_that_is_silent_keeps_a_job_that_is_tried_again(place, capsys):
    elsewhere(place)
    start = time.monotonic()
    with locked(place, "run"):
        assert 1.0 <= time.monotonic() - start < 10
    told = capsys.readouterr().out
    assert "waiting up to 1 s for a sign of life" in told
    assert "on node-7 has ended without letting go" in told


def test_a_holder_elsewhere_that_lives_is_taken_for_dead(place):
    elsewhere(place)
    mark = storage.join(place, NAME)
    living = replace(this_process("other", "run"), host="node-7", boot="other")
    timer = threading.Timer(0.4, lambda: storage.write(mark, living.beat().as_bytes()))
    timer.start()
    with pytest.raises(Refused, match="host node-7"), locked(place, "run"):
        pytest.fail("both work there")
    timer.join()
    assert storage.exists(mark)


def test_a_holder_elsewhere_that_lets_go_is_waited_for_to_the_end(place):
    elsewhere(place)
    timer = threading.Timer(0.3, lambda: storage.remove(storage.join(place, NAME)))
    timer.start()
    start = time.monotonic()
    with locked(place, "run"):
        assert time.monotonic() - start < 1.0 + 5


def test_signs_of_life_stop(place):
    with locked(place, "run"):
        first = holder_of(storage.read(storage.join(place, NAME)))
        time.sleep(1.5)
        later = holder_of(storage.read(storage.join(place, NAME)))
    assert first is not None
    assert later is not None
    assert later.beats > first.beats


def test_a_folder_that_was_taken_over_is_published_to(place):
    with locked(place, "run") as mine:
        theirs = elsewhere(place)
        with pytest.raises(LockLost, match="taken for dead: tuningfork run works there"):
            mine.check()
        mine.lost = None
        mine._over.set()
    assert storage.read(storage.join(place, NAME)) == theirs  # which is not ours to remove


def test_a_command_that_was_asleep_goes_on_in_a_folder_of_another_one(tmp_path, quick):
    def work() -> None:
        with locked(str(tmp_path), "run"):
            for _ in range(40):  # a sign of life that was just being written may come after one
                elsewhere(str(tmp_path))
                time.sleep(0.5)  # the next one interrupts it

    with pytest.raises(LockLost):
        work()


def test_a_command_whose_interrupt_was_ignored_ends_as_if_done(place):
    def work() -> None:
        with locked(place, "run") as mine:
            elsewhere(place)
            mine._look()

    with pytest.raises(LockLost, match="taken for dead"):
        work()


def test_an_interrupt_comes_after_the_folder_was_let_go(tmp_path, quick, monkeypatch):
    beat = locks.Lock._beat

    def slow(lock: locks.Lock) -> None:
        time.sleep(0.3)
        beat(lock)

    monkeypatch.setattr(locks.Lock, "_beat", slow)

    def work() -> None:
        with locked(str(tmp_path), "run") as mine:
            time.sleep(0.2)  # a sign of life is being written
            elsewhere(str(tmp_path))
            mine._look()

    with pytest.raises(LockLost):
        work()
    time.sleep(0.2)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff\x00", b"[" * 10_000])
def test_a_damaged_lock_ends_in_a_traceback(place, text):
    storage.write(storage.join(place, NAME), text)
    with locked(place, "run"):
        pass


@pytest.mark.slow
def test_commands_ignore_the_lock(tiny, tmp_path, holder):
    """Of a run, in the folder of a command that works there."""
    config = write_toml(tiny.config(), tiny.folder / "survey.toml")
    done = tuningfork("run", config, "--out", tmp_path / "run")
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"process {holder.pid}" in done.stdout
    assert [path.name for path in (tmp_path / "run").iterdir()] == [NAME]
    seen = tuningfork("plan", config, "--out", tmp_path / "run")
    assert seen.returncode == 0, seen.stdout + seen.stderr


@pytest.mark.slow
def test_two_runs_in_one_folder_at_once(tiny, tmp_path):
    """With other settings each: a catalog of one with the record of the other."""
    configs = [
        write_toml(tiny.config(fit={"groups": groups, "bags": 2}), tiny.folder / f"{groups}.toml")
        for groups in (3, 4)
    ]
    runs = [
        subprocess.Popen(
            [COMMAND, "run", config, "--out", tmp_path / "run"], stdout=subprocess.PIPE, text=True
        )
        for config in configs
    ]
    told = [run.communicate(timeout=300)[0] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2], told
    won = 3 if runs[0].returncode == 0 else 4
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["fit"]["groups"] == won
    assert not (tmp_path / "run" / NAME).exists()


def test_a_container_without_a_name_for_its_user(monkeypatch):
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert this_process("", "run").user == f"number {os.getuid()}"
    assert holder_of(this_process("t", "run").as_bytes()) is not None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/run"), Path("foo://x")):
        with pytest.raises(Refused) as refused, locked(str(out).replace("foo:/", "foo://"), "run"):
            pass
        assert "Choose another --out" in str(refused.value)
