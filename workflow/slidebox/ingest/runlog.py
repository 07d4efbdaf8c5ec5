"""What a run did: one JSON line an event, and a quiet console with a bar.

Snakemake logs through Python's logging, each record with an `event` and its facts; `attach` adds a
handler that keeps them. ``results/logs/runs/<start>-<process>.jsonl`` then has a line for the start
of the run, each job (submission, stage, threads, memory, minutes, attempt, Slurm's job id), what
failed and why, each warning, and the end. `jobs` reads the last one for `slidebox status`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from slidebox import __version__
from slidebox.config import Config
from slidebox.ingest import slurm
from slidebox.ingest.paths import now

KEPT = 100
"""Logs of runs that are kept; older ones are removed when a run begins."""

_SUBMITTED = re.compile(r"Job (\S+) has been submitted with SLURM jobid (\d+) \(log: (.*)\)")


def folder(config: Config) -> Path:
    return config.results / "logs" / "runs"


def attach(config: Config, logger: logging.Logger, pending: int, steps: int) -> RunLog:
    """Keep what `logger` says of this run; show people on standard error what they need of it.

    Snakemake's own words go on into its log under ``.snakemake/log``; on the console only its
    warnings and errors stay.
    """
    place = folder(config)
    place.mkdir(parents=True, exist_ok=True)
    for old in sorted(place.glob("*.jsonl"))[: -KEPT + 1]:
        old.unlink(missing_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.jsonl"
    for other in logger.handlers:
        if getattr(other, "stream", None) is sys.stderr:
            other.addFilter(_only_trouble)
    handler = RunLog(place / name, steps)
    handler.write(
        "run", submissions=pending, steps=steps, slidebox=__version__, host=socket.gethostname()
    )
    logger.addHandler(handler)
    return handler


def _event(record: logging.LogRecord) -> str:
    return str(getattr(record, "event", "") or "").rpartition(".")[2].lower()


_NO_TROUBLE = (
    "--keep-incomplete",  # our own setting
    # Slurm without accounts needs none; where one is needed, sbatch says so.
    "No SLURM account given",
    "No account was given",
    "Unable to guess SLURM account",
)


def _only_trouble(record: logging.LogRecord) -> bool:
    """Warnings and errors, but for failed jobs (`Console` tells of them) and what is no trouble."""
    if record.getMessage().startswith(_NO_TROUBLE):
        return False
    return record.levelno >= logging.WARNING and _event(record) not in ("job_error", "group_error")


class RunLog(logging.Handler):
    """Turns Snakemake's records into lines of JSON, and into progress for people."""

    def __init__(self, path: Path, steps: int):
        super().__init__(logging.INFO)
        self.path = path
        self.lines: IO[str] = path.open("a", encoding="utf-8", buffering=1)
        self.console = Console(sys.stderr, steps)
        self.groups: dict[str, list[Any]] = {}
        self.attempts: dict[str, int] = {}
        self.names: dict[str, str] = {}
        # Job -> Slurm's number of its last attempt, and the log that Slurm writes.
        self.sent: dict[int, tuple[int, str]] = {}
        self.told: set[int] = set()  # failed jobs that the console has told of

    def write(self, event: str, **facts: Any) -> None:
        """Add a line; a full disk must not end the run."""
        try:
            line = {"time": now(), "event": event, **facts}
            self.lines.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")
        except OSError:
            pass

    def emit(self, record: logging.LogRecord) -> None:
        if self.lines.closed:  # what Snakemake says after the end
            return
        try:
            self._take(record)
        except Exception:  # a log that fails must not end what it tells of
            self.handleError(record)

    def _take(self, record: logging.LogRecord) -> None:
        event = _event(record)
        if event == "job_info":
            self._started(record)
        elif event == "group_info":
            group = record.jobs and next(iter(record.jobs)).dag.get_job_group(
                next(iter(record.jobs))
            )
            self.groups[str(group.jobid)] = [job.jobid for job in group]
        elif event == "job_finished":
            self.write("finished", job=record.job_id)
        elif event == "job_error":
            self._failed(record)
        elif event == "progress":
            self.write("progress", done=record.done, total=record.total)
            self.console.progress(record.done, record.total)
        elif event == "group_error":
            self._group_failed(record)
        elif found := _SUBMITTED.search(record.getMessage() or ""):
            jobs = self.groups.get(found[1], [int(found[1])] if found[1].isdigit() else [])
            self.sent |= dict.fromkeys(jobs, (int(found[2]), found[3]))
            self.write("submitted", slurm=int(found[2]), jobs=jobs, log=found[3])
        elif record.levelno >= logging.WARNING:
            self.write(record.levelname.lower(), message=record.getMessage())

    def _group_failed(self, record: logging.LogRecord) -> None:
        """Members that had not begun, or were ended with the job, are told in one line."""
        members = record.job_error_info
        self.write("group failed", jobs=[one["jobid"] for one in members])
        left = [
            one["jobid"]
            for one in members
            if not _made(one["output"]) and not any(ended_badly(Path(str(p))) for p in one["log"])
        ]
        self.told.update(left)
        number, said_in = self.sent.get(left[0], (None, None)) if left else (None, None)
        if left:
            ended = slurm.how_it_ended(number, said_in) if number else {}
            names = ", ".join(sorted(self.names.get(str(job), str(job)) for job in left))
            self.console.failed(f"{names}{_of_slurm(ended)}", [], ended.get("slurm_says") or [])

    def _failed(self, record: logging.LogRecord) -> None:
        """Slurm is asked at once how it ended: it forgets within minutes.

        One bad submission fails the Slurm job that it shares with others, whose work is done and
        whole (`keep-incomplete` in the profile): they are no failures.
        """
        number, said_in = self.sent.pop(record.jobid, (None, None))
        if _made(record.output):
            self.write("finished", job=record.jobid)
            return
        ended = slurm.how_it_ended(number, said_in) if number else {}
        logs = [str(path) for path in record.log if str(path) != said_in]
        self.write("failed", job=record.jobid, stage=record.rule_name, logs=logs, **ended)
        if record.jobid in self.told:
            self.told.discard(record.jobid)
            return
        name = self.names.get(str(record.jobid), record.rule_name) + _of_slurm(ended)
        self.console.failed(name, [Path(path) for path in logs], ended.get("slurm_says") or [])

    def _started(self, record: logging.LogRecord) -> None:
        wildcards = dict(record.wildcards or {})
        job = str(record.jobid)
        self.attempts[job] = self.attempts.get(job, 0) + 1
        subject = wildcards.get("accession") or wildcards.get("slug")
        self.names[job] = " ".join(filter(None, (subject, record.rule_name)))
        known = dict(record.resources.items()) if record.resources else {}
        self.write(
            "started",
            job=record.jobid,
            stage=record.rule_name,
            **{k: wildcards[k] for k in ("accession", "key", "slice", "slug") if k in wildcards},
            threads=record.threads,
            memory_mb=known.get("mem_mb"),
            minutes=known.get("runtime"),
            attempt=self.attempts[job],
        )
        if record.rule_name != "all":
            self.console.started(record.rule_msg or record.rule_name)

    def end(self, well: bool) -> None:
        """The run's last line."""
        self.write("ended", well=well)
        self.console.close()
        self.lines.close()


