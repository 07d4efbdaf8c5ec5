"""A public study as the archive's index holds it in memory; its whole card stays in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A public study: what orders, counts and tells it apart. ``digest`` is that of its card."""

    accession: str
    date: str
    images: int
    bytes: int
    versions: list[list[Any]]  # [number, when it was created]
    digest: str
    card_file: str

    def card(self) -> dict[str, Any]:
        """The whole card (:mod:`slidebox.catalogue.cards`)."""
        return json.loads(Path(self.card_file).read_bytes())
