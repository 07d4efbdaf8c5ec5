"""Where a study stands on a given day: in public, or under embargo until its release date."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.config import Config


def embargoed_until(record: dict[str, Any], today: date | None = None) -> date | None:
    """The release date when it is still to come (it comes at 00:00 UTC), else None."""
    text = record.get("release_date")
    if not text:
        return None
    day = date.fromisoformat(str(text))
    return day if day > (today or datetime.now(UTC).date()) else None


def site_root(config: Config, record: dict[str, Any], today: date | None = None) -> Path:
    """The folder that a study is built under."""
    return config.embargoed if embargoed_until(record, today) else config.public


def leave_embargo(config: Config, accession: str) -> None:
    """Move derived images from embargoed/ to public/: on the date nothing is made again.

    Slices may do this at the same time; whoever finds a name gone leaves it to the other.
    """
    waiting = config.embargoed / accession / "images"
    if not waiting.is_dir():
        return
    images = config.public / accession / "images"
    images.mkdir(parents=True, exist_ok=True)
    for name in sorted(os.listdir(waiting)):
        if not (images / name).exists():
            try:
                atomic.move(waiting / name, images / name)
            except FileNotFoundError:
                continue


def forget_embargo(config: Config, accession: str) -> None:
    """Remove the embargoed pages of a study that has become public."""
    shutil.rmtree(config.embargoed / accession, ignore_errors=True)
