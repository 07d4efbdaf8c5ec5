"""Which codec and level for which pixels: measured on real files, chunk by chunk.

    python benchmarks/convert/choose_codec.py FOLDER [FOLDER ...] [--only KIND] [--blocks]

Opens every image below the folders, takes a few planes of each, cuts them into chunks as a
conversion does, and compresses these with each candidate. Ratios are means over files (a large file
counts as much as a small one, volumes by their bytes would say what one microscope makes); speeds
are bytes before compression a CPU second of one thread. ``cost`` is the seconds to compress and
decompress 1 GB, as a proven conversion does.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slidebox import images
from slidebox.images.plan import Recipe, make_plan
from slidebox.images.shards import Codec

PLANES = 4  # of one file
LABELS = r"label|mask|man_track|man_seg|TRA/|SEG/|images_ndn|images_nsn|example_output"

CANDIDATES = [
    ("lz4", 1, "bitshuffle"),
    ("lz4", 5, "bitshuffle"),
    ("zstd", 1, "noshuffle"),
    ("zstd", 1, "shuffle"),
    ("zstd", 1, "bitshuffle"),
    ("zstd", 2, "bitshuffle"),
    ("zstd", 3, "noshuffle"),
    ("zstd", 3, "shuffle"),
    ("zstd", 3, "bitshuffle"),
    ("zstd", 5, "bitshuffle"),
]
BLOCKS = [1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 0]


@dataclass
class Pixels:
    """Chunks of one kind of pixels, by file."""

    files: list[list[np.ndarray]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(chunk.nbytes for chunks in self.files for chunk in chunks)


def collect(folders: list[Path], labels: re.Pattern) -> dict[str, Pixels]:
    kinds: dict[str, Pixels] = {}
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and images.can_read(p)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    with images.open_image(path) as file:
                        for series in file.series[:2]:
                            if series.nbytes > 4 << 30:
                                continue
                            kind = _kind(path, series, labels)
                            chunks = _chunks(series)
                            if chunks:
                                kinds.setdefault(kind, Pixels()).files.append(chunks)
            except images.UnreadableImage:
                continue
    return kinds


def _kind(path: Path, series, labels: re.Pattern) -> str:
    if series.rgb:
        return f"RGB {series.dtype.name}"
    if labels.search(path.as_posix()) and series.dtype.kind in "biu":
        return "labels"
    return series.dtype.name


def _chunks(series) -> list[np.ndarray]:
    plan = make_plan(series, Recipe(), 512 << 20)
    tall, wide = plan.levels[0].chunk[3:]
    places = [
        (t, c, z)
        for t in range(series.size("t"))
        for c in range(series.size("c") // series.samples)
        for z in range(series.size("z"))
    ]
    found = []
    for t, c, z in places[:: max(1, math.ceil(len(places) / PLANES))]:
        for plane in series.read_samples(t, c, z):
            for y in range(0, plane.shape[0], tall):
                for x in range(0, plane.shape[1], wide):
                    part = plane[y : y + tall, x : x + wide].copy()  # the file is closed soon
                    if part.any():
                        found.append(part)
    return found


def measure(pixels: Pixels, name: str, level: int, shuffle: str, block: int) -> dict[str, float]:
    """Ratio (mean over files) and speeds in MB a CPU second, best of three rounds."""
    codecs = {
        dtype: Codec(dtype, Recipe(compressor=name, level=level, shuffle=shuffle, blocksize=block))
        for dtype in {c.dtype for chunks in pixels.files for c in chunks}
    }
    flat = [(codecs[c.dtype], c) for chunks in pixels.files for c in chunks]
    best = {"encode": math.inf, "decode": math.inf}
    stored: list[bytes] = []
    for _ in range(3):
        began = time.process_time()
        stored = [codec.encode(chunk) for codec, chunk in flat]
        middle = time.process_time()
        for (codec, chunk), data in zip(flat, stored, strict=True):
            codec.decode(data, chunk.shape)
        end = time.process_time()
        best["encode"] = min(best["encode"], middle - began)
        best["decode"] = min(best["decode"], end - middle)
    at, logs = 0, []
    for chunks in pixels.files:
        size = sum(len(data) for data in stored[at : at + len(chunks)])
        logs.append(math.log(sum(c.nbytes for c in chunks) / size))
        at += len(chunks)
    total = pixels.nbytes / 1e6
    return {
        "ratio": math.exp(sum(logs) / len(logs)),
        "total": total * 1e6 / sum(map(len, stored)),
        "encode": total / best["encode"],
        "decode": total / best["decode"],
        "cost": (best["encode"] + best["decode"]) / total * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--labels", default=LABELS, help="paths of label images (a regex)")
    parser.add_argument("--only", help="one kind of pixels, e.g. uint16")
    parser.add_argument("--blocks", action="store_true", help="compare block sizes too")
    args = parser.parse_args()
    kinds = collect(args.folders, re.compile(args.labels))
    if not kinds:
        sys.exit("no image was found in these folders")
    block = Recipe().blocksize
    runs = [(*candidate, block) for candidate in CANDIDATES]
    if args.blocks:
        runs += [("zstd", 1, "shuffle", size) for size in BLOCKS if size != block]
    for kind, pixels in sorted(kinds.items()):
        if args.only not in (None, kind):
            continue
        print(f"\n{kind}: {len(pixels.files)} images, {pixels.nbytes / 1e6:.0f} MB\n")
        print("| codec | ratio, mean of files | of all bytes | in MB/s | out MB/s | s/GB both |")
        print("|---|---|---|---|---|---|")
        for name, level, shuffle, size in runs:
            m = measure(pixels, name, level, shuffle, size)
            label = f"{name}-{level} {shuffle}" + (f" {size >> 10}K" if size != block else "")
            print(
                f"| {label} | {m['ratio']:.3f} | {m['total']:.3f} | {m['encode']:.0f} | "
                f"{m['decode']:.0f} | {m['cost']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