class Console:
    """A bar on a terminal; a line a job elsewhere."""

    def __init__(self, stream: IO[str], steps: int):
        self.stream, self.bar, self.done, self.total = stream, None, 0, steps
        if stream.isatty():
            from rich.console import Console as Rich
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self.bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Rich(file=stream),
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.task = self.bar.add_task("planning", total=steps)
            self.bar.start()

    def started(self, message: str) -> None:
        if self.bar:
            self.bar.update(self.task, description=message[:60])
        else:
            width = len(str(self.total))
            self.say(f"[{self.done:{width}}/{self.total}] {message}")

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.bar:
            self.bar.update(self.task, completed=done, total=total)
        elif done == total:
            self.say(f"[{done}/{total}] done")

    def failed(self, name: str, logs: list[Path], says: list[str]) -> None:
        """Which job failed, what Slurm says of it, and the end of its log."""
        lines = [f"FAILED: {name}", *(f"    {line}" for line in says)]
        # A job of several stages has a log for each: what failed is where the traceback stands,
        # else in the one that was written last.
        logs = sorted((path for path in logs if _size(path)), key=lambda path: path.stat().st_mtime)
        for path in [path for path in logs if ended_badly(path)] or logs[-1:]:
            lines += [f"    {line}" for line in tail(path, 5)]
            lines.append(f"    all of it: {path}")
        self.say("\n".join(lines))

    def say(self, text: str) -> None:
        if self.bar:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        if self.bar:
            self.bar.stop()


def _made(output: Iterable[Any]) -> bool:
    """Whether all that a job was to write is there."""
    paths = [Path(str(path)) for path in output]
    return bool(paths) and all(path.exists() for path in paths)


def _of_slurm(ended: dict[str, Any]) -> str:
    """Slurm's number and state of a job, in brackets, where it was Slurm's."""
    if not ended:
        return ""
    return f" (Slurm job {ended['slurm']}: {ended['slurm_state'] or 'no longer known'})"


def _size(path: Path) -> int:
    """Bytes of a file, 0 when it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, however long it is; nothing when there is none."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - 20_000))
            return handle.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []


def ended_badly(path: Path) -> bool:
    """Whether a log ends in a traceback."""
    return any(line.startswith("Traceback") for line in tail(path, 200))


def last(config: Config) -> Iterator[dict[str, Any]]:
    """The lines of the run that began last."""
    paths = sorted(folder(config).glob("*.jsonl"))
    if paths:
        with paths[-1].open(encoding="utf-8") as handle:
            for line in handle:
                try:
                    yield json.loads(line)
                except ValueError:  # the last line of a run that was killed
                    return


def jobs(config: Config) -> dict[str, list[dict[str, Any]]]:
    """Jobs of the last run by accession: stage, slice, attempt, what was asked for, Slurm's id.

    `before` has the earlier attempts of the same stage, with what Slurm said when they failed.
    """
    found: dict[int, dict[str, Any]] = {}
    by_accession: dict[str, list[dict[str, Any]]] = {}
    for line in last(config):
        if line["event"] == "started" and "accession" in line:
            job = found[line["job"]] = {
                k: line.get(k)
                for k in ("stage", "slice", "attempt", "threads", "memory_mb", "minutes", "key")
            } | {"started": line["time"], "slurm": None, "state": "running"}
            mine = by_accession.setdefault(line["accession"], [])
            same = [j for j in mine if (j["stage"], j["slice"]) == (job["stage"], job["slice"])]
            job["before"] = [one for j in same for one in (*j.pop("before"), j)]
            mine[:] = [j for j in mine if j not in same] + [job]
        elif line["event"] == "submitted":
            for number in line["jobs"]:
                if number in found:
                    found[number].update(slurm=line["slurm"], slurm_log=line["log"])
        elif line["event"] in ("finished", "failed") and line["job"] in found:
            known = {k: line[k] for k in ("slurm_state", "slurm_says", "peak") if line.get(k)}
            found[line["job"]].update(known, state=line["event"], ended=line["time"])
    return by_accession
