"""The same challenge at other hosts: their formats, their folders, the same scores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from archives import challenge_folder, nuclei

from slidebox import challenge, cli, scoring
from slidebox.challenge import baseline, bridges


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A release with hidden truth, predictions for it, and what Slidebox says of them."""
    root = tmp_path_factory.mktemp("bridges")
    bench = nuclei(root, each=1)
    result = challenge.release(
        challenge_folder(root), public=bench.public, vault=bench.vault, private=bench.private
    )
    assert result.ok, result.findings
    predicted = baseline.predict(result.folder, root / "predictions", "test")
    found = scoring.score(result.folder, predicted, "test", private=bench.private)
    values = {n: m["value"] for n, m in found.scores["metrics"].items() if m["value"] is not None}
    return bench, result.folder, predicted, values


def unpacked(path: Path, target: Path) -> Path:
    with zipfile.ZipFile(path) as packed:
        packed.extractall(target)
    return target


def test_a_codabench_bundle_has_what_the_host_asks_for(made, tmp_path):
    """The rules of CodaBench's unpacker of version 2 and of its leaderboards."""
    bench, folder, _, _ = made
    path = bridges.codabench(folder, tmp_path, bench.private)
    bundle = unpacked(path, tmp_path / "b")
    told = yaml.safe_load((bundle / "competition.yaml").read_text())
    assert str(told["version"]) == "2" and told["title"] and told["docker_image"]
    for name in (told["terms"], told["image"], *(p["file"] for p in told["pages"])):
        assert (bundle / name).stat().st_size > 0
    assert all(p["title"] for p in told["pages"])
    tasks = {t["index"]: t for t in told["tasks"]}
    assert len(tasks) == len(told["tasks"])
    for task in tasks.values():
        assert zipfile.is_zipfile(bundle / task["scoring_program"])
        assert zipfile.is_zipfile(bundle / task["reference_data"])
    ends = None
    for phase in sorted(told["phases"], key=lambda p: p["index"]):
        assert set(phase["tasks"]) <= tasks.keys() and phase["name"]
        start = datetime.fromisoformat(str(phase["start"]))
        assert ends is None or start > ends
        ends = datetime.fromisoformat(str(phase["end"])) if "end" in phase else None
    (board,) = told["leaderboards"]
    assert board["submission_rule"] in ("Add", "Force_Last", "Force_Best")
    columns = board["columns"]
    assert len({c["index"] for c in columns}) == len({c["key"] for c in columns}) == len(columns)
    assert all(len(c["key"]) <= 36 and len(c["title"]) <= 36 for c in columns)
    assert columns[0]["title"] == "AP" and columns[0]["sorting"] == "desc"
    # Metrics of which less is better rank the other way
    assert {c["sorting"] for c in columns if c["title"] == "count_error"} == {"asc"}
    program = unpacked(bundle / "scoring_program.zip", tmp_path / "p")
    assert "command" in yaml.safe_load((program / "metadata.yaml").read_text())


def test_a_bundle_with_hidden_truth_is_never_public(made):
    bench, folder, _, _ = made
    for write in (bridges.codabench, bridges.grand_challenge):
        with pytest.raises(scoring.NotARelease, match="holds hidden truth"):
            write(folder, bench.public / "export", bench.private)
    assert not list(bench.public.rglob("*.zip")) and not list(bench.public.rglob("*.gz"))


