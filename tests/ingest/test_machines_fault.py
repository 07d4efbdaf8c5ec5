"""A disk or a network that fails is no fault of the submission: it is never rejected for that."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from slidebox import config as configuration
from slidebox.demo import inbox
from slidebox.faults import machines_fault
from slidebox.ingest import archive, queue, validation
from slidebox.ingest.paths import Stages, read_json
from slidebox.validate import opening
from slidebox.validate.settings import Settings
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


def inspected(folder, seconds=30.0, **change):
    """What is said of the demo's image by a child whose `_WORKER` is another, or is stopped."""
    path = folder / "SB-CELLS/images/cell.png"
    if not path.exists():
        inbox.make(folder, only=["SB-CELLS"])
    with opening.Children(folder, Settings(seconds=seconds)) as pool:
        return next(pool.inspect([("SB-CELLS/images/cell.png", path.stat().st_size)]))[1]


def test_a_child_that_can_not_be_started_is_no_findings_reason(tmp_path, monkeypatch):
    """Else a machine without memory or descriptors left rejected every image."""
    worker = tmp_path / "worker.py"
    worker.write_text("raise SystemExit(1)")
    monkeypatch.setattr(opening, "_WORKER", worker)
    with pytest.raises(OSError, match="can't be started here: it ended at once") as error:
        inspected(tmp_path / "inbox")
    assert machines_fault(error.value)


def test_a_machine_with_few_descriptors_opens_images(tmp_path):
    worker = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
sys.argv[0] = {str(opening._WORKER)!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    (tmp_path / "worker.py").write_text(worker)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(opening, "_WORKER", tmp_path / "worker.py")
        assert inspected(tmp_path / "inbox")["problems"] == []


def test_a_disk_that_fails_under_a_reader_is_no_finding(tmp_path):
    """The reader makes an error of its own of it; the cause counts."""
    worker = f"""
import errno, runpy, sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("cell.png"):
        raise OSError(errno.EIO, "Input/output error")
sys.addaudithook(hook)
sys.argv[0] = {str(opening._WORKER)!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    (tmp_path / "worker.py").write_text(worker)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(opening, "_WORKER", tmp_path / "worker.py")
        with pytest.raises(OSError) as error:
            inspected(tmp_path / "inbox")
    assert error.value.errno == errno.EIO


def test_time_that_the_machine_did_not_give_is_not_counted(tmp_path):
    """A child that was stopped (a busy machine, one that slept) has not taken too long."""
    worker = f"""
import runpy, sys, threading
sys.argv[0] = {str(opening._WORKER)!r}
class Slow:
    def __iter__(self):
        for line in sys.__stdin__:
            threading.Event().wait(2.5)
            yield line
sys.stdin = Slow()
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    (tmp_path / "worker.py").write_text(worker)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(opening, "_WORKER", tmp_path / "worker.py")
        assert inspected(tmp_path / "inbox", seconds=1.0)["problems"] == []
