"""The participant's tutorial, command by command, as it stands."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from releases import random_labels, write_labels, write_release

from slidebox.scoring import NotARelease, open_release, score

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "participant.md"


@pytest.fixture
def labels():
    rng = np.random.default_rng(4)
    return {f"img{k}": random_labels(rng, (40, 50), 9) for k in range(4)}


@pytest.fixture
def release(tmp_path, labels, monkeypatch):
    items = {k: {"truth": v, "group": k[-1]} for k, v in labels.items()}
    folder = write_release(tmp_path / "site" / "release", "instance-segmentation", items)
    manifest(folder)
    monkeypatch.setenv("SLIDEBOX_CACHE", str(tmp_path / "cache"))
    return folder


def manifest(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    (folder / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n"
            for p in files
        )
    )


@pytest.fixture
def served(tmp_path):
    """(address, list of paths asked for) of a web server over tmp_path/site."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    (tmp_path / "site").mkdir(exist_ok=True)
    handler = functools.partial(Handler, directory=tmp_path / "site")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/release/", asked
        server.shutdown()


def test_the_tutorial_as_it_stands(tmp_path, release, labels, served):
    commands = [
        line for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
        for line in block.strip().splitlines()
    ]  # fmt: skip
    assert len(commands) == 6
    for name, array in labels.items():
        write_labels(tmp_path / "better" / f"{name}.tif", array)
    said = ""
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "slidebox"
        words = [{"RELEASE": str(release), "PUBLIC": served[0]}.get(w, w) for w in words[1:]]
        done = subprocess.run([sys.executable, "-m", "slidebox.cli", *words], cwd=tmp_path,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        said = done.stdout
    assert "AP: 0.0000 and 1.0000" in said
    assert (tmp_path / "scores" / "report.html").is_file()
    found = json.loads((tmp_path / "scores-better" / "scores.json").read_text())
    assert set(found["digests"]) == {"challenge", "splits", "labels", "predictions", "scorer"}


def truth_folder(tmp_path: Path, labels: dict) -> Path:
    for name, array in labels.items():
        write_labels(tmp_path / "p" / f"{name}.tif", array)
    return tmp_path / "p"


def test_of_a_release_on_the_web_only_what_scoring_needs_is_fetched_once(
    tmp_path, release, labels, served
):
    address, asked = served
    folder = truth_folder(tmp_path, labels)
    assert score(address, folder, "train").scores["metrics"]["AP"]["value"] == 1.0
    assert sorted(asked) == sorted(
        [f"/release/{n}" for n in ("SHA256SUMS", "challenge.yaml", "splits.csv")]
        + [f"/release/train/labels/{name}.tif" for name in labels]
    )
    asked.clear()
    score(address, folder, "train")
    assert asked == ["/release/SHA256SUMS"]


def test_what_the_manifest_does_not_vouch_for_is_refused(tmp_path, release, labels, served):
    folder = truth_folder(tmp_path, labels)
    other = np.zeros((40, 50), np.uint16)
    write_labels(release / "train/labels/img0.tif", other)
    with pytest.raises(NotARelease, match=r"train/labels/img0\.tif is not what SHA256SUMS"):
        score(served[0], folder, "train")
    with pytest.raises(NotARelease, match="404"):
        open_release(served[0] + "nothing/")
    (release / "SHA256SUMS").write_text(f"{'0' * 64}  ../../../evil\n")
    with pytest.raises(NotARelease, match="evil"):
        open_release(served[0])


def test_a_release_in_a_zip(tmp_path, release, labels):
    folder = truth_folder(tmp_path, labels)
    packed = Path(shutil.make_archive(str(tmp_path / "r"), "zip", release.parent, release.name))
    assert score(packed, folder, "train").scores["metrics"]["AP"]["value"] == 1.0
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(NotARelease, match="SHA256SUMS"):
        open_release(tmp_path / "none.zip")
