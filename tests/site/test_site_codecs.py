"""The viewer's own decoders give back what numcodecs and zstd encoded."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess

import numpy as np
import pytest

SCRIPT = """
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { unblosc, unlz4 } from "./src/codecs.js";
const cases = JSON.parse(readFileSync(process.argv[2]));
for (const { name, path, kind, size } of cases) {
  const bytes = new Uint8Array(readFileSync(path));
  const plain = () => unlz4(bytes.subarray(4), new Uint8Array(size));
  const out = kind === "lz4" ? plain() : await unblosc(bytes);
  console.log(JSON.stringify([name, createHash("sha256").update(out).digest("hex")]));
}
"""


def arrays():
    """Noise, a smooth picture and constants, in sizes that fill blocks and that don't."""
    rng = np.random.default_rng(7)
    for dtype, count in itertools.product(["u1", "<u2", "<f4", "<f8"], [1, 1000, 300001]):
        smooth = np.sin(np.arange(count) / 50) * 100 + 120 + rng.normal(0, 2, count)
        yield f"{dtype}-{count}", smooth.astype(dtype)
    yield "noise", rng.integers(0, 2**16, 50000, dtype=np.uint16)
    yield "zeros", np.zeros(100_000, np.uint32)


def test_decoders_against_numcodecs(viewer_build, tmp_path):
    blosc = pytest.importorskip("numcodecs.blosc")
    from numcodecs.lz4 import LZ4

    cases, wanted = [], {}

    def add(name: str, kind: str, encoded: bytes, array: np.ndarray) -> None:
        path = tmp_path / f"{len(cases)}.bin"
        path.write_bytes(encoded)
        cases.append({"name": name, "path": str(path), "kind": kind, "size": array.nbytes})
        wanted[name] = hashlib.sha256(array.tobytes()).hexdigest()

    for label, array in arrays():
        for codec, shuffle in itertools.product(["zstd", "lz4", "zlib"], [0, 1, 2]):
            for block in (0, 131072):
                encoder = blosc.Blosc(cname=codec, clevel=5, shuffle=shuffle, blocksize=block)
                name = f"{label}/{codec}/{shuffle}/{block}"
                add(name, "blosc", bytes(encoder.encode(array)), array)
        add(f"{label}/plain-lz4", "lz4", bytes(LZ4().encode(array)), array)
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (viewer_build / "decode.mjs").write_text(SCRIPT)
    done = subprocess.run(
        ["node", "decode.mjs", str(tmp_path / "cases.json")],
        cwd=viewer_build,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    got = dict(json.loads(line) for line in done.stdout.splitlines())
    assert [n for n in wanted if got.get(n) != wanted[n]] == []
