"""How many planted duplicates are found, how many strangers are taken for one, how long it takes.

    python benchmarks/leakage/run.py IMAGES... [--limit N] [--small] [--list]
    python benchmarks/leakage/run.py --scale 20000 [IMAGES...]

IMAGES are folders of micrographs in any format that Slidebox reads; files that show the same
specimen should not be among them (or be known: --list prints every pair of strangers, and what was
not found). Each image is planted again in each of the ways below; stacks, time-lapses and channels
give their neighbours.
Duplicates are searched as a release does it: originals in one split, what was planted in another.
--small uses the previews that are used for more than 20,000 images.
--scale N cuts N images that differ out of IMAGES (regions that don't overlap; when there are too
few, the same regions bent), or draws them, and says what features and search cost for N / 4 and N.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import imagecodecs
import numpy as np

from slidebox.challenge import keypoints, similar
from slidebox.images import UnreadableImage, can_read, open_image


def load(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """The middle plane of a file's first image, and other planes of it by kind."""
    with open_image(path) as file:
        image = file.series[0]
        axes, shape = image.axes[:-2], image.shape[:-2]
        if min(image.shape[-2:]) < 32:
            return None
        at = {a: 0 if a == "c" else n // 2 for a, n in zip(axes, shape, strict=True)}

        def plane(**moved: int) -> np.ndarray:
            index = tuple((at | moved)[a] for a in axes)
            return np.asarray(image.read(index, 0, image.shape[-2]), np.float32)

        if image.rgb:
            return np.mean([plane(c=c) for c in range(min(3, shape[axes.index("c")]))], 0), {}
        more = {}
        for axis, name in (("z", "next z"), ("t", "next t")):
            size = dict(zip(axes, shape, strict=True)).get(axis, 1)
            if at.get(axis, 0) + 1 < size:
                more[name] = plane(**{axis: at[axis] + 1})
        if "c" in axes and shape[axes.index("c")] > 1:
            more["another channel"] = plane(c=1)
        return plane(), more


def planted(image: np.ndarray, rng: np.random.Generator) -> dict[str, tuple]:
    """Duplicates of a (y, x) image by kind; a pair of images where both sides are new."""
    height, width = image.shape
    low, high = float(image.min()), float(image.max())
    unit = (image - low) / max(high - low, 1e-9)

    def crop(share: float) -> np.ndarray:
        h, w = int(height * share), int(width * share)
        y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        return image[y : y + h, x : x + w]

    factor = float(rng.uniform(0.5, 1.6))
    size = (max(32, round(width * factor)), max(32, round(height * factor)))
    eight = (unit * 255).astype(np.uint8)
    jpeg = imagecodecs.jpeg8_encode(eight, level=int(rng.integers(30, 80)))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(5, 85)), 1)
    dy, dx = int(height * rng.uniform(0.1, 0.3)), int(width * rng.uniform(0.1, 0.3))
    return {
        "same pixels": image.copy(),
        "rotated by 90 degrees": np.rot90(image, int(rng.integers(1, 4))),
        "flipped": image[:, ::-1] if rng.random() < 0.5 else image[::-1],
        "rotated by any angle": cv2.warpAffine(
            image, turn, (width, height), borderMode=cv2.BORDER_REFLECT
        ),
        "rescaled": cv2.resize(image, size, interpolation=cv2.INTER_AREA),
        "recompressed JPEG": imagecodecs.jpeg8_decode(jpeg).astype(np.float32),
        "noisy": image + rng.normal(0, 0.1 * image.std(), image.shape),
        "brightness, gamma": unit ** float(rng.uniform(0.5, 2)),
        "inverted contrast": 1 - unit,
        "another exposure": np.clip(unit * rng.uniform(1.2, 2), 0, 1)
        + rng.normal(0, 0.01, image.shape),
        "crop of 80 %": crop(0.8),
        "crop of 60 %": crop(0.6),
        "crop, turned and flipped": np.rot90(crop(0.7))[::-1],
        "shifted crops": (image[: height - dy, : width - dx], image[dy:, dx:]),
    }


