"""What a person or a log sees of a stage: one rich line on a terminal, one JSON line an interval elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Self

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from catalogs import strict_json
from pipeline.console import console

if TYPE_CHECKING:
    from types import TracebackType


class StageProgress:
    """Progress of one stage, counted in objects.

    Parameters
    ----------
    stage : str
    total : int
        Objects (catalog rows) of the whole stage; 0 for a barrier, which only says that it began and ended.
    done : int
        How many of them an earlier start has done already.
    interval : float
        Seconds between JSON lines.
    run : str, optional
        The run's id, for every line.
    """

    def __init__(
        self, stage: str, total: int = 0, done: int = 0, interval: float = 10.0, run: str | None = None
    ) -> None:
        self.stage, self.total, self.done, self.interval = stage, total, done, interval
        self._named: dict[str, object] = {} if run is None else {"run": run}
        self._before = self._seen = done
        self._lock = threading.Lock()
        self._bar = Progress(
            TextColumn("{task.description:8}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )

    def __enter__(self) -> Self:
        self._start = self._spoke = time.monotonic()
        if console.is_terminal:
            self._bar.start()
            self._task = self._bar.add_task(
                self.stage, total=self.total or None, completed=self.done, count="", rate=""
            )
        else:
            self._say("start")
        return self

    def advance(self, objects: int) -> None:
        """Count objects as done."""
        with self._lock:
            self.done += objects
            self._show(self.done)

    def under_way(self, objects: int) -> None:
        """Show so many objects beside those that are done: actors are through with them, but not with their slices. Called from any thread."""
        with self._lock:
            self._show(self.done + objects)

    def _show(self, objects: int) -> None:
        """That so many are through; never fewer than before, for slices that begin anew."""
        self._seen = min(max(self._seen, objects), self.total)
        if console.is_terminal:
            count, rate = f"{self._seen:,}/{self.total:,}", self.rate
            shown = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
            self._bar.update(self._task, completed=self._seen, count=count, rate=shown)
        elif time.monotonic() - self._spoke >= self.interval:
            self._say("running")

    def fault(self, shard: str, start: int, stop: int, fault: str) -> None:
        """Tell of a slice that failed for good, when it does."""
        if console.is_terminal:
            where = escape(f"{shard}, rows {start:,} to {stop:,}: {fault}")
            console.print(f"[bold red]{self.stage}:[/] {where}", soft_wrap=True, highlight=False)
        else:
            place = {"stage": self.stage, "shard": shard, "rows": [start, stop]}
            _write_line({"event": "slice_fault", **self._named, **place, "fault": fault})

    @property
    def rate(self) -> float:
        """Objects per second since this start."""
        return (self._seen - self._before) / max(time.monotonic() - self._start, 1e-9)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if console.is_terminal:
            if kind is None and not self.total:
                self._bar.update(self._task, total=1, completed=1)
            self._bar.stop()
        else:
            self._say("done" if kind is None else "stopped")

    def _say(self, state: str) -> None:
        self._spoke = time.monotonic()
        line = {**self._named, "stage": self.stage, "state": state}
        line["seconds"] = round(self._spoke - self._start, 1)
        if self.total:
            rate = self.rate
            line |= {"objects": self._seen, "total": self.total, "objects_per_second": round(rate, 1)}
            line["eta_seconds"] = round((self.total - self._seen) / rate, 1) if rate else None
        _write_line(line)


def _write_line(values: dict[str, object]) -> None:
    sys.stdout.write(strict_json.dumps(values) + "\n")
    sys.stdout.flush()
