"""Jobs are sized by what they handle: bytes, dimensions, attempts; and by nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slidebox import atomic, deposit
from slidebox import config as configuration
from slidebox.ingest import capacity, paths, queue, sizes
from slidebox.ingest.paths import Stages

STAGES = ("validate", "archive", "images", "study", "seal", "ingest")


@pytest.fixture
def config(tmp_path):
    names = ("inbox", "vault", "public", "results", "curation")
    return configuration.load({}).model_copy(update={n: tmp_path / n for n in names})


def image(shape, part=0, axes="zyx", item=2):
    size = item
    for n in shape:
        size *= n
    series = {"axes": axes, "shape": list(shape), "nbytes": size}
    return {"slice": part, "files": [{}], "bytes": size // 2, "series": [series]}


def test_the_model_was_fitted_to_the_points_beside_it():
    """What is asked for covers every point that was measured, beside the two Snakemake processes
    that a Slurm job has (183 and 171 MB)."""
    data = json.loads(sizes.MODEL.read_text(encoding="utf-8"))
    assert {point["stage"] for point in data["points"]} == set(STAGES)
    for point in data["points"]:
        load = sizes.Load(**point["load"])
        assert sizes.memory_mb(point["stage"], load) >= point["mem_mb"] + 183 + 171, point
        assert sizes.minutes(point["stage"], load) * 60 >= point["cpu_seconds"], point


@pytest.mark.parametrize("stage", STAGES)
def test_each_attempt_asks_for_twice_as_much(stage):
    load = sizes.Load(files=10, bytes=10**9, images=10, decoded=3 * 10**9, plane=10**8)
    asked = [sizes.memory_mb(stage, load, n) for n in (1, 2, 3)]
    assert asked == [asked[0], asked[0] * 2, asked[0] * 4]
    minutes = [sizes.minutes(stage, load, n) for n in (1, 2, 3)]
    assert minutes == [minutes[0], minutes[0] * 2, minutes[0] * 4]


def test_more_bytes_take_more_time_and_larger_planes_more_memory():
    small = sizes.Load(files=1, bytes=10**9, images=1, decoded=10**9, plane=10**6)
    long = dataclasses.replace(small, bytes=10**12, decoded=10**12)
    wide = dataclasses.replace(small, plane=400 << 20)
    assert sizes.minutes("images", long) > 50 * sizes.minutes("images", small)
    assert sizes.memory_mb("images", wide) > sizes.memory_mb("images", small)
    assert sizes.memory_mb("images", wide) == sizes.memory_mb(
        "images", dataclasses.replace(wide, bytes=10**13, decoded=10**13)
    )
    assert (sizes.threads(small), sizes.threads(dataclasses.replace(small, decoded=1000))) == (2, 1)


def test_dimensions_count_once_they_are_read(config):
    """Before validation a guess from stored bytes; after it the pixels of the job's own slice."""
    item = queue.Item("SB-1", "0123456789ab-2", 10**6, 4)
    guess = sizes.Load.of_stages(config, item, "images", 0)
    assert guess.decoded == 10**6 // 2 * sizes.EXPANSION
    filesets = [image((100, 2000, 3000)), image((10, 50, 60), part=1)]
    atomic.write_json(Stages(config, "SB-1", item.key).load, sizes.count(filesets))
    first = sizes.Load.of_stages(config, item, "images", 0)
    assert (first.decoded, first.plane) == (100 * 2000 * 3000 * 2, 2000 * 3000 * 2)
    assert sizes.Load.of_stages(config, item, "images", 1).plane == 50 * 60 * 2


def test_disk_is_counted_down_over_submissions(config, tmp_path):
    free = capacity.shutil.disk_usage(tmp_path).free
    big = [queue.Item(f"SB-{n}", "0123456789ab", int(free * 0.15), 1) for n in range(3)]
    small = queue.Item("SB-9", "0123456789ab", 10, 1)
    kept, said = capacity.fitting(config, [*big, small])
    assert [item.accession for item in kept] == ["SB-0", "SB-9"]
    assert [line.split()[0] for line in said] == ["SB-1", "SB-2"]


