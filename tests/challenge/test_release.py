"""Releases: assembled from a real vault, divided, immutable, reproducible, without leaks."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import yaml
from archives import Bench, challenge_folder, discs, nuclei, tiff
from crate_judge import judge
from packaging.specifiers import SpecifierSet

from slidebox import challenge, cli, scoring
from slidebox.challenge import baseline, wheel
from slidebox.challenge.differences import what_changed
from slidebox.challenge.reading import Invalid, load
from slidebox.findings import Finding, lines
from slidebox.scoring import NotARelease, task_instances
from slidebox.vault import Vault


def release(bench: Bench, folder: Path, **more):
    where = {"public": bench.public, "vault": bench.vault, "private": bench.private}
    return challenge.release(folder, **where | more)


def codes(result):
    return {f.code for f in result.findings if f.severity == "error"}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*")) if p.is_file()
    }  # fmt: skip


@pytest.fixture
def bench(tmp_path):
    return nuclei(tmp_path, each=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One archive and its release, for tests that only look."""
    root = tmp_path_factory.mktemp("made")
    bench = nuclei(root)
    result = release(bench, challenge_folder(root))
    assert result.ok, result.findings
    return bench, result


def rows_of(folder: Path) -> list[dict]:
    with (folder / "splits.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_release_has_all_that_a_participant_needs(made):
    bench, result = made
    folder = result.folder
    assert folder == bench.public / "challenges" / "nuclei" / "1.0.0"
    for name in ("challenge.yaml", "splits.csv", "SHA256SUMS", "README.md", "CHANGELOG.md",
                 "croissant.json", "ro-crate-metadata.json", "score.py", "commitment.json",
                 wheel.wheel_name()):  # fmt: skip
        assert (folder / name).is_file(), name
    rows = rows_of(folder)
    assert len(rows) == 12
    for row in rows:
        image = tifffile.imread(folder / row["image"])
        assert "x".join(map(str, image.shape)) == row["shape"]
        assert bool(row["truth"]) == (row["split"] != "test")
        assert row["license"] == "CC-BY-4.0" and "Ada Example" in row["attribution"]
        if row["truth"]:
            assert tifffile.imread(folder / row["truth"]).max() > 0
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
    assert done.returncode == 0


def test_pixels_and_labels_are_those_of_the_vault(made):
    bench, result = made
    vault = Vault(bench.vault)
    for row in rows_of(result.folder):
        source = next(f for f in vault.files("SB-NUCLEI") if f.path == row["source"])
        assert np.array_equal(
            tifffile.imread(result.folder / row["image"]), tifffile.imread(source.content)
        )


def test_specimens_stay_together(made):
    _, result = made
    where: dict[str, set] = {}
    for row in rows_of(result.folder):
        where.setdefault(row["group"], set()).add(row["split"])
    assert all(len(s) == 1 for s in where.values())
    assert {g for g, s in where.items() if s == {"test"}} == {"C", "E"}


def test_nothing_of_the_hidden_truth_is_public(made):
    """No bytes, digest, file name, annotation set or count of it anywhere under public/."""
    bench, _ = made
    vault = Vault(bench.vault)
    secrets: set[bytes] = {b"Nuclei, test"}
    pixels = {}
    for file in vault.files("SB-NUCLEI"):
        if file.path.startswith("labels/") and file.path[9] in "CE":
            data = Path(file.content).read_bytes()
            secrets |= {
                file.path.encode(), file.sha256.encode(), hashlib.md5(data).hexdigest().encode(),
                hashlib.sha512(data).hexdigest().encode(), data,
            }  # fmt: skip
            pixels[file.path] = tifffile.imread(file.content)
    assert len(pixels) == 4
    for path in (bench.private / "challenges").rglob("*"):
        if path.is_file() and path.suffix in (".key", ".tif"):
            data = path.read_bytes()
            secrets |= {data.strip(), hashlib.sha256(data).hexdigest().encode()}
    with (bench.private / "challenges/nuclei/1.0.0/truth.csv").open() as handle:
        secrets |= {row["sha256"].encode() for row in csv.DictReader(handle)}
    for path in bench.public.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        for secret in secrets:
            assert secret not in data, f"{secret[:60]} in {path}"
        if path.suffix == ".tif":
            array = tifffile.imread(path)
            for hidden in pixels.values():
                assert array.shape != hidden.shape or not np.array_equal(array > 0, hidden > 0)


def test_the_same_release_again_is_no_new_one(made):
    bench, result = made
    before = tree(result.folder)
    again = release(bench, bench.root / "challenges" / "nuclei")
    assert again.ok and not again.new
    assert tree(result.folder) == before


def test_two_builds_are_byte_identical(made, tmp_path):
    bench, result = made
    again = release(bench, bench.root / "challenges" / "nuclei", out=tmp_path / "out")
    assert again.new
    assert tree(again.folder) == tree(result.folder)


def test_a_released_version_is_never_changed(bench, tmp_path):
    folder = challenge_folder(tmp_path)
    first = release(bench, folder)
    before = tree(first.folder)
    challenge_folder(tmp_path, change=lambda t: t.replace("Find the nuclei", "Find all nuclei"))
    second = release(bench, folder)
    assert codes(second) == {"RELEASE_IMMUTABLE"}
    assert "README.md" in second.findings[-1].message
    assert tree(first.folder) == before
    assert not list(first.folder.parent.glob(".*"))


def test_a_released_folder_that_was_touched_is_noticed(bench, tmp_path):
    folder = challenge_folder(tmp_path)
    first = release(bench, folder)
    (first.folder / "train" / "images" / "more.tif").write_bytes(b"x")
    assert codes(release(bench, folder)) == {"RELEASE_DAMAGED"}


def test_a_removed_release_keeps_its_number(bench, tmp_path):
    folder = challenge_folder(tmp_path)
    first = release(bench, folder)
    before = tree(first.folder)
    shutil.rmtree(first.folder)
    challenge_folder(tmp_path, change=lambda t: t.replace("Find the nuclei", "Find all nuclei"))
    assert codes(release(bench, folder)) == {"RELEASE_IMMUTABLE"}
    challenge_folder(tmp_path)
    again = release(bench, folder)
    assert again.ok and tree(again.folder) == before


def test_hidden_truth_cannot_be_written_over_to_get_a_small_number(made, tmp_path):
    """The private table says the new digest; the commitment doesn't."""
    bench, result = made
    table = result.private / "truth.csv"
    kept = table.read_text()
    digest = kept.splitlines()[1].rpartition(",")[2]
    try:
        table.write_text(kept.replace(digest, "0" * 64))
        forged = release(bench, challenge_folder(tmp_path, "1.0.1"))
    finally:
        table.write_text(kept)
    which = kept.splitlines()[1].partition(",")[0]
    assert codes(forged) == {"RELEASE_DAMAGED"}
    assert any(f"of {which} isn't what was committed to" in f.message for f in forged.findings)


@pytest.mark.parametrize(
    ("version", "change", "need"),
    [
        ("1.0.1", lambda t: t.replace("Find the", "Find all"), None),
        ("1.0.1", lambda t: t.replace("  primary: AP", "  primary: F1"), "MAJOR"),
        pytest.param(
            "2.0.0",
            lambda t: t.replace("  primary: AP", "  primary: F1"),
            None,
            marks=pytest.mark.slow,
        ),
        ("1.0.1", lambda t: t.replace("  primary: AP", "  primary: AP\n  metrics: [AP]"), "MINOR"),
        ("1.1.0", lambda t: t.replace("  primary: AP", "  primary: AP\n  border: ignore"), "MAJOR"),
    ],
)
def test_a_change_gets_the_number_it_needs(bench, tmp_path, version, change, need):
    folder = challenge_folder(tmp_path)
    assert release(bench, folder).ok
    challenge_folder(tmp_path, version=version, change=change)
    result = release(bench, folder)
    if need is None:
        assert result.ok, result.findings
        assert "1.0.0" in (result.folder / "CHANGELOG.md").read_text()
    else:
        assert codes(result) == {"VERSION_TOO_SMALL"}
        assert need in result.findings[-1].message


@pytest.mark.parametrize(
    "other, version, need",
    [(False, "1.0.1", "MINOR"), (True, "1.1.0", "MAJOR"), (True, "2.0.0", None),
     pytest.param(False, "1.1.0", None, marks=pytest.mark.slow)],
)  # fmt: skip
def test_another_scorer_needs_a_number(bench, tmp_path, monkeypatch, other, version, need):
    """A scorer whose code alone changed is MINOR; one that gives other values is MAJOR."""
    folder = challenge_folder(tmp_path)
    assert release(bench, folder).ok
    files = wheel.sources()
    files["slidebox/findings.py"] += b"# another\n"
    monkeypatch.setattr(wheel, "sources", lambda: dict(files))
    if other:
        right = task_instances.values

        def wrong(*given):
            return {k: v / 2 if k == "AP" else v for k, v in right(*given).items()}

        monkeypatch.setattr(task_instances, "values", wrong)
    # Under the old number nothing changes
    assert release(bench, folder).ok
    challenge_folder(tmp_path, version=version)
    result = release(bench, folder)
    if need is None:
        assert result.ok, result.findings
        log = (result.folder / "CHANGELOG.md").read_text()
        said = "another scorer (other values of AP) (MAJOR)" if other else "another scorer (MINOR)"
        assert said in log, log
    else:
        assert codes(result) == {"VERSION_TOO_SMALL"}
        assert need in result.findings[-1].message and "scorer" in result.findings[-1].message


def test_an_older_number_is_refused(bench, tmp_path):
    folder = challenge_folder(tmp_path, version="1.2.0")
    assert release(bench, folder).ok
    challenge_folder(tmp_path, version="1.1.0")
    assert codes(release(bench, folder)) == {"VERSION_BACK"}


def test_public_truth_of_a_hidden_split_is_refused(bench, tmp_path):
    folder = challenge_folder(
        tmp_path, change=lambda t: t.replace('{annotations: "Nuclei, test"}', "{groups: [A]}")
    )
    found = codes(release(bench, folder))
    assert "OPEN_IN_HIDDEN_SPLIT" in found


def test_restricted_truth_in_an_open_split_is_refused(bench, tmp_path):
    folder = challenge_folder(tmp_path, change=lambda t: t.replace("hidden: [test]", "hidden: []"))
    assert codes(release(bench, folder)) == {"HIDDEN_IN_OPEN_SPLIT"}
    assert not (bench.public / "challenges" / "nuclei" / "1.0.0").exists()


def hidden_label(bench: Bench) -> Path:
    return next(
        Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")
        if f.path == "labels/spC_0_lab.tif"
    )  # fmt: skip


def test_hidden_bytes_elsewhere_in_public_are_refused(bench, tmp_path):
    shutil.copy(hidden_label(bench), bench.public / "forgotten.bin")
    result = release(bench, challenge_folder(tmp_path))
    assert codes(result) == {"HIDDEN_REACHABLE"}
    assert "public/forgotten.bin" in {f.file for f in result.findings}


def test_a_digest_of_hidden_truth_in_a_public_table_is_refused(bench, tmp_path):
    digest = hashlib.sha256(hidden_label(bench).read_bytes()).hexdigest()
    (bench.public / "SB-NUCLEI" / "manifest-sha256.txt").write_text(f"{digest}  x\n")
    assert codes(release(bench, challenge_folder(tmp_path))) == {"HIDDEN_REACHABLE"}


def test_hidden_objects_in_another_study_are_refused(bench, tmp_path):
    """Other numbers, another dtype and file: the same objects."""
    labels = tifffile.imread(hidden_label(bench)).astype(np.uint32)
    copy = np.where(labels > 0, 5000 - labels, 0).astype(np.uint32)
    image, _ = discs(99)
    bench.add_study(
        "SB-OTHER",
        {"i.tif": tiff(tmp_path / "x" / "i.tif", image),
         "l.tif": tiff(tmp_path / "x" / "l.tif", copy)},
        [{"path": "i.tif", "part": "Images"},
         {"path": "l.tif", "part": "Labels", "role": "labels", "source_image": "i.tif"}],
    )  # fmt: skip
    result = release(bench, challenge_folder(tmp_path))
    assert codes(result) == {"HIDDEN_REACHABLE"}
    assert "SB-OTHER/l.tif" in {f.file for f in result.findings}


def duplicate(tmp_path, change, waiver=""):
    """An archive in which a test image is a changed copy of a training image."""
    bench = nuclei(tmp_path, each=1)
    vault = Vault(bench.vault)
    contents = {f.path: Path(f.content) for f in vault.files("SB-NUCLEI")}
    files, rows = {}, []
    for path, content in contents.items():
        name = path.rpartition("/")[2]
        files[path] = content.read_bytes()
        specimen = name[2]
        if path.startswith("images/"):
            rows.append({"path": path, "part": "Fields of view", "specimen": specimen})
        else:
            part = "Nuclei, test" if specimen in "CE" else "Nuclei, training"
            rows.append({"path": path, "part": part, "role": "labels", "specimen": specimen,
                         "source_image": "images/" + name.replace("_lab", "")})  # fmt: skip
    image = tifffile.imread(contents["images/spA_0.tif"])
    labels = tifffile.imread(contents["labels/spA_0_lab.tif"])
    files["images/spC_0.tif"] = tiff(tmp_path / "d" / "i.tif", change(image))
    # Its truth is nearly that of the other, so it's as good as public
    fake = labels.copy()
    fake[:20, :20] = 60
    files["labels/spC_0_lab.tif"] = tiff(tmp_path / "d" / "l.tif", fake)
    bench.add_study("SB-NUCLEI", files, rows, restricted=("Nuclei, test",))
    return bench, challenge_folder(tmp_path, more=waiver)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: np.ascontiguousarray(np.rot90(a)),
        pytest.param(lambda a: np.ascontiguousarray(a[:, ::-1]), marks=pytest.mark.slow),
    ],
    ids=["copy", "rotated", "flipped"],
)
def test_near_duplicates_between_splits_are_refused(tmp_path, change):
    bench, folder = duplicate(tmp_path, change)
    result = release(bench, folder)
    assert codes(result) == {"LEAKAGE", "HIDDEN_REACHABLE"}
    assert any("spA_0" in f.message and "spC_0" in f.message for f in result.findings)


