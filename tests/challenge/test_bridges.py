"""The same challenge at other hosts: their formats, their folders, the same scores."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
import zlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from archives import challenge_folder, nuclei

from slidebox import challenge, cli, scoring
from slidebox.challenge import baseline, bridges
from slidebox.challenge.bridges.bundle import _competition


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


def at_codabench(bundle: Path, submitted: Path, app: Path) -> subprocess.CompletedProcess:
    """The scoring program as the host's worker calls it: beside the predictions lies a file of its
    own, `metadata`."""
    unpacked(bundle, app / "bundle")
    unpacked(app / "bundle" / "scoring_program.zip", app / "program")
    unpacked(app / "bundle" / "reference_data.zip", app / "input" / "ref")
    shutil.copytree(submitted, app / "input" / "res")
    (app / "input" / "res" / "metadata").write_text("elapsedTime: 0.1\nexitCode: null\n")
    (app / "output").mkdir()
    command = yaml.safe_load((app / "program" / "metadata.yaml").read_text())["command"]
    words = [w.replace("/app", str(app)) for w in command.split()[1:]]
    return subprocess.run(
        [sys.executable, *words], cwd=app / "program", capture_output=True, text=True, check=False
    )


def at_grand_challenge(folder: Path, given: Path, work: Path) -> subprocess.CompletedProcess:
    """evaluate.py with the host's input and its unpacked ground truth; writes work/output."""
    with tarfile.open(folder / "ground_truth.tar.gz") as archive:
        archive.extractall(work / "truth", filter="data")
    return subprocess.run(
        [sys.executable, folder / "evaluate.py", given, work / "output", work / "truth"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


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
    app = tmp_path / "app"
    done = at_codabench(bridges.codabench(folder, tmp_path, bench.private), predicted, app)
    assert done.returncode == 0, done.stderr
    assert "metadata" not in done.stderr  # the host's file is no mistake of the participant
    scores = json.loads((app / "output" / "scores.json").read_text())
    keys = json.loads((app / "program" / "columns.json").read_text())
    assert scores == {keys[name]: value for name, value in values.items()}
    # Nothing of single hidden images in what participants may download
    assert sorted(p.name for p in (app / "output").iterdir()) == ["scores.json"]


def test_grand_challenge_gives_the_same_scores(made, tmp_path):
    """A ZIP in the input, and its members, as the host unpacks them."""
    bench, folder, predicted, values = made
    made_folder = bridges.grand_challenge(folder, tmp_path, bench.private)
    names = {p.name for p in made_folder.iterdir()}
    scripts = {"do_build.sh", "do_test_run.sh", "do_save.sh"}
    assert {"Dockerfile", "evaluate.py", "requirements.txt", "ground_truth.tar.gz"} < names
    assert scripts < names
    for name in scripts:
        assert (made_folder / name).stat().st_mode & 0o111
        subprocess.run(["bash", "-n", made_folder / name], check=True)
    docker = (made_folder / "Dockerfile").read_text()
    assert "ENTRYPOINT" in docker and "USER user" in docker and "linux/amd64" in docker
    copied = re.search(r"^COPY (.*evaluate.py) ", docker, re.M)[1].split()
    assert names - scripts - set(copied) == {
        "Dockerfile", "README.md", "requirements.txt", "ground_truth.tar.gz",
        *(n for n in names if n.endswith(".whl")),
    }  # fmt: skip
    assert all("==" in line for line in (made_folder / "requirements.txt").read_text().split())
    (tmp_path / "input").mkdir()
    shutil.make_archive(str(tmp_path / "input" / "predictions"), "zip", predicted)
    for k, given in enumerate((tmp_path / "input", predicted)):
        done = at_grand_challenge(made_folder, given, tmp_path / str(k))
        assert done.returncode == 0, done.stderr
        told = json.loads((tmp_path / str(k) / "output" / "metrics.json").read_text())
        assert told["aggregates"] == values and told["results"] == []


def meta_image(array: np.ndarray, compressed: bool) -> bytes:
    """A MetaImage in one file, as ITK writes it."""
    pixels = array.astype("<u2").tobytes()
    head = {
        "ObjectType": "Image", "NDims": str(array.ndim), "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False", "CompressedData": str(compressed),
        **({"CompressedDataSize": str(len(zlib.compress(pixels)))} if compressed else {}),
        "DimSize": " ".join(map(str, array.shape[::-1])), "ElementType": "MET_USHORT",
        "ElementDataFile": "LOCAL",
    }  # fmt: skip
    text = "".join(f"{name} = {value}\n" for name, value in head.items())
    return text.encode() + (zlib.compress(pixels) if compressed else pixels)


def test_grand_challenge_reads_what_algorithms_wrote(made, tmp_path):
    """A phase of algorithms: predictions.json lists jobs, whose outputs lie in their folders."""
    bench, folder, predicted, values = made
    made_folder = bridges.grand_challenge(folder, tmp_path, bench.private)
    told = []
    for k, path in enumerate(sorted(predicted.glob("*.tif"))):
        given = {"interface": {"slug": "micrograph", "relative_path": "images/micrograph"},
                 "image": {"name": path.name}, "file": None, "value": None}  # fmt: skip
        made_by = {"interface": {"slug": "nuclei", "relative_path": "images/nuclei"},
                   "image": {"name": "output.mha"}, "file": None, "value": None}  # fmt: skip
        told.append({"pk": f"job-{k}", "inputs": [given], "outputs": [made_by]})
        place = tmp_path / "input" / f"job-{k}" / "output" / "images" / "nuclei"
        place.mkdir(parents=True)
        (place / "output.mha").write_bytes(meta_image(tifffile.imread(path), bool(k % 2)))
    (tmp_path / "input" / "predictions.json").write_text(json.dumps(told))
    done = at_grand_challenge(made_folder, tmp_path / "input", tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "output" / "metrics.json").read_text())
    assert metrics["aggregates"] == values
    told[0]["inputs"][0]["image"]["name"] = "another.tif"
    (tmp_path / "input" / "predictions.json").write_text(json.dumps(told))
    done = at_grand_challenge(made_folder, tmp_path / "input", tmp_path / "again")
    assert done.returncode == 1 and "another.tif, which is no image of this split" in done.stderr


LONG = "a_metric_whose_name_has_forty_characters"


@pytest.fixture(scope="module")
def distances(tmp_path_factory):
    """A release that ranks by distances, with names that hosts don't take as they are."""
    root = tmp_path_factory.mktemp("distances")
    bench = nuclei(root, specimens="ABC", test="C", each=1)
    more = (
        "  metrics: [HD95, 'AP@0.5', 'AP@0.55']\n"
        f"  custom: [{{name: {LONG}, file: own.py, function: f, direction: higher, "
        "range: [0, 1]}]"
    )
    folder = challenge_folder(
        root, more=more, change=lambda t: t.replace("primary: AP", "primary: HD95")
    )
    (folder / "own.py").write_text("def f(truth, prediction, info):\n"
                                   "    return float((truth == prediction).mean())\n")  # fmt: skip
    result = challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private
    )
    assert result.ok, result.findings
    return bench, result.folder


