"""What Slurm says of jobs, where there is a Slurm: state, reason, times, memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_FIELDS = {"state": "%T", "reason": "%r", "elapsed": "%M", "limit": "%l", "requested": "%m"}
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED")


def _ask(*command: str) -> list[list[str]]:
    """Rows of a Slurm command's answer; nothing when it has none, or is not there."""
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return []
    return [line.split("|") for line in done.stdout.splitlines() if "|" in line]


def jobs(numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """State, reason, elapsed, limit, requested and peak memory of jobs by number.

    `squeue` tells what waits, runs or ended a moment ago; `sacct` (where accounting is on) what
    ended long ago, and `sstat` or `sacct` the peak memory.
    """
    wanted = sorted({int(n) for n in numbers})
    if not wanted:
        return {}
    listed = ",".join(map(str, wanted))
    form = "|".join(["%i", *_FIELDS.values()])
    found: dict[int, dict[str, Any]] = {}
    for row in _ask("squeue", "-h", "-t", "all", "-j", listed, "-o", form):
        if row[0].isdigit():
            found[int(row[0])] = {**dict(zip(_FIELDS, row[1:], strict=False)), "peak": None}
    fields = "JobID,State,Reason,Elapsed,Timelimit,ReqMem,MaxRSS"
    steps: dict[int, dict[str, str]] = {}
    for row in _ask("sacct", "-n", "-P", "-j", listed, "-o", fields):
        number, _, step = row[0].partition(".")
        if not number.isdigit():
            continue
        job = found.setdefault(int(number), {**dict.fromkeys(_FIELDS), "peak": None})
        if not step:
            job.update(zip(_FIELDS, row[1:6], strict=False))
        elif row[6]:
            steps.setdefault(int(number), {})[step] = row[6]
    for number, job in found.items():
        if job["state"] == "RUNNING" and number not in steps:
            rows = _ask("sstat", "-n", "-P", "-a", "-j", str(number), "-o", "JobID,MaxRSS")
            steps[number] = {row[0].partition(".")[2]: row[1] for row in rows if row[1]}
        job["peak"] = _peak(steps.get(number, {}))
    return found


def _peak(steps: dict[str, str]) -> str | None:
    """Peak memory of a job in KB of 2**10 bytes, as Slurm writes it, from those of its steps.

    The batch script runs beside all others, which follow one another.
    """
    inside = [_size(text) for name, text in steps.items() if name.isdigit()]
    beside = sum(_size(text) for name, text in steps.items() if not name.isdigit())
    return f"{(beside + max(inside, default=0)) / 1024:.0f}K" if steps else None


_OUT_OF_MEMORY = re.compile(r"oom[-_ ]kill|exceeded (job |step )?memory limit", re.IGNORECASE)
_TIMEOUT = re.compile(r"DUE TO TIME LIMIT")


def how_it_ended(number: int, log: str | None) -> dict[str, Any]:
    """Of a job that failed: its number, Slurm's state, peak memory, and Slurm's own last words.

    The steps of a job that uses too much are killed inside it, and squeue says only that the job
    `FAILED`: why stands in the log that Slurm writes.
    """
    told = jobs([number]).get(number, {})
    says = _words(log)
    state = told.get("state")
    if any(map(_OUT_OF_MEMORY.search, says)):
        state = "OUT_OF_MEMORY"
    elif any(map(_TIMEOUT.search, says)):
        state = "TIMEOUT"
    return {"slurm": number, "slurm_state": state, "slurm_says": says, "peak": told.get("peak")}


def _words(log: str | None) -> list[str]:
    """Slurm's lines at the end of a job's log, each once, the last three."""
    try:
        with Path(log or "").open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - 50_000))
            lines = handle.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return list(dict.fromkeys(line for line in lines if line.startswith("slurmstepd")))[-3:]


def _size(text: str) -> float:
    """Bytes of Slurm's `1234K`."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    try:
        return float(text.rstrip("KMGT")) * units.get(text[-1:], 1)
    except ValueError:
        return 0.0


def unfinished(numbers: Iterable[int], folder: Path) -> dict[int, str]:
    """State by number of those jobs that still wait or run, and were submitted in `folder`.

    The folder tells that a number has not come round again, to somebody else's job.
    """
    wanted = ",".join(str(n) for n in sorted({int(n) for n in numbers}))
    if not wanted:
        return {}
    found = {}
    for number, state, place in _ask("squeue", "-h", "-t", "all", "-j", wanted, "-o", "%i|%T|%Z"):
        if number.isdigit() and state not in _ENDED and Path(place) == folder:
            found[int(number)] = state
    return found


def cancel(numbers: Iterable[int]) -> None:
    """Cancel jobs; those that ended already are no error."""
    wanted = sorted({str(int(n)) for n in numbers})
    if wanted and shutil.which("scancel"):
        subprocess.run(["scancel", *wanted], capture_output=True, timeout=60, check=False)
