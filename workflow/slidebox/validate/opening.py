"""Open images in children with limits, so that no file can hurt the archive.

A child is started once and serves many files. One that takes too long, too much memory, or dies
costs a finding for its file and a new child, nothing else. What the machine does to a child (none
can be started, the disk fails under it) is no finding: it ends the work as an `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .settings import Settings

MAX_ANSWER = 64 << 20
_START_SECONDS = 120
# So many times its seconds a child gets that does not use them: the machine is busy, or slept.
_STARVED = 10
# Bio-Formats within the limits: Java reserves 2 GB of addresses more than it needs.
_JAVA = (
    "-XX:CompressedClassSpaceSize=64m -XX:ReservedCodeCacheSize=64m -XX:-UsePerfData "
    "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
)
_WORKER = Path(__file__).with_name("worker.py")


class _Gone(Exception):
    """The child gave no answer: why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Child:
    """One process that opens images, started when first asked."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.process: subprocess.Popen | None = None
        self.network = self.files = ""
        self.served = 0
        self._buffer = b""

    def _start(self) -> None:
        read, write = os.pipe()
        keep = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
        environment = {k: os.environ[k] for k in keep if k in os.environ}
        environment |= {
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TIFFFILE_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "JAVA_TOOL_OPTIONS": _JAVA,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                str(_WORKER),
                str(write),
                str(self.settings.memory),
                str(self.folder.resolve()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(write,),
            env=environment,
            start_new_session=True,
        )
        os.close(write)
        self._answers = read
        self._buffer = b""
        self.served = 0
        try:
            told = self._line(_START_SECONDS)
        except _Gone as gone:  # no file was named yet
            reason = str(gone).replace("made the reader crash", "ended at once")
            raise OSError(
                errno.EAGAIN, f"the process that opens images can't be started here: it {reason}"
            ) from None
        self.network, self.files = told["network"], told["files"]

    def _line(self, seconds: float) -> dict[str, Any]:
        begun, spent, rounds = time.monotonic(), self._cpu(), 1
        while b"\n" not in self._buffer:
            left = begun + rounds * seconds - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                rounds += 1
                if rounds > _STARVED or self._cpu() - spent > seconds / 2:
                    raise _Gone("IMAGE_TIMEOUT", f"took longer than {seconds:.0f} s")
                continue
            block = os.read(self._answers, 1 << 16)
            if not block:
                code = self.process.wait()
                if code == -signal.SIGXCPU:
                    raise _Gone("IMAGE_TIMEOUT", f"took more than {seconds:.0f} s of CPU")
                if code in (-signal.SIGKILL,):
                    raise _Gone("IMAGE_MEMORY", "was stopped by the system, for lack of memory")
                raise _Gone("IMAGE_CRASH", f"made the reader crash (exit {code})")
            self._buffer += block
            if len(self._buffer) > MAX_ANSWER:
                raise _Gone("IMAGE_BOMB", "says more about itself than is taken")
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def _cpu(self) -> float:
        """CPU seconds that the child and what it started (a Java machine) have taken."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                rest = path.read_text().rpartition(")")[2].split()
                if int(rest[3]) == self.process.pid:  # its session
                    ticks += int(rest[11]) + int(rest[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for its answer, which always has ``problems``.

        A file is blamed for a crash or for lack of memory only when a second, fresh child says so
        too: neither what an earlier file left behind nor a child that was killed is its fault.
        """
        answer = self._ask(request, seconds)
        again = {"IMAGE_CRASH", "IMAGE_MEMORY"}
        if any(code in again for code, _ in answer["problems"]):
            self.close()
            answer = self._ask(request, seconds)
        return answer

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            if self.process is None or self.process.poll() is not None:
                self.close()
                self._start()
            self.served += 1
            line = json.dumps({**request, "cpu": seconds}).encode() + b"\n"
            self.process.stdin.write(line)
            self.process.stdin.flush()
            answer = self._line(seconds)
        except _Gone as gone:
            self.close()
            return {"problems": [[gone.code, str(gone)]]}
        except BrokenPipeError:
            self.close()
            return {"problems": [["IMAGE_CRASH", "made the reader crash"]]}
        if number := answer.get("machine"):
            raise OSError(number, os.strerror(number), request.get("path"))
        if any(code == "IMAGE_MEMORY" for code, _ in answer["problems"]):
            self.close()  # what it holds on to would be the next file's loss
        return answer

    def close(self) -> None:
        """End the process and all that it may have started."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        os.close(self._answers)
        self.process = None


class Children:
    """A pool of children, started as they are needed; close it, or use it in a ``with`` block."""

    def __init__(self, folder: Path, settings: Settings, threads: int = 1) -> None:
        self.folder, self.settings, self.threads = folder, settings, max(threads, 1)
        self._all = [Child(folder, settings) for _ in range(self.threads)]
        self._free: queue.LifoQueue[Child] = queue.LifoQueue()
        for child in reversed(self._all):
            self._free.put(child)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *exc: object) -> None:
        for child in self._all:
            child.close()

    @property
    def confined(self) -> dict[str, str]:
        """What kept network and files from the children; empty when none was started."""
        child = next((c for c in self._all if c.network), None)
        return {"network": child.network, "files": child.files} if child else {}

    def group(
        self, paths: list[str]
    ) -> tuple[list[tuple[str, list[str], str | None]], list[list[str]]]:
        """(primary, files, format or None) of all files, and what went wrong.

        When the child fails, each file is its own and known by its name only.
        """
        seconds = self.settings.seconds + 0.02 * len(paths)
        answer = self._ask({"folder": str(self.folder), "paths": paths}, seconds)
        if "groups" not in answer:
            from ..images import can_read

            return [(p, [p], can_read(self.folder / p)) for p in paths], answer["problems"]
        return [(p, files, fmt) for p, files, fmt in answer["groups"]], answer["problems"]

    def inspect(
        self,
        paths: Iterable[tuple[str, int]],
        *,
        deep: bool = False,
        patterns: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (path, what :func:`slidebox.validate.worker.inspect` says) for (path, bytes).

        ``patterns`` says of a path that it leads a sequence, and of which pattern.
        """
        stopped = threading.Event()

        def one(item: tuple[str, int]) -> tuple[str, dict[str, Any]]:
            path, size = item
            if stopped.is_set():
                return path, {"problems": []}
            seconds = self.settings.seconds
            if deep:
                seconds += self.settings.deep_seconds_per_gb * size / 1e9
            request = {
                "path": str(self.folder / path),
                "deep": deep,
                "inflation": self.settings.inflation,
                "bytes": size,
            }
            if path in patterns:
                request["pattern"] = str(self.folder / patterns[path])
            return path, self._ask(request, seconds)

        with ThreadPoolExecutor(self.threads) as pool:
            try:
                yield from pool.map(one, paths)
            finally:
                stopped.set()

    def header(self, path: str) -> dict[str, Any]:
        """``problems`` and ``scope`` of a file without a reader, from its header alone."""
        request = {"path": str(self.folder / path), "header": True}
        return self._ask(request, self.settings.seconds)

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        child = self._free.get()
        try:
            return child.ask(request, seconds)
        finally:
            self._free.put(child)
