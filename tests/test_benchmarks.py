"""Benchmarks of the catalogue and of publication run as they stand, on a small archive."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_one_more_study_costs_the_index_is_measured():
    told = run("catalogue/index.py", "--studies", "12", "--images", "3", "--more", "1")
    sent = re.search(r"one more, 1 times: [\d.]+ CPU s, ([\d,]+) bytes to send", told)
    assert 1000 < int(sent[1].replace(",", "")) < 200_000


def test_what_an_unchanged_publication_costs_is_measured():
    told = run("publish/unchanged.py", "20")
    assert told.startswith("20 studies: first") and "nothing new / floor" in told
