"""How a run and its jobs end when they are told to: SIGTERM, SIGINT or SIGHUP.

Snakemake 9.27's handler of SIGTERM takes a lock that the interrupted thread may hold, and then
waits for ever; and after a SIGINT to its process alone it waits until the running jobs are done.
`stop` takes the place of both: the jobs are told to end, get `PATIENCE` seconds to clean up behind
themselves, and the main process goes the way of Ctrl-C, on which Slurm jobs are cancelled too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

PATIENCE = 20.0

stopped = threading.Event()
"""Set when this process has been told to end."""


def catch() -> None:
    """Let SIGINT and SIGHUP do the same as SIGTERM (a SIGHUP that nohup ignores stays ignored)."""
    with contextlib.suppress(ValueError):  # not in the main thread: nothing to catch there
        signal.signal(signal.SIGINT, stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, stop)


def catch_in_job() -> None:
    """A job that is told to end cleans up as after an error, once: further signals are ignored."""

    def end(signum: int, frame: object) -> None:
        for known in (signal.SIGTERM, signal.SIGINT):
            signal.signal(known, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(signum).name)

    with contextlib.suppress(ValueError):
        for known in (signal.SIGTERM, signal.SIGINT):
            signal.signal(known, end)


def stop(*_: object) -> None:
    """Signal handler of the run: end the jobs, then this process as Ctrl-C does."""
    if stopped.is_set():
        return  # a second signal must not break the cleaning up
    stopped.set()
    # Listed before the KeyboardInterrupt: what Snakemake starts on it (scancel) must live.
    jobs = _below(os.getpid())
    threading.Thread(target=_end, args=(jobs,), daemon=True).start()
    raise KeyboardInterrupt


def _end(jobs: list[int]) -> None:
    """Tell these to end, parents first; after a while, make them, and what they started."""
    for pid in jobs:
        _kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not _left(jobs):
            return
        time.sleep(0.2)
    for pid in _left(jobs):
        _kill(pid, signal.SIGKILL)


def _left(jobs: list[int]) -> set[int]:
    """Which of these still run below this process, with all below them."""
    there = set(jobs).intersection(_below(os.getpid()))
    return there.union(*map(_below, there))


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _below(top: int) -> list[int]:
    """Processes started by this one and by those, parents first (/proc; nothing elsewhere)."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid, rest = int(path.parent.name), path.read_text().rpartition(")")[2].split()
            if rest[0] != "Z":
                parents.setdefault(int(rest[1]), []).append(pid)
    found: list[int] = []
    waiting = [top]
    while waiting:
        own = parents.get(waiting.pop(0), [])
        found += own
        waiting += own
    return found
