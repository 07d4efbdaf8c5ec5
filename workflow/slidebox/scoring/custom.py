"""A challenge's own metrics: the organiser's Python, run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import whole
from .predictions import Refused, error
from .release import Item, NotARelease, Release, sha256_file


def run_custom(
    release: Release, custom: Any, item: Item, truth: np.ndarray, pred: np.ndarray
) -> float:
    """Run a challenge's own metric in a process of its own, on the file the release vouches for."""
    path = release.folder / "metrics" / custom.file
    if custom.sha256 and sha256_file(path) != custom.sha256:
        raise NotARelease(f"{path} isn't the file that challenge.yaml vouches for")
    with tempfile.TemporaryDirectory(prefix="slidebox-metric-") as folder:
        np.save(Path(folder, "truth.npy"), whole(truth), allow_pickle=False)
        np.save(Path(folder, "pred.npy"), whole(pred), allow_pickle=False)
        info = {"id": item.id, "axes": item.axes, "pixel_size": item.pixel_size}
        done = subprocess.run(
            [sys.executable, "-c", _CUSTOM, str(path), custom.function, folder, json.dumps(info)],
            capture_output=True, text=True, timeout=600, check=False, cwd=folder,
        )  # fmt: skip
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise Refused(
            error("METRIC_FAILED", f"{custom.name} failed on {item.id}: {last[0][:300]}", item.id)
        )
    return float(done.stdout.strip().splitlines()[-1])


_CUSTOM = """
import importlib.util, json, sys
import numpy as np
path, function, folder, info = sys.argv[1:]
spec = importlib.util.spec_from_file_location("custom_metric", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
load = lambda name: np.load(f"{folder}/{name}.npy", allow_pickle=False)
print(float(getattr(module, function)(load("truth"), load("pred"), json.loads(info))))
"""
