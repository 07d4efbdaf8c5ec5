"""What cron and systemd start every night."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from archive_user import CHECKOUT

DAILY = CHECKOUT / "profiles" / "daily"


def test_units_are_what_systemd_understands(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    for name in ("slidebox.service", "slidebox.timer"):
        text = (DAILY / name).read_text(encoding="utf-8")
        # The paths are examples: what is checked must exist.
        text = text.replace("/opt/slidebox", str(CHECKOUT)).replace("User=slidebox\n", "")
        (tmp_path / name).write_text(text, encoding="utf-8")
    paths = [str(tmp_path / name) for name in ("slidebox.service", "slidebox.timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "slidebox" not in done.stderr, done.stderr


@pytest.mark.slow
def test_a_night_ingests_audits_and_tells(demo_copy):
    archive = demo_copy
    archive.slidebox("retry", "SB-CELLS", "--directory", str(archive.folder))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    night = [str(DAILY / "slidebox-daily"), str(archive.folder), "--cores", "2"]

    def run():
        env = {**os.environ, "PATH": path}
        return subprocess.run(night, capture_output=True, text=True, env=env, timeout=1800)

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (archive.folder / "results/audit.json").is_file()
    assert archive.receipts()["SB-CELLS"]["status"] == "accepted"
    assert "SB-CELLS" in done.stdout
    content = next((archive.folder / "vault").rglob("v1/content/data/images/cell.png"))
    content.write_bytes(b"rotten" + content.read_bytes()[6:])
    done = run()
    assert done.returncode == 1
    assert "SB-CELLS" in done.stdout + done.stderr