def test_a_found_pair_is_drawn_and_can_be_waived_with_a_reason(tmp_path):
    bench, folder = duplicate(tmp_path, lambda a: np.ascontiguousarray(np.rot90(a)))
    release(bench, folder)
    pictures = list((bench.private / "challenges/nuclei").glob("*.refused/leakage/*.png"))
    assert len(pictures) == 1
    page = (pictures[0].parent / "report.html").read_text("utf-8")
    (line,) = re.findall(r"- \{images: .*, reason: \.\.\.\}", page)  # as the page offers it
    line = line.replace("...", "both show the same calibration slide")
    waiver = f"leakage:\n  waivers:\n    {line}\n"
    challenge_folder(tmp_path, more=waiver)
    result = release(bench, folder)
    told = {(f.code, f.severity) for f in result.findings}
    assert result.ok and told >= {("LEAKAGE_WAIVED", "info"), ("HIDDEN_REACHABLE", "warning")}
    assert "calibration slide" in (result.folder / "challenge.yaml").read_text()


@pytest.mark.slow
def test_a_metric_that_cannot_tell_truth_from_nothing_is_refused(bench, tmp_path):
    folder = challenge_folder(
        tmp_path,
        change=lambda t: t.replace(
            "  primary: AP",
            "  primary: same\n  custom:\n    - {name: same, file: own.py, function: f, "
            "direction: higher, range: [0, 1]}",
        ),
    )
    (folder / "own.py").write_text("def f(truth, pred, info):\n    return 1.0\n")
    assert codes(release(bench, folder)) == {"CONTROL_FAILED"}


