"""The record, its schema and its documentation hold together."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from slidebox.record import codes, codes_page, fields_page, schema, study_yaml
from slidebox.record.patterns import fits
from slidebox.resources import resource

ROOT = Path(__file__).parents[2]


def test_schema_is_the_models() -> None:
    shipped = (resource("schemas") / schema.FILE).read_text(encoding="utf-8")
    assert shipped == schema.text(), "run python -m slidebox.record.schema"


def test_findings_page_is_the_tables() -> None:
    page = (ROOT / "docs/reference/findings.md").read_text(encoding="utf-8")
    assert page == codes_page.page(), "python -m slidebox.record.codes_page > docs/reference/..."


def test_fields_page_is_the_models() -> None:
    page = (ROOT / "docs/reference/study-yaml.md").read_text(encoding="utf-8")
    assert page == fields_page.page(), "python -m slidebox.record.fields_page > docs/reference/..."


def _used() -> set[str]:
    """Codes that record, validate, the door and the stages give, read from their source."""
    found = set()
    for pattern in (
        "record/*.py",
        "validate/*.py",
        "ingest/*.py",
        "images/opinion.py",
        "deposit.py",
    ):
        for path in (ROOT / "workflow/slidebox").glob(pattern):
            if path.name in ("codes.py", "codes_page.py", "fields_page.py"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = node.value
                    if text.isupper() and "_" in text and text.replace("_", "").isalnum():
                        found.add(text)
    return found


def test_every_code_is_documented_and_used() -> None:
    used = _used()
    assert set(codes.CODES) - used == set()
    prefixes = {c.split("_")[0] for c in codes.CODES}
    undocumented = {u for u in used - set(codes.CODES) if u.split("_")[0] in prefixes}
    undocumented -= {"ANNOTATION_TYPES"}  # a name that __all__ exports
    assert undocumented == set()


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**/.DS_Store", ".DS_Store", True),
        ("**/.DS_Store", "a/b/.DS_Store", True),
        ("**/._*", "a/._x", True),
        ("raw/**", "raw/a/b.txt", True),
        ("raw/**", "raw2/a.txt", False),
        ("*.txt", "a/b.txt", False),
        ("a[1].txt", "a[1].txt", True),
        ("a?.txt", "ab.txt", True),
        ("**", "a/b", True),
    ],
)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert fits(path, pattern) is expected


def test_each_value_of_the_wrong_kind_is_told_once():
    text = "authors:\n- name: a\n  organisations: [{name: x}, y]\nbiosamples: [5, 6]\n"
    record, _, findings = study_yaml.loads(text)
    told = ["authors[0].organisations[0]", "biosamples[0]", "biosamples[1]"]
    assert sorted(f.field for f in findings) == told
    assert record.authors[0].name == "a"
