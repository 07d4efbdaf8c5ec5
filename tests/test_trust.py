"""docs/trust.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def test_every_promise_names_tests_that_there_are():
    sources = "\n".join(p.read_text(encoding="utf-8") for p in CHECKOUT.glob("tests/**/test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    rows = re.findall(
        r"^\| (?!promise|---)(.+?) \| (.+) \|$",
        (CHECKOUT / "docs/trust.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert rows
    for promise, tests in rows:
        named = re.findall(r"`(test_\w+)`", tests)
        assert named, promise
        assert set(named) <= there, (promise, set(named) - there)
