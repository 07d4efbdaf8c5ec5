"""Publication as staff does it: `snakemake publish`, and `slidebox publish` with its words."""

from __future__ import annotations

import json

import yaml


def test_an_archive_is_published_withdrawn_evicted_and_brought_back(demo_copy, tmp_path):
    archive, out = demo_copy, tmp_path / "site"
    path = archive.folder / "config" / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, "publish": {"to": "../site"}}))
    done = archive.snakemake("publish")
    assert "objects sent" in done.stderr
    public = archive.folder / "public"
    for file in public.rglob("*"):
        parts = file.relative_to(public).parts
        if file.is_file() and not any(part.startswith(".") for part in parts):
            assert (out / file.relative_to(public)).read_bytes() == file.read_bytes()
    originals = [p for p in out.rglob("*") if "files" in p.parts and p.is_file()]
    assert originals
    # What is restricted or private is nowhere in what was published.
    hidden = [
        part["name"]
        for receipt in archive.receipts().values()
        if receipt["status"] == "accepted"
        for part in json.loads(
            (
                archive.folder / "results" / receipt["accession"] / receipt["key"] / "filesets.json"
            ).read_text()
        )["record"].get("annotation_sets")
        or []
        if part["access"] == "restricted"
    ]
    for file in out.rglob("*.json"):
        assert not any(f'"{name}"' in file.read_text(errors="replace") for name in hidden)
    assert "nothing new" in archive.snakemake("publish").stderr
    here = ("--directory", str(archive.folder))
    assert "nothing new" in archive.slidebox("publish", *here).stdout
    assert "0 objects sent" in archive.slidebox("publish", "--check", *here).stdout
    assert "AllowedMethods" in archive.slidebox("publish", "--cors").stdout
    mapped = archive.slidebox("publish", "--map", str(tmp_path / "maps"), *here)
    assert "reload the web server" in mapped.stdout
    lines = (tmp_path / "maps/nginx/SB-CELLS.map").read_text().splitlines()
    assert len(lines) == sum(1 for p in originals if "SB-CELLS" in p.parts)

    assert "images evicted" in archive.slidebox("publish", "--evict", *here).stdout
    assert not archive.stores()
    assert str(out) in archive.slidebox("status", "SB-CELLS", *here).stdout
    archive.slidebox("retry", "SB-CELLS", *here)
    archive.snakemake()
    assert not archive.stores()  # sealed again, nothing derived again
    (out / "SB-CELLS" / "old.html").write_text("x")
    archive.slidebox("publish", "--check", *here)
    archive.slidebox("publish", "--delete", *here)
    assert not (out / "SB-CELLS" / "old.html").exists()
    assert list(out.glob("SB-CELLS/images/*.ome.zarr/zarr.json"))
    back = archive.slidebox("publish", "--bring-back", "SB-CELLS", *here)
    assert "brought back" in back.stdout
    assert len(archive.stores()) == len(list(out.glob("SB-CELLS/images/*.ome.zarr")))

    why = ("--reason", "superseded", "--contact", "help@example.org")
    said = archive.slidebox("withdraw", "SB-LAPSE", *why, *here).stdout
    assert "study/SB-LAPSE taken away" in said
    left = {p.name for p in (out / "SB-LAPSE").rglob("*") if p.is_file()}
    assert left == {"index.html", "tombstone.json"}
    assert "superseded" in (out / "SB-LAPSE" / "index.html").read_text()
    said = archive.slidebox(
        "publish", "--to", str(archive.folder / "public" / "x"), *here, check=False
    )
    assert said.returncode == 2 and "in one another" in said.stderr
