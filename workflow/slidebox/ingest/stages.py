"""The stages of a submission in their order, and all of them in one process for small ones."""

from __future__ import annotations

import importlib
from pathlib import Path

from slidebox.config import Config
from slidebox.ingest.log import logged
from slidebox.ingest.paths import Stages

LOGS = {
    "validate": "validate",
    "archive": "archive",
    "images": "images.1of1",
    "study": "study",
    "seal": "seal",
}
"""Stage -> name of its log, in the order the data goes (that of `images` for one slice)."""


def run(config: Config, accession: str, key: str, stage: str, threads: int = 1) -> None:
    """Do one stage; all images when there is one slice."""
    at = config, accession, key
    # Each stage imports what it needs: the Snakefile knows this module and must parse fast.
    module = importlib.import_module(
        f"slidebox.ingest.{'validation' if stage == 'validate' else stage}"
    )
    if stage == "validate":
        module.validate(*at, threads=threads)
    elif stage == "archive":
        module.archive(*at, threads=threads)
    elif stage == "images":
        module.derive(*at, number=1, threads=threads)
    elif stage == "study":
        module.publish(*at)
    else:
        module.seal(*at)


def done(config: Config, accession: str, key: str) -> dict[str, bool]:
    """Whether the files of each stage are there: whole, since stages write them in one step."""
    own = Stages(config, accession, key)
    files = {
        "validate": [own.validation, own.validation_html, own.filesets],
        "archive": [own.archived, own.files],
        "images": [own.images(1, 1)],
        "study": [own.published],
        "seal": [own.receipt],
    }
    return {stage: all(path.exists() for path in paths) for stage, paths in files.items()}


def ingest(config: Config, accession: str, key: str, logs: Path, threads: int = 1) -> None:
    """Do what is left of a small submission, each stage with its own log in `logs`."""
    left = False
    for stage, there in done(config, accession, key).items():
        left = left or not there  # what comes after a stage that is done again is stale
        if left:
            with logged(str(logs / f"{LOGS[stage]}.log")):
                run(config, accession, key, stage, threads)
