"""Where the files that ship with the library are: schemas and the site's templates."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def resource(name: str) -> Path:
    """Path of a shipped folder or file, e.g. ``resource("site/templates")``.

    A wheel carries them in ``slidebox/_data``; a checkout has them in ``workflow/``, and the
    Snakefile above it.
    """
    package = Path(__file__).parent
    for base in (package / "_data", package.parent, package.parents[1]):
        if (base / name).exists():
            return base / name
    raise FileNotFoundError(f"slidebox ships no {name!r}; is the installation whole?")


def export_library() -> None:
    """Let Python processes started from here import this very library."""
    mine = str(Path(__file__).parents[1])
    others = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != mine]
    os.environ["PYTHONPATH"] = os.pathsep.join([mine, *others])


def use_scratch() -> None:
    """Let temporary files go to the folder on the node that a cluster gives each job, if it does.

    Slurm sites name it `SLURM_TMPDIR`; where they set `TMPDIR` nothing is to be done.
    """
    scratch = os.environ.get("SLURM_TMPDIR")
    if scratch and os.access(scratch, os.W_OK):
        os.environ["TMPDIR"] = scratch
        tempfile.tempdir = None