def test_every_metric_arrives_whatever_its_name(distances, tmp_path):
    """CodaBench cuts names at 36 characters; grand-challenge takes a dot for a step into JSON."""
    bench, folder = distances
    predicted = baseline.predict(folder, tmp_path / "p", "test")
    names = {"HD95", "AP@0.5", "AP@0.55", LONG}
    bundle = bridges.codabench(folder, tmp_path, bench.private)
    assert at_codabench(bundle, predicted, tmp_path / "app").returncode == 0
    told = yaml.safe_load((tmp_path / "app" / "bundle" / "competition.yaml").read_text())
    columns = {c["key"] for c in told["leaderboards"][0]["columns"]}
    assert len(columns) == len(names)
    assert json.loads((tmp_path / "app" / "output" / "scores.json").read_text()).keys() == columns
    made_folder = bridges.grand_challenge(folder, tmp_path, bench.private)
    assert at_grand_challenge(made_folder, predicted, tmp_path / "gc").returncode == 0
    metrics = json.loads((tmp_path / "gc" / "output" / "metrics.json").read_text())
    readme = (made_folder / "README.md").read_text()
    columns = json.loads(readme.partition("```json\n")[2].partition("```")[0])
    paths = ["aggregates.HD95", *(c["path"] for c in columns)]
    assert len(paths) == len(names) and "path `aggregates.HD95`, order\n   ascending" in readme
    for path in paths:  # as the host looks it up
        value = metrics
        for step in path.split("."):
            value = value[step]
        assert isinstance(value, float)


