"""Organisms, imaging methods, identifiers, licences, scope: pure checks."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import study
from hypothesis import given
from hypothesis import strategies as st

from slidebox.record import Record
from slidebox.validate import headers, identifiers, licences, validate
from slidebox.validate.ontology import check_terms
from slidebox.validate.vocabulary import fbbi_id, taxon_id, vocabulary


def terms(organism: dict, method: dict | None = None) -> list[tuple[str, str | None]]:
    found = []
    record = Record(
        biosamples=[{"organism": [organism]}],
        image_acquisitions=[{"imaging_methods": [method]}] if method else [],
    )
    check_terms(record, lambda code, message, field, mend=None: found.append((code, mend)))
    return found


@pytest.mark.parametrize(
    "organism",
    [
        {"name": "Mus musculus"},
        {"name": "Homo Sapiens", "ncbi_taxon": "NCBITaxon_9606"},
        {"name": "Nematostella vectensis", "ncbi_taxon": "NCBI:txid45351"},
        {"name": "zebrafish", "ncbi_taxon": "7955"},
        {"name": "Wistar rat", "ncbi_taxon": "NCBITaxon:10116"},
        {"name": "Rare beast", "ncbi_taxon": "NCBITaxon:1234567"},
        {"name": "human", "ncbi_taxon": "https://www.ncbi.nlm.nih.gov/taxonomy/9606"},
    ],
)
def test_organisms_that_are_fine(organism: dict) -> None:
    assert terms(organism) == []


def test_organisms_that_are_not() -> None:
    assert terms({"name": "Mus musculus", "ncbi_taxon": "9606"})[0] == (
        "ORGANISM_MISMATCH",
        "Mus musculus is NCBITaxon:10090.",
    )
    assert terms({"name": "Mus muscullus"})[0][1].startswith("Did you mean Mus musculus")
    assert "Rattus norvegicus" in terms({"name": "Wistar rat"})[0][1]
    assert terms({"name": "Mus musculus", "ncbi_taxon": "mouse"})[0][0] == "ORGANISM_ID"
    assert terms({"name": "Beads"}) == [
        ("ORGANISM_UNKNOWN", "Give the term's id, or leave it as free text.")
    ]


def test_imaging_methods() -> None:
    mouse = {"name": "Mus musculus"}
    assert terms(mouse, {"name": "Confocal Microscopy", "fbbi": "FBbi_00000251"}) == []
    assert terms(mouse, {"name": "bright-field microscopy", "fbbi": "FBbi:00000243"}) == []
    assert terms(mouse, {"name": "our scope", "fbbi": "FBbi:00000243"}) == []
    assert terms(mouse, {"name": "confocal microscopy", "fbbi": "FBbi:00000258"})[0][0] == (
        "METHOD_MISMATCH"
    )
    assert terms(mouse, {"name": "confocal microscpy"})[0][0] == "METHOD_UNKNOWN"
    assert terms(mouse, {"name": "FRAP", "fbbi": "x"})[0][0] == "METHOD_ID"


@pytest.mark.parametrize("name", ["ncbitaxon", "fbbi"])
def test_bundled_terms_are_whole(name: str) -> None:
    words = vocabulary(name)
    parse = taxon_id if name == "ncbitaxon" else lambda t: fbbi_id("FBbi:" + t)
    assert len(words.names) >= (250 if name == "ncbitaxon" else 45)
    for number, title in words.names.items():
        assert parse(number) == number and words.find(title) == number


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (
            identifiers.doi,
            ["10.1038/nmeth.2019", "https://doi.org/10.48550/arXiv.2504.18737", "doi:10.1/x"[:0]
             or "doi:10.1234/x", "https://dx.doi.org/10.17504/protocols.io.rm7vz7qx8lx1/v1",
             "10.1002/(SICI)1097-0185(199706)248:2<2::AID>3.0.CO;2-X"],
            ["TBD", "10.1234", "https://www.nature.com/articles/s41598-024-66600-1",
             "https:// doi.org/10.1/x", "2024.09.23.614351", "10.1234/x y", "10.1234/x.",
             "https://doi.org/DOI: 10.26508/lsa.202403067", "in press", "10.1234/\u200bx"],
        ),
        (
            identifiers.pubmed_id,
            ["1", "38123456"],
            ["PMID: 38123456", "pending", "in revision", "BIO", "PMC5882098", "0", "123456789"],
        ),
        (
            identifiers.orcid,
            ["0000-0002-1825-0097", "https://orcid.org/0000-0002-1694-233X"],
            ["0000-0002-1825-0098", "0000-0002-1825", "0000-0002-1694-233x", "Ada"],
        ),
        (
            identifiers.email,
            ["a@b.org", "first.last+tag@sub.uni-x.ac.uk", "müller@uni.de"],
            ["a", "a@b", "a@@b.org", "a@b@c.org", "A <a@b.org>", "a@b..org", "a@b.org; c@d.org",
             "a@b.org.", "a..b@c.org", "\u202ba@b.org", "a@b.orga@b.org", "a @b.org"],
        ),
        (
            identifiers.url,
            ["https://example.org/a?b=c#d", "http://uni-x.ac.uk", "ftp://ftp.ebi.ac.uk/pub",
             "https://münchen.de", "s3://bucket/x"],
            ["example.org", "https:// example.org", "10.1234/x", "https://", "javascript:alert(1)",
             "https://exa mple.org", "doi.org/10.1/x"],
        ),
        (
            identifiers.day,
            ["2024-02-29", "2024-01-31T12:00:00Z"],
            ["2023-02-29", "31.1.2024", "2024", "soon", "2024-1-31", "2024-01-31x"],
        ),
    ],
)  # fmt: skip
def test_identifiers(check, good, bad) -> None:
    assert [t for t in good if check(t) is not None] == []
    assert [t for t in bad if check(t) is None] == []


@given(st.text(max_size=60))
def test_identifiers_never_raise(text: str) -> None:
    for check in (identifiers.doi, identifiers.pubmed_id, identifiers.orcid, identifiers.email,
                  identifiers.url, identifiers.day, licences.spdx, taxon_id, fbbi_id):  # fmt: skip
        check(text)


@pytest.mark.parametrize(
    ("text", "name", "clean"),
    [
        ("CC-BY-4.0", "CC-BY-4.0", True),
        ("CC BY 4.0", "CC-BY-4.0", True),
        ("CC0", "CC0-1.0", True),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", True),
        ("http://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-4.0", True),
        ("CC-BY 4.0", "CC-BY-4.0", False),
        ("cc by 4", "CC-BY-4.0", False),
        ("CC 0", "CC0-1.0", False),
        ("Creative Commons Attribution 4.0 International", "CC-BY-4.0", False),
        ("CC BY-NC-SA 3.0", "CC-BY-NC-SA-3.0", False),
        ("MIT-ish", None, False),
        ("all rights reserved", None, False),
    ],
)
def test_licences(text: str, name: str | None, clean: bool) -> None:
    assert licences.spdx(text) == (name, clean)


def dicom(path: Path, modality: bytes, patient: bytes) -> None:
    """The smallest explicit little-endian DICOM header."""

    def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        return struct.pack("<HH2sH", group, number, kind, len(value)) + value

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\0" * 128
        + b"DICM"
        + element(2, 0x0010, b"UI", b"1.2.840.10008.1.2.1")
        + element(8, 0x0060, b"CS", modality)
        + element(0x10, 0x0010, b"PN", patient)
        + element(0x10, 0x0020, b"LO", b"")
    )


def test_patients_are_found_and_not_named(submission: Path) -> None:
    dicom(submission / "images/a.ima", b"CT", b"Doe^Jane")
    (submission / "files.tsv").write_text(
        "path\tpart\tsource_image\tPatient Name\n"
        "images/a.ome.tif\tImages\t\tJane Doe\n"
        "labels/a.tif\tMasks\timages/a.ome.tif\t\nimages/a.ima\tImages\t\t\n"
    )
    result = validate(submission)
    found = {(f.code, f.file) for f in result.findings}
    assert ("SCOPE_MEDICAL", "images/a.ima") in found
    assert ("SCOPE_PATIENT_DATA", "images/a.ima") in found
    assert ("SCOPE_PATIENT_DATA", "files.tsv") in found
    said = str([f.to_dict() for f in result.findings])
    assert "PatientName" in said and "Doe" not in said and "PatientID" not in said


def test_headers(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", b"SM", b"anonymous")
    assert headers.look(str(tmp_path / "a.dcm")) == {"modality": "SM"}
    (tmp_path / "a.nii").write_bytes(b"\0" * 344 + b"n+1\0")
    assert headers.look(str(tmp_path / "a.nii")) == {"nifti": True}
    study.image(tmp_path / "a.tif")
    told = headers.look(str(tmp_path / "a.tif"), {"x": "Patient Name = Jane; PatientID="})
    assert told == {"personal": ["Patient Name"]}


@given(st.binary(max_size=400))
def test_any_dicom_header_ends(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "x.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + data)
    headers.look(str(path))