@pytest.mark.parametrize(
    "body, told",
    [
        ("raise ValueError('no cell')", "ValueError: no cell"),
        ("return 7", "outside of its range"),
        ("return float('nan')", "has no value by own"),
        ("np = __import__('numpy'); return np.ones(1 << 40)[0]", "MB of memory"),
        pytest.param("return 'x'", "ValueError", marks=pytest.mark.slow),
        pytest.param("import time; time.sleep(60)", "more than 3 s", marks=pytest.mark.slow),
        pytest.param("__import__('os')._exit(0)", "failed", marks=pytest.mark.slow),
    ],
)
def test_a_hostile_metric_is_a_finding(bench, tmp_path, monkeypatch, body, told):
    monkeypatch.setattr("slidebox.scoring.custom.SECONDS", 3)
    folder = challenge_folder(
        tmp_path,
        change=lambda t: (
            t.replace(
                "  primary: AP",
                "  primary: own\n  custom:\n    - {name: own, file: own.py, function: f, "
                "direction: higher, range: [0, 1]}",
            ).replace("group_by: specimen", "group_by: specimen\n  seed: 1")
            + "leakage: {check: false}\n"
        ),
    )
    (folder / "own.py").write_text(f"def f(truth, pred, info):\n    print('noise')\n    {body}\n")
    result = release(bench, folder)
    errors = [f for f in result.findings if f.severity == "error"]
    assert errors and all(told in f.message for f in errors), errors
    assert all(f.code in ("METRIC_FAILED", "CONTROL_FAILED") for f in errors)


OWN = """  primary: own
  custom:
    - {name: own, file: own.py, function: f, direction: DIRECTION, range: [0, 1]}"""


@pytest.mark.parametrize(
    "body, line, told",
    [
        (None, None, "there is no file own.py"),
        ("def f(truth, pred, info)\n    return 1.0\n", 1, "is no Python: expected ':'"),
        ("def g(truth, pred, info):\n    return 1.0\n", None, "has no function f; it has g"),
        ("import numpy, os\n\ndef f(t, p, i):\n    from skimage import metrics\n", 4,
         "imports skimage"),
        ("from .other import x\ndef f(t, p, i):\n    return x\n", 1, "imports ."),
    ],
)  # fmt: skip
def test_a_metric_that_cannot_run_elsewhere_is_told_first(bench, tmp_path, body, line, told):
    own = OWN.replace("DIRECTION", "higher")
    folder = challenge_folder(tmp_path, change=lambda t: t.replace("  primary: AP", own))
    if body is not None:
        (folder / "own.py").write_text(body)
    [found] = [f for f in release(bench, folder).findings if f.severity == "error"]
    assert found.code == "METRIC_FAILED" and told in found.message and found.line == line


def test_a_metric_in_the_wrong_direction_and_a_released_one(bench, tmp_path):
    """What runs leaves no compiled file behind: each would have other bytes."""
    body = "import scipy\ndef f(t, p, i):\n    return float(((t > 0) == (p > 0)).mean())\n"
    for direction in ("lower", "higher"):
        own = OWN.replace("DIRECTION", direction)
        folder = challenge_folder(
            tmp_path,
            change=lambda t, own=own: t.replace("  primary: AP", own) + "leakage: {check: false}\n",
        )
        (folder / "own.py").write_text(body)
        result = release(bench, folder)
        if direction == "lower":
            failed = [f for f in result.findings if f.code == "CONTROL_FAILED"]
            assert failed and "is it true that lower is better" in failed[0].mend
    assert result.ok, result.findings
    assert [p.name for p in (result.folder / "metrics").rglob("*")] == ["own.py"]


@pytest.mark.parametrize("primary, blind", [("HD95", True), ("AP", False)])
def test_a_metric_of_matches_alone_is_warned_of_when_it_ranks(tmp_path, primary, blind):
    bench = nuclei(tmp_path, each=1)
    folder = challenge_folder(
        tmp_path,
        change=lambda t: (
            t.replace("primary: AP", f"primary: {primary}") + "leakage: {check: false}\n"
        ),
    )
    result = release(bench, folder)
    assert result.ok
    told = [f for f in result.findings if f.code == "PRIMARY_BLIND"]
    assert bool(told) == blind
    if blind:
        assert primary in told[0].message and "AP, F1, PQ" in told[0].mend


def test_missing_and_ambiguous_truth_are_findings(bench, tmp_path):
    image, labels = discs(5)
    folder = tmp_path / "x"
    bench.add_study(
        "SB-ODD",
        {"a.tif": tiff(folder / "a.tif", image), "b.tif": tiff(folder / "b.tif", image + 1),
         "b1.tif": tiff(folder / "b1.tif", labels), "b2.tif": tiff(folder / "b2.tif", labels),
         "c.tif": tiff(folder / "c.tif", image[:50]), "c1.tif": tiff(folder / "c1.tif", labels)},
        [{"path": "a.tif", "part": "Images"}, {"path": "b.tif", "part": "Images"},
         {"path": "c.tif", "part": "Images"},
         {"path": "b1.tif", "part": "L", "role": "labels", "source_image": "b.tif"},
         {"path": "b2.tif", "part": "L", "role": "labels", "source_image": "b.tif"},
         {"path": "c1.tif", "part": "L", "role": "labels", "source_image": "c.tif"}],
    )  # fmt: skip
    made = challenge_folder(tmp_path, change=lambda t: t.replace("SB-NUCLEI", "SB-ODD"))
    result = release(bench, made)
    found = {(f.code, f.file) for f in result.findings}
    assert ("TRUTH_MISSING", "SB-ODD/a.tif") in found
    assert ("TRUTH_AMBIGUOUS", "SB-ODD/b.tif") in found
    assert ("TRUTH_SHAPE", "SB-ODD/c.tif") in found


