"""The long tail by openreadout: Zeiss ZVI, MIRAX, Philips iSyntax, Hamamatsu VMS and DCIMG."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series
from ..registry import version


def open_file(path: Path, name: str) -> ImageFile:
    import openreadout

    file = openreadout.File(str(path))
    facts = file.info() if callable(getattr(file, "info", None)) else openreadout.info(str(path))
    series = [_series(file, facts_one, n) for n, facts_one in enumerate(facts.get("images") or [])]
    text = json.dumps(
        {k: v for k, v in facts.items() if k != "format"}, indent=1, ensure_ascii=False, default=str
    )
    close = getattr(file, "close", None)
    return ImageFile(
        str(path),
        name,
        "openreadout",
        version("openreadout"),
        series,
        {"metadata.json": text},
        close,
    )


def _series(file, facts: dict, index: int) -> Series:
    samples = int(facts.get("samples_per_pixel") or 1)
    n = {
        "t": int(facts.get("size_t") or 1),
        "c": int(facts.get("size_c") or 1),
        "z": int(facts.get("size_z") or 1),
    }
    if samples > 1 and n["c"] in (1, samples):
        n["c"] = samples
    height, width = int(facts["size_y"]), int(facts["size_x"])
    first = (
        np.asarray(file.read_plane(image=index, c=0, z=0, t=0))
        if facts.get("pixel_type") is None
        else None
    )
    dtype = np.dtype(
        {"float": "f4", "double": "f8", "bit": "bool"}.get(facts.get("pixel_type") or "")
        or facts.get("pixel_type")
        or first.dtype
    )

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        plane = np.asarray(file.read_plane(image=index, c=c, z=z, t=t))
        plane = plane[None] if plane.ndim == 2 else plane.transpose(2, 0, 1)
        return plane[:, y0:y1]

    size = facts.get("physical_size") or {}
    channels = [
        Channel(
            c.get("name"),
            None,
            units.wavelength(c.get("emission_nm")),
            units.wavelength(c.get("excitation_nm")),
            exposure_time=units.seconds(c.get("exposure_ms"), "ms"),
        )
        for c in facts.get("channels") or []
    ]
    return Series(
        index,
        facts.get("name") or "",
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), height, width),
        dtype,
        read,
        {a: units.micrometers(size.get(a), size.get("unit") or "um") for a in "xyz"},
        units.seconds(facts.get("time_increment_s")) if n["t"] > 1 else None,
        channels,
        rgb=samples >= 3,
        samples=samples,
        start_time=facts.get("acquired_at"),
        acquisition=_objective(facts.get("objective") or {}),
    )


def _objective(facts: dict) -> dict:
    keys = (
        ("Model", "model"),
        ("NominalMagnification", "nominal_magnification"),
        ("LensNA", "lens_na"),
    )
    return {ours: facts[theirs] for ours, theirs in keys if facts.get(theirs)}
