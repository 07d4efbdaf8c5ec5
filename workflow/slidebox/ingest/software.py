"""What made it: the versions of all that has a part in what is written."""

from __future__ import annotations

import platform
from importlib import metadata

from slidebox import __version__

PACKAGES = ("numpy", "tifffile", "imagecodecs", "zarr", "numcodecs", "ome-zarr", "ome-zarr-models")


def software() -> dict[str, str]:
    """Versions of all that has a part in what is written."""
    versions = {"slidebox": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
