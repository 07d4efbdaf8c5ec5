"""Memory stays bounded however large the image is."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

_CHILD = """
import json, sys
from slidebox import images
derived = images.convert(sys.argv[1], sys.argv[2], memory=int(sys.argv[3]) << 20, threads=2)
# not ru_maxrss: that begins with what the process was forked from
status = open("/proc/self/status").read()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps([peak, derived.levels[0]["chunk"], len(derived.levels), derived.digest]))
"""


def convert(source, out, memory: int = 512):
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(source), str(out), str(memory)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def sparse(path, shape, dtype, axes, filled: int, **options) -> None:
    """A file of this size on paper: only ``filled`` of its planes or bands hold anything."""
    tifffile.imwrite(
        path, shape=shape, dtype=dtype, bigtiff=True, metadata={"axes": axes}, **options
    )
    data = tifffile.memmap(path)
    rng = np.random.default_rng(0)
    rows = data if axes[-1] == "S" else data.reshape(-1, shape[-1])
    step = rows.shape[0] // filled
    for n in range(filled):
        part = rows[n * step : n * step + 300]
        part[...] = rng.integers(0, 250, part.shape, dtype)
    data.flush()


def test_a_wide_colour_slide_in_bands(tmp_path):
    """100,000 pixels wide: a row of chunks is bounded by making chunks lower."""
    sparse(tmp_path / "a.ome.tif", (800, 100_000, 3), np.uint8, "YXS", 3, photometric="rgb")
    peak, chunk, levels, digest = convert(tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr")
    assert peak < 600
    assert levels == 10 and chunk[1] < 300
    assert digest["read"] == digest["stored"]


@pytest.mark.slow
def test_twenty_gibibytes_in_600_mb(tmp_path):
    sparse(tmp_path / "a.ome.tif", (2560, 2048, 2048), np.uint16, "ZYX", 40)
    assert (tmp_path / "a.ome.tif").stat().st_size > 20 << 30
    peak, _, levels, digest = convert(tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr")
    assert peak < 600
    assert levels == 4
    assert digest["read"] == digest["stored"]