def test_codabench_gives_the_same_scores(made, tmp_path):
    """The program in the host's folders: input/ref, input/res, output/scores.json."""
    bench, folder, predicted, values = made
    bundle = unpacked(bridges.codabench(folder, tmp_path, bench.private), tmp_path / "b")
    app = tmp_path / "app"
    unpacked(bundle / "scoring_program.zip", app / "program")
    unpacked(bundle / "reference_data.zip", app / "input" / "ref")
    shutil.copytree(predicted, app / "input" / "res")
    (app / "output").mkdir()
    command = yaml.safe_load((app / "program" / "metadata.yaml").read_text())["command"]
    words = [w.replace("/app", str(app)) for w in command.split()[1:]]
    done = subprocess.run(
        [sys.executable, *words], cwd=app / "program", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((app / "output" / "scores.json").read_text())
    keys = json.loads((app / "program" / "columns.json").read_text())
    assert scores == {keys[name]: value for name, value in values.items()}
    # Nothing of single hidden images in what participants may download
    assert sorted(p.name for p in (app / "output").iterdir()) == ["scores.json"]


def test_grand_challenge_gives_the_same_scores(made, tmp_path):
    """evaluate.py with the host's input (a ZIP) and its unpacked ground truth."""
    bench, folder, predicted, values = made
    made_folder = bridges.grand_challenge(folder, tmp_path, bench.private)
    names = {p.name for p in made_folder.iterdir()}
    assert {"Dockerfile", "evaluate.py", "requirements.txt", "ground_truth.tar.gz"} <= names
    docker = (made_folder / "Dockerfile").read_text()
    assert "ENTRYPOINT" in docker and "USER user" in docker and "linux/amd64" in docker
    assert all("==" in line for line in (made_folder / "requirements.txt").read_text().split())
    with tarfile.open(made_folder / "ground_truth.tar.gz") as archive:
        archive.extractall(tmp_path / "truth", filter="data")
    (tmp_path / "input").mkdir()
    shutil.make_archive(str(tmp_path / "input" / "predictions"), "zip", predicted)
    done = subprocess.run(
        [sys.executable, made_folder / "evaluate.py", tmp_path / "input", tmp_path / "output",
         tmp_path / "truth"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "output" / "metrics.json").read_text())
    assert told["aggregates"] == values and told["results"] == []


def test_phases_never_touch_at_codabench(made):
    """Its unpacker refuses a phase that begins when or before the last one ends, or has no end."""
    _, folder, _, _ = made
    release = scoring.open_release(folder)
    phases = [
        {"name": "a", "begin": "2026-01-01T00:00:00Z", "quota": 3},
        {"name": "b", "begin": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
        {"name": "c", "begin": "2026-03-01T00:00:00+01:00"},
    ]
    told = replace(release, challenge=release.challenge | {"leaderboard": {"phases": phases}})
    made_phases = bridges._competition(told, "test", [])["phases"]
    assert [(p["start"], p.get("end")) for p in made_phases] == [
        ("2026-01-01 00:00:00", "2026-01-31 23:59:59"),
        ("2026-02-01 00:00:00", "2026-02-28 22:59:59"),
        ("2026-02-28 23:00:00", None),
    ]
    assert made_phases[0]["max_submissions"] == 3


def test_bad_predictions_are_told_and_give_no_score(made, tmp_path):
    bench, folder, _, _ = made
    made_folder = bridges.grand_challenge(folder, tmp_path, bench.private)
    with tarfile.open(made_folder / "ground_truth.tar.gz") as archive:
        archive.extractall(tmp_path / "truth", filter="data")
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "spC_0.tif").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, made_folder / "evaluate.py", tmp_path / "input", tmp_path / "output",
         tmp_path / "truth"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and "spC_0.tif" in done.stderr
    assert not (tmp_path / "output").exists()


def test_the_command_writes_both_twice_alike(made, tmp_path, capsys):
    bench, folder, _, _ = made
    for out in ("a", "b"):
        assert cli.main(
            ["challenge", "export", str(folder), "--codabench", "--grand-challenge", "--out",
             str(tmp_path / out), "--private", str(bench.private)]
        ) == 0  # fmt: skip
    name = "nuclei-1.0.0-codabench.zip"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    name = "nuclei-1.0.0-grand-challenge/ground_truth.tar.gz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "private" in capsys.readouterr().out
    again = ["challenge", "export", str(folder), "--codabench", "--out", str(tmp_path / "a"),
             "--private", str(bench.private)]  # fmt: skip
    assert cli.main(again) == 2
