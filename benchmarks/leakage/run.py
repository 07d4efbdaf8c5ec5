"""How many planted duplicates are found, how many strangers are taken for one, how long it takes.

    python benchmarks/leakage/run.py FOLDERS... [--limit N] [--seed N] [--small] [--list]
    python benchmarks/leakage/run.py --scale 20000 [FOLDERS...]

FOLDERS hold micrographs in any format that Slidebox reads, each of one kind (its name is told with
what was missed). Large planes are cut into fields that don't overlap: they look alike and are not.
Each field is planted again in the ways of plants.py; stacks, time-lapses (also in files that a
number alone tells apart) and channels give their neighbours.
Duplicates are searched as a release does it: originals in one split, what was planted in another.
Pairs within one file or numbered series are no strangers, unless they are fields of one plane;
where other files show the same specimen, --list says so: it prints every pair of strangers, and
what was not found.
--small uses the previews that are used for more than 20,000 images.
--scale N cuts N images that differ out of FOLDERS (regions that don't overlap; when there are too
few, the same regions bent), or draws them, and says what features and search cost for N / 4 and N.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from fields import Field, fields
from plants import planted

from slidebox.challenge import keypoints, similar


def chosen(folders: list[Path], limit: int, seed: int) -> Iterator[tuple[str, Field]]:
    """(folder's name, field): at most `limit` of each folder, any of them."""
    for folder in folders:
        found = list(fields(folder))
        order = np.random.default_rng(seed).permutation(len(found))[:limit]
        yield from ((folder.name, found[k]) for k in sorted(order))


def views(field: Field, rng: np.random.Generator) -> Iterator[tuple[str, int, np.ndarray]]:
    """(kind, split, image): the field in split 0, its duplicates in split 1, and its neighbours."""
    if field.image.size:
        yield "original", 0, field.image
        for kind, copies in planted(field.image, rng).items():
            if len(copies) == 2:
                yield "other half", 0, copies[0]
            yield kind, 1, copies[-1]
    for kind, one, two in field.neighbours:
        yield "plane", 0, one
        yield kind, 1, two


def strangers(one: Field, two: Field) -> bool:
    return one.sample != two.sample or (bool(one.plane) and one.plane == two.plane)


def measure(given: argparse.Namespace) -> int:
    known = list(chosen(given.folders, given.limit, given.seed))
    kind, side, origin, made = [], [], [], []

    def look(number: int) -> tuple[list, float]:
        rng = np.random.default_rng([given.seed, number])
        shown = list(views(known[number][1], rng))
        begin = time.thread_time()
        found = [(what, split, similar.features(v, many=given.small)) for what, split, v in shown]
        return found, time.thread_time() - begin

    cost = 0.0
    with ThreadPoolExecutor(given.processes) as pool:
        for number, (found, spent) in enumerate(pool.map(look, range(len(known)))):
            cost += spent
            for what, split, feature in found:
                kind.append(what)
                side.append(split)
                origin.append(number)
                made.append(feature)
    begin = cpu_seconds()
    matches = similar.find(made, side, given.processes, many=given.small or None)
    searched = cpu_seconds() - begin
    hit: set[int] = set()
    wrong: Counter[tuple[int, int]] = Counter()
    for match in matches:
        a, b = sorted((match.a, match.b), key=lambda k: side[k])
        if origin[a] == origin[b]:
            hit.add(b)
        elif strangers(known[origin[a]][1], known[origin[b]][1]):
            wrong[min(origin[a], origin[b]), max(origin[a], origin[b])] += 1
    copies = [k for k in range(len(made)) if side[k]]
    empty = sum(field.empty for _, field in known)
    print(f"{len(known)} fields of {len(given.folders)} folders, {len(copies)} planted duplicates"
          + (f"; {empty} neighbours that show noise alone left out" if empty else ""))  # fmt: skip
    for what in dict.fromkeys(kind[k] for k in copies):
        mine = [k for k in copies if kind[k] == what]
        missed = Counter(known[origin[k]][0] for k in mine if k not in hit)
        where = ", ".join(f"{name} {times}" for name, times in missed.items())
        print(f"  {what:26} recall {np.mean([k in hit for k in mine]):6.3f} of {len(mine):4}"
              + (f"; missed in {where}" if where else ""))  # fmt: skip
    for name in dict.fromkeys(name for name, _ in known):
        mine = [k for k in copies if known[origin[k]][0] == name]
        print(f"  {name:26} recall {np.mean([k in hit for k in mine]) if mine else 0:6.3f} "
              f"of {len(mine):4}")  # fmt: skip
    pairs = sum(
        strangers(known[i][1], known[j][1]) for i in range(len(known)) for j in range(i)
    )  # fmt: skip
    print(f"  {len(wrong)} of {pairs} pairs of strangers taken for one; features "
          f"{1000 * cost / len(made):.1f} CPU ms a view, search "
          f"{1000 * searched / len(made):.1f}")  # fmt: skip
    if given.list:
        for (i, j), times in wrong.most_common():
            print(f"    {known[i][0]}/{known[i][1].name} ~ {known[j][0]}/{known[j][1].name} "
                  f"({times})")  # fmt: skip
        for k in copies:
            if k not in hit:
                print(f"    not found: {known[origin[k]][0]}/{known[origin[k]][1].name}, {kind[k]}")
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


def cut(folders: list[Path], limit: int) -> tuple[list[np.ndarray], list[tuple[int, int, int]]]:
    """Planes, and (plane, y, x) of TILE-sized regions of them that show something."""
    planes, tiles = [], []
    for _, field in chosen(folders, limit, 0):
        image = field.image
        if not image.size:
            continue
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
    planes, tiles = cut(given.folders, given.limit)
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
          "100,000 images on two cores; "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB at most")  # fmt: skip
    return 0


def cpu_seconds() -> float:
    """Of this process and of those it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("folders", type=Path, nargs="*")
    args.add_argument("--limit", type=int, default=60, help="fields of a folder")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--small", action="store_true")
    args.add_argument("--list", action="store_true")
    args.add_argument("--scale", type=int, default=0)
    args.add_argument("--processes", type=int, default=2)
    given = args.parse_args()
    return scale(given) if given.scale else measure(given)


if __name__ == "__main__":
    sys.exit(main())
