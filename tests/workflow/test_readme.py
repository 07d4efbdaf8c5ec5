"""Every command of the README is run, in its order, as the README's users would."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from archive_user import CHECKOUT, Archive

from slidebox.catalogue.server import make_server
from slidebox.demo import inbox as demo_inbox
from slidebox.vault import Vault

pytestmark = pytest.mark.slow
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")

# Commands that other tests or .ci/run cover, with the reason that they are not run here.
ELSEWHERE = {
    "make demo": ".ci/run",
    "make test": ".ci/run",
    "pip install .": "test_wheel",
    "slidebox serve public": "below, for the snippet",
    "uv run score.py predictions/": "tests/challenge",
}


def blocks(language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = [line for block in blocks() for line in block.splitlines()]
    return [re.sub(r"\s+#.*", "", line).replace(".venv/bin/", "").strip() for line in lines if line]


@pytest.fixture
def home(demo_copy) -> Archive:
    """A folder as the README's users have it: an archive, a study to submit, predictions."""
    folder = demo_copy.folder
    study = folder / "my-study"
    shutil.copytree(folder / "inbox/SB-LAPSE", study)
    (study / ".ready").unlink()
    return demo_copy


def test_commands_of_the_readme(home):
    shown = commands()
    assert {"make demo", "make test"} <= set(shown)
    for command in shown:
        if command in ELSEWHERE:
            continue
        words = shlex.split(command)
        before(home, words)
        program, *rest = words
        rest = [{"SB-1": "SB-LAPSE", "RELEASE": RELEASE}.get(word, word) for word in rest]
        module = {"snakemake": "snakemake", "slidebox": "slidebox.cli"}[program]
        if program == "snakemake":
            rest += ["--snakefile", str(CHECKOUT / "Snakefile")]
        done = subprocess.run(
            [sys.executable, "-m", module, *rest],
            cwd=home.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


RELEASE = "public/challenges/nuclei/1.0.0"


def before(home: Archive, words: list[str]) -> None:
    """What a reader of the README has done before this command."""
    study = home.folder / "my-study"
    if words[:2] == ["slidebox", "init"]:
        shutil.rmtree(study)
        study.mkdir()
        tifffile.imwrite(study / "cells.tif", np.zeros((8, 8), np.uint8))
    elif words[:2] == ["slidebox", "validate"]:  # the form is filled in
        shutil.copyfile(demo_inbox.RECORDS / "SB-LAPSE.yaml", study / "study.yaml")
        shutil.rmtree(study)
        shutil.copytree(home.folder / "inbox/SB-LAPSE", study)
    elif words[:2] == ["slidebox", "challenge"]:
        config = home.folder / "config/config.yaml"
        shutil.copytree(CHECKOUT / "challenges", home.folder / "challenges")
        config.write_text("challenges: challenges\n", encoding="utf-8")
    elif words[-1] == "challenges":  # the new one is only begun: it can't be released yet
        shutil.rmtree(home.folder / "challenges/my-challenge")
    elif words[:2] == ["slidebox", "score"] and not (home.folder / "predictions").exists():
        from slidebox.challenge import baseline

        baseline.predict(home.folder / RELEASE, home.folder / "predictions", "validation")


def test_snippet_for_readers(home):
    """The README's Python lines open an image by its address."""
    (snippet,) = blocks("python")
    image = home.study("SB-LAPSE")["images"][0]
    server = make_server(home.folder / "public", Vault(home.folder / "vault"), port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        code = snippet.replace("SB-LAPSE/images/<id>.ome.zarr", f"SB-LAPSE/{image['zarr']}")
        code = code.replace(":8000", f":{server.server_address[1]}")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        server.shutdown()
    assert done.stdout.strip() == str(tuple(image["shape"])), done.stderr


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (CHECKOUT / Path(target)).exists(), target
