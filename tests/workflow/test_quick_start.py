"""Snakemake starts without what only one of its plugins wants."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SWITCH = Path(sysconfig.get_path("purelib")) / "zz_slidebox_lazily.pth"
LOADED = "'pandas._libs' in sys.modules"


def told(code: str) -> str:
    """What Python says that was started as Snakemake is: by a file of that name."""
    done = subprocess.run(
        [sys.executable, "-c", code, "snakemake"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def made_by_setup():
    if not SWITCH.exists():
        pytest.skip("this environment was not made by `make setup`")


def test_pandas_is_loaded_when_it_is_used_and_then_works():
    code = f"import sys, pandas as pd; print({LOADED})"
    assert told(code) == "False"
    code += f"; print(pd.DataFrame({{'a': [1, 2]}}).a.sum(), {LOADED})"
    assert told(code).split("\n") == ["False", "3 True"]
    assert told("from pandas import Series; print(Series([1, 2]).sum())") == "3"
    assert told("import pandas.api.types as t; print(t.is_list_like([]))") == "True"


def test_other_programs_are_left_alone():
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, pandas; print({LOADED}, 'slidebox' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.skipif(
    not importlib.util.find_spec("snakemake_executor_plugin_slurm"),
    reason="Slurm's plugin is not installed",
)
def test_slurms_plugin_takes_no_pandas_with_it_and_all_plugins_are_found():
    code = f"""
import sys
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_report_plugins.registry import ReportPluginRegistry
print(sorted(ExecutorPluginRegistry().plugins))
print(sorted(ReportPluginRegistry().plugins))
print({LOADED})
"""
    plain = [sys.executable, "-c", code]
    without = subprocess.run(plain, capture_output=True, text=True, check=True).stdout.split("\n")
    quick = told(code).split("\n")
    assert "slurm" in quick[0]
    assert quick[:2] == without[:2]
    assert (quick[2], without[2]) == ("False", "True")
