"""What archive staff do over the years: embargo, additions, withdrawal, rebuilding, auditing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time

import pytest
import yaml
from archive_user import minimal
from ocfl import StorageRoot

from slidebox import config as configuration
from slidebox import deposit
from slidebox.ingest import index, queue, rebuild, withdrawal
from slidebox.vault import Vault

pytestmark = pytest.mark.slow


def configured(archive):
    """The archive's configuration with its paths as seen from here."""
    loaded = configuration.load({})
    paths = {
        name: archive.folder / value for name, value in loaded if hasattr(value, "is_absolute")
    }
    return loaded.model_copy(update=paths)


def comparable(receipt: dict) -> dict:
    return {k: v for k, v in receipt.items() if k not in ("sealed", "stages", "software")}


def test_everything_is_rebuilt_from_the_vault_alone(demo_copy):
    archive = demo_copy
    before = {a: comparable(r) for a, r in archive.receipts().items() if r["version"]}
    studies = {a: archive.study(a) for a in before}
    shutil.rmtree(archive.folder / "public")
    shutil.rmtree(archive.folder / "results")
    archive.slidebox("rebuild", "--directory", str(archive.folder))
    assert {a: comparable(r) for a, r in archive.receipts().items()} == before
    assert {a: archive.study(a) for a in before} == studies
    assert (archive.folder / "public/index.html").is_file()


def test_withdrawal_leaves_a_tombstone_and_every_byte(demo_copy):
    archive = demo_copy
    options = ("--directory", str(archive.folder))
    words = ("--reason", "wrong <b>species</b>", "--contact", "help@example.org")
    archive.slidebox("withdraw", "SB-LAPSE", *words, *options)
    public = archive.folder / "public"
    assert sorted(p.name for p in (public / "SB-LAPSE").iterdir()) == [
        "index.html",
        "tombstone.json",
    ]
    page = (public / "SB-LAPSE/index.html").read_text(encoding="utf-8")
    assert "wrong &lt;b&gt;species&lt;/b&gt;" in page
    tombstone = json.loads((public / "SB-LAPSE/tombstone.json").read_text(encoding="utf-8"))
    assert tombstone["reason"] == "wrong <b>species</b>"
    assert "SB-LAPSE" not in (public / "index.html").read_text(encoding="utf-8")
    archive.slidebox("restore", "SB-LAPSE", str(archive.folder / "back"), *options)
    assert (archive.folder / "back/embryo.ome.tiff").is_file()
    assert StorageRoot(root=str(archive.folder / "vault")).validate()
    # It does not come back: not by a run, not by a deposit.
    os.utime(archive.folder / "inbox/SB-LAPSE/embryo_tracks.csv")
    deposit.write_ready(archive.folder / "inbox/SB-LAPSE", "SB-LAPSE")
    archive.snakemake()
    receipt = archive.receipts()["SB-LAPSE"]
    assert receipt["status"] == "rejected"
    assert receipt["errors"][0]["code"] == "DEPOSIT_WITHDRAWN"
    assert not (public / "SB-LAPSE/images").exists()
    # Nor by curation when its folder has gone.
    words = ("curate", "SB-LAPSE", "--set", "title=Back again, with a long enough title")
    archive.slidebox(*words, "--reason", "a test", *options)
    shutil.rmtree(archive.folder / "inbox/SB-LAPSE")
    archive.snakemake()
    assert not (public / "SB-LAPSE/study.json").exists()


