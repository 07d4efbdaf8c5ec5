"""Random faults of benchmarks/faults: after the next run nothing tells of them."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from archive_user import CHECKOUT

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("SLIDEBOX_FAULT_SEED", 20261122))


@pytest.fixture
def campaigns(monkeypatch):
    """The modules of benchmarks/faults: of whole runs, and of the stages alone."""
    monkeypatch.syspath_prepend(CHECKOUT / "benchmarks" / "faults")
    return importlib.import_module("run"), importlib.import_module("stages")


def test_twenty_random_faults_leave_no_trace(campaigns, tmp_path):
    campaign = campaigns[0].Campaign(tmp_path, SEED)
    try:
        outcomes = [campaign.trial(number) for number in range(20)]
    finally:
        campaign.close()
    bad = [(one.number, one.fault, *one.problems) for one in outcomes if one.problems]
    assert not bad, "\n".join(map(str, bad))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_faults_at_random_operations_leave_no_trace(campaigns, tmp_path):
    """One of each kind, at a random operation of the stages."""
    faults = campaigns[1]
    campaign = faults.Campaign(tmp_path, SEED)
    bad = {kind: campaign.trial(number, kind) for number, kind in enumerate(faults.KINDS)}
    assert not {kind: problems for kind, problems in bad.items() if problems}


def test_a_campaign_goes_on_from_its_report(tmp_path):
    """The command of docs/trust.md, with one fault; then again, with nothing left to do."""
    text = (CHECKOUT / "docs/trust.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    python (benchmarks/faults/run.py .*)$", text, re.MULTILINE)
    script, *words = shlex.split(command.replace(" 200", " 1"))
    words += ["--kind", "SIGTERM of Snakemake"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(CHECKOUT / script), *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SIGTERM of Snakemake     1 of 1 survived" in done.stdout
    (line,) = (tmp_path / "faults.jsonl").read_text().splitlines()
    assert json.loads(line)["problems"] == []
    assert "a run without fault takes" not in done.stdout