def test_a_query_chooses_studies_and_the_release_pins_them(bench, tmp_path):
    folder = challenge_folder(
        tmp_path,
        change=lambda t: t.replace(
            "- accession: SB-NUCLEI", "- query: {organism: homo sapiens, title: nuclei}"
        ),
    )
    result = release(bench, folder)
    assert result.ok
    pinned = yaml.safe_load((result.folder / "challenge.yaml").read_text())["data"]["sources"]
    assert [(s["accession"], s["version"]) for s in pinned] == [("SB-NUCLEI", 1)]


def test_all_wrong_fields_are_named_at_once(bench, tmp_path):
    folder = challenge_folder(
        tmp_path,
        change=lambda t: t.replace("license: CC-BY-4.0\n", "").replace("version: 1.0.0",
        "version: one\ncolour: blue"),
    )  # fmt: skip
    result = release(bench, folder)
    lines = (folder / "challenge.yaml").read_text().splitlines()
    at = {f.field: lines[f.line - 1].split(":")[0] for f in result.findings}
    assert at == {"license": "slug", "version": "version", "colour": "colour"}
    assert "1.0.0" in next(f.mend for f in result.findings if f.field == "version")


@pytest.mark.parametrize(
    "old, new, field, code, there",
    [
        ("data:", "data:\n  channels: [9]", None, "PAIR_UNFIT", ""),
        ("- accession: SB-NUCLEI", "- accession: SB-NUCLEI\n      images: {parts: [Fields]}",
         "data.sources.images.parts", "CHOICE_UNMET", "Fields of view"),
        ("- accession: SB-NUCLEI", "- accession: SB-NUCLEI\n      images: {paths: ['plate*']}",
         "data.sources.images.paths", "CHOICE_UNMET", "images/spA_0.tif"),
        ("- accession: SB-NUCLEI",
         "- accession: SB-NUCLEI\n      images: {where: {specimen: [A, Q]}}",
         "data.sources.images.where", "CHOICE_UNMET", "A, B, C"),
        ("{share: 0.3}", "{groups: [A, Q]}", "splits.rules.validation.groups", "RULE_UNMET",
         "A, B"),
        ("{share: 0.3}", "{images: ['sp?']}", "splits.rules.validation.images", "RULE_UNMET",
         "images/spA_0.tif"),
        ("{share: 0.3}", "{annotations: Nuclei}", "splits.rules.validation.annotations",
         "RULE_UNMET", "Nuclei, test"),
        ("  rules:", "  folds: 9\n  rules:", "splits.folds", "FOLDS_EMPTY", "at most 3"),
    ],
)  # fmt: skip
def test_what_a_choice_does_not_find_is_told(tmp_path, old, new, field, code, there):
    bench = nuclei(tmp_path, each=1)
    if code == "PAIR_UNFIT":  # an image with channels
        image, labels = discs(50)
        bench.add_study(
            "SB-NUCLEI",
            {"c.tif": tiff(tmp_path / "c.tif", np.stack([image, image]), metadata={"axes": "CYX"}),
             "l.tif": tiff(tmp_path / "l.tif", labels)},
            [{"path": "c.tif", "part": "Images", "specimen": "A"},
             {"path": "l.tif", "part": "Nuclei, test", "role": "labels", "source_image": "c.tif"}],
            restricted=("Nuclei, test",),
        )  # fmt: skip
        rules = lambda t: t.replace("    train: {share: 0.7}\n    validation: {share: 0.3}\n", "")  # noqa: E731
    else:
        rules = lambda t: t  # noqa: E731
    folder = challenge_folder(tmp_path, change=lambda t: rules(t).replace(old, new, 1))
    found = [f for f in release(bench, folder).findings if f.code == code]
    assert [f.field for f in found] == [field] and there in (found[0].mend or "")


def test_splits_do_not_depend_on_the_order_of_files(bench):
    from slidebox.challenge.assemble import assemble
    from slidebox.challenge.splits import divide

    made = challenge.load(challenge_folder(bench.root))
    pairs, _ = assemble(made, bench.archive())
    forward, _ = divide(made, pairs)
    backward, _ = divide(made, pairs[::-1])
    assert forward == backward


def test_a_release_does_not_depend_on_the_order_of_the_file_list(bench, tmp_path, monkeypatch):
    from slidebox.challenge.archive import Archive

    folder = challenge_folder(
        tmp_path, change=lambda t: t.replace("  rules:", "  folds: 2\n  rules:")
    )
    first = release(bench, folder, out=tmp_path / "one")
    study = Archive.study

    def backwards(self, *args):
        found = study(self, *args)
        found.filesets.reverse()
        return found

    monkeypatch.setattr(Archive, "study", backwards)
    second = release(bench, folder, out=tmp_path / "two")
    assert first.ok and second.ok
    names = [(r.folder / "SHA256SUMS").read_text() for r in (first, second)]
    assert names[0] == names[1]
    other = challenge_folder(
        tmp_path, change=lambda t: t.replace("  rules:", "  seed: 2\n  rules:")
    )
    third = release(bench, other, out=tmp_path / "three", private=tmp_path / "p")
    assert [r["split"] for r in rows_of(third.folder)] != [
        r["split"] for r in rows_of(first.folder)
    ]


def divided(root, rules: dict, fields: list[dict]):
    """(images, their splits, their folds) of as many images as there are `fields`."""
    from slidebox.challenge.assemble import Pair
    from slidebox.challenge.splits import divide, folds

    data = yaml.safe_load(challenge_folder(root).joinpath("challenge.yaml").read_text())
    data["splits"] = rules | {"rules": {"train": {"share": 0.8}, "test": {"share": 0.2}}}
    data["hidden"] = []
    made = challenge.Challenge.model_validate(data)
    study = SimpleNamespace(accession="S")
    pairs = [
        Pair(f"i{k}", study, {"path": f"{k}"}, {"path": "t"}, "x", False, of)
        for k, of in enumerate(fields)
    ]
    placed, findings = divide(made, pairs)
    assert not [f for f in findings if f.severity == "error"]
    return pairs, placed, folds(made, pairs, placed)


def test_strata_are_spread_evenly(tmp_path):
    fields = [
        {"donor": f"d{k // 2}", "stain": "DAPI" if k % 40 < 10 else "Hoechst"} for k in range(200)
    ]
    rules = {"group_by": "donor", "stratify_by": "stain", "folds": 4}
    pairs, placed, fold = divided(tmp_path, rules, fields)
    for stain, total in (("DAPI", 50), ("Hoechst", 150)):
        test = sum(placed[p.id] == "test" for p in pairs if p.fields["stain"] == stain)
        assert abs(test - 0.2 * total) <= 2
    sizes = [sum(f == str(k) for f in fold.values()) for k in range(4)]
    assert max(sizes) - min(sizes) <= 2 and sum(sizes) == sum(s == "train" for s in placed.values())
    donors: dict[str, set] = {}
    for p in pairs:
        donors.setdefault(p.fields["donor"], set()).add((placed[p.id], fold[p.id]))
    assert all(len(v) == 1 for v in donors.values())


