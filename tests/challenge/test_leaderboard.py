"""Leaderboards: scored once, ranked honestly, hostile entries refused, hidden truth kept."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest
import tifffile
from archives import challenge_folder, nuclei

from slidebox import challenge
from slidebox.scoring import open_release

PHASES = (
    "leaderboard:\n  phases:\n    - {name: first, begin: 2026-01-01, end: 2026-02-01, quota: 1}\n"
)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("board")
    bench = nuclei(root)
    folder = challenge_folder(root, more=PHASES)
    made = challenge.release(folder, public=bench.public, vault=bench.vault, private=bench.private)
    assert made.ok, made.findings
    return bench, folder, made


@pytest.fixture
def board(archive, tmp_path):
    """A copy to write to: (bench, folder, release folder, entries)."""
    bench, folder, made = archive
    for name in ("public", "private"):
        shutil.copytree(bench.root / name, tmp_path / name)
    release = tmp_path / made.folder.relative_to(bench.root)
    shutil.rmtree(release / "leaderboard", ignore_errors=True)
    return tmp_path, folder, release, tmp_path / "entries"


def truth_of(root):
    folder = root / "private/challenges/nuclei/1.0.0/labels"
    return {p.stem: tifffile.imread(p) for p in folder.glob("*.tif")}


def enter(entries, team, name, predictions, date="2026-01-10", **more):
    folder = entries / "nuclei" / team / name
    folder.mkdir(parents=True)
    lines = {"method": f"{team}'s method", "authors": ["A"], "date": date} | more
    (folder / "entry.yaml").write_text(json.dumps(lines))
    for which, array in predictions.items():
        path = folder / "predictions" / f"{which}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, array)
    return folder


def run(board, **more):
    root, folder, release, entries = board
    result = challenge.leaderboard(
        folder, entries, public=root / "public", private=root / "private", now=NOW, **more
    )
    out = release / "leaderboard"
    return result, json.loads((out / "leaderboard.json").read_text()), out


def worse(truth, drop):
    return {k: np.where(v > v.max() - drop, 0, v).astype(np.uint16) for k, v in truth.items()}


def test_entries_are_ranked_with_their_uncertainty(board):
    truth = truth_of(board[0])
    enter(board[3], "gamma", "a", worse(truth, 5))
    enter(board[3], "alpha", "a", worse(truth, 1))
    enter(board[3], "beta", "a", worse(truth, 1))
    _, data, out = run(board)
    assert [(e["rank"], e["team"]) for e in data["entries"]] == [
        (1, "alpha"), (1, "beta"), (3, "gamma")
    ]  # fmt: skip
    assert [e["first"] for e in data["entries"]] == [0.5, 0.5, 0.0]
    assert data["entries"][2]["rank_interval"] == [3, 3]
    assert {(p["a"], p["b"]) for p in data["pairs"]} == {
        ("alpha/a", "beta/a"), ("alpha/a", "gamma/a"), ("beta/a", "gamma/a")
    }  # fmt: skip
    with (out / "leaderboard.csv").open() as handle:
        assert [row["rank"] for row in csv.DictReader(handle)] == ["1", "1", "3"]
    page = (out / "index.html").read_text()
    assert "alpha&#39;s method" in page and "style=" not in page and "<svg" in page


def test_only_what_changed_is_scored_again(board):
    truth = truth_of(board[0])
    enter(board[3], "alpha", "a", truth)
    assert run(board)[0].scored == ["alpha/a"]
    before = (board[2] / "leaderboard" / "leaderboard.json").read_bytes()
    assert run(board)[0].scored == []
    assert (board[2] / "leaderboard" / "leaderboard.json").read_bytes() == before
    enter(board[3], "beta", "a", worse(truth, 2))
    assert run(board)[0].scored == ["beta/a"]


KILLED = """
import importlib, os, signal, sys
from slidebox import challenge
module = importlib.import_module("slidebox.challenge.leaderboard")
module.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
folder, entries, public, private = sys.argv[1:]
challenge.leaderboard(folder, entries, public=public, private=private)
"""


def test_a_board_that_was_killed_is_swept_up_and_made_again(board):
    root, folder, _, entries = board
    enter(entries, "alpha", "a", truth_of(root))
    names = map(str, (folder, entries, root / "public", root / "private"))
    done = subprocess.run([sys.executable, "-c", KILLED, *names], check=False)
    assert done.returncode == -signal.SIGKILL
    scores = root / "private/challenges/nuclei/1.0.0/scores"
    assert len(list(scores.glob(".*"))) == 1
    assert run(board)[0].scored == ["alpha/a"]
    assert list(scores.glob(".*")) == []


def test_of_two_boards_at_once_one_waits_and_finds_what_the_other_scored(board):
    enter(board[3], "alpha", "a", truth_of(board[0]))
    with ThreadPoolExecutor(2) as pool:
        both = [made.result()[0].scored for made in [pool.submit(run, board) for _ in range(2)]]
    assert sorted(both) == [[], ["alpha/a"]]


def test_a_new_scorer_rescores_all_and_shows_the_difference(board, monkeypatch):
    from slidebox.scoring import run as scorer

    enter(board[3], "alpha", "a", truth_of(board[0]))
    run(board)
    monkeypatch.setattr(scorer, "scorer_digest", lambda: "0" * 64)
    result, data, out = run(board)
    assert result.scored == ["alpha/a"]
    assert data["entries"][0]["rescored"][0]["value"] == 1.0
    assert "rescored" in (out / "index.html").read_text()


def test_failed_entries_are_listed_never_ranked(board):
    truth = truth_of(board[0])
    enter(board[3], "alpha", "a", truth)
    enter(board[3], "none", "a", {})
    enter(board[3], "turned", "a", {k: v[:50].T for k, v in truth.items()})
    (board[3] / "nuclei" / "mute" / "a").mkdir(parents=True)
    _, data, out = run(board)
    assert [e["team"] for e in data["entries"]] == ["alpha"]
    assert {f["team"] for f in data["failed"]} == {"mute", "none", "turned"}
    assert all(f["reasons"] and f["reasons"][0]["message"] for f in data["failed"])
    with (out / "leaderboard.csv").open() as handle:
        assert [r["rank"] for r in csv.DictReader(handle)] == ["1", "failed", "failed", "failed"]


def test_hostile_entries_leave_the_board_standing(board):
    truth = truth_of(board[0])
    enter(board[3], "alpha", "a", truth)
    for team, name in (("<b>evil", "../../../out.tif"), ("=cmd|calc", "/etc/x.tif")):
        folder = enter(board[3], team, "a", {})
        with zipfile.ZipFile(folder / "p.zip", "w") as packed:
            packed.writestr(name, b"x")
    enter(board[3], "zalgo", "a", truth, method="<script>alert(1)</script>",
          code="javascript:alert(1)")  # fmt: skip
    enter(board[3], "mark", "a", truth, method="<img src=x onerror=alert(1)>")
    enter(board[3], "turned\u202e", "a", truth)
    enter(board[3], "ampersand & sons", "a", truth)
    bomb = board[3] / "nuclei" / "laughs" / "a"
    bomb.mkdir(parents=True)
    (bomb / "entry.yaml").write_text("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    # What takes a parser minutes, a clock over its end, a disk's worth of nothing
    (enter(board[3], "deep", "a", truth) / "entry.yaml").write_text("[" * 60_000)
    enter(board[3], "dates", "a", truth, date="9999-12-31T23:59:59-23:59")
    sparse = enter(board[3], "sparse", "a", truth) / "predictions" / "big.tif"
    sparse.touch()
    os.truncate(sparse, 1 << 40)
    os.makedirs(os.fsencode(board[3] / "nuclei") + b"/\xff\xfe/a")
    _, data, out = run(board)
    assert {e["team"] for e in data["entries"]} == {"alpha", "ampersand & sons"}
    codes = {f["team"]: f["reasons"][0]["code"] for f in data["failed"]}
    assert codes["<b>evil"] == codes["=cmd|calc"] == codes["turned\u202e"] == "ENTRY_NAME"
    assert codes["\\udcff\\udcfe"] == "ENTRY_NAME"
    assert codes["mark"] == codes["dates"] == "ENTRY_FIELD"
    assert codes["deep"] == "ENTRY_YAML" and codes["sparse"] == "ENTRY_TOO_LARGE"
    assert codes["zalgo"] == "ENTRY_FIELD" and codes["laughs"] == "ENTRY_YAML"
    page = (out / "index.html").read_text()
    assert "<img" not in page and "alert(1)</script>" not in page and "<b>evil" not in page
    assert "javascript:" not in page
    assert "\n=cmd" not in (out / "leaderboard.csv").read_text()
    assert ",'=cmd|calc," in (out / "leaderboard.csv").read_text()


def test_late_entries_have_no_rank_and_those_over_quota_no_score(board):
    truth = truth_of(board[0])
    # Failed, so it uses up nothing
    enter(board[3], "alpha", "0", {}, "2026-01-04")
    enter(board[3], "alpha", "a", worse(truth, 1), "2026-01-05")
    enter(board[3], "alpha", "b", truth, "2026-01-06")
    enter(board[3], "beta", "a", truth, "2026-02-01")
    _, data, out = run(board)
    assert [(e["team"], e["entry"], e["rank"], e["late"]) for e in data["entries"]] == [
        ("alpha", "a", 1, False), ("beta", "a", None, True)
    ]  # fmt: skip
    assert data["entries"][0]["first"] == 1.0 and not data["pairs"]
    assert data["entries"][1]["value"] == 1.0
    reasons = {f["entry"]: f["reasons"][0]["code"] for f in data["failed"]}
    assert set(reasons) == {"0", "b"} and reasons["b"] == "OVER_QUOTA"
    with (out / "leaderboard.csv").open() as handle:
        assert [r["rank"] for r in csv.DictReader(handle)] == ["1", "late", "failed", "failed"]
    assert "<strong>late</strong>" in (out / "index.html").read_text()


@pytest.mark.parametrize("name", ["../../../out.tif", "/etc/x.tif", "a\\..\\..\\x.tif"])
def test_a_zip_that_leaves_its_folder_fails_by_itself(board, name):
    truth = truth_of(board[0])
    enter(board[3], "alpha", "a", truth)
    folder = enter(board[3], "plain", "a", {})
    with zipfile.ZipFile(folder / "p.zip", "w") as packed:
        packed.writestr(name, b"x")
    _, data, _ = run(board)
    assert [e["team"] for e in data["entries"]] == ["alpha"]
    assert [f["reasons"][0]["code"] for f in data["failed"]] == ["ZIP_UNSAFE"]


def test_nothing_but_aggregates_of_hidden_truth_is_public(board):
    truth = truth_of(board[0])
    enter(board[3], "alpha", "a", worse(truth, 2))
    # An empty entry's count error would be the mean number of objects
    enter(board[3], "empty", "a", {k: np.zeros_like(v) for k, v in truth.items()})
    _, data, out = run(board)
    text = "".join(p.read_text() for p in out.iterdir())
    for which in truth:
        assert which not in text
    assert not {"count_error", "splits", "merges"} & set(data["metrics"])
    assert "tp@" not in text and "labels" not in text.replace("label images", "")
    assert not (board[2].parent / "1.0.0" / "scores").exists()
    release = open_release(board[2])
    assert release.hidden == ["test"]


def test_an_entry_for_another_version_is_on_that_board(board):
    truth = truth_of(board[0])
    enter(board[3], "alpha", "a", truth, version="9.9.9")
    enter(board[3], "beta", "a", truth, version="1.0.0")
    result, data, _ = run(board)
    assert [e["team"] for e in data["entries"]] == ["beta"]
    assert [f.code for f in result.findings] == ["ENTRY_VERSION"]


def test_a_part_of_the_test_set_can_be_kept_for_the_end(tmp_path):
    bench = nuclei(tmp_path, specimens="ABCDEF", test="CDEF", each=1)
    more = "leaderboard: {public_share: 0.5}\n"
    rules = "    train: {share: 0.7}\n    validation: {share: 0.3}\n"
    folder = challenge_folder(
        tmp_path, more=more, change=lambda t: t.replace(rules, "    train: {share: 1}\n")
    )
    made = challenge.release(folder, public=bench.public, vault=bench.vault, private=bench.private)
    assert made.ok, made.findings
    enter(tmp_path / "entries", "alpha", "a", truth_of(tmp_path))
    _, data, _ = run((tmp_path, folder, made.folder, tmp_path / "entries"))
    assert (data["groups"], data["complete"]) == (2, False)
    kept = bench.private / "challenges/nuclei/1.0.0/leaderboard/leaderboard.json"
    assert json.loads(kept.read_text())["groups"] == 4
