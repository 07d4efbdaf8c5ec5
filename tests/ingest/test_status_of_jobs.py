"""`slidebox status` on a cluster: what waits, earlier attempts, and how Slurm says they ended."""

from __future__ import annotations

import json
import logging

import pytest

from slidebox import config as configuration
from slidebox.demo import inbox
from slidebox.ingest import queue, runlock, runlog, slurm, status

SQUEUE = """#!/bin/sh
case "$*" in
  *"-j 7 "*) echo "7|OUT_OF_MEMORY|OutOfMemory|1:00|10:00|500M" ;;
  *"-j 9 "*) echo "9|FAILED|NonZeroExitCode|1:00|10:00|1000M" ;;
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
            _say(log, event="job_error", jobid=1, rule_name="ingest", log=[], output=[])
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


OOM = """slurmstepd-n1: error: StepId=9.0 exceeded memory limit (1251274752 > 1048576000), killed
srun: error: n1: task 0: Killed
slurmstepd-n1: error: StepId=9.0 exceeded memory limit (1251274752 > 1048576000), killed
"""


def test_members_that_had_not_begun_are_told_in_one_line(config, tmp_path, capsys):
    log = runlog.attach(config, logging.Logger("s"), pending=3, steps=4)
    (tmp_path / "9.log").write_text(OOM)
    members = {1: "SB-A", 2: "SB-B", 3: "SB-C"}
    common = {"rule_name": "ingest", "rule_msg": "taking it in", "threads": 1, "resources": {}}
    for number, accession in members.items():
        _say(log, event="job_info", jobid=number, wildcards={"accession": accession}, **common)
        sent = f"Job {number} has been submitted with SLURM jobid 9 (log: {tmp_path}/9.log)"
        _say(log, message=sent)
    capsys.readouterr()
    facts = {"output": [tmp_path / "missing.json"], "log": [tmp_path / "no.log"]}
    infos = [{"jobid": number, **facts} for number in members]
    _say(log, event="group_error", job_error_info=infos, aux_logs=[])
    for number in members:
        _say(log, event="job_error", jobid=number, rule_name="ingest", **facts)
    log.end(well=False)
    said = capsys.readouterr().err
    assert said.count("FAILED") == 1
    assert "SB-A ingest, SB-B ingest, SB-C ingest (Slurm job 9: OUT_OF_MEMORY)" in said
    assert said.count("exceeded memory limit") == 1
    written = [line["event"] for line in runlog.last(config)]
    assert written.count("failed") == 3


def test_peak_memory_is_that_of_the_batch_script_and_the_largest_step(tmp_path, monkeypatch):
    """Steps follow one another beside the batch script."""
    answers = {
        "squeue": "7|RUNNING|None|1:00|10:00|900M",
        "sstat": "7.batch|183468K\\n7.0|240912K\\n7.1|404484K\\n7.extern|",
    }
    for name, answer in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '{answer}\\n'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert slurm.jobs([7])[7]["peak"] == "587952K"


def test_of_a_shared_job_that_failed_only_the_guilty_is_told_with_slurms_reason(
    config, tmp_path, capsys
):
    """The step is killed for its memory; squeue says only FAILED; the neighbour was sealed."""
    log = runlog.attach(config, logging.Logger("s"), pending=2, steps=4)
    (tmp_path / "9.log").write_text(OOM)
    (tmp_path / "sealed.json").write_text("{}")
    (tmp_path / "validate.log").write_text("12:00 INFO opening mask.tif\n")
    (tmp_path / "seal.log").touch()
    common = {"rule_name": "ingest", "rule_msg": "taking it in", "threads": 1}
    members = {1: ("SB-BIG", "missing.json"), 2: ("SB-CELLS", "sealed.json")}
    for number, (accession, _) in members.items():
        wildcards = {"accession": accession, "key": "0" * 12}
        resources = {"mem_mb": 500, "runtime": 10}
        _say(
            log, event="job_info", jobid=number, wildcards=wildcards, resources=resources, **common
        )
        sent = f"Job {number} has been submitted with SLURM jobid 9 (log: {tmp_path}/9.log)"
        _say(log, message=sent)
    capsys.readouterr()
    for number, (_, receipt) in members.items():
        logs = [tmp_path / "validate.log", tmp_path / "seal.log", tmp_path / "no.log"]
        facts = {"rule_name": "ingest", "log": logs, "output": [tmp_path / receipt]}
        _say(log, event="job_error", jobid=number, **facts)
    log.end(well=False)
    said = capsys.readouterr().err
    assert "FAILED: SB-BIG ingest (Slurm job 9: OUT_OF_MEMORY)" in said
    assert said.count("exceeded memory limit (1251274752 > 1048576000)") == 1
    assert "opening mask.tif" in said
    assert "seal.log" not in said and "no.log" not in said and "SB-CELLS" not in said
    jobs = runlog.jobs(config)
    assert jobs["SB-BIG"][0]["slurm_state"] == "OUT_OF_MEMORY"
    assert jobs["SB-CELLS"][0]["state"] == "finished"


def test_of_very_many_sealed_submissions_the_table_shows_what_needs_somebody(capsys):
    rows = [status._row(f"SB-{n:05}", "public", sealed=f"2026-01-01T{n:05}") for n in range(2000)]
    rows.append(status._row("SB-0", "failed", waits="the next run"))
    status.print_terminal(rows)
    said = capsys.readouterr().out
    assert "SB-0 " in said and "SB-01999" in said and "SB-00001" not in said
    assert "and 1,970 more that were sealed before: 1,970 public (--all lists them)" in said
    status.print_terminal(rows, everything=True)
    said = capsys.readouterr().out
    assert "SB-00001" in said and "more that were sealed" not in said