def test_an_embargoed_study_is_nowhere_in_public_until_its_day(archive, demo):
    record = yaml.safe_load(minimal("SB-SOON"))
    record["release_date"] = "2099-05-01"
    image = demo.folder / "inbox/SB-NUCLEI/images/specimen_A_1.ome.tiff"
    text = yaml.safe_dump(record, sort_keys=False)
    archive.deposit("SB-SOON", {"cells.ome.tiff": image}, text)
    archive.snakemake()
    receipt = archive.receipts()["SB-SOON"]
    assert (receipt["status"], receipt["embargoed_until"]) == ("accepted", "2099-05-01")
    public = archive.folder / "public"
    named = [
        p for p in public.rglob("*") if "SB-SOON" in str(p) or receipt["images"][0]["id"] in str(p)
    ]
    assert named == []
    for page in public.rglob("*.html"):
        assert "SB-SOON" not in page.read_text(encoding="utf-8")
    waiting = list((archive.folder / "embargoed/SB-SOON/images").glob("*.ome.zarr"))
    assert len(waiting) == 1
    made = (waiting[0] / "zarr.json").stat().st_mtime_ns
    assert "Nothing to be done" in "".join(
        getattr(archive.snakemake(), stream) for stream in ("stdout", "stderr")
    )
    # On the day the queue has it again; nothing is derived again.
    config = configured(archive)
    from datetime import date

    assert queue.scan(config, date(2099, 4, 30)) == []
    (item,) = queue.scan(config, date(2099, 5, 1))
    assert item.accession == "SB-SOON"
    record["release_date"] = "2026-01-01"  # the day can't be waited for: release it now
    (archive.folder / "inbox/SB-SOON/study.yaml").write_text(
        yaml.safe_dump(record, sort_keys=False), encoding="utf-8"
    )
    deposit.write_ready(archive.folder / "inbox/SB-SOON", "SB-SOON")
    archive.snakemake()
    receipt = archive.receipts()["SB-SOON"]
    assert (receipt["status"], receipt["where"]) == ("accepted", "public"), receipt["errors"]
    (store,) = (public / "SB-SOON/images").glob("*.ome.zarr")
    assert (store / "zarr.json").stat().st_mtime_ns == made
    assert not (archive.folder / "embargoed/SB-SOON").exists()


def test_a_deposit_that_adds_joins_the_last_version(demo_copy):
    """An annotation set comes later: the images stay, the labels lie over them."""
    archive = demo_copy
    folder = archive.folder / "inbox/SB-CELLS"
    image = archive.folder / "inbox/SB-NUCLEI/images/specimen_A_1.ome.tiff"
    record = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    shutil.copyfile(image, folder / "more.ome.tiff")
    rows = [
        "path\tpart",
        "images/cell.png\tCell",
        "images/immunohistochemistry.png\tTissue",
        "more.ome.tiff\tCell",
    ]
    (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "deposit.yaml").write_text("mode: add\nbase: 1\n", encoding="utf-8")
    deposit.write_ready(folder, "SB-CELLS")
    before = archive.stores()
    archive.snakemake()
    receipt = archive.receipts()["SB-CELLS"]
    assert (receipt["status"], receipt["version"]) == ("accepted", 2), receipt["errors"]
    paths = {i["path"] for i in archive.study("SB-CELLS")["images"]}
    assert paths == {"images/cell.png", "images/immunohistochemistry.png", "more.ome.tiff"}
    after = archive.stores()
    assert {k: after[k] for k in before} == before
    assert len(after) == len(before) + 1


def test_a_deposit_made_against_an_older_version_is_refused(demo_copy):
    folder = demo_copy.folder / "inbox/SB-CELLS"
    (folder / "deposit.yaml").write_text("base: 7\nmode: replace\n", encoding="utf-8")
    demo_copy.snakemake()
    receipt = demo_copy.receipts()["SB-CELLS"]
    assert receipt["status"] == "rejected"
    assert [e["code"] for e in receipt["errors"]] == ["DEPOSIT_BASE"]
    assert demo_copy.study("SB-CELLS")["version"] == 1


def test_files_changed_after_submitting_are_refused_by_name(demo_copy):
    folder = demo_copy.folder / "inbox/SB-CELLS"
    (folder / "deposit.yaml").write_text("message: again\n", encoding="utf-8")
    with (folder / "images/cell.png").open("ab") as handle:
        handle.write(b"x")
    demo_copy.snakemake()
    receipt = demo_copy.receipts()["SB-CELLS"]
    assert receipt["status"] == "rejected"
    assert ("FILE_CHANGED", "images/cell.png") in {
        (e["code"], e["file"]) for e in receipt["errors"]
    }


