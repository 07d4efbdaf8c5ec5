"""Real submissions: what a curator mended is found before, and not reported after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from slidebox.record import pagetab
from slidebox.validate import validate
from slidebox.validate.collect import Collector
from slidebox.validate.fields import check_record
from slidebox.validate.settings import Settings

MENDED = {
    "S-BIAD1043": ("DOI_INVALID", "publications[0].doi"),
    "S-BIAD1135": ("URL_INVALID", "links[0].url"),
    "S-BIAD1201": ("URL_INVALID", "links[0].url"),
    "S-BIAD1261": ("FIELD_MISSING", "authors[0].name"),
    "S-BIAD1388": ("PUBMED_INVALID", "publications[0].pubmed_id"),
    "S-BIAD15": ("REFERENCE_UNKNOWN", "authors[0].organisations[0]"),
    "S-BIAD1752": ("DOI_INVALID", "publications[0].doi"),
    "S-BIAD1879": ("DOI_INVALID", "publications[0].doi"),
    "S-BIAD1982": ("DOI_INVALID", "publications[0].doi"),
    "S-BIAD2235": ("DOI_INVALID", "publications[0].doi"),
    "S-BIAD2324": ("DOI_INVALID", "publications[0].doi"),
    "S-BIAD590": ("MODULE_NESTED", "study_components[0]"),
    "S-BIAD628": ("MODULE_NESTED", "study_components[2]"),
    "S-BIAD662": ("PUBMED_INVALID", "publications[0].pubmed_id"),
    "S-BIAD954": ("EMAIL_INVALID", "authors[0].email"),
    "S-BSMS4": ("REFERENCE_UNMARKED", "authors[5].organisations[0]"),
    "S-BSST651": ("EMAIL_INVALID", "authors[1].email"),
}
ALSO = {"S-BIAD15": {("LICENCE_MENDED", "license")}}


def found(path: Path) -> set[tuple[str, str | None]]:
    told = pagetab.loads(path.read_text(encoding="utf-8"), path.name)
    out = Collector()
    out.extend(told.findings)
    check_record(told.record, told.where, out, Settings())
    assert all(f.line for f in out.all() if f.field)
    return {(f.code, f.field) for f in out.all() if f.severity != "info"}


@pytest.mark.parametrize("accession", MENDED)
def test_what_curators_mended(shared_data: Path, accession: str) -> None:
    folder = shared_data / "metadata/bia_pagetab"
    before = found(folder / f"{accession}_original.json")
    after = found(folder / f"{accession}_override.json")
    mended = {MENDED[accession]} | ALSO.get(accession, set())
    assert mended <= before
    assert not mended & after
    after.discard(("SCOPE_REASON", "publications"))  # the curator removed the only publication
    assert after <= before, "a corrected record has findings of its own"


@pytest.mark.parametrize("form", ["json", "tsv"])
def test_pagetab_submission_as_a_folder(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "S-P1"
    (folder / "imgs").mkdir(parents=True)
    import study

    study.image(folder / "imgs/a.ome.tif")
    if form == "tsv":
        (folder / "list.tsv").write_text("Files\tStain\nimgs/a.ome.tif\tDAPI\n")
        name = "list.tsv"
    else:
        (folder / "list.json").write_text(
            json.dumps(
                [
                    {
                        "path": "imgs/a.ome.tif",
                        "size": (folder / "imgs/a.ome.tif").stat().st_size,
                        "type": "file",
                        "attributes": [{"name": "Stain", "value": "DAPI"}],
                    }
                ]
            )
        )
        name = "list.tsv"  # the archive renames lists; the other form is found
    (folder / "S-P1.tsv").write_text(
        "Submission\tS-P1\nTitle\tA title of at least twenty-five characters\n"
        "ReleaseDate\t2024-01-31\n\nStudy\tST\n"
        "Description\tA description of at least twenty-five characters\nLicense\tCC0\n"
        "Keywords\tnuclei\n\n"
        "Study Component\tC1\nName\tNuclei\nDescription\tNuclei\nFile List\t" + name + "\n"
    )
    result = validate(folder)
    fileset = result.filesets[0]
    assert fileset["part"] == "Nuclei" and fileset["attributes"] == {"Stain": "DAPI"}
    assert result.record.license == "CC0-1.0"
    assert not {"FILE_UNLISTED", "FILE_LIST_MISSING"} & {f.code for f in result.findings}


def test_duplicate_path_of_a_crate(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "metadata/bia_ro_crates/test_file_list_duplicate_path"
    shutil.copytree(source, tmp_path / "S-1", copy_function=shutil.copy)
    result = validate(tmp_path / "S-1")
    twice = next(f for f in result.findings if f.code == "PATH_TWICE")
    assert result.status == "rejected" and twice.file == "file_list.tsv" and twice.line == 3


SPOILT = {
    "biosample: HeLa cells": ("biosample: HeLa-Cells", "ASSOCIATION_UNKNOWN"),
    "specimen: Fixed cells": ("specimen: 'Fixed  cells'", "ASSOCIATION_UNKNOWN"),
    "pubmed_id: 12345678": ("pubmed_id: 'PMID: 12345678'", "PUBMED_INVALID"),
    "doi: 10.1234/test.5678": ("doi: pending", "DOI_INVALID"),
    "10.1234/test.5678": ("10.1234/test.5678.", "DOI_INVALID"),
    "ada@example.org": ("ada@example..org", "EMAIL_INVALID"),
    "    description: Cells in culture": (
        "    extrinsic_variables: [drug A; drug B; heat]",
        "VARIABLE_LIST",
    ),
}


@pytest.mark.parametrize("old", SPOILT)
def test_other_mistakes_of_their_kind(bare: Path, old: str) -> None:
    import study

    new, code = SPOILT[old]
    (bare / "study.yaml").write_text(study.STUDY.replace(old, new))
    assert code in {f.code for f in validate(bare).findings}
