"""How many planted duplicates are found, how many strangers are taken for one, how long it takes.

    python benchmarks/leakage/run.py IMAGES [--scale N] [--limit N]

IMAGES is a folder of PNG or TIFF micrographs that show different things. Each is planted again:
turned, mirrored, rescaled, recompressed, as a shifted crop, brightened. A volume or time-lapse
(TIFF with several pages) gives neighbouring planes. --scale N repeats the search on the features of
N strangers for the time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from scipy import ndimage

from slidebox.challenge import similar


def load(path: Path) -> np.ndarray:
    array = (
        imagecodecs.png_decode(path.read_bytes())
        if path.suffix.lower() == ".png"
        else tifffile.imread(path)
    )
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        array = array[..., :3].mean(-1)
    return array


def planted(image: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Duplicates of a (y, x) image by kind."""
    height, width = image.shape
    h, w = int(height * 0.8), int(width * 0.8)
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    crop = image[y : y + h, x : x + w]
    low, high = float(image.min()), float(image.max())
    eight = ((image - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    jpeg = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(eight, level=50))
    return {
        "rotated 90": np.rot90(image, int(rng.integers(1, 4))),
        "flipped": image[:, ::-1] if rng.random() < 0.5 else image[::-1],
        "rescaled": ndimage.zoom(image.astype(np.float32), float(rng.uniform(0.6, 1.6)), order=1),
        "recompressed": jpeg,
        "noisy": image + rng.normal(0, 0.1 * image.std(), image.shape),
        "gamma": ((image - low) / max(high - low, 1e-9)) ** 0.6,
        "shifted crop": crop,
        "crop, turned": np.rot90(crop)[::-1],
    }


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("images", type=Path, nargs="+")
    args.add_argument("--scale", type=int, default=0)
    args.add_argument("--limit", type=int, default=200)
    given = args.parse_args()
    rng = np.random.default_rng(0)
    paths = sorted(
        p for folder in given.images for p in folder.rglob("*")
        if p.suffix.lower() in (".png", ".tif", ".tiff") and "label" not in str(p).lower()
        and "mask" not in str(p).lower()
    )[: given.limit]  # fmt: skip
    images, kinds, origin = [], [], []
    for number, path in enumerate(paths):
        image = load(path)
        if image.ndim > 2:
            planes = image.reshape(-1, *image.shape[-2:])
            middle = len(planes) // 2
            image = planes[middle]
            if middle + 1 < len(planes):
                images.append(planes[middle + 1])
                kinds.append("neighbouring plane")
                origin.append(number)
        image = image.astype(np.float32)
        images.append(image)
        kinds.append("original")
        origin.append(number)
        for kind, copy in planted(image, rng).items():
            images.append(copy)
            kinds.append(kind)
            origin.append(number)
    begin = time.process_time()
    found = [similar.features(image) for image in images]
    made = time.process_time() - begin
    print(f"{len(paths)} images, {len(images)} with what was planted")
    originals = [k for k, kind in enumerate(kinds) if kind == "original"]
    recalls, searched, alarms = [], 0.0, set()
    for wanted in dict.fromkeys(k for k in kinds if k != "original"):
        chosen = originals + [k for k, kind in enumerate(kinds) if kind == wanted]
        begin = time.process_time()
        matches = similar.find([found[k] for k in chosen])
        searched += time.process_time() - begin
        pairs = {(origin[chosen[m.a]], origin[chosen[m.b]]) for m in matches}
        planted_here = [origin[k] for k in chosen[len(originals) :]]
        hit = [any((o, o) == pair for pair in pairs) for o in planted_here]
        recalls += hit
        strangers = {pair for pair in pairs if pair[0] != pair[1]}
        alarms |= {tuple(sorted(pair)) for pair in strangers}
        of_images = len({k for pair in strangers for k in pair}) / len(originals)
        print(f"  {wanted:20} recall {np.mean(hit):6.3f} of {len(hit)}; "
              f"images taken for another {of_images:.4f}")  # fmt: skip
    possible = len(paths) * (len(paths) - 1) / 2
    print(f"  all {np.mean(recalls):.3f}; {len(alarms)} of {possible:.0f} pairs of other images "
          f"({len(alarms) / possible:.5f})")  # fmt: skip
    for a, b in sorted(alarms):
        print(f"    {paths[a].parent.name}/{paths[a].name} ~ {paths[b].name}")
    print(f"  features {1000 * made / len(images):.1f} CPU ms an image, searches {searched:.2f} s")
    if given.scale:
        base = [f for f, kind in zip(found, kinds, strict=True) if kind == "original"]
        many = []
        for k in range(given.scale):
            f = base[k % len(base)]
            # Strangers: descriptors moved so far that they are no duplicates
            noise = rng.normal(0, 0.12, f.descriptors.shape).astype(np.float32)
            many.append(similar.Features(f.preview, f.points, f.scale, f.descriptors + noise))
        begin = time.process_time()
        proposed = similar.propose(many)
        print(f"  proposing among {given.scale}: {time.process_time() - begin:.1f} CPU s, "
              f"{len(proposed)} pairs")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