def test_retry_takes_a_submission_in_again(demo_copy):
    demo_copy.slidebox("retry", "SB-BROKEN", "--directory", str(demo_copy.folder))
    done = demo_copy.snakemake()
    assert "SB-BROKEN: taking it in" in done.stdout + done.stderr
    assert demo_copy.receipts()["SB-BROKEN"]["status"] == "rejected"


def test_audit_of_the_workflow_names_what_is_damaged(demo_copy):
    demo_copy.snakemake("audit")
    content = next((demo_copy.folder / "vault").rglob("v1/content/data/images/cell.png"))
    data = bytearray(content.read_bytes())
    data[100] ^= 1
    content.write_bytes(data)
    done = demo_copy.snakemake("audit", check=False)
    assert done.returncode == 1
    assert "SB-CELLS v1 data/images/cell.png" in done.stdout + done.stderr


def test_one_failing_submission_does_not_keep_the_others_from_the_index(demo_copy):
    """A file stands where the study's folder should be: its job fails, the others are listed."""
    archive = demo_copy
    folder = archive.folder / "inbox"
    shutil.copytree(folder / "SB-CELLS", folder / "SB-OTHER")
    text = (folder / "SB-OTHER/study.yaml").read_text(encoding="utf-8")
    (folder / "SB-OTHER/study.yaml").write_text(text.replace("SB-CELLS", "SB-OTHER"))
    shutil.copytree(folder / "SB-OTHER", folder / "SB-FAILS")
    (folder / "SB-FAILS/study.yaml").write_text(text.replace("SB-CELLS", "SB-FAILS"))
    for accession in ("SB-OTHER", "SB-FAILS"):
        deposit.write_ready(folder / accession, accession)
    (archive.folder / "public/SB-FAILS").write_text("in the way")
    done = archive.snakemake(check=False)
    assert done.returncode == 1
    page = (archive.folder / "public/index.html").read_text(encoding="utf-8")
    assert "SB-OTHER" in page
    rows = json.loads(
        archive.slidebox("status", "--json", "--directory", str(archive.folder)).stdout
    )
    (failed,) = [row for row in rows if row["state"] == "failed"]
    assert failed["accession"] == "SB-FAILS"
    assert any("Error" in line for line in failed["log"])
    (archive.folder / "public/SB-FAILS").unlink()
    archive.snakemake()
    assert "SB-FAILS" in (archive.folder / "public/index.html").read_text(encoding="utf-8")


def test_one_run_at_a_time(demo_copy):
    """A second operator is told who is at work, and nothing is touched."""
    from slidebox.ingest import runlock

    demo_copy.slidebox("retry", "SB-BROKEN", "--directory", str(demo_copy.folder))
    config = configured(demo_copy)
    runlock.hold(config)
    done = demo_copy.snakemake(check=False)
    assert done.returncode == 1
    assert f"another run is at work in this archive (host {os.uname().nodename}" in (
        done.stdout + done.stderr
    )
    runlock.release()
    demo_copy.snakemake()


def test_library_and_command_do_the_same(demo_copy):
    config = configured(demo_copy)
    withdrawal.withdraw(
        config, "SB-CELLS", reason="a test", contact="help@example.org", user=("me", "mailto:me")
    )
    assert [p.parent.name for p in index.public_studies(config)] == ["SB-LAPSE", "SB-NUCLEI"]
    shutil.rmtree(config.public)
    shutil.rmtree(config.results)
    rebuild.rebuild(config)
    assert [p.parent.name for p in index.public_studies(config)] == ["SB-LAPSE", "SB-NUCLEI"]
    assert Vault(config.vault).tombstone("SB-CELLS")["reason"] == "a test"
    assert (config.public / "SB-CELLS/tombstone.json").is_file()


