"""Curation is a layer: it changes, waives and decides, and never the submitted record."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slidebox.findings import Finding
from slidebox.record import Record, curation
from slidebox.record.accession import AccessionError, allocate
from slidebox.record.curation import Curation, CurationError

WHO = {"reason": "asked the author", "name": "Cora Curator"}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def record() -> Record:
    return Record(
        license="CC-BY 4.0",
        keywords=["a"],
        authors=[{"name": "Ada", "email": "Ada <ada@example.org>"}, {"name": "Bob"}],
        study_components=[{"name": "Nuclei", "description": "?"}],
        extra={"odd": 1},
    )


def test_changes_are_written_read_and_applied(tmp_path: Path, record: Record) -> None:
    before = record.model_copy(deep=True)
    with curation.editing(tmp_path, "S-1") as layer:
        curation.set_field(layer, record, "license", "CC-BY-4.0", now=NOW, **WHO)
        curation.set_field(layer, record, "authors[0].email", "ada@example.org", **WHO)
        curation.set_field(layer, record, "study_components[Nuclei].access", "restricted", **WHO)
        curation.set_field(layer, record, "keywords[+]", "b", **WHO)
        curation.set_field(layer, record, "keywords[+]", "c", **WHO)
        curation.set_field(layer, record, "authors[+].name", "Cem", **WHO)
        curation.set_field(layer, record, "extra.odd", [True, None, 2.5], **WHO)
    layer = curation.read(tmp_path, "S-1")
    curated, findings, history = curation.apply(layer, record)
    assert findings == [] and record == before
    assert curated.license == "CC-BY-4.0" and curated.authors[0].email == "ada@example.org"
    assert curated.study_components[0].access == "restricted"
    assert curated.keywords == ["a", "b", "c"] and curated.authors[2].name == "Cem"
    assert curated.extra == {"odd": [True, None, 2.5]}
    assert history[0] == {
        "date": "2026-01-02T03:04:05Z",
        "name": "Cora Curator",
        "reason": "asked the author",
        "set": {"field": "license", "value": "CC-BY-4.0", "was": "CC-BY 4.0"},
        "applied": True,
    }


def test_a_value_that_was_submitted_anew_stays(record: Record) -> None:
    layer = Curation(accession="S-1")
    curation.set_field(layer, record, "license", "CC-BY-4.0", **WHO)
    record.license = "CC0-1.0"
    curated, findings, history = curation.apply(layer, record)
    assert curated.license == "CC0-1.0" and history[0]["applied"] is False
    assert [f.code for f in findings] == ["CURATION_STALE"] and "CC0-1.0" in findings[0].message
    record.license = "CC-BY-4.0"  # the submitter mended it the same way: nothing to say
    assert curation.apply(layer, record)[1] == []


def test_a_change_that_no_longer_fits_is_left_out(record: Record) -> None:
    layer = Curation(accession="S-1")
    curation.set_field(layer, record, "study_components[Nuclei].description", "x", **WHO)
    record.study_components = []
    curated, findings, _ = curation.apply(layer, record)
    assert [f.code for f in findings] == ["CURATION_STALE"] or "CURATION_INVALID" in {
        f.code for f in findings
    }
    assert curated == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("licence", "x"),
        ("authors[7].name", "x"),
        ("authors[Zoe].name", "x"),
        ("authors.name", "x"),
        ("[0]", "x"),
        ("", "x"),
        ("license[0]", "x"),
        ("study_components[0].access", "secret"),
        ("funding", 3),
    ],
)
def test_changes_that_can_not_be(record: Record, field: str, value) -> None:
    layer = Curation(accession="S-1")
    with pytest.raises(CurationError):
        curation.set_field(layer, record, field, value, **WHO)
    assert layer.entries == []


def test_waivers_and_decisions(tmp_path: Path) -> None:
    with curation.editing(tmp_path, "S-1") as layer:
        curation.waive(layer, "FILE_EMPTY", "raw/**", **WHO)
        curation.decide(layer, "hold", **WHO)
        curation.decide(layer, "accept", **WHO)
        with pytest.raises(CurationError, match="no finding has the code"):
            curation.waive(layer, "NO_SUCH", **WHO)
        with pytest.raises(CurationError):
            curation.decide(layer, "accept", reason="", name="x")
    layer = curation.read(tmp_path, "S-1")
    assert layer.decision == "accept"
    findings = [
        Finding("FILE_EMPTY", "warning", "empty", "raw/x/a.txt"),
        Finding("FILE_EMPTY", "warning", "empty", "a.txt"),
        Finding("FILE_MISSING", "error", "gone", "raw/b.txt"),
    ]
    kept, waived = curation.apply_waivers(layer, findings)
    assert kept == findings[1:]
    assert waived[0]["file"] == "raw/x/a.txt" and waived[0]["name"] == "Cora Curator"


def test_hand_written_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "S-1.yaml"
    for text, said in (
        ("accession: S-2\nentries: []\n", "S-1.yaml:1: accession is S-2"),
        ("accession: S-1\nentries:\n  - {name: a, reason: b, date: 2026-01-01}\n", ":3: "),
        ("accession: S-1\nentries: [\n", "not readable as YAML"),
        ("accession: S-1\nwho: me\n", ":2: who: "),
    ):
        path.write_text(text)
        with pytest.raises(CurationError, match=said):
            curation.read(tmp_path, "S-1")


def test_two_curators_at_once(tmp_path: Path) -> None:
    def one(i: int) -> None:
        with curation.editing(tmp_path, "S-1") as layer:
            curation.decide(layer, "hold", reason=str(i), name="x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(20)))
    assert len(curation.read(tmp_path, "S-1").entries) == 20


def _allocate(folder: str) -> list[str]:
    return [allocate(Path(folder), "S-BOX") for _ in range(20)]


def test_accessions_are_given_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        given = [a for part in pool.map(_allocate, [str(tmp_path)] * 4) for a in part]
    assert len(set(given)) == 80 == len(given)
    assert {f"S-BOX{i}" for i in range(1, 81)} == set(given)
    assert allocate(tmp_path, "S-BOX", taken=lambda a: a == "S-BOX81") == "S-BOX82"
    assert allocate(tmp_path, "S-OTHER") == "S-OTHER1"
    with pytest.raises(AccessionError):
        allocate(tmp_path, "my study")
