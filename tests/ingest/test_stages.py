"""Stages as plain functions: what validation and archiving say joins one report."""

from __future__ import annotations

import json
import shutil

import pytest

from slidebox import config as configuration
from slidebox import deposit
from slidebox.demo import inbox
from slidebox.ingest import archive, index, queue, status, validation
from slidebox.ingest.paths import Stages, read_json


@pytest.fixture
def config(tmp_path):
    names = ("inbox", "results", "curation", "vault", "public", "embargoed")
    return configuration.load({}).model_copy(update={name: tmp_path / name for name in names})


def taken_in(config, accession):
    (item,) = queue.scan(config)
    stages = Stages(config, accession, item.key)
    validation.validate(config, accession, item.key)
    archive.archive(config, accession, item.key)
    return stages


def test_files_of_equal_content_are_told_when_they_are_archived(config):
    inbox.make(config.inbox, only=["SB-CELLS"])
    folder = config.inbox / "SB-CELLS"
    shutil.copyfile(folder / "images/cell.png", folder / "images/again.png")
    with (folder / "files.tsv").open("a", encoding="utf-8") as handle:
        handle.write("images/again.png\tCell\n")
    deposit.write_ready(folder, "SB-CELLS")
    archived = read_json(taken_in(config, "SB-CELLS").archived)
    assert archived["status"] == "archived"
    (told,) = archived["findings"]
    assert (told["code"], told["file"]) == ("FILE_DUPLICATE", "images/cell.png")
    assert "images/again.png" in told["message"]


def test_a_given_checksum_that_does_not_hold_is_refused_by_name(config):
    inbox.make(config.inbox, only=["SB-CELLS"])
    folder = config.inbox / "SB-CELLS"
    rows = ["path\tpart\tsha256", f"images/cell.png\tCell\t{'0' * 64}"]
    rows.append("images/immunohistochemistry.png\tTissue\t")
    (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    deposit.write_ready(folder, "SB-CELLS")
    stages = taken_in(config, "SB-CELLS")
    archived = read_json(stages.archived)
    assert archived["status"] == "refused"
    assert "images/cell.png" in json.dumps(archived["findings"])
    assert not stages.files.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "nd2_arcadia/example-pbmc.nd2",
        "czi_ccby/xt-scan-lsm980.czi",
        "lif_readlif/testdata_2channel_xz.lif",
        "dv_toxo/toxo.dv",
        "lsm_drosophila/032113-18.lsm",
    ],
)
def test_a_cut_off_vendor_file_is_an_error(config, shared_data, name):
    inbox.make(config.inbox, only=["SB-CELLS"])
    folder = config.inbox / "SB-CELLS"
    data = (shared_data / "vendor" / name).read_bytes()
    cut = name.rpartition("/")[2]
    (folder / cut).write_bytes(data[: len(data) * 2 // 3])
    with (folder / "files.tsv").open("a", encoding="utf-8") as handle:
        handle.write(f"{cut}\tCell\n")
    deposit.write_ready(folder, "SB-CELLS")
    stages = taken_in(config, "SB-CELLS")
    found = read_json(stages.validation)
    assert found["status"] == "rejected"
    assert ("IMAGE_UNREADABLE", cut) in {(f["code"], f["file"]) for f in found["findings"]}
    assert read_json(stages.archived)["status"] == "rejected"


def test_what_is_archived_stays_accepted_when_it_is_taken_in_again(config):
    """The receipt was lost; the folder in the inbox has been changed since, or emptied."""
    inbox.make(config.inbox, only=["SB-CELLS"])
    stages = taken_in(config, "SB-CELLS")
    first = read_json(stages.archived)
    (config.inbox / "SB-CELLS/images/cell.png").write_bytes(b"scribbled over")
    shutil.rmtree(stages.folder)
    again = read_json(taken_in(config, "SB-CELLS").archived)
    assert (again["status"], again["version"], again["new"]) == ("archived", 1, False)
    assert stages.files.is_file() and first["version"] == 1
    deposit.write_ready(config.inbox / "SB-CELLS", "SB-CELLS")  # submitted anew: looked at anew
    (item,) = queue.scan(config)
    validation.validate(config, "SB-CELLS", item.key)
    told = read_json(Stages(config, "SB-CELLS", item.key).validation)
    assert "images/cell.png" in json.dumps(told["findings"])


def test_damaged_receipts_are_named_and_nothing_leaves_the_index_silently(config):
    folder = config.results / "receipts"
    folder.mkdir(parents=True)
    (folder / "SB-A~0123456789ab.json").write_text("")
    (folder / "SB-B~0123456789ab.json").write_text('{"accession": "SB-B", "status": "accepted"}')
    (folder / "SB-C~0123456789ab.json").write_text('{"accession": "SB-C", "sta')
    for read in (index.current, index.standing):
        with pytest.raises(ValueError) as error:
            read(config)
        for name in ("SB-A", "SB-B", "SB-C"):
            assert f"{name}~0123456789ab.json is damaged" in str(error.value)
            assert f"slidebox rebuild {name}" in str(error.value)
    rows = status.rows(config)
    assert [(row["accession"], row["state"]) for row in rows] == [
        (name, "damaged") for name in ("SB-A", "SB-B", "SB-C")
    ]
