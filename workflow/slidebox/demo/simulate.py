"""A small simulator of dividing nuclei: images, label images and tracks that agree.

Nuclei are ellipsoids that drift, keep their distance, and divide; they are textured, blurred like a
confocal microscope blurs, and recorded with shot noise and a camera offset. The same seed gives the
same arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

OFFSET, GAIN = 100.0, 2.0  # camera: counts in the dark, counts a photon


@dataclass(slots=True)
class Nucleus:
    """One nucleus from its birth to its division. Lengths in micrometres, order z, y, x."""

    label: int
    parent: int
    begin: int
    centre: np.ndarray
    radii: np.ndarray
    angle: float
    velocity: np.ndarray
    divides: int
    end: int = -1


@dataclass(slots=True)
class Scene:
    """What is imaged: voxel counts (z, y, x), voxel size in micrometres, and the random state."""

    shape: tuple[int, int, int]
    voxel: tuple[float, float, float]
    rng: np.random.Generator
    nuclei: list[Nucleus] = field(default_factory=list)
    finished: list[Nucleus] = field(default_factory=list)

    @property
    def extent(self) -> np.ndarray:
        return np.array(self.shape) * np.array(self.voxel)

    def seed(self, count: int, radius: float, cycle: int | None = None) -> None:
        """Place nuclei with room between them; `cycle`: frames from birth to division."""
        low = np.minimum(radius, self.extent / 2)
        for _ in range(count * 60):
            if len(self.nuclei) == count:
                return
            centre = self.rng.uniform(low, self.extent - low + 1e-9)
            if all(np.linalg.norm(centre - n.centre) > 2.1 * radius for n in self.nuclei):
                divides = -1 if cycle is None else int(self.rng.integers(1, cycle + 1))
                self._born(centre, radius, 0, 0, divides)

    def _born(self, centre, radius, parent, frame, divides) -> Nucleus:
        label = 1 + len(self.nuclei) + len(self.finished)
        radii = radius * self.rng.uniform(0.8, 1.2, 3) * np.array([0.75, 1.0, 1.0])
        angle = float(self.rng.uniform(0, np.pi))
        velocity = self.rng.normal(0, 0.25, 3) * np.array([0.3, 1, 1])
        nucleus = Nucleus(label, parent, frame, centre, radii, angle, velocity, divides)
        self.nuclei.append(nucleus)
        return nucleus

    def step(self, frame: int, cycle: int) -> None:
        """Move to `frame`: drift, keep distance, divide."""
        for nucleus in [n for n in self.nuclei if n.divides == frame]:
            self.nuclei.remove(nucleus)
            nucleus.end = frame - 1
            self.finished.append(nucleus)
            axis = np.array([0, np.sin(nucleus.angle), np.cos(nucleus.angle)])
            radius = float(nucleus.radii.mean())
            for side in (-1, 1):
                centre = nucleus.centre + side * 0.62 * radius * axis
                divides = frame + cycle + int(self.rng.integers(0, 3))
                child = self._born(centre, radius * 0.82, nucleus.label, frame, divides)
                child.velocity = side * 0.9 * axis
        for a in self.nuclei:
            push = sum(
                (a.centre - b.centre) / max(np.linalg.norm(a.centre - b.centre) ** 2, 1e-3)
                for b in self.nuclei
                if b is not a and np.linalg.norm(a.centre - b.centre) < 2.2 * a.radii.mean()
            )
            a.velocity = 0.7 * a.velocity + self.rng.normal(0, 0.15, 3) * [0.3, 1, 1] + push
            low = np.minimum(a.radii, self.extent / 2)
            a.centre = np.clip(a.centre + a.velocity, low, self.extent - low)

    def render(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels (uint16), chromatin and membrane light (photons, float32), each (z, y, x)."""
        labels = np.zeros(self.shape, np.uint16)
        nearest = np.full(self.shape, np.inf, np.float32)
        light = np.zeros(self.shape, np.float32)
        rim = np.zeros(self.shape, np.float32)
        voxel = np.array(self.voxel)
        for nucleus in self.nuclei:
            reach = nucleus.radii.max() * 1.3
            start = np.maximum(((nucleus.centre - reach) / voxel).astype(int), 0)
            stop = np.minimum(((nucleus.centre + reach) / voxel).astype(int) + 2, self.shape)
            box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            z, y, x = (
                (np.arange(a, b) + 0.5) * v - c
                for a, b, v, c in zip(start, stop, voxel, nucleus.centre, strict=True)
            )
            z, y, x = np.meshgrid(z, y, x, indexing="ij")
            cos, sin = np.cos(nucleus.angle), np.sin(nucleus.angle)
            u, v = cos * x + sin * y, cos * y - sin * x
            rz, ry, rx = nucleus.radii
            r = np.sqrt((z / rz) ** 2 + (v / ry) ** 2 + (u / rx) ** 2).astype(np.float32)
            texture = ndimage.gaussian_filter(
                self.rng.normal(0, 1, r.shape).astype(np.float32), 1.5
            )
            inside = (r < 1) & (r < nearest[box])
            nearest[box][inside] = r[inside]
            labels[box][inside] = nucleus.label
            light[box][inside] = 60 * np.clip(1 + 1.5 * texture[inside], 0.2, 3)
            ring = np.exp(-(((r - 1.12) / 0.09) ** 2))
            rim[box] = np.maximum(rim[box], 45 * ring)
        return labels, light, rim

    def record(self, light: np.ndarray, blur: float = 0.25) -> np.ndarray:
        """What the camera makes of the light: uint16, blurred by `blur` micrometres in xy."""
        sigma = [2.5 * blur / self.voxel[0], blur / self.voxel[1], blur / self.voxel[2]]
        if self.shape[0] == 1:
            sigma[0] = 0
        photons = self.rng.poisson(ndimage.gaussian_filter(light, sigma) + 2)
        counts = OFFSET + GAIN * photons + self.rng.normal(0, 3, light.shape)
        return np.clip(np.round(counts), 0, 65535).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class TimeLapse:
    """Images (t, c, z, y, x), labels (t, z, y, x), tracks (label, begin, end, parent)."""

    images: np.ndarray
    labels: np.ndarray
    tracks: list[tuple[int, int, int, int]]
    voxel: tuple[float, float, float]


