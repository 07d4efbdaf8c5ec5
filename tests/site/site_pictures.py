"""Pictures that the browser tests keep, and the token of the review that they look at."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN = "0123456789abcdef" * 2


def keep(page, name: str) -> None:
    """Keep a picture of the page: in $SLIDEBOX_SCREENSHOTS, by default tests/screenshots."""
    default = Path(__file__).resolve().parents[1] / "screenshots"
    folder = Path(os.environ.get("SLIDEBOX_SCREENSHOTS", default))
    page.screenshot(path=folder / f"{name}.png")
