"""The queue is a difference, and looking at it costs one line a submission."""

from __future__ import annotations

import json
import shutil
from datetime import date

import pytest

from slidebox import config as configuration
from slidebox import deposit
from slidebox.ingest import queue


@pytest.fixture
def config(tmp_path):
    paths = {name: tmp_path / name for name in ("inbox", "results", "curation", "vault")}
    (tmp_path / "inbox").mkdir()
    return configuration.load({}).model_copy(update=paths)


def submission(config, accession, data=b"x"):
    folder = config.inbox / accession
    folder.mkdir(exist_ok=True)
    (folder / "a.bin").write_bytes(data)
    deposit.write_ready(folder, accession)
    return folder


def seal(config, item):
    path = config.results / "receipts" / f"{item.accession}~{item.key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"accession": item.accession}))


def test_pending_until_sealed_and_again_when_changed(config):
    submission(config, "SB-1")
    (item,) = queue.scan(config)
    seal(config, item)
    assert queue.scan(config) == []
    submission(config, "SB-1", b"other")
    (again,) = queue.scan(config)
    assert again.key != item.key


def test_curation_and_deposit_yaml_are_part_of_the_state(config):
    folder = submission(config, "SB-1")
    seal(config, queue.scan(config)[0])
    (folder / "deposit.yaml").write_text("mode: add\n")
    assert len(queue.scan(config)) == 1
    seal(config, queue.scan(config)[0])
    config.curation.mkdir()
    (config.curation / "SB-1.yaml").write_text("accession: SB-1\n")
    assert len(queue.scan(config)) == 1


def test_curation_of_a_study_whose_folder_is_gone(config):
    folder = submission(config, "SB-1")
    seal(config, queue.scan(config)[0])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    config.curation.mkdir()
    (config.curation / "SB-1.yaml").write_text("accession: SB-1\n")
    (config.curation / "SB-NEVER.yaml").write_text("accession: SB-NEVER\n")
    assert [item.accession for item in queue.scan(config)] == ["SB-1"]
    seal(config, queue.scan(config)[0])
    assert queue.scan(config) == []


def test_embargo_ends_on_its_day_even_when_the_folder_is_gone(config):
    folder = submission(config, "SB-1")
    (item,) = queue.scan(config)
    seal(config, item)
    marks = config.results / "embargoes"
    marks.mkdir(parents=True)
    (marks / f"SB-1~{item.key}~2030-01-02").touch()
    assert queue.scan(config, date(2030, 1, 1)) == []
    assert len(queue.scan(config, date(2030, 1, 2))) == 1
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert queue.scan(config, date(2030, 1, 1)) == []
    (due,) = queue.scan(config, date(2030, 1, 2))
    seal(config, due)
    assert queue.scan(config, date(2030, 1, 3)) == []


def test_the_number_of_slices_stands_in_the_key(config):
    submission(config, "SB-1", b"x" * 1000)
    (item,) = queue.scan(config.model_copy(update={"slice_size": 300}))
    assert item.key.endswith("-4")
    assert queue.slices_of(item.key) == 4
    seal(config, item)  # and another size of slices later is no other state
    assert queue.scan(config) == []


def test_small_ones_are_one_job_and_those_of_many_files_are_not(config, monkeypatch):
    folder = submission(config, "SB-1")
    (item,) = queue.scan(config)
    assert queue.is_whole(item.key)
    monkeypatch.setattr(queue, "FEW", 1)
    (many,) = queue.scan(config)
    assert many.key == f"{item.key}-1"
    monkeypatch.setattr(queue, "SMALL", 1)
    monkeypatch.setattr(queue, "FEW", 10)
    assert queue.scan(config) == [many]
    # A revision when the folder is gone: as many files as were sealed.
    path = config.results / "receipts" / f"SB-1~{many.key}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"accession": "SB-1", "files": 20}))
    shutil.rmtree(folder)
    config.curation.mkdir()
    (config.curation / "SB-1.yaml").write_text("accession: SB-1\n")
    (revision,) = queue.scan(config)
    assert (revision.files, queue.is_whole(revision.key)) == (20, False)


def test_names_that_can_not_be_accessions_are_said(config, capsys):
    submission(config, "my study")
    assert queue.scan(config) == []
    assert "my study" in capsys.readouterr().err


def test_without_ready_it_is_still_arriving(config):
    (config.inbox / "SB-1").mkdir()
    (config.inbox / "stray.txt").write_text("x")
    assert queue.scan(config) == []


def test_retry_makes_it_pending_again(config):
    submission(config, "SB-1")
    seal(config, queue.scan(config)[0])
    assert queue.forget(config, "SB-1")
    assert len(queue.scan(config)) == 1
    assert not queue.forget(config, "SB-2")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"inbx": "a"}, "unknown key 'inbx'; did you mean 'inbox'?"),
        ({"images": {"memry": 1}}, "unknown key 'images.memry'; did you mean 'memory'?"),
        ({"slice_size": "big"}, "slice_size: 'big' is not a size"),
        ({"acceptance": "maybe"}, "acceptance:"),
        ({"site": 3}, "site:"),
        ({"validation": {"codes": {"NO_SUCH": {"severity": "info", "reason": "why"}}}}, "NO_SUCH"),
    ],
)
def test_wrong_configuration_is_one_clear_line(values, said):
    with pytest.raises(configuration.ConfigError) as refused:
        configuration.load(values)
    lines = str(refused.value).splitlines()
    assert len(lines) == 1
    assert said in lines[0]
