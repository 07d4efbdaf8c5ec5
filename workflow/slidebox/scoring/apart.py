"""Scoring what strangers handed in: each entry in a process of its own, with limits.

A server process loads the scorer once, then forks for each entry, so that an entry that takes all
memory, all time or the interpreter down takes nothing but itself. POSIX only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from ..atomic import write_json
from ..findings import Finding
from . import run
from .tasks import TASKS

ANSWER, LOG, SCRATCH = ".answer.json", "scoring.log", ".scratch"


class Apart:
    """Scores entries one after the other, each apart; a context manager.

    memory : bytes that an entry may use beyond the scorer itself.
    seconds : time that it may take.
    """

    def __init__(self, memory: int, seconds: float) -> None:
        self.memory, self.seconds = memory, seconds
        self._server: subprocess.Popen | None = None

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stdin.close()
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server.stdout.close()
            self._server = None

    def score(
        self, release: Path, predictions: Path, split: str, out: Path, private: Path | None,
        threads: int = 1,
    ) -> tuple[list[Finding], dict[str, Any] | None]:  # fmt: skip
        """Findings and scores, as `run.score` has them; `out` gets its files and a log."""
        if self._server is None or self._server.poll() is not None:
            # The server is started when there is something to score, which often there isn't
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        job = {
            "release": str(release.resolve()), "predictions": str(predictions.resolve()),
            "split": split, "out": str(out.resolve()),
            "private": str(private.resolve()) if private else None,
            "threads": threads, "memory": self.memory, "seconds": self.seconds,
        }  # fmt: skip
        try:
            print(json.dumps(job), file=self._server.stdin, flush=True)
            ended = self._server.stdout.readline().strip()
        except BrokenPipeError:
            ended = ""
        answer = out / ANSWER
        try:
            if ended == "0":
                said = json.loads(answer.read_text("utf-8"))
                return [Finding(**f) for f in said["findings"]], said["scores"]
            return [_why(ended, self)], None
        finally:
            answer.unlink(missing_ok=True)
            shutil.rmtree(out / SCRATCH, ignore_errors=True)


def _why(ended: str, limits: Apart) -> Finding:
    mend = "the organiser finds the details in the log"
    if ended == "late":
        return Finding("SCORING_TIME", "error",
                       f"took more than {limits.seconds:g} seconds", mend=mend)  # fmt: skip
    if ended in ("memory", str(-signal.SIGKILL)):
        return Finding("SCORING_MEMORY", "error",
                       f"needed more than {limits.memory >> 20} MB of memory",
                       mend="hand in label images of the images' size")  # fmt: skip
    return Finding("SCORING_FAILED", "error", "scoring failed" + (
        f": ended by signal {ended[1:]}" if ended.startswith("-") else ""), mend=mend)  # fmt: skip


def serve() -> None:
    """The server: a job a line on stdin, how it ended a line on stdout."""
    for name in ("cli", *TASKS.values()):  # loaded before the forks
        import_module(f".{name}", __package__)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            _child(job)
        print(_wait(child, job["seconds"]), flush=True)


def _wait(child: int, seconds: float) -> str:
    """How a child ended; its whole group is gone afterwards."""
    end = time.monotonic() + seconds
    pause = 0.005
    late = False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if late := late or time.monotonic() > end:
            _kill(child)
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
    _kill(child)
    code = os.waitstatus_to_exitcode(status)
    return "late" if late else "memory" if code == 77 else str(code)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _child(job: dict[str, Any]) -> None:
    """Score one entry under limits and leave; never returns."""
    code = 1
    try:
        os.setsid()
        out = Path(job["out"])
        log = os.open(out / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        scratch = out / SCRATCH
        scratch.mkdir()
        os.environ["TMPDIR"] = str(scratch)
        import tempfile

        tempfile.tempdir = str(scratch)
        limit(job["memory"], job["seconds"] * (job["threads"] + 1))
        made = run.score(
            job["release"], Path(job["predictions"]), job["split"], out,
            private=job["private"], threads=job["threads"],
        )  # fmt: skip
        write_json(out / ANSWER, {"findings": [f.to_dict() for f in made.findings],
                                  "scores": made.scores})  # fmt: skip
        code = 0
    except MemoryError:
        code = 77
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def limit(memory: int, seconds: float) -> None:
    """Limits of this process: memory beyond what it has, CPU time, and no core files."""
    has = 0
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        has = pages * resource.getpagesize()
    for what, value in (
        (resource.RLIMIT_AS, has + memory),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))


if __name__ == "__main__":
    serve()
