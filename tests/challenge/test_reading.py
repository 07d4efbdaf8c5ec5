"""challenge.yaml with mistakes: each is told, all at once, with its line and how to mend it."""

from __future__ import annotations

import pytest
from archives import CHALLENGE

from slidebox import cli
from slidebox.challenge.reading import Invalid, load

GOOD = CHALLENGE.format(version="1.0.0", more="")


def told(root, text: str | bytes) -> list:
    folder = root / "nuclei"
    folder.mkdir(exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "challenge.yaml").write_bytes(data)
    with pytest.raises(Invalid) as refused:
        load(folder)
    return refused.value.findings


MANY = """\
slug: nucleus
version: 1.0
title: 2026-01-01
descripton: Find them.
organisers: [{name: Ada, orcid: 123, mail: ada@example.org}]
license: NO
task: segmentation
released: 2026-02-30
data:
  sources:
    - acession: SB-1
      images: {where: {plate: 1}}
    - SB-3
  channels: [0, 0, -1]
  tiles: {size: [4, 256]}
  crop: {size: 256}
splits:
  seed: x
  rules:
    tra in: {share: 0.9}
    validation: {share: 0.9, groups: [A]}
    test:
  1: {share: 0.5}
hidden: [test, tset]
scoring:
  metrics: [Foo]
  thresholds: [0.5, 1.5, x]
  custom: [{name: 1x, file: a.py, function: f, direction: up, range: [0]}]
leaderboard:
  phases: [{name: a b, quota: 0}]
title: Nuclei
"""
FOUND = {  # field: line
    "slug": 1, "version": 2, "descripton": 4, "description": 1, "organisers.0.orcid": 5,
    "organisers.0.mail": 5, "license": 6, "task": 7, "released": 8, "data.sources.0.acession": 11,
    "data.sources.0": 11, "data.sources.0.images.where.plate": 12, "data.sources.1": 13,
    "data.channels.1": 14, "data.channels.2": 14, "data.tiles.size.0": 15, "data.crop.size": 16,
    "data.crop": 16, "splits.seed": 18, "splits.rules": 19, "splits.rules.tra in": 20,
    "splits.rules.validation": 21, "splits.rules.test": 22, "splits.1": 23, "hidden.1": 24,
    "scoring.thresholds.1": 27, "scoring.thresholds.2": 27, "scoring.custom.0.name": 28,
    "scoring.custom.0.direction": 28, "scoring.custom.0.range.1": 28,
    "leaderboard.phases.0.name": 30, "leaderboard.phases.0.quota": 30, "title": 31,
}  # fmt: skip


def test_all_mistakes_are_told_at_once(tmp_path):
    findings = told(tmp_path, MANY)
    assert {f.field: f.line for f in findings} == FOUND
    assert [f.line for f in findings] == sorted(f.line for f in findings)
    assert len(findings) == len(FOUND), "none of them twice"
    by = {f.field: f for f in findings}
    assert by["descripton"].mend == "did you mean description?"
    assert "it is 'NO'" in by["license"].message and "quotes" in by["license"].mend
    assert "'instance-segmentation'" in by["task"].message
    assert by["hidden.1"].mend == "there are tra in, validation, test"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"instance-": "", "[test]": "[tset]"}, {"task": 8, "hidden.0": 18}),
        ({"share: 0.3": "share: lots", "[test]": "[tset]"},
         {"splits.rules.validation.share": 16, "hidden.0": 18}),
        ({"instance-segmentation": "points", "primary: AP": "primary: AP\n  metrics: [Foo, F]",
          "resamples: 500": "resamples: -1"},
         {"scoring.primary": 20, "scoring.metrics": 21, "scoring.tolerance": 19,
          "scoring.bootstrap.resamples": 22}),
        ({"instance-segmentation": "tracking", "data:": "data:\n  tiles: {size: [64, 64]}",
          "primary: AP": "primary: SEG", "seed: 0": "", "title: Nuclei": "titel: Nuclei"},
         {"title": 2, "titel": 4, "data.tiles": 10}),
        # What depends on a wrong value isn't guessed at
        ({"primary: AP": "primary: AP@0.33\n  thresholds: [0.33, x]"},
         {"scoring.thresholds.1": 21}),
        ({"instance-": "", "primary: AP": "primary: F"}, {"task": 8}),
        ({"instance-segmentation": "points", "primary: AP": "tolerance: -1"},
         {"scoring.tolerance": 20}),
    ],
)  # fmt: skip
def test_what_spans_fields_is_told_beside_what_is_wrong_with_one(tmp_path, changes, expected):
    text = GOOD
    for old, new in changes.items():
        text = text.replace(old, new, 1)
    assert {f.field: f.line for f in told(tmp_path, text)} == expected


@pytest.mark.parametrize(
    ("text", "line", "what", "mend"),
    [
        ("", None, "no keys", "slidebox challenge init"),
        ("- a\n- b\n", None, "no keys", "slidebox challenge init"),
        (GOOD.replace("  sources", "\tsources"), 10, "'\\t'", "spaces"),
        (GOOD.replace("Ada", "Adä").encode("latin-1"), 6, "UTF-8", "UTF-8"),
        (GOOD.replace("Ada", "A\0da"), 6, "U+0000", "remove"),
        (GOOD.replace("title: ", "title: One: "), 4, "is no YAML", "quotes"),
        (GOOD + "changes: *.tif\n", 23, "is no YAML", "quotes"),
        (GOOD + "? [a]\n: b\n", 23, "unhashable", "plain keys"),
        (GOOD + "changes: " + "[" * 1000 + "]" * 1000, None, "too deeply", "depth"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path, text, line, what, mend):
    (finding,) = told(tmp_path, text)
    assert (finding.code, finding.line) == ("CHALLENGE_YAML", line)
    assert what in finding.message and mend in finding.mend


def test_a_folder_without_challenge_yaml(tmp_path, capsys):
    assert (
        cli.main(["challenge", "release", str(tmp_path / "nuclei"), "--directory", str(tmp_path)])
        == 1
    )
    said = capsys.readouterr().out
    assert "CHALLENGE_MISSING" in said and "nuclei/challenge.yaml" in said
    assert "slidebox challenge init" in said
