"""What made it: the versions of all that has a part in what is written."""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import cache
from importlib import metadata

from slidebox import __version__

PIXELS = ("numpy", "tifffile", "imagecodecs", "zarr", "numcodecs", "ome-zarr", "ome-zarr-models")
_DEV = re.compile(r"""extra\s*==\s*["'](dev|build|slurm)["']""")


def software() -> dict[str, str]:
    """What touches pixels, as pages name it."""
    there = environment()
    return {name: there[name] for name in ("slidebox", "python", *PIXELS) if name in there}


def direct() -> dict[str, str]:
    """What Slidebox asks for by itself, as receipts and provenance name it."""
    there = environment()
    names = {_normal(text) for text in _requires() if not _DEV.search(text)} | {*PIXELS}
    kept = ("slidebox", "python", "system", *sorted(names - {"slidebox"}))
    return {name: there[name] for name in kept if name in there}


@cache
def environment() -> dict[str, str]:
    """Name -> version of Slidebox, Python, the system, and every package that is installed.

    Told by the names of their folders: reading the metadata of hundreds would take a second.
    """
    found: dict[str, str] = {}
    for place in reversed(sys.path):  # what is imported is what comes first
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                package, _, version = name.removesuffix(".dist-info").partition("-")
                found[_normal(package)] = version
    own = {"slidebox": __version__, "python": platform.python_version()}
    own["system"] = f"{platform.system()} {platform.machine()}"
    found.pop("slidebox", None)
    return own | dict(sorted(found.items()))


def _requires() -> list[str]:
    try:
        return metadata.requires("slidebox") or []
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return []


def _normal(requirement: str) -> str:
    """The name in ``ome_zarr`` or ``Snakemake[reports]>=9``, as PyPI writes it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()
