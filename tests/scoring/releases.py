"""Small releases on disk for tests of the scorer, one a task, without an archive."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import tifffile
import yaml

COLUMNS = ["id", "split", "group", "image", "truth", "axes", "shape", "pixel_size"]


def write_release(
    folder: Path, task: str, items: dict[str, dict], *, hidden: tuple = (), private=None, **scoring
) -> Path:
    """A release of items: id -> {split, group, image, truth, axes, pixel_size}."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, secret = [], []
    for which, item in items.items():
        truth, split = item["truth"], item.get("split", "train")
        axes = item.get("axes", "zyx"[-truth.ndim :] if hasattr(truth, "ndim") else "yx")
        root = private if split in hidden else folder
        name = f"labels/{which}" if split in hidden else f"{split}/labels/{which}"
        shape = item.get("shape") or truth.shape
        if task == "tracking":
            name += "_GT"
            write_tracking(root / name / "TRA", truth, item["tracks"], "man_track")
            if item.get("seg", True):
                write_tracking(root / name / "SEG", truth, None, "man_seg")
        elif task == "points":
            name += ".csv"
            write_points(root / name, truth, axes)
        else:
            name += ".tif"
            write_labels(root / name, truth)
        image = item.get("image", np.zeros(shape, np.uint8))
        image_name = f"{split}/images/{which}.tif"
        write_labels(folder / image_name, image)
        rows.append(
            {"id": which, "split": split, "group": item.get("group", which), "image": image_name,
             "truth": "" if split in hidden else name, "axes": axes,
             "shape": "x".join(map(str, shape)), "pixel_size": item.get("pixel_size", "")}
        )  # fmt: skip
        if split in hidden:
            secret.append({"id": which, "split": split, "truth": name, "sha256": ""})
    with (folder / "splits.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    if private is not None:
        with (private / "truth.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, ["id", "split", "truth", "sha256"])
            writer.writeheader()
            writer.writerows(secret)
    scoring = {"bootstrap": {"resamples": 200}} | scoring
    (folder / "challenge.yaml").write_text(
        yaml.safe_dump(
            {"slug": "test", "version": "1.0.0", "title": "A test", "task": task,
             "hidden": list(hidden), "scoring": scoring}
        )
    )  # fmt: skip
    return folder


def write_labels(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, labels, compression="zlib", photometric="minisblack", metadata=None)
    return path


def write_points(path: Path, points, axes: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(axes)] + [",".join(map(repr, map(float, p))) for p in points]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_tracking(folder: Path, frames: np.ndarray, tracks, prefix: str) -> Path:
    """Masks of frames (t, y, x), and tracks as four columns when given."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(frames):
        write_labels(folder / f"{prefix}{t:03d}.tif", frame)
    if tracks is not None:
        name = "res_track.txt" if prefix == "mask" else "man_track.txt"
        (folder / name).write_text("".join(" ".join(map(str, t)) + "\n" for t in tracks))
    return folder


def random_labels(rng: np.random.Generator, shape: tuple, count: int, radius: float = 5.0):
    """Overlapping discs (balls) at random places, uint16; later ones are under earlier ones."""
    labels = np.zeros(shape, np.uint16)
    grid = np.indices(shape)
    for label in range(1, count + 1):
        centre = [rng.uniform(0, n) for n in shape]
        size = rng.uniform(0.4, 1.4) * radius
        inside = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < size * size
        labels[inside & (labels == 0)] = label
    return labels


def perturbed(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """A prediction of labels: shifted, objects dropped, merged, cut, renumbered, added."""
    out = np.roll(labels, tuple(rng.integers(-2, 3, labels.ndim)), tuple(range(labels.ndim))).copy()
    ids = np.unique(out)[1:]
    for label in ids:
        action = rng.random()
        where = out == label
        if action < 0.1:
            out[where] = 0
        elif action < 0.2 and ids.size > 1:
            out[where] = rng.choice(ids)
        elif action < 0.35:
            cut = np.argwhere(where)
            half = cut[: len(cut) // 2]
            out[tuple(half.T)] = 1000 + label
    if rng.random() < 0.5:
        corner = tuple(slice(0, 4) for _ in labels.shape)
        out[corner] = 2000
    lut = np.concatenate([[0], 1 + rng.permutation(int(out.max()))]).astype(np.uint16)
    return lut[out]


def random_lineage(rng: np.random.Generator, frames: int = 8, size: int = 48, cells: int = 4):
    """Frames (t, y, x) of moving, dividing squares, and their tracks, with consistent labels."""
    masks = np.zeros((frames, size, size), np.uint16)
    tracks: list[list[int]] = []
    living: list[dict] = []

    def born(y: float, x: float, t: int, parent: int) -> None:
        tracks.append([len(tracks) + 1, t, t, parent])
        living.append({"y": y, "x": x, "label": len(tracks)})

    for _ in range(cells):
        born(*rng.uniform(6, size - 6, 2), 0, 0)
    for t in range(frames):
        for cell in list(living):
            if t and rng.random() < 0.12 and len(tracks) < 40:
                living.remove(cell)
                for side in (-5, 5):
                    born(cell["y"], cell["x"] + side, t, cell["label"])
            elif t and rng.random() < 0.05:
                living.remove(cell)
        for cell in list(living):
            cell["y"] = float(np.clip(cell["y"] + rng.normal(0, 1), 4, size - 4))
            cell["x"] = float(np.clip(cell["x"] + rng.normal(0, 1), 4, size - 4))
            y, x = round(cell["y"]), round(cell["x"])
            box = masks[t, y - 3 : y + 4, x - 3 : x + 4]
            box[box == 0] = cell["label"]
    return consistent(masks, tracks)


def consistent(masks: np.ndarray, tracks: list) -> tuple[np.ndarray, list[tuple]]:
    """Tracks as the masks have them: gaps begin a new track, what vanished is left out."""
    parent = {row[0]: row[3] for row in tracks}
    seen: dict[int, list[int]] = {}
    for t, frame in enumerate(masks):
        for label in np.unique(frame)[1:].tolist():
            seen.setdefault(label, []).append(t)
    rows, highest = [], max([*seen, 0])
    for label, times in sorted(seen.items()):
        runs = np.split(times, np.flatnonzero(np.diff(times) > 1) + 1)
        for k, run in enumerate(runs):
            name = label
            if k:
                highest += 1
                name = highest
                for t in run:
                    masks[t][masks[t] == label] = name
            rows.append([name, int(run[0]), int(run[-1]), 0 if k else parent.get(label, 0)])
    ends = {row[0]: row[2] for row in rows}
    for row in rows:
        if row[3] and ends.get(row[3], row[1]) >= row[1]:
            row[3] = 0
    return masks, [tuple(row) for row in rows]


def perturbed_lineage(rng: np.random.Generator, masks: np.ndarray, tracks: list):
    """A result: objects dropped, tracks cut, swapped, merged; links lost or invented."""
    out = masks.copy()
    rows = [list(row) for row in tracks]
    for row in rows:
        if rng.random() < 0.15 and row[2] > row[1]:  # cut a track in two
            cut = int(rng.integers(row[1] + 1, row[2] + 1))
            new = max(r[0] for r in rows) + 1
            for t in range(cut, row[2] + 1):
                out[t][out[t] == row[0]] = new
            rows.append([new, cut, row[2], int(rng.choice([0, row[0]]))])
        elif rng.random() < 0.1:
            row[3] = 0
    for t in range(len(out)):
        for label in np.unique(out[t])[1:]:
            chance = rng.random()
            if chance < 0.04:
                out[t][out[t] == label] = 0
            elif chance < 0.07:
                out[t][out[t] == label] = rng.choice(np.unique(out[t])[1:])
    out = np.roll(out, int(rng.integers(-1, 2)), 2)
    return consistent(out, rows)