def test_several_strata_are_spread_each(tmp_path):
    """30 combinations of two fields, most of them of few images: each field's values alike."""
    fields = [{"image": f"i{k}", "stain": "ABC"[k % 7 % 3], "day": f"d{k % 10}"} for k in range(75)]
    rules = {"group_by": "image", "stratify_by": ["stain", "day"], "folds": 5}
    pairs, placed, fold = divided(tmp_path, rules, fields)
    for field in ("stain", "day"):
        for value in {p.fields[field] for p in pairs}:
            mine = [p.id for p in pairs if p.fields[field] == value]
            test = sum(placed[i] == "test" for i in mine)
            assert abs(test - 0.2 * len(mine)) < 1.6, (field, value, test, len(mine))
            sizes = [sum(fold[i] == str(k) for i in mine) for k in range(5)]
            assert max(sizes) - min(sizes) <= 2, (field, value, sizes)


def test_fields_of_studies_that_differ(tmp_path):
    """One finding a study and field; `a | b` is the first that an image has."""
    bench = nuclei(tmp_path, each=1)
    image, labels = discs(77)
    bench.add_study(
        "SB-OTHER",
        {"o.tif": tiff(tmp_path / "o.tif", image), "l.tif": tiff(tmp_path / "l.tif", labels)},
        [{"path": "o.tif", "part": "Images", "donor": "D"},
         {"path": "l.tif", "part": "L", "role": "labels", "source_image": "o.tif"}],
        record={"biosamples": [{"name": "Cells", "organism": [{"name": "Mus musculus"}],
                                "biological_entity": "liver"}]},
    )  # fmt: skip
    two = "- accession: SB-NUCLEI\n    - accession: SB-OTHER"
    folder = challenge_folder(
        tmp_path,
        change=lambda t: t.replace("- accession: SB-NUCLEI", two).replace(
            "group_by: specimen", "group_by: [donor]\n  stratify_by: [biological_entity]"),
    )  # fmt: skip
    result = release(bench, folder)
    told = {(f.code, f.file, f.field): f for f in result.findings if f.severity == "error"}
    assert told.keys() == {
        ("FIELD_MISSING", "SB-NUCLEI", "splits.group_by"),
        ("FIELD_MISSING", "SB-NUCLEI", "splits.stratify_by"),
    }
    one = told["FIELD_MISSING", "SB-NUCLEI", "splits.group_by"]
    assert "6 of 6 images" in one.message and "donor | image" in one.mend
    path = folder / "challenge.yaml"
    text = path.read_text().replace("[donor]", "[donor | specimen]")
    path.write_text(text.replace("[biological_entity]", '["biological_entity | study"]'))
    result = release(bench, folder)
    assert result.ok, result.findings
    # Nobody is told what is restricted, also not beside the other study
    assert "Nuclei, test" not in (result.folder / "challenge.yaml").read_text()
    rows = {r["id"]: r for r in rows_of(result.folder)}
    assert rows["o"]["group"] == "D" and rows["o"]["stratum"] == "liver"
    assert rows["spA_0"]["group"] == "A" and rows["spA_0"]["stratum"] == "SB-NUCLEI"
    assert "| biological_entity or study |" in (result.folder / "README.md").read_text()
    assert "(donor or specimen)" in (result.folder / "README.md").read_text()
    lack = {f.message for f in result.findings if f.code == "STRATUM_MISSING"}
    assert "split 'test' has no image of 'liver'" in lack


def test_one_group_alone_fills_no_two_splits(bench, tmp_path):
    folder = challenge_folder(
        tmp_path,
        change=lambda t: (
            t.replace("group_by: specimen", "group_by: folder").replace(
            '{annotations: "Nuclei, test"}', "{share: 0.1}").replace("share: 0.7", "share: 0.5")
        ),
    )  # fmt: skip
    told = [f for f in release(bench, folder).findings if f.code == "SPLIT_EMPTY"]
    assert len(told) == 2 and "all images are one group by folder (images)" in told[0].mend


def test_the_baseline_scores_on_hidden_truth(made, tmp_path):
    bench, result = made
    folder = baseline.predict(result.folder, tmp_path / "p", "test")
    found = scoring.score(result.folder, folder, private=bench.private)
    assert found.ok and found.scores["split"] == "test"
    assert found.scores["metrics"]["AP"]["value"] > 0.2


def test_the_baseline_finds_dark_objects_too():
    image, truth = discs(3)
    for picture in (image, 2000 - image.astype(np.float32)):
        found = baseline.segment(picture)
        assert 2 * ((found > 0) & (truth > 0)).sum() > 0.9 * ((found > 0).sum() + (truth > 0).sum())


def test_the_baseline_names_what_it_needs(made, tmp_path, monkeypatch, capsys):
    _, result = made
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert baseline.main([str(tmp_path / "p"), "--release", str(result.folder)]) == 2
    assert "pip install scikit-image" in capsys.readouterr().err


def test_the_wheel_stands_alone(made, tmp_path):
    """score.py runs with nothing of slidebox but the release's own wheel."""
    _, result = made
    with zipfile.ZipFile(result.folder / wheel.wheel_name()) as packed:
        packed.extractall(tmp_path / "site")
        assert "slidebox/vault/vault.py" not in packed.namelist()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import slidebox; "
        "assert slidebox.__file__.startswith(sys.argv[1]); sys.argv = ['score.py', sys.argv[2], "
        "'--template']; import runpy; "
        f"runpy.run_path({str(result.folder / 'score.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path / "site"), str(tmp_path / "empty")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "empty").iterdir())) == 4
    head = (result.folder / "score.py").read_text().partition('# ///\n"""')[0]
    assert f'path = "{wheel.wheel_name()}"' in head
    assert all("==" in line for line in head.splitlines() if line.startswith('#   "'))


def test_the_script_asks_for_a_python_that_its_pins_have_wheels_for(made):
    _, result = made
    (line,) = [x for x in (result.folder / "score.py").read_text().splitlines()
               if x.startswith("# requires-python")]  # fmt: skip
    allowed = SpecifierSet(line.partition("= ")[2].strip('"'))
    here = sys.version_info
    assert f"{here.major}.{here.minor}.1" in allowed
    assert f"{here.major}.{here.minor + 1}.0" not in allowed


