"""How a run and its jobs end when they are told to: SIGTERM, SIGINT or SIGHUP.

Snakemake 9.27's handler of SIGTERM takes a lock that the interrupted thread may hold, and then
waits for ever; and after a SIGINT to its process alone it waits until the running jobs are done.
`stop` takes the place of both: the jobs are told to end, get `PATIENCE` seconds to clean up behind
themselves, and the main process goes the way of Ctrl-C, on which Slurm jobs are cancelled too.
An interrupt can be lost (what calls back from a future, or destroys an object, swallows it): a
thread looks after the main one, interrupts it again, and at the very last ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

PATIENCE = 20.0
"""Seconds that jobs, and then the main thread, get to end by themselves."""
LAST = 120.0
"""Seconds after which the process ends whatever it waits for: the next run makes good."""
LOOKS = 0.2
STEP = b"/.snakemake/scripts/"
"""In the command of each job on this machine, and of nothing else that Snakemake starts."""

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
    if not stopped.is_set():
        stopped.set()
        # Listed before the KeyboardInterrupt: what Snakemake starts on it (scancel) must live.
        jobs = _below(os.getpid())
        threading.Thread(target=_end, args=(jobs,), daemon=True).start()
    elif not _lost.is_set():
        return  # a second signal must not break the cleaning up
    _lost.clear()
    raise KeyboardInterrupt


_lost = threading.Event()
"""Set when the interrupt did not get to where Snakemake ends its run."""


def _end(jobs: list[int]) -> None:
    """End the jobs, then see to it that the main thread ends too."""
    _end_jobs(jobs)
    # With its jobs gone the main thread ends at once, unless it waits for what will not come.
    asked = time.monotonic()
    while time.monotonic() < asked + LAST:
        time.sleep(PATIENCE / 4)
        if _schedules():
            _lost.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        _end_jobs([])
    os._exit(1)


def _end_jobs(jobs: list[int]) -> None:
    """Tell these to end, parents first, and what was just being started; after a while, make them,
    and what they started.
    """
    told: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while left := _left(jobs := [*jobs, *_steps().difference(jobs)]):
        for pid in [pid for pid in jobs if pid not in told]:
            _kill(pid, signal.SIGTERM)
        told.update(jobs)
        if time.monotonic() > deadline:
            for pid in left:
                _kill(pid, signal.SIGKILL)
            return
        time.sleep(LOOKS)


def _steps() -> set[int]:
    """Jobs that run on this machine now."""
    return {pid for pid in _below(os.getpid()) if STEP in _command(pid)}


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _schedules() -> bool:
    """Whether the main thread is still in the scheduler's loop, and not on its way out of it."""
    frame, names = sys._current_frames().get(threading.main_thread().ident or 0), set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return "schedule" in names and not names & {"cancel", "shutdown"}


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
