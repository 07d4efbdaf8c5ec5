"""A challenge's own metrics: the organiser's Python, each evaluation in a process of its own, with
limits.

Where processes can be forked (Linux) a server for each metric has loaded what it imports, and forks
for each evaluation; elsewhere each evaluation starts Python anew. Both run `custom_process.py`.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from .arrays import whole
from .predictions import Refused, error
from .release import Item, NotARelease, Release, sha256_file

SECONDS = 600  # for one image
MEMORY = 8 << 30  # bytes beyond the two arrays
LOADING = 30  # seconds more for a server that loads libraries first
FORKS = sys.platform == "linux"  # Windows has no fork, and libraries of macOS don't bear one
PROCESS = Path(__file__).with_name("custom_process.py")


class OwnMetrics:
    """The own metrics of a release, for one image after another and side by side in threads.

    A context manager: its servers are started when there is something to do, and end with it.
    """

    def __init__(self, release: Release) -> None:
        self.release = release
        self._idle: dict[str, list[_Server]] = {c.file: [] for c in release.settings.custom}

    def __enter__(self) -> OwnMetrics:
        return self

    def __exit__(self, *_: object) -> None:
        for servers in self._idle.values():
            while servers:
                servers.pop().close()

    def measure(self, item: Item, truth: Any, pred: Any) -> dict[str, float]:
        """The value of each, by `custom:name`; NaN is one that no average counts.

        Raises
        ------
        Refused
            One raised, took too long or too much memory, or its value isn't a number in its range.
        NotARelease
            A file isn't the one that the release vouches for.
        """
        return {
            f"custom:{custom.name}": self._value(custom, item, truth, pred)
            for custom in self.release.settings.custom
        }

    def _value(self, custom: Any, item: Item, truth: Any, pred: Any) -> float:
        path = self.release.folder / "metrics" / custom.file
        if custom.sha256 and sha256_file(path) != custom.sha256:
            raise NotARelease(f"{path} isn't the file that challenge.yaml vouches for")

        def failed(what: str, mend: str) -> Refused:
            message = f"{custom.name} {what} on {item.id}"
            return Refused(error("METRIC_FAILED", message, f"metrics/{custom.file}", mend))

        with tempfile.TemporaryDirectory(prefix="slidebox-metric-") as name:
            folder = Path(name)
            memory = MEMORY + _write_job(folder, custom, item, truth, pred)
            ended = self._run(path.resolve(), folder)
            if ended == "late":
                raise failed(f"took more than {SECONDS} seconds", "make it faster")
            value = _number(folder / "value") if ended == "0" else None
            if value is None:
                why = _last_line(folder / "stderr") or f"ended with {ended}"
                if why.startswith(("MemoryError", "numpy._core._exceptions._ArrayMemoryError")):
                    why = f"more than {memory >> 20} MB of memory"
                raise failed(f"failed ({why})", f"mend {custom.function} in {custom.file}")
        low, high = sorted(custom.range)
        if not math.isnan(value) and not low - 1e-9 <= value <= high + 1e-9:
            raise failed(f"gives {value:g}, outside of its range {low:g} to {high:g}",
                         "give the range that it has, or mend it")  # fmt: skip
        return value

    def _run(self, path: Path, folder: Path) -> str:
        """Evaluate what is in a folder; "late" or the exit code."""
        if not FORKS:
            return _once(path, folder)
        idle = self._idle[path.name]
        try:
            server = idle.pop()
        except IndexError:
            server = _Server(path)
        try:
            ended = server.run(folder)
        except BaseException:
            server.close()
            raise
        if server.closed is None:
            idle.append(server)
        return ended


def _write_job(folder: Path, custom: Any, item: Item, truth: Any, pred: Any) -> int:
    """Write what an evaluation needs; bytes of its arrays."""
    arrays = {"truth": _array(item, truth), "pred": _array(item, pred)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    size = sum(array.nbytes for array in arrays.values())
    info = {"id": item.id, "axes": item.axes, "pixel_size": item.pixel_size}
    if hasattr(truth, "tracks"):
        info["tracks"] = {"truth": _tracks(truth), "prediction": _tracks(pred)}
    job = {"function": custom.function, "info": info, "memory": MEMORY + size}
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    return size


def _array(item: Item, value: Any) -> np.ndarray:
    """What a metric gets of truth or prediction: pixels, points, or the masks of all frames."""
    if not hasattr(value, "masks"):
        return whole(value)
    frames = [tifffile.imread(path) for path in value.masks]
    return np.stack(frames) if frames else np.zeros(item.shape, np.uint16)


def _tracks(value: Any) -> list[list[int]]:
    """Rows (label, begin, end, parent) of a tracking result."""
    return [[t.label, t.begin, t.end, t.parent] for t in value.tracks]


def _number(path: Path) -> float | None:
    """The number that a metric left; none where it left something else."""
    try:
        return float(path.read_text("ascii")) if path.is_file() else None
    except (OSError, ValueError):
        return None


def _last_line(path: Path) -> str:
    """The last that a metric wrote to stderr, up to 300 characters."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16384))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def _python(path: Path, *more: str) -> list[str]:
    return [sys.executable, "-I", "-B", str(PROCESS), str(path), *more]


def _environment() -> dict[str, str]:
    """One thread of linear algebra: sums don't depend on the cores of a machine, forks are safe."""
    return os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _once(path: Path, folder: Path) -> str:
    """Evaluate what is in a folder by Python started anew; "late" or the exit code."""
    with (folder / "stderr").open("wb") as log:
        try:
            done = subprocess.run(
                _python(path, str(folder)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=log, timeout=SECONDS, check=False, cwd=folder, env=_environment(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "late"
    return str(done.returncode)


class _Server:
    """A process that forks for each evaluation of one metric; one evaluation at a time."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            _python(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=_environment(),
        )  # fmt: skip

    @property
    def closed(self) -> int | None:
        """Its exit code, once it's gone."""
        return self._process.poll()

    def run(self, folder: Path) -> str:
        """Evaluate what is in a folder; "late" or the exit code, the server's own if it's gone."""
        import select  # Windows has no poll

        answer = select.poll()
        answer.register(self._process.stdout, select.POLLIN)
        job = {"folder": str(folder), "seconds": SECONDS}
        try:
            print(json.dumps(job), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return self.close()
        if not answer.poll(1000 * (SECONDS + LOADING)):  # it hangs in what it loads
            self._process.kill()
            self.close()
            return "late"
        return self._process.stdout.readline().strip() or self.close()

    def close(self) -> str:
        """End it; its exit code."""
        with self._process as process:
            try:
                process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
        return str(process.returncode)