def files(folders: list[Path]) -> list[Path]:
    """All files of folders, those of labels and masks aside."""
    return sorted(
        p for folder in folders for p in (folder.rglob("*") if folder.is_dir() else [folder])
        if p.is_file() and not {"label", "mask"} & set(str(p).lower().replace("s/", "/").split("/"))
    )  # fmt: skip


def measure(given: argparse.Namespace) -> int:
    rng = np.random.default_rng(0)
    views: list[np.ndarray] = []
    kind, origin, side, names = [], [], [], []

    def add(image: np.ndarray, what: str, split: int) -> None:
        views.append(image)
        kind.append(what)
        origin.append(len(names) - 1)
        side.append(split)

    for path in files(given.images):
        if len(names) >= given.limit or not can_read(path):
            continue
        try:
            loaded = load(path)
        except (UnreadableImage, OSError):
            continue
        if loaded is None or not loaded[0].std():
            continue
        names.append(path.name)
        add(loaded[0], "original", 0)
        for what, copy in {**planted(loaded[0], rng), **loaded[1]}.items():
            if isinstance(copy, tuple):
                add(copy[0], "other half", 0)
            add(copy[-1] if isinstance(copy, tuple) else copy, what, 1)
    begin = time.process_time()
    found = [similar.features(view, many=given.small) for view in views]
    made, begin = time.process_time() - begin, time.process_time()
    matches = similar.find(found, side, many=given.small or None)
    searched = time.process_time() - begin
    hit: set[int] = set()
    strangers: Counter[tuple[str, str]] = Counter()
    wrong: set[int] = set()
    for match in matches:
        a, b = sorted((match.a, match.b), key=lambda k: side[k])
        if origin[a] == origin[b]:
            hit.add(b)
        else:
            wrong.add(b)
            strangers[tuple(sorted((names[origin[a]], names[origin[b]])))] += 1
    print(f"{len(names)} images, {sum(side)} planted duplicates")
    for what in dict.fromkeys(k for k, s in zip(kind, side, strict=True) if s):
        chosen = [k for k, w in enumerate(kind) if w == what]
        print(f"  {what:26} recall {np.mean([k in hit for k in chosen]):6.3f} of {len(chosen):4}; "
              f"taken for another image {np.mean([k in wrong for k in chosen]):.4f}")  # fmt: skip
    print(f"  all                        recall {len(hit) / sum(side):6.3f}; taken for another "
          f"image {len(wrong) / sum(side):.4f}")  # fmt: skip
    print(f"  {len(strangers)} of {len(names) * (len(names) - 1) // 2} pairs of images; "
          f"features {1000 * made / len(views):.1f} CPU ms an image, search "
          f"{1000 * searched / len(views):.1f}")  # fmt: skip
    for (a, b), times in strangers.most_common() if given.list else []:
        print(f"    {a} ~ {b} ({times})")
    for k in range(len(views)) if given.list else []:
        if side[k] and k not in hit:
            print(f"    not found: {names[origin[k]]}, {kind[k]}")
    return 0


def drawn(number: int) -> np.ndarray:
    """A (128, 128) picture of cells on uneven ground that no other number has."""
    rng = np.random.default_rng(number)
    out = np.zeros((128, 128), np.float32)
    radius = rng.uniform(3, 14)
    for _ in range(int(rng.integers(8, 50))):
        centre = tuple(int(v) for v in rng.integers(0, 128, 2))
        axes = tuple(max(2, int(v)) for v in rng.normal(radius, radius / 4, 2))
        bright = float(rng.uniform(0.3, 1))
        cv2.ellipse(out, centre, axes, float(rng.uniform(0, 180)), 0, 360, bright, -1)
    ground = cv2.GaussianBlur(rng.normal(0, 1, out.shape).astype(np.float32), (0, 0), 6)
    grain = cv2.GaussianBlur(rng.normal(0, 1, out.shape).astype(np.float32), (0, 0), 1.2)
    out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.7, 2)))
    return out * (1 + grain) + 2 * ground + rng.normal(0, 0.02, out.shape).astype(np.float32)


TILE = 128


