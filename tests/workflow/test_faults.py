"""Twenty random faults of benchmarks/faults: after the next run nothing tells of them."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest
from archive_user import CHECKOUT

pytestmark = pytest.mark.slow


def test_twenty_random_faults_leave_no_trace(tmp_path):
    spec = importlib.util.spec_from_file_location("faults", CHECKOUT / "benchmarks/faults/run.py")
    faults = sys.modules["faults"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(faults)
    campaign = faults.Campaign(tmp_path, seed=int(os.environ.get("SLIDEBOX_FAULT_SEED", 20261122)))
    try:
        outcomes = [campaign.trial(number) for number in range(20)]
    finally:
        campaign.close()
    bad = [(one.number, one.fault, *one.problems) for one in outcomes if one.problems]
    assert not bad, "\n".join(map(str, bad))