def test_no_value_by_what_ranks_is_no_rank(distances, tmp_path):
    """Nothing matched has no distance: CodaBench would sort it before all others."""
    bench, folder = distances
    (tmp_path / "p").mkdir()
    item = scoring.open_release(folder).items("test")[0]
    tifffile.imwrite(tmp_path / "p" / f"{item.id}.tif", np.zeros(item.shape, np.uint8))
    bundle = bridges.codabench(folder, tmp_path, bench.private)
    made_folder = bridges.grand_challenge(folder, tmp_path, bench.private)
    for done, wrote in (
        (at_codabench(bundle, tmp_path / "p", tmp_path / "app"), "app/output/scores.json"),
        (at_grand_challenge(made_folder, tmp_path / "p", tmp_path), "output/metrics.json"),
    ):
        assert done.returncode == 1 and "no value by HD95" in done.stderr
        assert not (tmp_path / wrote).exists()


def test_a_zip_that_grows_is_refused_at_codabench(made, tmp_path):
    """The program hands the ZIP to the scorer, which unpacks no more than predictions can need."""
    bench, folder, _, _ = made
    (tmp_path / "s").mkdir()
    with zipfile.ZipFile(tmp_path / "s" / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("spC_0.tif", bytes(80 << 20))
    bundle = bridges.codabench(folder, tmp_path, bench.private)
    done = at_codabench(bundle, tmp_path / "s", tmp_path / "app")
    assert done.returncode == 1 and "the ZIP unpacks to 83886080 bytes" in done.stderr
    assert not (tmp_path / "app" / "output" / "scores.json").exists()


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
    made_phases = _competition(told, "test", [])["phases"]
    assert [(p["start"], p.get("end")) for p in made_phases] == [
        ("2026-01-01 00:00:00", "2026-01-31 23:59:59"),
        ("2026-02-01 00:00:00", "2026-02-28 22:59:59"),
        ("2026-02-28 23:00:00", None),
    ]
    assert made_phases[0]["max_submissions"] == 3


def test_bad_predictions_are_told_and_give_no_score(made, tmp_path):
    bench, folder, _, _ = made
    made_folder = bridges.grand_challenge(folder, tmp_path, bench.private)
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "spC_0.tif").write_bytes(b"no image")
    done = at_grand_challenge(made_folder, tmp_path / "input", tmp_path)
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


KILLED = """
import os, signal, sys
from pathlib import Path
from slidebox.challenge.bridges import codabench, parts
parts.zip_folder = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
codabench(*map(Path, sys.argv[1:]))
"""


def test_a_killed_export_is_swept_up_and_what_is_the_users_is_not(made, tmp_path):
    bench, folder, _, _ = made
    names = map(str, (folder, tmp_path, bench.private))
    done = subprocess.run([sys.executable, "-c", KILLED, *names], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".nuclei-1.0.0-codabench.zip.")
    dead = left.name.split("-")[-1]
    (tmp_path / f".notes.{dead}").write_text("looks like what that process was writing")
    bridges.codabench(folder, tmp_path, bench.private)
    assert {p.name for p in tmp_path.iterdir()} == {f".notes.{dead}", "nuclei-1.0.0-codabench.zip"}
