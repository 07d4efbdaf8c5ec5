"""A challenge's own metrics: the organiser's Python, run in a process of its own, with limits."""

from __future__ import annotations

import json
import math
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


def _array(item: Item, value: Any) -> np.ndarray:
    """What a metric gets of truth or prediction: pixels, points, or the masks of all frames."""
    if not hasattr(value, "masks"):
        return whole(value)
    frames = [tifffile.imread(path) for path in value.masks]
    return np.stack(frames) if frames else np.zeros(item.shape, np.uint16)


def _tracks(value: Any) -> list[list[int]]:
    """Rows (label, begin, end, parent) of a tracking result."""
    return [[t.label, t.begin, t.end, t.parent] for t in value.tracks]


def run_custom(
    release: Release, custom: Any, item: Item, truth: np.ndarray, pred: np.ndarray
) -> float:
    """Run a challenge's own metric in a process of its own, on the file the release vouches for.

    NaN is an image that has no value, which no average counts.

    Raises
    ------
    Refused
        It raised, took too long or too much memory, or its value isn't a number in its range.
    """
    path = release.folder / "metrics" / custom.file
    if custom.sha256 and sha256_file(path) != custom.sha256:
        raise NotARelease(f"{path} isn't the file that challenge.yaml vouches for")

    def failed(what: str, mend: str) -> Refused:
        message = f"{custom.name} {what} on {item.id}"
        return Refused(error("METRIC_FAILED", message, f"metrics/{custom.file}", mend))

    with tempfile.TemporaryDirectory(prefix="slidebox-metric-") as folder:
        arrays = {"truth": _array(item, truth), "pred": _array(item, pred)}
        for name, array in arrays.items():
            np.save(Path(folder, f"{name}.npy"), array, allow_pickle=False)
        info = {"id": item.id, "axes": item.axes, "pixel_size": item.pixel_size}
        if hasattr(truth, "tracks"):
            info["tracks"] = {"truth": _tracks(truth), "prediction": _tracks(pred)}
        memory = MEMORY + sum(array.nbytes for array in arrays.values())
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-B", "-c", _CUSTOM, str(path.resolve()), custom.function,
                 json.dumps(info), str(memory)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                timeout=SECONDS, check=False, cwd=folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise failed(f"took more than {SECONDS} seconds", "make it faster") from None
        answer = Path(folder, "value")
        if done.returncode or not answer.is_file():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            why = last[0][:300] if last else f"ended with {done.returncode}"
            if why.startswith(("MemoryError", "numpy._core._exceptions._ArrayMemoryError")):
                why = f"more than {memory >> 20} MB of memory"
            raise failed(f"failed ({why})", f"mend {custom.function} in {custom.file}")
        value = float(answer.read_text("ascii"))
    low, high = sorted(custom.range)
    if not math.isnan(value) and not low - 1e-9 <= value <= high + 1e-9:
        raise failed(f"gives {value:g}, outside of its range {low:g} to {high:g}",
                     "give the range that it has, or mend it")  # fmt: skip
    return value


_CUSTOM = """
import importlib.util, json, sys
import numpy as np
path, function, info, memory = sys.argv[1:]
try:
    import resource
    with open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + int(memory)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
except (ImportError, OSError):
    pass  # no Linux: without a limit of memory
truth, pred = (np.load(f"{name}.npy", allow_pickle=False) for name in ("truth", "pred"))
spec = importlib.util.spec_from_file_location("custom_metric", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
value = getattr(module, function)(truth, pred, json.loads(info))
if value is None:
    raise ValueError(f"{function} returns nothing; it should return a number")
value = float(value)
with open("value", "w") as file:
    file.write(repr(value))
"""
