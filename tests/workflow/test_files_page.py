"""docs/reference/files.md names every key of what a run writes."""

from __future__ import annotations

import json
import re

from archive_user import CHECKOUT

PAGE = (CHECKOUT / "docs/reference/files.md").read_text(encoding="utf-8")


def section(title: str) -> set[str]:
    """Words in backticks under a heading."""
    return set(re.findall(r"`([^`]+)`", PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]))


def test_receipts(demo):
    told = section("Receipt")
    for receipt in demo.receipts().values():
        assert set(receipt) <= told, set(receipt) - told
        assert receipt["status"] in told
        for image in receipt["images"]:
            assert set(image) <= told, image


def test_ready(demo):
    with (demo.folder / "inbox/SB-CELLS/.ready").open(encoding="utf-8") as lines:
        assert set(json.loads(next(lines))) <= section("`.ready`")


def test_logs_of_runs(demo):
    told = section("Log of a run")
    logs = list((demo.folder / "results/logs/runs").glob("*.jsonl"))
    assert logs
    for path in logs:
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            assert line["event"] in told
            assert set(line) <= told, line


def test_every_schema_is_named():
    for path in (CHECKOUT / "workflow/schemas").glob("*.json"):
        assert path.name in PAGE
