"""Is a derived image still what its source says? Asked right after writing, or years later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import xxhash

from ..findings import Finding
from . import seal
from .model import ImageFile, UnreadableImage
from .opening import open_image
from .store import StoredImage, digest_of

_MOST = 20  # planes that are named one by one


def verify(
    zarr: Path | str,
    source: Path | str | ImageFile | None = None,
    series: int = 0,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Compare an OME-Zarr image that Slidebox wrote with its source, pixel for pixel.

    All of level 0 is decoded again. Without a ``source`` it is only compared with the digest that
    was kept when it was written, and so are its label images always. Lower levels, metadata and
    what stands beside them are held to the checksums that were kept (see ``seal``). An empty list
    means that all is as it was.

    Codes: IMAGE_INCOMPLETE, IMAGE_DAMAGED, IMAGE_CHANGED, IMAGE_DIFFERS, IMAGE_DIGEST,
    IMAGE_UNREADABLE.
    """
    zarr = Path(zarr)
    try:
        stored = StoredImage(zarr)
        kept = stored.attributes["slidebox"]["digest"]
        changed = seal.broken(zarr)
    except (OSError, ValueError, KeyError, IndexError) as error:
        return [
            Finding(
                "IMAGE_INCOMPLETE",
                "error",
                f"not a complete image of Slidebox: {type(error).__name__}: {error}",
                file=str(zarr),
                mend="Derive it again from its source (slidebox convert, slidebox rederive).",
            )
        ]
    labels = _labels(stored, zarr) + changed
    if source is None:
        return _stored_alone(stored, kept, zarr, progress) + labels
    try:
        opened = nullcontext(source) if isinstance(source, ImageFile) else open_image(source)
        with opened as file:
            if not 0 <= series < len(file.series):
                raise UnreadableImage(f"there is no series {series}", file=file.path)
            return _against(stored, kept, zarr, file.series[series], progress) + labels
    except UnreadableImage as error:
        return [Finding("IMAGE_UNREADABLE", "error", str(error), file=error.file)]


def _labels(stored: StoredImage, zarr: Path) -> list[Finding]:
    """What became of the label images since they were written."""
    findings = []
    for label in stored.attributes["slidebox"].get("labels") or []:
        where = zarr / "labels" / label["name"]
        try:
            findings += _stored_alone(StoredImage(where), label["digest"], where, None)
        except (OSError, ValueError, KeyError, IndexError) as error:
            findings.append(_damaged(where, {}, error))
    return findings


def _against(stored: StoredImage, kept: dict, zarr: Path, series, progress) -> list[Finding]:
    level = stored.levels[0]
    shape = tuple(series.size(a) for a in "tczyx")
    if shape != level.shape or series.dtype != level.dtype:
        return [
            Finding(
                "IMAGE_DIFFERS",
                "error",
                f"stored are {level.shape} (t, c, z, y, x) {level.dtype}, "
                f"the source has {shape} {series.dtype}",
                file=str(zarr),
            )
        ]
    findings: list[Finding] = []
    digests: dict[tuple[int, int, int], bytes] = {}
    planes = [
        (t, g, z)
        for t in range(shape[0])
        for g in range(shape[1] // series.samples)
        for z in range(shape[2])
    ]
    differing = 0
    tall = level.level.chunk[3]
    step = shape[3] if series.rows is None or shape[3] * shape[4] < 1 << 24 else tall * 4
    for done, (t, group, z) in enumerate(planes):
        hashes = [xxhash.xxh3_128() for _ in range(series.samples)]
        wrong = set()
        for y0 in range(0, shape[3], step):
            band = series.read_samples(t, group, z, y0, min(shape[3], y0 + step))
            for row in range(y0 // tall, -(-min(shape[3], y0 + step) // tall)):
                for s in range(series.samples):
                    c = group * series.samples + s
                    try:
                        there = level.rows(t, c, z, row)
                    except (OSError, ValueError) as error:
                        findings.append(_damaged(zarr, {"t": t, "c": c, "z": z}, error))
                        wrong.add(c)
                        continue
                    here = band[s, row * tall - y0 : row * tall - y0 + there.shape[0]]
                    hashes[s].update(np.ascontiguousarray(there).view(np.uint8).reshape(-1))
                    if c not in wrong and not _same(there, here):
                        wrong.add(c)
                        differing += 1
                        if differing <= _MOST:
                            count = int(np.count_nonzero(there != here))
                            findings.append(_differs(zarr, (t, c, z), count, row * tall))
        for s in range(series.samples):
            digests[t, group * series.samples + s, z] = hashes[s].digest()
        if progress:
            progress(done + 1, len(planes))
    if differing > _MOST:
        findings.append(
            Finding(
                "IMAGE_DIFFERS", "error", f"{differing - _MOST} more planes differ", file=str(zarr)
            )
        )
    return findings or _digest(digests, kept, zarr)


def _stored_alone(stored: StoredImage, kept: dict, zarr: Path, progress) -> list[Finding]:
    level, digests, findings = stored.levels[0], {}, []
    planes = stored.planes()
    for done, (t, c, z) in enumerate(planes):
        try:
            digests[t, c, z] = level.digest(t, c, z)
        except (OSError, ValueError) as error:
            findings.append(_damaged(zarr, {"t": t, "c": c, "z": z}, error))
        if progress:
            progress(done + 1, len(planes))
    return findings[:_MOST] or _digest(digests, kept, zarr)


def _digest(digests: dict, kept: dict, zarr: Path) -> list[Finding]:
    found = digest_of(digests)
    if found == kept["read"]:
        return []
    return [
        Finding(
            "IMAGE_DIGEST",
            "error",
            f"the pixels have digest {found}, at writing it was {kept['read']}",
            file=str(zarr),
            mend="Derive it again from its source.",
        )
    ]


def _differs(zarr: Path, plane: tuple[int, int, int], count: int, row: int) -> Finding:
    t, c, z = plane
    return Finding(
        "IMAGE_DIFFERS",
        "error",
        f"plane t={t} c={c} z={z} isn't the source's: {count} pixels from row {row} on differ",
        file=str(zarr),
        mend="Derive it again, and audit the archive's copy of the source.",
    )


def _damaged(zarr: Path, plane: dict[str, int], error: Exception) -> Finding:
    where = " ".join(("plane", *(f"{k}={v}" for k, v in plane.items()))) if plane else "it"
    return Finding(
        "IMAGE_DAMAGED",
        "error",
        f"{where} can't be read: {type(error).__name__}: {error}",
        file=str(zarr),
        mend="Derive it again from its source.",
    )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind in "fc":
        a, b = np.ascontiguousarray(a).view(np.uint8), np.ascontiguousarray(b).view(np.uint8)
    return bool(np.array_equal(a, b))