def test_sigterm_ends_a_run_soon_and_the_next_one_finishes_it(demo_copy):
    """Snakemake's own handler could wait for ever; here jobs end too, and leave nothing behind."""
    archive = demo_copy
    archive.slidebox("retry", "SB-NUCLEI", "--directory", str(archive.folder))
    shutil.rmtree(archive.folder / "public/SB-NUCLEI/images")
    with archive.started() as run:
        wait_until(lambda: list((archive.folder / "results/SB-NUCLEI").rglob("archived.json")))
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait(300) != 0
    assert not list((archive.folder / "results").rglob("view-*"))
    (last,) = [json.loads(line) for line in run_log(archive)[-1:]]
    assert last["event"] == "ended" and not last["well"]
    archive.snakemake()
    assert archive.receipts()["SB-NUCLEI"]["status"] == "accepted"
    assert not list((archive.folder / "public/SB-NUCLEI").rglob("*.tmp"))


def test_a_cancelled_submission_ends_and_is_passed_over_until_retried(demo_copy):
    archive = demo_copy
    here = ("--directory", str(archive.folder))
    archive.slidebox("retry", "SB-NUCLEI", *here)
    shutil.rmtree(archive.folder / "public/SB-NUCLEI/images")
    with archive.started() as run:
        wait_until(lambda: list((archive.folder / "results/SB-NUCLEI").rglob("archived.json")))
        rows = {
            r["accession"]: r
            for r in json.loads(archive.slidebox("status", "--json", *here).stdout)
        }
        row = rows["SB-NUCLEI"]
        assert row["state"] == "running"
        assert row["stage"] in ("images", "study", "seal")
        assert 0.3 < row["progress"] < 1
        assert [job["stage"] for job in row["jobs"]] == ["ingest"]
        archive.slidebox("cancel", "SB-NUCLEI", *here)
        assert run.wait(300) != 0
    assert "SB-NUCLEI" not in archive.receipts()
    assert "Nothing to be done" in archive.snakemake().stderr
    (row,) = json.loads(archive.slidebox("status", "SB-NUCLEI", "--json", *here).stdout)
    assert row["state"] == "cancelled"
    archive.slidebox("retry", "SB-NUCLEI", "--memory", "2GB", *here)
    archive.snakemake()
    asked = [json.loads(line) for line in run_log(archive)]
    assert {e["memory_mb"] for e in asked if e.get("accession") == "SB-NUCLEI"} == {1908}
    assert archive.receipts()["SB-NUCLEI"]["status"] == "accepted"


def run_log(archive) -> list[str]:
    """Lines of the log of the run that began last."""
    path = sorted((archive.folder / "results/logs/runs").glob("*.jsonl"))[-1]
    return path.read_text(encoding="utf-8").splitlines()


def wait_until(true, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_cannot_fit_is_not_begun_and_the_others_are(demo_copy):
    """A header that vouches for more than any disk has: said by name, the others go on."""
    archive = demo_copy
    here = ("--directory", str(archive.folder))
    archive.slidebox("retry", "SB-CELLS", *here)
    folder = archive.folder / "inbox/SB-HUGE"
    folder.mkdir()
    header = {"slidebox_ready": 1, "accession": "SB-HUGE", "files": 1, "bytes": 10**16}
    (folder / ".ready").write_text(json.dumps({**header, "list_sha256": "0"}) + "\n")
    done = archive.slidebox("plan", "--cores", "4", "--json", *here, check=False)
    assert done.returncode == 1
    plan = json.loads(done.stdout)
    fits = {row["accession"]: row["fits"] for row in plan["submissions"]}
    assert fits == {"SB-CELLS": True, "SB-HUGE": False}
    assert plan["bytes"] > 10**16
    assert plan["hours"] > 100
    done = archive.snakemake(check=False)
    assert done.returncode == 1  # who only looks at that must not think that all is done
    assert "SB-HUGE needs up to" in done.stderr.partition("taking it in")[0]
    assert archive.receipts()["SB-CELLS"]["status"] == "accepted"
    assert "SB-CELLS" in (archive.folder / "public/index.html").read_text(encoding="utf-8")
    done = archive.snakemake(check=False)  # and again, when nothing else is left
    assert done.returncode == 1
    assert "FAILED: no_room" in done.stderr
    assert not (archive.folder / "results/SB-HUGE").exists()
    (row,) = json.loads(archive.slidebox("status", "SB-HUGE", "--json", *here).stdout)
    assert row["state"] == "no room"
