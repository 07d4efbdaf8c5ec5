"""The whole workflow through a real Slurm on this machine: the same result as a local run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import slurm_server
import tifffile
from archive_user import CHECKOUT

from slidebox.demo import inbox

pytestmark = pytest.mark.slow
pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra `slurm` is not installed")

QUICK = [
    *("--slurm-init-seconds-before-status-checks", "3"),
    *("--latency-wait", "10"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        try:
            folder = tmp_path_factory.mktemp("slurm")
            yield stack.enter_context(slurm_server.serving(folder))
        except slurm_server.CannotServe as reason:
            pytest.skip(str(reason))


def command(archive, *more: str) -> list[str]:
    start = [sys.executable, "-m", "snakemake", "--profile", str(CHECKOUT / "profiles/slurm")]
    start += ["--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(archive.folder)]
    return [*start, *QUICK, *more]


def run(archive, *more: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        command(archive, *more), capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def digests(archive) -> dict[str, object]:
    """What must not depend on where it was made: receipts' facts, pixels, trees, originals."""
    told = {}
    for accession, receipt in archive.receipts().items():
        images = [(i["id"], i["digest"], i["tree"]) for i in receipt["images"]]
        told[accession] = (receipt["status"], receipt["files_sha256"], images)
    content = sorted((archive.folder / "vault").rglob("content/data/**/*"))
    for path in content:
        if path.is_file():
            name = str(path.relative_to(archive.folder))
            told[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return told


def test_the_demo_on_slurm_is_the_demo_on_one_machine(slurm, demo, archive):
    inbox.make(archive.folder / "inbox")
    done = run(archive)
    assert "account" not in done.stdout + done.stderr  # what is no trouble is not told
    assert digests(archive) == digests(demo)
    # All four are small: they were one Slurm job, the index another.
    (log,) = (archive.folder / "results/logs/runs").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    sent = [line for line in lines if line["event"] == "submitted"]
    assert sorted(len(line["jobs"]) for line in sent) == [1, 4]
    asked = {line["stage"]: line["memory_mb"] for line in lines if line["event"] == "started"}
    assert asked["ingest"] >= 500
    # What was asked for is enough: Slurm ends jobs that take more.
    assert {line["attempt"] for line in lines if line["event"] == "started"} == {1}
    assert lines[-1]["event"] == "ended" and lines[-1]["well"]


def test_status_cancel_retry_and_a_node_that_disappears(slurm, archive):
    """A job waits for memory that the node lacks; then the node goes while it runs."""
    inbox.make(archive.folder / "inbox", only=["SB-CELLS"])
    here = ("--directory", str(archive.folder))
    archive.slidebox("retry", "SB-CELLS", *here, check=False)
    archive.slidebox("cancel", "SB-CELLS", *here)
    assert "cancelled" in archive.slidebox("status", *here).stdout
    archive.slidebox("retry", "SB-CELLS", "--memory", "4GB", *here)
    log = (archive.folder / "run.log").open("w")
    with log, subprocess.Popen(command(archive), stdout=log, stderr=log) as process:
        try:
            row = _wait_for(archive, lambda row: any(j.get("queue") for j in row["jobs"]))
            job = next(j for j in row["jobs"] if j["queue"])
            assert job["memory_mb"] == 3815  # 4 GB in MB of 2**20 bytes
            assert job["queue"]["requested"].startswith("3815")
            assert job["attempt"] == 1
            _wait_for(archive, lambda row: row["jobs"][0]["queue"]["state"] == "RUNNING")
            slurm.lose_node()
            slurm.start_node()
            assert process.wait(1800) == 0, (archive.folder / "run.log").read_text()
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
    assert archive.receipts()["SB-CELLS"]["status"] == "accepted"
    (row,) = json.loads(archive.slidebox("status", "--json", *here).stdout)
    assert row["state"] == "public"
    assert not list((archive.folder / "results/requests").iterdir())


def test_killed_while_its_jobs_wait_then_out_of_memory(slurm, archive, tmp_path):
    """The node is drained and the main process killed: the next run cancels what was left behind.

    Then masks that unpack to a thousand times their size take more memory than their job has
    (several: Slurm looks once a second): it is ended, and submitted again with twice as much.
    """
    plane = np.zeros((14_000, 14_000), np.uint16)
    masks = {f"mask{n}.tif": tmp_path / f"mask{n}.tif" for n in range(8)}
    for n, path in enumerate(masks.values(), 1):
        plane[10 : 10 + n] = n
        tifffile.imwrite(path, plane, compression="zlib", rowsperstrip=14_000)
    archive.deposit("SB-BIG", masks)
    _node(slurm, "drain")
    with subprocess.Popen(command(archive), stderr=subprocess.DEVNULL) as process:
        first = _wait_for(archive, lambda row: row["state"] == "queued" and row["jobs"][0]["queue"])
        process.kill()
    log = (archive.folder / "run.log").open("w")
    with log, subprocess.Popen(command(archive), stdout=log, stderr=log) as process:
        try:
            old = first["jobs"][0]["slurm"]
            _wait_for(archive, lambda row: row["state"] == "queued" and _slurm(row) != old)
            waiting = subprocess.run(["squeue", "-h", "-o", "%i"], capture_output=True, text=True)
            assert str(old) not in waiting.stdout.split()
            _node(slurm, "resume")
            row = _wait_for(archive, lambda row: row["jobs"][0]["attempt"] == 2, process)
            assert process.wait(1800) == 0, (archive.folder / "run.log").read_text()
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
    said = (archive.folder / "run.log").read_text()
    assert f"Slurm job {old} of a run that was killed is cancelled" in said
    assert "SB-BIG ingest (Slurm job" in said and "OUT_OF_MEMORY" in said
    (job,) = row["jobs"]
    assert (job["memory_mb"], job["before"][0]["memory_mb"]) == (1800, 900)
    assert job["slurm"] != job["before"][0]["slurm"]  # not inside the old allocation
    assert job["before"][0]["slurm_state"] == "OUT_OF_MEMORY"
    assert archive.receipts()["SB-BIG"]["status"] == "accepted"


def test_one_bad_submission_spoils_no_other_of_the_job_that_they_share(slurm, archive):
    inbox.make(archive.folder / "inbox")
    (archive.folder / "public").mkdir()
    (archive.folder / "public/SB-NUCLEI").write_text("in the way")
    done = subprocess.run(
        command(archive, "--retries", "0"), capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 1
    assert set(archive.receipts()) == {"SB-BROKEN", "SB-CELLS", "SB-LAPSE"}
    page = (archive.folder / "public/index.html").read_text(encoding="utf-8")
    assert "SB-CELLS" in page and "SB-LAPSE" in page
    assert "FAILED: SB-NUCLEI ingest" in done.stderr
    assert done.stderr.count("FAILED") == 2  # its name, and what Slurm says of the job
    assert "NotADirectoryError" in done.stderr


def _node(slurm, state: str) -> None:
    command = ["scontrol", "update", f"nodename={slurm.host}", f"state={state}", "reason=test"]
    subprocess.run(command, check=True)


def _slurm(row: dict) -> int | None:
    return row["jobs"][0]["slurm"]


def _wait_for(archive, ready, run: subprocess.Popen | None = None) -> dict:
    """The status of the one submission once `ready` says so, before `run` ends."""
    end = time.monotonic() + 900
    while time.monotonic() < end and (run is None or run.poll() is None):
        text = archive.slidebox("status", "--json", "--directory", str(archive.folder)).stdout
        (row,) = json.loads(text)
        with contextlib.suppress(LookupError, TypeError):
            if ready(row):
                return row
        time.sleep(1)
    raise AssertionError(row)