def time_lapse(
    frames: int = 8,
    shape: tuple[int, int, int] = (10, 192, 192),
    voxel: tuple[float, float, float] = (1.0, 0.25, 0.25),
    count: int = 10,
    seed: int = 20260,
) -> TimeLapse:
    """Dividing nuclei: chromatin and membrane channels over time, with their lineage."""
    scene = Scene(shape, voxel, np.random.default_rng(seed))
    cycle = max(4, frames // 2)
    scene.seed(count, radius=4.2, cycle=frames - 1)
    images = np.empty((frames, 2, *shape), np.uint16)
    labels = np.empty((frames, *shape), np.uint16)
    for frame in range(frames):
        if frame:
            scene.step(frame, cycle)
        labels[frame], chromatin, membrane = scene.render()
        images[frame, 0] = scene.record(chromatin)
        images[frame, 1] = scene.record(membrane)
    lives = scene.finished + scene.nuclei
    for nucleus in scene.nuclei:
        nucleus.end = frames - 1
    tracks = sorted((n.label, n.begin, n.end, n.parent) for n in lives)
    return TimeLapse(images, labels, _seen(tracks, labels), voxel)


def _seen(tracks, labels):
    """Tracks as the label images show them: a nucleus that another hides is not annotated."""
    present = [set(np.unique(frame)) for frame in labels]
    seen = []
    for label, begin, end, parent in tracks:
        frames = [t for t in range(begin, end + 1) if label in present[t]]
        if frames:
            seen.append((label, frames[0], frames[-1], parent))
    known = {label for label, *_ in seen}
    return [(a, b, c, d if d in known else 0) for a, b, c, d in seen]


def field_of_view(
    seed: int, size: int = 256, count: int = 22, radius: float = 3.4
) -> tuple[np.ndarray, np.ndarray]:
    """One 2D micrograph (y, x) uint16 at 0.25 micrometres a pixel, and its label image."""
    scene = Scene((1, size, size), (1.0, 0.25, 0.25), np.random.default_rng(seed))
    scene.seed(count, radius=radius)
    labels, light, _ = scene.render()
    haze = ndimage.gaussian_filter(light, [0, 20, 20]) * 0.8
    return scene.record(light + haze, blur=0.3)[0], labels[0]
