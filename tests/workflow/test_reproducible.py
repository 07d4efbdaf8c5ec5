"""The same inbox, ingested in two places that differ in all that must not matter."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from archive_user import CHECKOUT

from slidebox.demo import inbox as demo_inbox

pytestmark = pytest.mark.slow
PLACES = {
    "here": (0o022, "1", {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}),
    "ein Ort mit Ümlauten": (
        0o002,
        "2",
        {"TZ": "Asia/Kolkata", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "42"},
    ),
}
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?)?"  # a time
    r'|"state":\s*"[0-9a-f]{16}"'  # digest of what is listed, times among it
)


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> list[Path]:
    """Two archives that took in the same submissions at the same time."""
    top = tmp_path_factory.mktemp("places")
    demo_inbox.make(top / "inbox", only=["SB-CELLS", "SB-LAPSE"])
    runs, folders = [], []
    for name, (umask, cores, environment) in PLACES.items():
        folder = top / name
        (folder / "config").mkdir(parents=True)
        (folder / "config/config.yaml").write_text("challenges: none\n", encoding="utf-8")
        shutil.copytree(top / "inbox", folder / "inbox")
        command = [sys.executable, "-m", "snakemake", "--cores", cores]
        command += ["--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(folder)]
        with (folder / "output").open("w") as output:
            runs.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **environment},
                    umask=umask,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )
        folders.append(folder)
    for run, folder in zip(runs, folders, strict=True):
        assert run.wait(1800) == 0, (folder / "output").read_text()
    return folders


def listed(folder: Path) -> dict[str, Path]:
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}


def digests(files: dict[str, Path]) -> dict[str, str]:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_names_of_all_files_are_the_same(places):
    """Accessions, ids of images, derivations, state keys, versions."""
    for name in ("vault", "public", "results/receipts"):
        here, there = (listed(folder / name) for folder in places)
        assert here.keys() == there.keys()
        assert len(here) > 1


def test_pixels_and_originals_are_the_same_byte_for_byte(places):
    for name, part in (("public", ".ome.zarr/"), ("vault", "/content/data/")):
        here, there = (
            digests({k: v for k, v in listed(folder / name).items() if part in k})
            for folder in places
        )
        assert here == there and here


def test_receipts_differ_in_times_only(places):
    for name in listed(places[0] / "results/receipts"):
        here, there = (
            json.loads((folder / "results/receipts" / name).read_text()) for folder in places
        )
        for changing in ("sealed", "stages"):
            here.pop(changing), there.pop(changing)
        assert here == there
        assert here["software"]["slidebox"] and here["settings"] and here["files_sha256"]


def test_public_files_differ_in_times_only(places):
    """And in the digests of files with times in them, and the order of the feed, newest first."""
    here, there = (listed(folder / "public") for folder in places)
    for name, path in here.items():
        one, other = path.read_bytes(), there[name].read_bytes()
        if one != other and not name.startswith("catalogue/."):  # notes of this place's file times
            assert timeless(one) == timeless(other), name


def timeless(data: bytes) -> list[str]:
    return sorted(CHANGING.sub("", line) for line in data.decode().splitlines())
