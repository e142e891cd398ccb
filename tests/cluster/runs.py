"""Runs on a cluster, begun and then watched by their parts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.nodes import Machines, until
from tests.survey.conftest import COMMAND, files_of

LIMIT = 600.0
"""Seconds that a run may take."""


@dataclass
class Run:
    """One `tuningfork run --address`, which may be begun again.

    Parameters
    ----------
    config, out : Path
    machines : Machines
        The cluster that it joins.
    """

    config: Path
    out: Path
    machines: Machines
    command: subprocess.Popen[str] | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def log(self) -> Path:
        """All that it printed, every time."""
        return self.out.with_suffix(".log")

    def begin(self) -> None:
        """Start it, or go on."""
        with self.log.open("a") as stream:
            self.command = subprocess.Popen(
                [COMMAND, "run", self.config, "--out", self.out, "--address", self.machines.address],
                stdout=stream,
                stderr=stream,
                text=True,
                env=self.machines.env,
                start_new_session=True,
            )
        self.machines.commands.append(self.command)

    def parts(self, folder: str) -> int:
        """Slices that have a part."""
        return len(list((self.out / folder).glob("part-*.parquet")))

    def wait_for_parts(self, folder: str, number: int) -> None:
        """Return when so many slices are there."""
        until(
            lambda: self.parts(folder) >= number, LIMIT, lambda: f"{number} parts in {folder}: {self.said()}"
        )

    def _over(self) -> bool:
        assert self.command is not None
        assert self.command.poll() is None, self.said()
        return False

    def wait(self) -> int:
        """Let it end; its exit code."""
        assert self.command is not None
        try:
            return self.command.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self.said()) from None

    def kill(self) -> None:
        """`kill -9` the command, which is the driver of its Ray job."""
        assert self.command is not None
        os.killpg(self.command.pid, signal.SIGKILL)
        self.command.wait()

    def finish(self) -> float:
        """Let it end well; seconds since it began."""
        assert self.wait() == 0, self.said()
        return time.monotonic() - self.began

    def said(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding="utf-8")

    def files(self) -> dict[str, bytes]:
        """Every published file and its bytes."""
        return files_of(self.out)
