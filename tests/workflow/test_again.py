"""A run costs what has changed: nothing, one file, a folder that is not ready, a killed run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tifffile
from archive_user import CHECKOUT, configure, demo_inbox

from slidebox import deposit


def jobs(done) -> bool:
    """Whether Snakemake ran anything."""
    return "Nothing to be done" not in done.stdout + done.stderr


def test_second_run_does_nothing_and_quickly(demo):
    done = demo.snakemake()
    assert not jobs(done)


def test_deleting_snakemakes_folder_changes_nothing(demo_copy):
    before = demo_copy.stores()
    shutil.rmtree(demo_copy.folder / ".snakemake")
    assert not jobs(demo_copy.snakemake())
    assert demo_copy.stores() == before


def test_one_changed_byte_is_one_new_version_and_one_new_image(demo_copy):
    archive = demo_copy
    before, receipts = archive.stores(), archive.receipts()
    old = archive.study("SB-NUCLEI")
    path = archive.folder / "inbox/SB-NUCLEI/images/specimen_A_1.ome.tiff"
    pixels = tifffile.imread(path)
    pixels[0, 0] ^= 1
    tifffile.imwrite(path, pixels)
    deposit.write_ready(path.parents[1], "SB-NUCLEI")
    archive.snakemake()
    now = archive.receipts()
    assert now["SB-NUCLEI"]["version"] == 2
    assert {a: r["key"] for a, r in now.items() if a != "SB-NUCLEI"} == {
        a: r["key"] for a, r in receipts.items() if a != "SB-NUCLEI"
    }
    after = archive.stores()
    assert {k: after[k] for k in before} == before  # none was made again, none went away
    assert len(after) == len(before) + 1
    ids = {i["path"]: i["id"] for i in archive.study("SB-NUCLEI")["images"]}
    changed = {i["path"] for i in old["images"] if ids[i["path"]] != i["id"]}
    assert changed == {"images/specimen_A_1.ome.tiff"}
    v1 = archive.folder / "public/SB-NUCLEI/v1/study.json"
    assert [i["id"] for i in json.loads(v1.read_text())["images"]] == [
        i["id"] for i in old["images"]
    ]
    restored = archive.folder / "restored"
    options = ("--directory", str(archive.folder))
    archive.slidebox("restore", "SB-NUCLEI", str(restored), "--version", "1", *options)
    first = tifffile.imread(restored / "images/specimen_A_1.ome.tiff")
    assert first[0, 0] == pixels[0, 0] ^ 1


def test_equal_content_submitted_again_makes_no_version(demo_copy):
    folder = demo_copy.folder / "inbox/SB-CELLS"
    os.utime(folder / "images/cell.png")  # a new time, so a new .ready, over the same bytes
    deposit.write_ready(folder, "SB-CELLS")
    before = demo_copy.stores()
    assert jobs(demo_copy.snakemake())
    assert demo_copy.receipts()["SB-CELLS"]["version"] == 1
    assert demo_copy.stores() == before


def test_a_folder_without_ready_is_not_touched(demo_copy):
    folder = demo_copy.folder / "inbox/SB-ARRIVING"
    shutil.copytree(demo_copy.folder / "inbox/SB-CELLS", folder)
    (folder / ".ready").unlink()
    assert not jobs(demo_copy.snakemake())
    assert not (demo_copy.folder / "results/SB-ARRIVING").exists()


def test_a_sealed_folder_may_be_deleted(demo_copy):
    shutil.rmtree(demo_copy.folder / "inbox/SB-LAPSE")
    assert not jobs(demo_copy.snakemake())
    assert (demo_copy.folder / "public/SB-LAPSE/index.html").is_file()


def test_wrong_configuration_is_said_before_anything_runs(archive):
    done = archive.snakemake("--config", "inbx=a", "slice_size=banana", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "config: unknown key 'inbx'; did you mean 'inbox'?" in said
    assert "config: slice_size: 'banana' is not a size" in said
    assert "Traceback" not in said


def facts(archive) -> dict:
    """What a run leaves, times aside."""
    found = {}
    for accession, receipt in archive.receipts().items():
        kept = ("key", "status", "version", "files_sha256", "images", "errors")
        found[accession] = {k: receipt[k] for k in kept}
    public = archive.folder / "public"
    found["public"] = sorted(str(p.relative_to(public)) for p in public.rglob("*"))
    return found


def debris(archive) -> list[str]:
    """Temporary names that a killed run may have left."""
    return [
        str(path.relative_to(archive.folder))
        for root in ("public", "vault", "results")
        for path in (archive.folder / root).rglob("*")
        if path.name.endswith(".tmp") or ".partial" in path.name or path.name.startswith("view-")
    ]


@pytest.mark.slow
def test_killed_at_random_moments_ends_in_the_same_result(demo, tmp_path):
    """kill -9 of everything at once, again and again, then a run to the end."""
    rng = random.Random(20261122)
    archive = configure(tmp_path / "archive")
    demo_inbox.make(archive.folder / "inbox")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
    command += ["--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(archive.folder)]
    for _ in range(8):
        log = (tmp_path / "log").open("ab")
        run = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        time.sleep(rng.uniform(1.5, 9))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    archive.snakemake()
    assert facts(archive) == facts(demo)
    assert debris(archive) == []


@pytest.mark.slow
def test_only_snakemake_killed_while_its_jobs_go_on(demo, tmp_path):
    """The jobs of a killed Snakemake outlive it; the next run starts beside them."""
    archive = configure(tmp_path / "archive")
    demo_inbox.make(archive.folder / "inbox")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
    command += ["--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(archive.folder)]
    for delay in (4, 7, 10):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        run.kill()
        run.wait()
    archive.snakemake()
    time.sleep(3)
    assert facts(archive) == facts(demo)
