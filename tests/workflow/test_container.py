"""The container's recipe: its files are enough for a run, its environment is the lock."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch

import pytest
from archive_user import CHECKOUT

from slidebox.demo import inbox

RECIPE = (CHECKOUT / "Containerfile").read_text(encoding="utf-8")


def test_the_recipe_installs_the_lock_by_the_users_command():
    assert re.search(r"^RUN make -C /opt/slidebox setup$", RECIPE, re.MULTILINE)
    setup = (CHECKOUT / ".ci/setup").read_text(encoding="utf-8")
    assert "--require-hashes" in setup
    # Debian 13's own Python is the one that the project is developed with.
    assert "FROM debian:trixie-slim" in RECIPE
    assert (CHECKOUT / ".python-version").read_text(encoding="utf-8").strip() == "3.13"


@pytest.mark.slow
def test_what_is_copied_into_the_image_is_enough(tmp_path):
    """A run from only the files that .containerignore lets through."""
    lines = (CHECKOUT / ".containerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert lines[1] == "*" and kept
    home = tmp_path / "slidebox"
    home.mkdir()
    for path in CHECKOUT.iterdir():
        if any(fnmatch(path.name, pattern) for pattern in kept):
            if path.is_dir():
                shutil.copytree(path, home / path.name)
            else:
                shutil.copyfile(path, home / path.name)
    data = tmp_path / "data"
    data.mkdir()
    shutil.copytree(home / "config", data / "config")
    inbox.make(data / "inbox")
    for folder in (data / "inbox").iterdir():
        if folder.name not in ("SB-CELLS", "SB-BROKEN"):
            shutil.rmtree(folder)
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    done = subprocess.run(
        [*command, "--snakefile", str(home / "Snakefile")],
        cwd=data,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(home / "workflow"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (data / "public/SB-CELLS/index.html").is_file()
