"""Every command of docs/scaling.md is run, with sizes a thousand times smaller."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest
from archive_user import CHECKOUT

TEXT = (CHECKOUT / "docs/scaling.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    return re.findall(r"^    (python .*|slidebox .*)$", TEXT, flags=re.MULTILINE)


def test_the_picture_is_drawn_from_what_was_measured(tmp_path):
    """The lines that stand with the project draw the picture that the page shows."""
    out = tmp_path / "scaling.svg"
    drawing = [sys.executable, str(CHECKOUT / "benchmarks/scale/plot.py")]
    kept = CHECKOUT / "benchmarks/scale/measured.jsonl"
    subprocess.run([*drawing, str(kept), str(out)], check=True, capture_output=True)
    assert out.read_text() == (CHECKOUT / "docs/scaling.svg").read_text()


@pytest.mark.slow
def test_commands_of_the_page(archive):
    shown = commands()
    assert len(shown) >= 7
    for command in shown:
        words = [str(max(2, int(w) // 1000)) if w.isdigit() else w for w in shlex.split(command)]
        if words[0] == "python":
            words[1:2] = [str(CHECKOUT / words[1])]
            words[:1] = [sys.executable]
        else:
            words[:1] = [sys.executable, "-m", "slidebox.cli"]
        done = subprocess.run(
            words, cwd=archive.folder, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    lines = (archive.folder / "measured.jsonl").read_text(encoding="utf-8").splitlines()
    measured = {json.loads(line)["what"] for line in lines}
    assert measured == {"sealed", "pending", "files", "images"}
    assert "<svg" in (archive.folder / "scaling.svg").read_text(encoding="utf-8")
