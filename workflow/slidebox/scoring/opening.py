"""Opens a release: a folder, a ZIP or an http(s) address."""

from __future__ import annotations

from pathlib import Path

import yaml

from .release import NotARelease, Release, rows_of
from .settings import Settings


def open_release(where: Path | str) -> Release:
    """Read a release's challenge.yaml and splits.csv: a folder, a ZIP or an http(s) address.

    Raises
    ------
    NotARelease
        It isn't one, or its settings can't be read by this scorer.
    """
    from .remote import Source, is_elsewhere  # HTTP takes a moment to load

    source = Source(where) if is_elsewhere(where) else None
    folder = source.folder if source else Path(where)
    for name in ("challenge.yaml", "splits.csv"):
        if not (folder / name).is_file():
            raise NotARelease(f"{folder} is no release of a challenge: it has no {name}")
    try:
        challenge = yaml.safe_load((folder / "challenge.yaml").read_text("utf-8"))
        settings = Settings(**challenge["scoring"]).resolved(challenge["task"])
        rows = tuple(rows_of(folder / "splits.csv"))
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise NotARelease(f"{folder}/challenge.yaml can't be used: {error}") from error
    return Release(folder, challenge, settings, rows, source)
