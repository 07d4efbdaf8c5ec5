"""`slidebox status` on a cluster: what waits, earlier attempts, and how Slurm says they ended."""

from __future__ import annotations

import json
import logging

import pytest

from slidebox import config as configuration
from slidebox.demo import inbox
from slidebox.ingest import queue, runlock, runlog, status

SQUEUE = """#!/bin/sh
case "$*" in
  *"-j 7 "*) echo "7|OUT_OF_MEMORY|OutOfMemory|1:00|10:00|500M" ;;
  *"-j 8 "*) echo "8|PENDING|Resources|0:00|20:00|1000M" ;;
esac
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    names = ("inbox", "results", "curation", "vault", "public", "embargoed")
    loaded = configuration.load({}).model_copy(update={n: tmp_path / n for n in names})
    inbox.make(loaded.inbox, only=["SB-CELLS"])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "squeue").write_text(SQUEUE)
    (tmp_path / "bin" / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    runlock.hold(loaded)
    yield loaded
    runlock.release()


def _say(log: logging.Handler, /, **facts) -> None:
    record = logging.LogRecord("s", logging.INFO, "", 0, facts.pop("message", ""), (), None)
    record.__dict__.update(facts)
    log.emit(record)


def test_a_job_out_of_memory_is_told_and_its_second_attempt_waits(config, capsys):
    (item,) = queue.scan(config)
    log = runlog.attach(config, logging.Logger("s"), pending=1, steps=3)
    wildcards = {"accession": item.accession, "key": item.key}
    for memory, number in ((500, 7), (1000, 8)):
        resources = {"mem_mb": memory, "runtime": 10}
        job = {"jobid": 1, "rule_name": "ingest", "rule_msg": "taking it in", "threads": 1}
        _say(log, event="job_info", wildcards=wildcards, resources=resources, **job)
        sent = f"Job 1 has been submitted with SLURM jobid {number} (log: x.log)."
        _say(log, message=sent)
        if number == 7:
            _say(log, event="job_error", jobid=1, rule_name="ingest", log=[])
    assert "FAILED: SB-CELLS ingest (Slurm job 7: OUT_OF_MEMORY)" in capsys.readouterr().err
    (row,) = status.rows(config)
    assert (row["state"], row["waits"]) == ("queued", "Slurm: Resources")
    (job,) = row["jobs"]
    assert (job["attempt"], job["memory_mb"], job["slurm"]) == (2, 1000, 8)
    (early,) = job["before"]
    assert (early["attempt"], early["slurm_state"]) == (1, "OUT_OF_MEMORY")
    json.dumps(row)
    status.print_terminal([row])
    assert "attempt 1 of 500 MB ended: OUT_OF_MEMORY" in " ".join(capsys.readouterr().out.split())
    log.end(well=False)
