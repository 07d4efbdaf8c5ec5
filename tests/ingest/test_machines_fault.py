"""A disk or a network that fails is no fault of the submission: it is never rejected for that."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from slidebox import config as configuration
from slidebox.demo import inbox
from slidebox.ingest import archive, queue, validation
from slidebox.ingest.paths import Stages, read_json
from slidebox.vault import VaultError

STRIKE: dict[str, object] = {"name": None}


def _hook(event, arguments):
    """The next opening of a file of this name fails once, as a bad disk lets it."""
    if event == "open" and STRIKE["name"] and str(arguments[0]).endswith(str(STRIKE["name"])):
        STRIKE["name"] = None
        number = STRIKE["errno"]
        raise OSError(number, os.strerror(number))


sys.addaudithook(_hook)


@pytest.fixture
def config(tmp_path):
    names = ("inbox", "results", "curation", "vault", "public", "embargoed")
    return configuration.load({}).model_copy(update={name: tmp_path / name for name in names})


@pytest.mark.parametrize(
    ("name", "number"),
    [("deposit.yaml", errno.EIO), ("study.yaml", errno.ESTALE), ("files.tsv", errno.EIO)],
)
def test_a_failing_disk_ends_the_validation_and_the_next_one_accepts(config, name, number):
    inbox.make(config.inbox, only=["SB-CELLS"])
    (item,) = queue.scan(config)
    STRIKE.update(name=name, errno=number)
    with pytest.raises(OSError) as error:
        validation.validate(config, "SB-CELLS", item.key)
    assert error.value.errno == number
    stages = Stages(config, "SB-CELLS", item.key)
    assert not stages.validation.exists()
    validation.validate(config, "SB-CELLS", item.key)
    assert read_json(stages.validation)["status"] == "accepted"


@pytest.mark.parametrize("name", ["cell.png", "study.yaml"])
def test_a_failing_disk_ends_the_archiving_and_the_next_one_takes_it_in(config, name):
    inbox.make(config.inbox, only=["SB-CELLS"])
    (item,) = queue.scan(config)
    validation.validate(config, "SB-CELLS", item.key)
    STRIKE.update(name=name, errno=errno.EIO)
    with pytest.raises(VaultError, match="Input/output error"):
        archive.archive(config, "SB-CELLS", item.key)
    archive.archive(config, "SB-CELLS", item.key)
    assert read_json(Stages(config, "SB-CELLS", item.key).archived)["status"] == "archived"


def test_a_header_that_can_not_be_read_now_is_passed_over_by_name(config, capsys):
    inbox.make(config.inbox, only=["SB-CELLS", "SB-LAPSE"])
    STRIKE.update(name="SB-CELLS/.ready", errno=errno.EIO)
    assert [item.accession for item in queue.scan(config)] == ["SB-LAPSE"]
    assert "SB-CELLS is passed over" in capsys.readouterr().err
    assert len(queue.scan(config)) == 2