def test_croissant_is_valid_and_loads(made):
    croissant = pytest.importorskip("mlcroissant")
    _, result = made
    dataset = croissant.Dataset(str(result.folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors, issues.report()
    assert not issues.warnings, issues.report()
    loaded = list(dataset.records("images"))
    assert len(loaded) == 12
    assert {r["images/split"].decode() for r in loaded} == {"train", "validation", "test"}


def test_ro_crate_is_valid_and_lists_every_file(made, tmp_path):
    _, result = made
    assert judge(result.folder, tmp_path / "cache", "ro-crate-1.1", "1.1") == []
    crate = json.loads((result.folder / "ro-crate-metadata.json").read_text())
    listed = {e["@id"] for e in crate["@graph"] if e["@type"] == "File"}
    there = {
        p.relative_to(result.folder).as_posix() for p in result.folder.rglob("*") if p.is_file()
    }
    assert there - listed == {"SHA256SUMS", "croissant.json", "ro-crate-metadata.json"}


def test_revealing_lets_anyone_check_the_truth(bench, tmp_path):
    result = release(bench, challenge_folder(tmp_path))
    before = (result.folder / "SHA256SUMS").read_bytes()
    folder = challenge.reveal(result.folder, bench.private)
    assert (result.folder / "SHA256SUMS").read_bytes() == before
    assert challenge.verify(result.folder) == []
    path = folder / "labels" / "spC_0.tif"
    labels = tifffile.imread(path)
    labels[0, 0] = 77
    tifffile.imwrite(path, labels, compression="zlib", metadata=None)
    assert [(f.code, f.file) for f in challenge.verify(result.folder)] == [
        ("COMMITMENT_BROKEN", "revealed/labels/spC_0.tif")
    ]
    table = folder / "truth.csv"
    table.write_text(table.read_text().replace("spE_0,test", "spE_9,test"))
    assert len(challenge.verify(result.folder)) == 3


def test_truth_that_a_later_release_hides_is_not_revealed(bench, tmp_path, monkeypatch):
    first = release(bench, challenge_folder(tmp_path))
    second = release(bench, challenge_folder(tmp_path, "1.0.1"))
    copy = shutil.copytree(first.folder, tmp_path / "copy")
    monkeypatch.chdir(first.folder)  # whatever the folder is called
    for place in (first.folder, Path(), copy):
        with pytest.raises(NotARelease, match=r"1\.0\.1 hides some of this truth"):
            challenge.reveal(place, bench.private)
    table = second.private / "truth.csv"
    kept = table.read_text()
    table.write_text("nothing\n1\n")
    with pytest.raises(NotARelease, match=r"1\.0\.1: truth\.csv has other columns"):
        challenge.reveal(Path(), bench.private)
    table.write_text(kept)
    challenge.reveal(second.folder, bench.private)
    challenge.reveal(Path(), bench.private)
    Path("README.md").write_text("other words")
    (wrong,) = challenge.check_release(Path())[0]
    assert wrong.file == "1.0.0/README.md"


def test_scores_of_entries_outlive_a_release_that_is_written_once_more(bench, tmp_path):
    first = release(bench, challenge_folder(tmp_path))
    for name in ("scores/abc/result.json", "leaderboard/leaderboard.json"):
        (first.private / name).parent.mkdir(parents=True)
        (first.private / name).write_text(name)
    shutil.rmtree(first.folder)
    again = release(bench, challenge_folder(tmp_path))
    assert again.new
    for name in ("scores/abc/result.json", "leaderboard/leaderboard.json"):
        assert (again.private / name).read_text() == name
    assert {p.name for p in again.private.parent.iterdir()} == {
        "1.0.0", ".lock", "secret.key", "searched.json"}  # fmt: skip


def test_a_release_that_has_ended_still_stands_when_it_is_built_again(bench, tmp_path):
    """Else the workflow would fail for good; the same test set is no secret for a new version."""
    first = release(bench, challenge_folder(tmp_path))
    challenge.reveal(first.folder, bench.private)
    again = release(bench, challenge_folder(tmp_path))
    assert again.ok and not again.new
    assert challenge.verify(first.folder) == []
    later = release(bench, challenge_folder(tmp_path, "1.0.1"))
    assert {f.code for f in later.findings if f.severity == "error"} == {"HIDDEN_REACHABLE"}


def test_a_key_that_stands_twice_is_told(tmp_path):
    """As when a line of the template's comments is switched on beside the one that was there."""
    folder = challenge_folder(tmp_path, change=lambda t: t.replace(
        "    validation:", '    train: {images: ["sp*"]}\n    validation:') + "license: MIT\n"
        "citation: &again [*again]\nleakage: {check: true, check: false}\n"
    )  # fmt: skip
    with pytest.raises(Invalid) as bad:
        load(folder)
    lines = (folder / "challenge.yaml").read_text().splitlines()
    told = {(f.field, f.line): f.message for f in bad.value.findings}
    del told["citation", lines.index("citation: &again [*again]") + 1]  # no text
    assert told.keys() == {("leakage.check", len(lines)),
                           ("splits.rules.train", lines.index('    train: {images: ["sp*"]}') + 1),
                           ("license", lines.index("license: MIT") + 1)}  # fmt: skip
    assert all("twice" in message for message in told.values())


def test_a_readme_in_another_encoding_is_named(bench, tmp_path):
    folder = challenge_folder(tmp_path)
    (folder / "README.md").write_bytes("Zellkerne, gefärbt".encode("latin-1"))
    (wrong,) = [f for f in release(bench, folder).findings if f.severity == "error"]
    assert (wrong.code, wrong.file) == ("CHALLENGE_README", "README.md")


def test_images_are_chosen_by_names_with_brackets_too(bench, tmp_path):
    bench = Bench(tmp_path / "brackets")
    made, rows = {}, []
    for k in range(4):
        image, labels = discs(70 + k)
        made |= {f"im[{k}].tif": tiff(tmp_path / f"{k}.tif", image),
                 f"l{k}.tif": tiff(tmp_path / f"l{k}.tif", labels)}  # fmt: skip
        rows += [{"path": f"im[{k}].tif", "part": "P", "specimen": str(k)},
                 {"path": f"l{k}.tif", "part": "L", "role": "labels",
                  "source_image": f"im[{k}].tif"}]  # fmt: skip
    bench.add_study("SB-NUCLEI", made, rows)
    folder = challenge_folder(tmp_path, change=lambda t: t.replace(
        "- accession: SB-NUCLEI",
        '- accession: SB-NUCLEI\n      images: {paths: ["im[0].tif", "im[[][12]].tif"]}',
    ).replace("{share: 0.3}", '{images: ["im[2].tif"]}').replace("hidden: [test]", "").replace(
        '    test: {annotations: "Nuclei, test"}\n', ""))  # fmt: skip
    result = release(bench, folder)
    assert result.ok, result.findings
    assert {r["source"]: r["split"] for r in rows_of(result.folder)} == {
        "im[0].tif": "train", "im[1].tif": "train", "im[2].tif": "validation"}  # fmt: skip
    path = folder / "challenge.yaml"
    path.write_text(path.read_text().replace('["im[2].tif"]', '["im[2]*"]'))
    (wrong,) = release(bench, folder).findings
    assert wrong.code == "RULE_UNMET" and "[ is written [[]" in wrong.message


def test_the_key_of_a_release_tells_when_nothing_changed(bench, tmp_path):
    folder = challenge_folder(tmp_path)
    first = challenge.release_key(folder, bench.public)
    assert challenge.release_key(folder, bench.public) == first
    (bench.public / "SB-ELSE").mkdir()
    (bench.public / "SB-ELSE" / "study.json").write_text("{}")
    assert challenge.release_key(folder, bench.public) == first
    challenge_folder(tmp_path, change=lambda t: t.replace("Find", "See"))
    assert challenge.release_key(folder, bench.public) != first


@pytest.mark.parametrize(
    "task",
    ["instance-segmentation", "semantic-segmentation", "tracking", "points", "restoration"],
)
def test_init_writes_a_challenge_that_loads(tmp_path, task):
    path = challenge.init(tmp_path / "my-challenge", task=task)
    assert challenge.load(path.parent).task == task
    with pytest.raises(FileExistsError):
        challenge.init(tmp_path / "my-challenge")
    with pytest.raises(ValueError, match="can't name"):
        challenge.init(tmp_path / "My Challenge")


def choices(text: str):
    """challenge.yaml once for each choice in its comments, with that one taken."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if re.match(r" +# (- )?[a-z_]+: ?[\w\[{\"']|  +# [a-z]+: +#", line):
            indent = line.index("#")
            end = at + 1
            while (
                end < len(lines)
                and re.match(rf" {{{indent}}}#   *[a-z-]+", lines[end])
                and (
                    lines[end][indent + 2] == " "
                    and line.partition(":")[2].strip()[:1] in ("#", "")
                )
            ):
                end += 1
            taken = [x.replace("# ", "", 1) for x in lines[at:end]]
            yield line.strip(), "\n".join([*lines[:at], *taken, *lines[end:]])


@pytest.mark.parametrize(
    "task",
    ["instance-segmentation", "semantic-segmentation", "tracking", "points", "restoration"],
)
def test_each_choice_in_the_comments_of_init_can_be_taken(tmp_path, task):
    path = challenge.init(tmp_path / "my-challenge", task=task)
    text, taken = path.read_text(), []
    for line, changed in choices(text):
        if line.startswith("# test:"):  # in place of the one above
            changed = changed.replace("    test: {share: 0.2}\n", "")
        path.write_text(changed)
        made = challenge.load(path.parent)
        taken.append(line.split()[1])
        assert yaml.safe_load(changed) != yaml.safe_load(text), line
        assert made.task == task
    assert {"version:", "images:", "channels:", "stratify_by:", "test:", "folds:"} <= set(taken)
    assert ("tiles:" in taken) == (task != "tracking") and ("columns:" in taken) == (
        task == "points"
    )


def test_what_init_writes_can_be_released_as_it_is(bench, tmp_path):
    """A newcomer who changes nothing gets a release, when the truth of all images is public."""
    image, labels = discs(41), discs(42)
    files, rows = {}, []
    for k, (picture, truth) in enumerate((image, labels, discs(43), discs(44), discs(45))):
        files[f"i{k}.tif"] = tiff(tmp_path / "n" / f"i{k}.tif", picture)
        files[f"l{k}.tif"] = tiff(tmp_path / "n" / f"l{k}.tif", truth)
        rows += [{"path": f"i{k}.tif", "part": "Images"},
                 {"path": f"l{k}.tif", "part": "L", "role": "labels",
                  "source_image": f"i{k}.tif"}]  # fmt: skip
    bench.add_study("SB-OPEN", files, rows)
    path = challenge.init(tmp_path / "challenges" / "first", accession="SB-OPEN")
    result = release(bench, path.parent)
    assert result.ok, result.findings
    assert {r["split"] for r in rows_of(result.folder)} == {"train", "test"}


def test_an_image_of_many_files_is_read_whole(bench, tmp_path):
    """Frames in files of their own, as the Cell Tracking Challenge has them; named by the folder"""
    files, rows = {}, []
    for k in range(3):
        for t in range(4):
            image, labels = discs(50 + k, 5)
            files[f"m{k}/01/t00{t}.tif"] = tiff(tmp_path / "c" / f"{k}{t}.tif", np.roll(image, t))
            name = f"m{k}/01_GT/TRA/man_track00{t}.tif"
            files[name] = tiff(tmp_path / "c" / f"{k}{t}l.tif", np.roll(labels, t))
        source = f"m{k}/01/t000.tif"
        about = {"part": "Movies", "pattern": f"m{k}/01/t<000-003>.tif"}
        rows.append({"path": source, **about})
        about = {"part": "Tracks", "role": "labels", "source_image": source}
        rows.append({"path": f"m{k}/01_GT/TRA/man_track000.tif", **about,
                     "pattern": f"m{k}/01_GT/TRA/man_track<000-003>.tif"})  # fmt: skip
        table = f"m{k}/01_GT/TRA/man_track.txt"
        files[table] = "".join(f"{n} 0 3 0\n" for n in range(1, 6)).encode()
        rows.append({"path": table, "part": "Tracks", "role": "table", "source_image": source})
    bench.add_study("SB-MOVIES", files, rows)
    path = challenge.init(
        tmp_path / "challenges" / "movies", accession="SB-MOVIES", task="tracking",
        archive=bench.archive(),
    )  # fmt: skip
    result = release(bench, path.parent)
    assert result.ok, result.findings
    assert {r["id"] for r in rows_of(result.folder)} == {"m0_01", "m1_01", "m2_01"}
    last = next(result.folder.glob("*/images/m1_01/t003.tif"))
    assert np.array_equal(tifffile.imread(last), np.roll(discs(51, 5)[0], 3))


def test_init_knows_the_study_and_needs_no_change(bench, tmp_path):
    """Restricted annotation sets become the hidden test set; what nobody wrote is warned of."""
    path = challenge.init(
        tmp_path / "challenges" / "first", accession="SB-NUCLEI", archive=bench.archive()
    )
    text = path.read_text()
    assert 'in "Nuclei, test", restricted' in text and "# - field specimen: " in text
    made = challenge.load(path.parent)
    assert made.hidden == ["test"] and made.splits.rules["test"].annotations == "Nuclei, test"
    result = release(bench, path.parent)
    assert result.ok, result.findings
    left = {f.field or f.file for f in result.findings if f.code == "CHALLENGE_PLACEHOLDER"}
    assert left == {"description", "organisers", "README.md"}
    with pytest.raises(ValueError, match="there is SB-NUCLEI"):
        challenge.init(tmp_path / "other", accession="SB-NONE", archive=bench.archive())


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        (["challenge.yaml (scoring.ignore_label)"], {"scoring": {"ignore_label": 5}}),
        (["challenge.yaml (scoring.max_detections)"], {"scoring": {"max_detections": 100}}),
        (["challenge.yaml (citation)"], {"citation": "Somebody, 2026"}),
        (["challenge.yaml (license)"], {"license": "CC0-1.0"}),
        ([], {}),
    ],
)
def test_what_was_unset_is_not_set_later_after_an_upgrade(bench, tmp_path, wanted, change):
    """Another scorer may come with keys that the old one didn't know, with nothing else."""
    first = release(bench, challenge_folder(tmp_path)).folder
    new = tmp_path / "new"
    shutil.copytree(first, new)
    said = yaml.safe_load((first / "challenge.yaml").read_text())
    old = {**said, "scoring": {k: v for k, v in said["scoring"].items() if k != "pieces"}}
    (first / "challenge.yaml").write_text(yaml.safe_dump(old))
    scoring = said["scoring"] | change.pop("scoring", {})
    (new / "challenge.yaml").write_text(yaml.safe_dump({**said, **change, "scoring": scoring}))
    listed = (new / "SHA256SUMS").read_text().splitlines()
    (new / "SHA256SUMS").write_text(
        "".join(f"{'0' * 64 if x.endswith('score.py') else x[:64]}{x[64:]}\n" for x in listed)
    )
    assert what_changed(first, new) == wanted


def test_private_truth_is_held_to_its_commitment(bench, tmp_path):
    folder = challenge_folder(tmp_path)
    first = release(bench, folder)
    assert challenge.check_release(first.folder, bench.private)[0] == []
    label = next((first.private / "labels").glob("*.tif"))
    image = tifffile.imread(label)
    kept = label.read_bytes()
    tifffile.imwrite(label, np.where(image == 1, 0, image).astype(image.dtype))
    (wrong,) = challenge.check_release(first.folder, bench.private)[0]
    assert wrong.message == "the hidden truth of spC_0 has changed"
    assert not release(bench, folder).ok
    with pytest.raises(NotARelease, match="has changed"):
        challenge.reveal(first.folder, bench.private)
    label.write_bytes(kept)
    # A file and its line in SHA256SUMS, both changed in place
    readme = first.folder / "README.md"
    readme.write_text("other words")
    sums = (first.folder / "SHA256SUMS").read_text().splitlines()
    mine = hashlib.sha256(b"other words").hexdigest()
    lines = [f"{mine}  README.md" if x.endswith("  README.md") else x for x in sums]
    (first.folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    found, _ = challenge.check_release(first.folder, bench.private)
    assert any("README.md" in f.file for f in found)


def test_tiles_cover_the_image_and_stay_in_its_group(bench, tmp_path):
    folder = challenge_folder(
        tmp_path,
        change=lambda t: t.replace("splits:", "  tiles: {size: [60, 96]}\nsplits:", 1),
    )
    result = release(bench, folder)
    assert result.ok, [f.message for f in result.findings]
    rows = {r["id"]: r for r in rows_of(result.folder)}
    assert len(rows) == 12
    assert rows["spA_0_y00036_x00000"]["shape"] == "60x96"
    whole = next(
        Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")
        if f.path == "images/spA_0.tif"
    )  # fmt: skip
    tile = tifffile.imread(result.folder / rows["spA_0_y00036_x00000"]["image"])
    assert np.array_equal(tile, tifffile.imread(whole)[36:])
    assert len({r["split"] for r in rows.values() if r["group"] == "A"}) == 1


def test_the_schema_matches_the_model():
    shipped = Path(__file__).parents[2] / "workflow" / "schemas" / "challenge.schema.json"
    assert json.loads(shipped.read_text()) == challenge.json_schema(), "run `make schemas`"


def test_the_shipped_challenge_is_valid():
    folder = Path(__file__).parents[2] / "challenges" / "nuclei"
    assert challenge.load(folder).hidden == ["test"]


def test_an_upgrade_or_a_newer_study_leaves_a_release_as_it_is(bench, tmp_path, monkeypatch):
    folder = challenge_folder(tmp_path)
    first = release(bench, folder)
    before = tree(first.folder)
    monkeypatch.setattr(wheel, "script", lambda: "# another scorer\n")
    image, labels = discs(77)
    name = next(f"sp{r['group']}_9" for r in rows_of(first.folder) if r["split"] == "train")
    more = {f"images/{name}.tif": tiff(tmp_path / "n" / "i.tif", image),
            f"labels/{name}_lab.tif": tiff(tmp_path / "n" / "l.tif", labels)}  # fmt: skip
    vault = Vault(bench.vault)
    files = {f.path: Path(f.content).read_bytes() for f in vault.files("SB-NUCLEI")} | more
    rows = [
        {"path": p, "part": "Fields of view", "specimen": p[9]}
        if p.startswith("images/") else
        {"path": p, "role": "labels", "source_image": "images/" + p[7:].replace("_lab", ""),
         "part": "Nuclei, test" if p[9] in "CE" else "Nuclei, training", "specimen": p[9]}
        for p in files
    ]  # fmt: skip
    assert bench.add_study("SB-NUCLEI", files, rows, restricted=("Nuclei, test",)) == 2
    again = release(bench, folder)
    assert again.ok and not again.new, [f.message for f in again.findings]
    assert tree(first.folder) == before
    # What the organiser changes is still refused
    seeded = "group_by: specimen\n  seed: 5"
    challenge_folder(tmp_path, change=lambda t: t.replace("group_by: specimen", seeded))
    assert codes(release(bench, folder)) == {"RELEASE_IMMUTABLE"}
    # The new image joins its specimen; nobody else moves
    challenge_folder(tmp_path, version="1.1.0")
    newer = release(bench, folder)
    assert newer.ok, [f.message for f in newer.findings]
    assert f"{name}: added to train (MINOR)" in (newer.folder / "CHANGELOG.md").read_text()
    old = {r["id"]: r["split"] for r in rows_of(first.folder)}
    assert old.items() <= {r["id"]: r["split"] for r in rows_of(newer.folder)}.items()


def test_the_command_shows_a_release_on_the_site(tmp_path):
    bench = nuclei(tmp_path, each=1)
    folder = challenge_folder(tmp_path)
    command = ["challenge", "release", str(folder), "--directory", str(tmp_path)]
    assert cli.main(command) == 0
    page = bench.public / "challenges" / "nuclei" / "index.html"
    assert "1.0.0" in page.read_text("utf-8")


def test_what_mends_several_findings_is_said_once():
    found = [Finding("A", "error", f"m{k}", f"f{k}.tif", k, mend="do it") for k in (1, 2)]
    found.append(Finding("B", "warning", "n", field="x", mend="do that"))
    assert list(lines(found)) == [
        "error: A: f1.tif:1: m1", "error: A: f2.tif:2: m2", "    do it", "warning: B: x: n",
        "    do that",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "old, new, code, field, told",
    [
        ("CC-BY-4.0", "CC BY 4", "CHALLENGE_FIELD", "license", "CC-BY-4.0"),
        ("data:", "leaderboard: {phases: [{name: a, begin: 2026-13-01}]}\ndata:",
         "CHALLENGE_FIELD", "leaderboard.phases.0.begin", "2026-13-01"),
        ("data:", "data:\n  tiles: [256, 256]", "CHALLENGE_FIELD", "data.tiles", "write size"),
        ("SB-NUCLEI", "SB-NUCLEUS", "STUDY_MISSING", "data.sources.0", "there is SB-NUCLEI"),
    ],
)  # fmt: skip
def test_what_newcomers_write_is_answered(tmp_path, old, new, code, field, told):
    bench = nuclei(tmp_path, each=1)
    folder = challenge_folder(tmp_path, change=lambda text: text.replace(old, new, 1))
    (said,) = challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private
    ).findings
    assert (said.code, said.field) == (code, field)
    assert told in f"{said.message} {said.mend}"


def test_a_study_as_a_whole_is_a_split(tmp_path):
    bench = nuclei(tmp_path, each=1, test="")
    rule = 'test: {images: ["SB-NUCLEI/images/spB*"]}'
    folder = challenge_folder(tmp_path, change=lambda text: text.replace(
        'test: {annotations: "Nuclei, test"}', rule).replace("hidden: [test]", ""))  # fmt: skip
    made = challenge.release(folder, public=bench.public, vault=bench.vault, private=bench.private)
    assert made.ok, made.findings
    rows = csv.DictReader((made.folder / "splits.csv").read_text().splitlines())
    assert [r["id"] for r in rows if r["split"] == "test"] == ["spB_0"]
