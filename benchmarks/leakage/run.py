"""How many planted duplicates are found, how many strangers are taken for one, how long it takes.

    python benchmarks/leakage/run.py IMAGES... [--limit N] [--small] [--list]
    python benchmarks/leakage/run.py --scale 100000

IMAGES are folders of micrographs in any format that Slidebox reads; files that show the same
specimen should not be among them (or be known: --list prints every pair of strangers). Each image
is planted again in each of the ways below; stacks, time-lapses and channels give their neighbours.
Duplicates are searched as a release does it: originals in one split, what was planted in another.
--small uses the previews that are used for more than 20,000 images.
--scale N draws N images of cells, searches all of them for duplicates and says how long it took.
"""

from __future__ import annotations

import argparse
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


def measure(given: argparse.Namespace) -> int:
    rng = np.random.default_rng(0)
    paths = sorted(
        p for folder in given.images for p in (folder.rglob("*") if folder.is_dir() else [folder])
        if p.is_file() and not {"label", "mask"} & set(str(p).lower().replace("s/", "/").split("/"))
    )  # fmt: skip
    views: list[np.ndarray] = []
    kind, origin, side, names = [], [], [], []

    def add(image: np.ndarray, what: str, split: int) -> None:
        views.append(image)
        kind.append(what)
        origin.append(len(names) - 1)
        side.append(split)

    for path in paths:
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


def scale(count: int, processes: int, small: bool) -> int:
    begin = time.perf_counter()
    many = small or count > keypoints.MANY
    cost = [0.0]

    def one(number: int) -> similar.Features:
        # Every thousandth is the one before, turned: they must be found
        image = drawn(number) if number % 1000 else np.rot90(drawn(number + 1))
        start = time.thread_time()
        made = similar.features(image, many=many)
        cost[0] += time.thread_time() - start
        return made

    with ThreadPoolExecutor(processes) as pool:
        found = list(pool.map(one, range(count)))
    print(f"features of {count} images: {cost[0]:.0f} CPU s ({1000 * cost[0] / count:.1f} ms "
          f"each); drawn and made in {time.perf_counter() - begin:.0f} s")  # fmt: skip
    begin, cpu = time.perf_counter(), time.process_time()
    pairs = similar.propose(found, many=many)
    print(f"proposals: {len(pairs)} pairs in {time.process_time() - cpu:.0f} CPU s")
    matches = similar.find(found, processes=processes, many=many)
    spent = time.perf_counter() - begin
    planned = sum(m.b == m.a + 1 and m.a % 1000 == 0 for m in matches)
    print(f"search twice proposed, once verified: {spent:.0f} s on {processes}; {len(matches)} "
          f"matches, {planned} of {len(range(0, count, 1000))} planted")  # fmt: skip
    return 0


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("images", type=Path, nargs="*")
    args.add_argument("--limit", type=int, default=500)
    args.add_argument("--small", action="store_true")
    args.add_argument("--list", action="store_true")
    args.add_argument("--scale", type=int, default=0)
    args.add_argument("--processes", type=int, default=2)
    given = args.parse_args()
    return scale(given.scale, given.processes, given.small) if given.scale else measure(given)


if __name__ == "__main__":
    sys.exit(main())