def cut(paths: list[Path], limit: int) -> tuple[list[np.ndarray], list[tuple[int, int, int]]]:
    """Planes, and (plane, y, x) of TILE-sized regions of them that show something."""
    planes, tiles = [], []
    for path in paths:
        if len(planes) >= limit or not can_read(path):
            continue
        try:
            loaded = load(path)
        except (UnreadableImage, OSError):
            continue
        if loaded is None:
            continue
        image = loaded[0]
        least = 0.2 * image.std()
        planes.append(image)
        for y in range(0, image.shape[0] - TILE + 1, TILE):
            for x in range(0, image.shape[1] - TILE + 1, TILE):
                if image[y : y + TILE, x : x + TILE].std() > least > 0:
                    tiles.append((len(planes) - 1, y, x))
    order = np.random.default_rng(0).permutation(len(tiles))
    return planes, [tiles[k] for k in order]


def bent(image: np.ndarray, number: int) -> np.ndarray:
    """A (y, x) image pulled about as no turn, mirror or scale does."""
    rng = np.random.default_rng(number)
    y, x = np.indices(image.shape, np.float32)
    for k, at in enumerate((x, y)):
        pull = cv2.GaussianBlur(rng.normal(0, 1, image.shape).astype(np.float32), (0, 0), 14)
        at += (6 + 6 * k) * pull / pull.std()
    return cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def scale(given: argparse.Namespace) -> int:
    """Features and search of many images that differ, at a quarter of the number and at all."""
    count = given.scale
    many = given.small or count > keypoints.MANY
    planes, tiles = cut(files(given.images), given.limit)
    if tiles:
        print(f"{len(tiles)} regions of {TILE} pixels of {len(planes)} images; "
              f"{max(0, count - len(tiles))} of {count} are such a region bent")  # fmt: skip
    cost = np.zeros(count)

    def one(number: int) -> similar.Features:
        # Every thousandth is the one before, turned: they must be found
        image = picture(number) if number % 1000 else np.rot90(picture(number + 1))
        start = time.thread_time()
        made = similar.features(image, many=many)
        cost[number] = time.thread_time() - start
        return made

    def picture(number: int) -> np.ndarray:
        if not tiles:
            return drawn(number)
        again, at = divmod(number, len(tiles))
        plane, y, x = tiles[at]
        image = planes[plane][y : y + TILE, x : x + TILE]
        return bent(image, number) if again else image

    begin = time.perf_counter()
    with ThreadPoolExecutor(given.processes) as pool:
        found = list(pool.map(one, range(count)))
    print(f"features: {1000 * cost.mean():.2f} CPU ms an image; images made and looked at in "
          f"{time.perf_counter() - begin:.0f} s, {np.mean([len(f.points) for f in found]):.0f} "
          "keypoints each")  # fmt: skip
    for part in (count // 4, count):
        begin, cpu = time.perf_counter(), cpu_seconds()
        matches = similar.find(found[:part], processes=given.processes, many=many)
        cpu = cpu_seconds() - cpu
        planned = sum(m.b == m.a + 1 and m.a % 1000 == 0 for m in matches)
        print(f"search of {part}: {1000 * cpu / part:.2f} CPU ms an image, "
              f"{time.perf_counter() - begin:.0f} s on {given.processes}; {len(matches)} matches, "
              f"{planned} of {len(range(0, part, 1000))} planted")  # fmt: skip
    both = 1000 * cost.mean() + 1000 * cpu / count
    print(f"both: {both:.2f} CPU ms an image, {both * 100_000 / 60_000 / 2:.1f} minutes for "
          "100,000 images on two cores")  # fmt: skip
    return 0


def cpu_seconds() -> float:
    """Of this process and of those it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("images", type=Path, nargs="*")
    args.add_argument("--limit", type=int, default=500)
    args.add_argument("--small", action="store_true")
    args.add_argument("--list", action="store_true")
    args.add_argument("--scale", type=int, default=0)
    args.add_argument("--processes", type=int, default=2)
    given = args.parse_args()
    return scale(given) if given.scale else measure(given)


if __name__ == "__main__":
    sys.exit(main())
