"""A submission that is not small: a job for each stage, and one for each slice of its images."""

from __future__ import annotations

import json

from slidebox.demo import inbox


def test_slices_give_what_one_job_gives(archive, demo):
    inbox.make(archive.folder / "inbox", only=["SB-CELLS"])
    archive.snakemake("--config", "slice_size=300kB")
    (path,) = (archive.folder / "results/receipts").glob("SB-CELLS~*.json")
    assert path.stem.endswith("-2")
    mine, whole = archive.receipts()["SB-CELLS"], demo.receipts()["SB-CELLS"]
    assert (mine["status"], mine["files_sha256"]) == ("accepted", whole["files_sha256"])
    facts = [
        sorted((i["id"], i["derivation"], i["digest"], i["tree"]) for i in receipt["images"])
        for receipt in (mine, whole)
    ]
    assert facts[0] == facts[1]
    (log,) = (archive.folder / "results/logs/runs").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    jobs = sorted(line["stage"] for line in lines if line["event"] == "started")
    assert jobs == ["all", "archive", "images", "images", "index", "seal", "study", "validate"]
    (log,) = (demo.folder / "results/logs/runs").glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    jobs = [line["stage"] for line in lines if line["event"] == "started"]
    assert sorted(jobs) == ["all", "index", *["ingest"] * 4]
    assert "Nothing to be done" in archive.snakemake("--config", "slice_size=50GB").stderr
