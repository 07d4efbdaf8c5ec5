"""Let Snakemake start quickly: without pandas, and looking once at what is installed.

Snakemake imports every plugin that is installed, whichever it uses, and the one for Slurm wants
pandas for a report that is hardly ever made. `make setup` lets the Python of its environment run
`watch` before Snakemake (a `.pth` file; other programs are left alone).
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

LATER = {"pandas"}


class Later:
    """Finds these modules as everybody does; they are executed when they are first used."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name not in LATER:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def watch() -> None:
    """Let this process load pandas when something in it is first asked for, and keep the list of
    what is installed, which Snakemake goes through for each kind of plugin.
    """
    sys.meta_path.insert(0, Later)
    look, known = pkgutil.iter_modules, []

    def once(path: Any = None, prefix: str = "") -> Iterator[pkgutil.ModuleInfo]:
        if path is not None or prefix:
            return look(path, prefix)
        if not known:
            known.extend(look())
        return iter(known)

    pkgutil.iter_modules = once
