"""Memory, time and threads of a job, from what it handles.

The model in ``sizes.json`` is fitted by ``benchmarks/resources/run.py``, which keeps the measured
points beside it: for each stage, peak memory (MB, 2**20 bytes) and CPU seconds are sums of what a
process costs at all and of parts that grow with files, bytes, images, decoded bytes and the largest
plane. Requests are what the model says with a margin, and grow with each attempt.

Imported while the Snakefile is parsed: standard library only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from slidebox import deposit
from slidebox.config import Config
from slidebox.ingest import queue
from slidebox.ingest.paths import Stages, read_json

MODEL = Path(__file__).with_name("sizes.json")

FEATURES = {
    "mem_mb": ["1", "files", "largest plane, MB within the image budget"],
    "cpu_seconds": ["1", "files", "MB", "images", "decoded MB"],
}

MB = 1 << 20
EXPANSION = 3.0
"""Decoded bytes a stored byte, as long as no header has been read."""
PLANE = 256 * MB
"""Bytes that the largest plane is taken to have, as long as no header has been read."""
MARGIN = {"mem_mb": 1.5, "cpu_seconds": 4.0}
"""Requested over modelled: allocators, slower nodes, file systems that are waited for."""
LEAST = {"mem_mb": 500, "minutes": 10}
SNAKEMAKE = 400
"""MB that a cluster job needs beside the stage: the Snakemake that starts its steps and the one in
the step, each with Slurm's plugin (measured: 183 and 171 MB)."""
SECOND_THREAD = 500_000_000
"""Decoded bytes from which a second thread pays."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one job handles: counts, bytes as stored, bytes as decoded, largest plane in bytes."""

    files: int
    bytes: int
    images: int
    decoded: int
    plane: int
    budget: int = 512 * MB
    """Memory that one image may take (`images.memory` of the configuration), in bytes."""

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def guess(cls, config: Config, files: int, size: int, slices: int = 1) -> Load:
        """As long as no header was read: every file an image, as large as stored bytes allow."""
        size = -(-size // slices)
        images = min(files, -(-files // slices), 1 + size // 1000)
        decoded = int(size * EXPANSION)
        return cls(files, size, images, decoded, min(decoded, PLANE), config.images.memory)

    @classmethod
    def of_stages(cls, config: Config, item: queue.Item, stage: str, part: int | None = None):
        """The best that is known now: read dimensions when validation has ended, else a guess."""
        stages = Stages(config, item.accession, item.key)
        slices = queue.slices_of(item.key) if stage == "images" else 1
        if stage != "validate":
            try:
                read = _read(stages.load, stages.load.stat().st_mtime_ns)
                name = "all" if part is None else str(part)
                return cls(*read.get(name, _NOTHING), config.images.memory)
            except (OSError, ValueError, KeyError, TypeError):
                pass
        return cls.guess(config, item.files, item.bytes, slices)


_NOTHING = (0, 0, 0, 0, 0)


@lru_cache(maxsize=1024)
def _read(load: Path, mtime_ns: int) -> dict[str, list[int]]:
    """What `count` found. Asked for by each resource of each job: read once, until it changes."""
    return read_json(load)


def count(filesets: Iterable[dict[str, Any]]) -> dict[str, list[int]]:
    """Files, bytes, images, decoded bytes and largest plane: by slice (from 0), and of ``all``."""
    found: dict[str, list[int]] = {}
    for fileset in filesets:
        series = fileset["series"]
        counts = (len(fileset["files"]), fileset["bytes"], len(series))
        decoded, plane = sum(s["nbytes"] for s in series), max(map(_plane, series), default=0)
        for part in ("all", str(fileset["slice"])):
            sums = found.setdefault(part, list(_NOTHING))
            for i, number in enumerate((*counts, decoded)):
                sums[i] += number
            sums[4] = max(sums[4], plane)
    return found


def _plane(series: dict[str, Any]) -> int:
    """Bytes of one plane in y and x, all samples of a colour image included."""
    sides = dict(zip(series["axes"], series["shape"], strict=True))
    others = math.prod(n for axis, n in sides.items() if axis not in "yx")
    colours = sides.get("c", 1) if series.get("rgb") else 1
    return series["nbytes"] * colours // max(1, others)


def features(load: Load, what: str) -> list[float]:
    """The numbers that the coefficients of ``sizes.json`` belong to, in the order of FEATURES."""
    if what == "mem_mb":
        # A reader that knows no smaller part holds a plane; the pyramid keeps to its budget.
        return [1.0, load.files, min(load.plane, load.budget) / MB]
    return [1.0, load.files, load.bytes / MB, load.images, load.decoded / MB]


@cache
def model() -> dict[str, dict[str, list[float]]]:
    """Coefficients by stage and quantity."""
    return json.loads(MODEL.read_text(encoding="utf-8"))["model"]


def expected(stage: str, load: Load, what: str) -> float:
    """What the model says: peak memory in MB, or CPU seconds. `ingest` is all stages in one job."""
    pairs = zip(model()[stage][what], features(load, what), strict=True)
    return sum(weight * value for weight, value in pairs)


def threads(load: Load) -> int:
    """One for small jobs, which run side by side, two for large ones."""
    return 2 if load.decoded > SECOND_THREAD else 1


def memory_mb(stage: str, load: Load, attempt: int = 1) -> int:
    """Memory to ask for, in MB; twice as much with each further attempt."""
    # One process for all stages needs no less than any of them alone.
    within = model() if stage == "ingest" else (stage,)
    asked = max(expected(one, load, "mem_mb") for one in within) * MARGIN["mem_mb"] + SNAKEMAKE
    return max(LEAST["mem_mb"], _round(asked)) * 2 ** (attempt - 1)


def minutes(stage: str, load: Load, attempt: int = 1) -> int:
    """Time limit to ask for; twice as much with each further attempt."""
    asked = expected(stage, load, "cpu_seconds") * MARGIN["cpu_seconds"] / 60
    return max(LEAST["minutes"], math.ceil(asked)) * 2 ** (attempt - 1)


def _round(mb: float) -> int:
    """Up to the next hundred."""
    return math.ceil(mb / 100) * 100


def standing(config: Config, accession: str, key: str) -> queue.Item:
    """A submission as its header in the inbox tells it: what a job on another node can see."""
    try:
        _, header = deposit.read_header(config.inbox / accession)
    except OSError:
        header = None
    header = header or {"bytes": 0, "files": 0}
    return queue.Item(accession, key, header["bytes"], header["files"])
