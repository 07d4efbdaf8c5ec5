"""docs/computing.md, run as it stands against a bucket: in Python and as a Snakemake module."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from publish_archive import Archive

from slidebox import images, publish

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
CELLS = 12


def nuclei(seed: int) -> np.ndarray:
    """A plane of 12 discs apart from one another, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :240]
    plane = random.normal(300, 20, y.shape)
    for n in range(CELLS):
        cy, cx = 30 + 60 * (n // 4), 30 + 60 * (n % 4)
        plane += 2000 * ((y - cy) ** 2 + (x - cx) ** 2 < (9 + n % 3) ** 2)
    return plane.astype(np.uint16)


@pytest.fixture
def site(tmp_path, place, s3_server, open_to_all) -> str:
    """Address of a bucket with two images of nuclei."""
    archive = Archive(tmp_path / "archive", place, endpoint=s3_server.endpoint)
    archive.study("S-1", {"a.tif": b"x"}, images=0)
    made = []
    for number in range(2):
        source = tmp_path / f"{number}.tif"
        resolution = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(source, nuclei(number), **resolution)
        name = f"images/{number:08d}-0000-0000-0000-000000000000.00000001"
        derived = images.convert(source, archive.public / "S-1" / f"{name}.ome.zarr", name="n")
        made.append(
            {
                "id": name[7:-9],
                "series": 0,
                "path": "a.tif",
                "files": ["a.tif"],
                "name": f"nuclei {number}",
                "status": "derived",
                "finding": None,
                "derivation": "00000001",
                "zarr": f"{name}.ome.zarr",
                **derived.to_json(),
                "thumbnail": None,
            }
        )
    archive.build("S-1", made)
    archive.front()
    (outcome,) = publish.publish(archive.config)
    assert outcome.findings == []
    return open_to_all()


def blocks(kind: str) -> list[str]:
    text = (ROOT / "docs/computing.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.S)


def test_the_worked_example_runs_against_a_bucket(site, tmp_path, monkeypatch):
    first, second, _ = blocks("python")
    code = (first + second).replace("https://images.example.org", site)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "workflow/modules/nuclei"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    import pandas as pd

    table = pd.read_parquet(tmp_path / "nuclei.parquet")
    assert sorted(table.groupby("image").size()) == [CELLS, CELLS]
    assert table.area.between(200, 450).all()
    assert np.allclose(table.area_um2, table.area * 0.25)


def test_the_module_is_imported_by_a_workflow(site, tmp_path):
    *_, snakefile = blocks("python")
    settings = yaml.safe_load(blocks("yaml")[0])
    settings["slidebox"] = str(ROOT)
    settings["nuclei"]["catalogue"] = site
    (tmp_path / "Snakefile").write_text(snakefile, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "nuclei"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "nuclei/nuclei.tsv").read_text().splitlines()
    assert len(lines) == 1 + 2 * CELLS and lines[0].startswith("accession\timage\tt\tlabel")


def test_tables_are_read_by_range(site):
    """What DuckDB and browsers do: the footer and the columns that are asked for, no more."""
    import fsspec
    import pyarrow.parquet as pq

    with fsspec.open(f"{site}/catalogue/images.parquet", block_size=1 << 12) as file:
        table = pq.read_table(file, columns=["id", "zarr"])
    assert table.num_rows == 2
    ranged = urllib.request.Request(
        f"{site}/catalogue/images.parquet", headers={"Range": "bytes=-4"}
    )
    with urllib.request.urlopen(ranged) as answer:
        assert (answer.status, answer.read()) == (206, b"PAR1")
