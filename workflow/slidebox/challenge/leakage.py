"""Leakage: nothing that is in one split may be seen in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from ..findings import Finding
from ..scoring.overlays import write_png
from ..scoring.release import sha256_file
from . import similar
from .release import Writer

PICTURES = 200
PLANES = 3  # of a stack or time-lapse: first, middle and last


def check(writer: Writer, tell: Callable[[str, int, int], None]) -> list[Finding]:
    """Pairs of images in two splits that are the same bytes, pixels or view; and groups that cross.

    A pair that a waiver names is reported as info, with the reason. Every pair found is drawn into
    the private folder's ``leakage/``: these pictures are for the organiser.
    """
    findings = _groups(writer)
    waived = {frozenset(w.images): w for w in writer.challenge.leakage.waivers}
    used: set[frozenset] = set()
    number = 0
    for a, b, what, picture in _pairs(writer, tell):
        key = frozenset((a["id"], b["id"]))
        if key in used:
            continue
        used.add(key)
        where = ""
        if picture is not None and number < PICTURES:
            number += 1
            name = f"leakage/{a['id']}~{b['id']}.png"
            write_png(writer.hidden / name, picture)
            where = f"; see {name} under private/"
        text = f"{a['id']} ({a['split']}) and {b['id']} ({b['split']}) {what}"
        if key in waived:
            findings.append(
                Finding("LEAKAGE_WAIVED", "info", f"{text}: {waived[key].reason}", a["source"],
                        field="leakage.waivers")
            )  # fmt: skip
        else:
            findings.append(
                Finding("LEAKAGE", "error", text + where, f"{a['accession']}/{a['source']}",
                        field="leakage", mend="put both into one group, leave one out, or waive "
                        "the pair with a reason")
            )  # fmt: skip
    known = {row["id"] for row in writer.rows}
    for pair in waived:
        if not pair <= known:
            findings.append(
                Finding("WAIVER_UNKNOWN", "warning", f"waives {sorted(pair)}, which aren't both in "
                        "this challenge", "challenge.yaml", field="leakage.waivers")
            )  # fmt: skip
    return findings


def _groups(writer: Writer) -> list[Finding]:
    splits: dict[str, set[str]] = {}
    for row in writer.rows:
        splits.setdefault(row["group"], set()).add(row["split"])
    return [
        Finding("GROUP_CROSSES", "error", f"group {name!r} is in {sorted(found)}",
                "challenge.yaml", field="splits.group_by")
        for name, found in sorted(splits.items()) if len(found) > 1
    ]  # fmt: skip


def _pairs(writer: Writer, tell) -> Iterator[tuple[dict, dict, str, np.ndarray | None]]:
    rows = writer.rows
    source = {p.id: p for p in writer.pairs}
    for what, key in (
        # Tiles of one file are told apart by their pixels alone
        ("are the same file", lambda r: "" if r["box"] else sha256_file(source[r["id"]].image_path)
         + r["series"]),
        ("have the same pixels", lambda r: r["pixels_sha256"]),
    ):  # fmt: skip
        seen: dict[str, list[dict]] = {}
        for row in rows:
            if digest := key(row):
                seen.setdefault(digest, []).append(row)
        for same in seen.values():
            for k, a in enumerate(same):
                for b in same[k + 1 :]:
                    if a["split"] != b["split"]:
                        yield a, b, what, None
    found, owner = [], []
    for done, row in enumerate(rows, 1):
        for plane in planes(writer.staging / row["image"]):
            found.append(similar.features(plane))
            owner.append(row)
        tell("looking for leakage", done, len(rows))
    order = {name: k for k, name in enumerate(writer.challenge.splits.rules)}
    for match in similar.find(found, [order[row["split"]] for row in owner]):
        a, b = owner[match.a], owner[match.b]
        turn = "mirrored, " if match.mirrored else ""
        what = (
            f"show the same ({turn}scale {match.scale:.2f}, correlation {match.correlation:.2f}, "
            f"{match.inliers} places agree)"
        )
        yield a, b, what, side_by_side(found[match.a], found[match.b], match)


def planes(path: Path) -> Iterator[np.ndarray]:
    """(y, x) planes of a released image that stand for it: channels averaged."""
    if path.is_dir() and path.suffix != ".zarr":
        frames = sorted(path.glob("t*.tif"))
        chosen = sorted({0, len(frames) // 2, len(frames) - 1})
        for k in chosen:
            array = tifffile.imread(frames[k])
            stack = array.reshape(-1, *array.shape[-2:])
            yield stack[len(stack) // 2]
        return
    if path.suffix == ".zarr":
        import zarr

        array = zarr.open(path, mode="r")["0"]
        stack = np.asarray(array[...]).reshape(-1, *array.shape[-2:])
        yield stack[len(stack) // 2]
        return
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        if series.axes.endswith("S"):
            yield series.asarray().mean(-1)
            return
        pages = len(tiff.pages)
        if "C" in series.axes and "Z" not in series.axes and "T" not in series.axes:
            yield np.mean([page.asarray().astype(np.float32) for page in tiff.pages], axis=0)
            return
        for k in sorted({0, pages // 2, pages - 1}) if pages > PLANES else range(pages):
            yield tiff.pages[k].asarray()


def side_by_side(a: similar.Features, b: similar.Features, match: similar.Match) -> np.ndarray:
    """Both previews and the second laid over the first, (y, 3 x, 3) uint8, enlarged."""
    grid = np.indices(a.preview.shape).reshape(2, -1)
    where = match.matrix[:, :2] @ grid + match.matrix[:, 2:]
    moved = ndimage.map_coordinates(b.preview, where, order=1, cval=b.preview.min())
    moved = moved.reshape(a.preview.shape)

    def grey(image: np.ndarray) -> np.ndarray:
        low, high = np.percentile(image, [1, 99.5])
        return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)

    one, two = grey(a.preview), grey(moved)
    other = np.zeros(one.shape, np.uint8)
    small = grey(b.preview)[: one.shape[0], : one.shape[1]]
    other[: small.shape[0], : small.shape[1]] = small
    merged = np.stack([one, two, two], -1)
    flat = np.hstack([np.repeat(x[..., None], 3, -1) for x in (one, other)] + [merged])
    return flat.repeat(2, 0).repeat(2, 1)
