"""What a killed run has left on Slurm is cancelled by the next one, or waited for."""

from __future__ import annotations

import json

import pytest

from slidebox import config as configuration
from slidebox.ingest import leftover, runlog

SQUEUE = """#!/bin/sh
for job in "1|PENDING|{here}" "2|RUNNING|{here}" "3|RUNNING|{here}" "4|PENDING|/elsewhere" \\
    "5|COMPLETED|{here}"; do echo "$job"; done
"""


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """(configuration, what scancel was called with) of an archive on a cluster."""
    config = configuration.load({}).model_copy(update={"results": tmp_path / "results"})
    runlog.folder(config).mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    told = tmp_path / "told"
    programs = {
        "squeue": SQUEUE.format(here=tmp_path),
        "scancel": f'#!/bin/sh\necho "$@" > {told}\n',
    }
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return config, told


def _log(config, *lines: dict) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (runlog.folder(config) / "20261129T000000Z-1.jsonl").write_text(text)


SENT = [
    {"event": "submitted", "slurm": 1, "jobs": [11]},
    {"event": "submitted", "slurm": 2, "jobs": [12]},
    {"event": "submitted", "slurm": 3, "jobs": [13, 14]},
    {"event": "submitted", "slurm": 4, "jobs": [15]},
    {"event": "submitted", "slurm": 5, "jobs": [16]},
]


def test_what_waits_or_is_shared_is_cancelled_and_a_running_stage_goes_on(archive, tmp_path):
    """Somebody else's job of the same number, in another folder, is left alone."""
    config, told = archive
    _log(config, *SENT)
    said = leftover.sweep(config, tmp_path)
    assert told.read_text().split() == ["1", "3"]
    assert said == [
        "Slurm job 1 of a run that was killed is cancelled",
        "Slurm job 2 of a run that was killed goes on; it is waited for",
        "Slurm job 3 of a run that was killed is cancelled",
    ]


def test_a_run_that_ended_left_nothing(archive, tmp_path):
    config, told = archive
    _log(config, *SENT, {"event": "ended", "well": False})
    assert leftover.sweep(config, tmp_path) == []
    assert not told.exists()


def test_the_first_run_of_an_archive_finds_nothing(archive, tmp_path):
    assert leftover.sweep(archive[0], tmp_path) == []
