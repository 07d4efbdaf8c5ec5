"""Duplicates as people make them: one function a kind."""

from __future__ import annotations

import cv2
import imagecodecs
import numpy as np

EMPTY = 0.2  # standard deviation, of the field's, of a part that shows hardly anything
TRIES = 30


def planted(image: np.ndarray, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, ...]]:
    """Duplicates of a (y, x) image by kind; two images where both sides are new.

    Crops are taken where they show something, and what two crops share does; a kind that finds no
    such place is left out.
    """
    height, width = image.shape
    low, high = float(image.min()), float(image.max())
    unit = ((image - low) / max(high - low, 1e-9)).astype(np.float32)

    def corner(share: float, of: np.ndarray) -> tuple[slice, slice] | None:
        h, w = int(of.shape[0] * share), int(of.shape[1] * share)
        for _ in range(TRIES):
            y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(of.shape, (h, w), strict=True))
            if of[y : y + h, x : x + w].std() > EMPTY * image.std():
                return slice(y, y + h), slice(x, x + w)
        return None

    def crop(share: float, of: np.ndarray = image) -> np.ndarray | None:
        at = corner(share, of)
        return None if at is None else of[at]

    def scaled(of: np.ndarray, least: float, most: float) -> np.ndarray:
        factor = float(2 ** rng.uniform(np.log2(least), np.log2(most)))
        size = [max(32, round(n * factor)) for n in of.shape[::-1]]
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        return cv2.resize(of, size, interpolation=how)

    def jpeg(of: np.ndarray, least: int = 30, most: int = 96) -> np.ndarray:
        eight = (np.clip(of, 0, 1) * 255).astype(np.uint8)
        return imagecodecs.jpeg8_decode(
            imagecodecs.jpeg8_encode(eight, level=int(rng.integers(least, most)))
        ).astype(np.float32)

    def turned(of: np.ndarray, border: int) -> np.ndarray:
        h, w = of.shape
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), float(rng.uniform(5, 355)), 1)
        return cv2.warpAffine(
            of, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=float(of.min())
        )

    def inside(of: np.ndarray) -> np.ndarray | None:
        """The largest middle part of a turned image that shows no corner."""
        h, w = of.shape
        side = int(min(h, w) / 2**0.5)
        y, x = (h - side) // 2, (w - side) // 2
        part = of[y : y + side, x : x + side]
        return part if part.std() > EMPTY * image.std() else None

    def shifted() -> tuple[np.ndarray, np.ndarray] | None:
        for _ in range(TRIES):
            dy, dx = int(height * rng.uniform(0.1, 0.35)), int(width * rng.uniform(0.1, 0.35))
            if image[dy : height - dy, dx : width - dx].std() > EMPTY * image.std():
                return image[: height - dy, : width - dx], image[dy:, dx:]
        return None

    y, x = np.indices(image.shape, np.float32)
    tilt = rng.normal(0, 1, 2)
    ramp = (y / height - 0.5) * tilt[0] + (x / width - 0.5) * tilt[1]
    padded = np.pad(unit, [(int(height * rng.uniform(0.05, 0.4)), int(height * 0.1)),
                           (int(width * rng.uniform(0.05, 0.4)), int(width * 0.1))])  # fmt: skip
    sixteen = np.round(unit * 65535 * 0.2 + 400)
    cut = np.quantile(image, (0.02, 0.995))
    eight = np.round(np.clip((image - cut[0]) / max(cut[1] - cut[0], 1e-9), 0, 1) * 255)
    noise = rng.normal(0, 0.1 * image.std(), image.shape)
    part, tilted = crop(0.7), crop(0.8, turned(image, cv2.BORDER_REFLECT))
    at = corner(0.75, image)
    made = {
        "same pixels": image.copy(),
        "rotated by 90 degrees": np.rot90(image, int(rng.integers(1, 4))),
        "flipped": image[:, ::-1] if rng.random() < 0.5 else image[::-1],
        "rotated by any angle": turned(image, cv2.BORDER_REFLECT),
        "rotated, black corners": turned(image, cv2.BORDER_CONSTANT),
        "rotated, without corners": inside(turned(image, cv2.BORDER_CONSTANT)),
        "rescaled": scaled(image, 0.5, 2),
        "recompressed JPEG": jpeg(unit),
        "noisy": image + noise,
        "brightness, gamma": unit ** float(2 ** rng.uniform(-1, 1)),
        "inverted contrast": 1 - unit,
        "another exposure": np.clip(unit * rng.uniform(1.2, 2), 0, 1)
        + rng.normal(0, 0.01, image.shape),
        "8 bits of 16": (sixteen, eight),
        "blurred": cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.7, 2))),
        "uneven light": unit * (1 + 0.5 * ramp / max(np.abs(ramp).max(), 1e-6)),
        "padded": padded,
        "crop of 80 %": crop(0.8),
        "crop of 60 %": crop(0.6),
        "crop of 50 %": crop(0.5),
        "crop, turned and flipped": None if part is None else np.rot90(part)[::-1],
        "crop, turned, rescaled": None if tilted is None else scaled(tilted, 0.6, 1.6),
        "shifted crops": shifted(),
        "rescaled, JPEG, gamma": jpeg(
            np.clip(scaled(unit, 0.6, 1.5), 0, 1) ** float(2 ** rng.uniform(-0.7, 0.7))
        ),
        "crop, inverted, noisy": None
        if at is None
        else 1 - unit[at] + noise[at] / max(high - low, 1e-9),
    }
    return {
        kind: copy if isinstance(copy, tuple) else (copy,)
        for kind, copy in made.items()
        if copy is not None
    }