GB = 10**9


@pytest.fixture
def disks(config, monkeypatch):
    """Each folder on a disk of its own, with so much free."""
    free = {"vault": 100 * GB, "public": 100 * GB, "embargoed": GB // 10, "results": 100 * GB}
    names = list(free)
    for name in names:
        getattr(config, name).mkdir(exist_ok=True)
    stat, usage = os.stat, shutil.disk_usage

    def device(path, *a, **b):
        found = stat(path, *a, **b)
        if Path(path).name in names:
            number = names.index(Path(path).name) + 1
            return os.stat_result([*found[:2], number, *found[3:]])
        return found

    def room(path):
        bytes_free = free[Path(path).name]
        return usage(path)._replace(total=bytes_free, free=bytes_free)

    monkeypatch.setattr(capacity.os, "stat", device)
    monkeypatch.setattr(capacity.shutil, "disk_usage", room)
    return free


def record(config, accession, text):
    folder = config.inbox / accession
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return queue.Item(accession, "0123456789ab", GB, 1)


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ("release_date: 2999-01-01", False),
        ("release_date: '2999-01-01' # a comment", False),
        ("release_date: 2020-01-01", True),
        ("title: released at once", True),
        ("release_date: when it is accepted", False),
    ],
)
def test_the_disk_of_embargoed_studies_counts(config, disks, words, fits):
    item = record(config, "SB-1", f"accession: SB-1\n{words}\n")
    kept, said = capacity.fitting(config, [item])
    assert bool(kept) is fits
    assert fits or str(config.embargoed) in said[0]


def test_a_record_that_is_not_plain_text_counts_on_both_disks(config, disks):
    (config.inbox / "SB-1").mkdir(parents=True)
    kept, said = capacity.fitting(config, [queue.Item("SB-1", "0123456789ab", GB, 1)])
    assert not kept and str(config.embargoed) in said[0]


def test_what_names_tell_of_files_counts_until_headers_are_read(config):
    """Tables become no pixels, a JPEG many; a plan for either as if it were the other misleads."""
    folder = config.inbox / "SB-1"
    planned = {}
    for name in ("table.csv", "raw.czi", "slide.png", "slide.svs"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "study.yaml").write_text("accession: SB-1\n")
        (folder / name).write_bytes(bytes(10**6))
        deposit.write_ready(folder, "SB-1")
        (item,) = queue.scan(config)
        planned[name] = capacity.needs(config, item)
    public = {name: count["public"] for name, count in planned.items()}
    assert public["table.csv"] < 2 * 10**6 < public["raw.czi"]
    assert public["raw.czi"] < public["slide.png"] < public["slide.svs"]
    assert len({count["vault"] for count in planned.values()}) == 1


def test_of_an_archived_study_what_it_has_grown_by_counts(config, disks):
    """A corrected word in the record of a large study must not wait for a second disk."""
    disks["vault"] = disks["public"] = 10 * GB
    item = record(config, "SB-1", "accession: SB-1\n")
    item = dataclasses.replace(item, bytes=50 * GB)
    assert capacity.fitting(config, [item])[0] == []
    receipt = {**dict.fromkeys(paths._SEALED), "status": "accepted", "bytes": 49 * GB}
    atomic.write_json(Stages(config, "SB-1", "ba9876543210").receipt, receipt)
    assert capacity.fitting(config, [item])[0] == [item]


def test_temporary_files_go_to_the_scratch_of_a_cluster_job(tmp_path):
    code = "from slidebox import resources as r; r.use_scratch()\n"
    code += "import tempfile; print(tempfile.gettempdir())"
    env = {**os.environ, "SLURM_TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path)
