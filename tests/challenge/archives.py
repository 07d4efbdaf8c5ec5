"""Small real archives for tests: a vault with originals, and the public pages' tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from slidebox import challenge
from slidebox.challenge.archive import Archive
from slidebox.images import open_image, sequence
from slidebox.vault import Vault


@dataclass
class Bench:
    """Folders of an archive under test."""

    root: Path
    studies: dict = field(default_factory=dict)

    @property
    def public(self) -> Path:
        return self.root / "public"

    @property
    def vault(self) -> Path:
        return self.root / "vault"

    @property
    def private(self) -> Path:
        return self.root / "private"

    def archive(self) -> Archive:
        return Archive(self.public, self.vault)

    def add_study(
        self, accession: str, files: dict[str, Path], rows: list[dict], restricted: tuple = (),
        record: dict | None = None,
    ) -> int:  # fmt: skip
        """Commit files (path -> bytes or a file) with rows of the file list; publish the rest."""
        source = self.root / "deposit" / accession
        listed = []
        for path, given in sorted(files.items()):
            target = source / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(given if isinstance(given, bytes) else Path(given).read_bytes())
            status = target.stat()
            listed.append((path, status.st_size, status.st_mtime_ns))
        about = {row["path"]: row for row in rows}
        filesets = []
        sizes = {path: size for path, size, _ in listed}
        for index, row in enumerate(about[path] for path in sizes if path in about):
            row = dict(row)
            path, pattern = row["path"], row.pop("pattern", None)
            names = [path]
            if pattern is not None:
                names = sorted(sequence.expand(pattern, sizes)[0])
            row.pop("path")
            part, role = row.pop("part"), row.pop("role", "image")
            source_image = row.pop("source_image", None)
            series = []
            if path.endswith((".tif", ".tiff", ".png")):
                with open_image(source / (pattern or path)) as file:
                    series = [s.to_dict() for s in file.series]
            filesets.append(
                {"index": index, "slice": 0, "path": path, "pattern": pattern,
                 "files": [{"path": n, "size": sizes[n]} for n in names],
                 "bytes": sum(sizes[n] for n in names), "role": role,
                 "format": "jpeg" if path.endswith(".jpg") else "tiff",
                 "part": part,
                 "access": "restricted" if part in restricted else "public",
                 "source_image": source_image, "attributes": row, "series": series}
            )  # fmt: skip
        parts = {f["part"]: f for f in filesets}
        full = {
            "accession": accession, "title": f"Study {accession}", "license": "CC-BY-4.0",
            "release_date": "2026-01-01", "authors": [{"name": "Ada Example"}],
            "biosamples": [{"name": "Cells", "organism": [{"name": "Homo sapiens"}]}],
            "study_components": [
                {"name": p, "access": "public",
                 "associations": [{"biosample": "Cells", "specimen": "Dish"}]}
                for p, f in parts.items() if f["role"] == "image" and not f["source_image"]
            ],
            "annotation_sets": [
                {"name": p, "access": "restricted" if p in restricted else "public"}
                for p, f in parts.items() if f["source_image"]
            ],
        } | (record or {})  # fmt: skip
        commit = Vault(self.vault).commit(
            accession, source, listed,
            meta={"filesets.json": json.dumps(filesets).encode(),
                  "record.json": json.dumps(full).encode()},
            message="a deposit", user=("Test", "mailto:test@example.org"),
        )  # fmt: skip
        page = self.public / accession
        page.mkdir(parents=True, exist_ok=True)
        shown = [f for f in filesets if f["access"] == "public"]
        open_record = {
            **full,
            "annotation_sets": [a for a in full["annotation_sets"] if a["access"] == "public"],
        }
        study = {
            "accession": accession, "version": commit.version, "title": full["title"],
            "record": open_record, "files": {"table": "files.tsv"},
            "images": [{"path": f["path"], "part": f["part"]} for f in shown
                       if f["role"] == "image" and not f["source_image"]],
        }  # fmt: skip
        (page / "study.json").write_text(json.dumps(study))
        lines = ["path\tsize\tsha256"]
        digests = {f.path: f.sha256 for f in Vault(self.vault).files(accession)}
        lines += [f"{f['path']}\t{f['bytes']}\t{digests[f['path']]}" for f in shown]
        (page / "files.tsv").write_text("\n".join(lines) + "\n")
        return commit.version


def discs(seed: int, count: int = 12, size: int = 96, bright: float = 800.0) -> tuple:
    """A (y, x) uint16 image of discs and its label image."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), np.uint16)
    yy, xx = np.mgrid[:size, :size]
    for label in range(1, count + 1):
        y, x, r = *rng.uniform(6, size - 6, 2), rng.uniform(4, 7)
        inside = (yy - y) ** 2 + (xx - x) ** 2 < r * r
        labels[inside & (labels == 0)] = label
    texture = rng.normal(0, 1, (size // 8, size // 8)).repeat(8, 0).repeat(8, 1)
    image = 100 + bright * (labels > 0) + 60 * texture + rng.normal(0, 20, labels.shape)
    return np.clip(image, 0, 65535).astype(np.uint16), labels


def tiff(path: Path, array: np.ndarray, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, compression="zlib", photometric="minisblack", **more)
    return path


def nuclei(root: Path, accession: str = "SB-NUCLEI", specimens: str = "ABCDEF", test: str = "CE",
           each: int = 2, seed: int = 0, more: int = 0) -> Bench:  # fmt: skip
    """Images of discs from several specimens (each with `more` than the one before); labels of
    some in a restricted annotation set."""
    bench = Bench(root)
    made, rows = {}, []
    for s, specimen in enumerate(specimens):
        for n in range(each):
            name = f"sp{specimen}_{n}"
            image, labels = discs(1000 * seed + 10 * s + n, 12 + more * s)
            made[f"images/{name}.tif"] = tiff(root / "in" / accession / f"{name}.tif", image)
            made[f"labels/{name}_lab.tif"] = tiff(root / "in" / accession / f"{name}_l.tif", labels)
            rows.append({"path": f"images/{name}.tif", "part": "Fields of view",
                         "specimen": specimen})  # fmt: skip
            part = "Nuclei, test" if specimen in test else "Nuclei, training"
            rows.append(
                {"path": f"labels/{name}_lab.tif", "part": part, "role": "labels",
                 "source_image": f"images/{name}.tif", "specimen": specimen}
            )  # fmt: skip
    bench.add_study(accession, made, rows, restricted=("Nuclei, test",))
    return bench


CHALLENGE = """
slug: nuclei
version: {version}
title: Nuclei
description: Find the nuclei.
organisers: [{{name: Ada Example, email: ada@example.org}}]
license: CC-BY-4.0
task: instance-segmentation
data:
  sources:
    - accession: SB-NUCLEI
splits:
  group_by: specimen
  rules:
    train: {{share: 0.7}}
    validation: {{share: 0.3}}
    test: {{annotations: "Nuclei, test"}}
hidden: [test]
scoring:
  primary: AP
  bootstrap: {{resamples: 500}}
{more}
"""


def challenge_folder(root: Path, version: str = "1.0.0", more: str = "",
                     change=lambda text: text) -> Path:  # fmt: skip
    folder = root / "challenges" / "nuclei"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "challenge.yaml").write_text(change(CHALLENGE.format(version=version, more=more)))
    return folder


OF_PAIRS = """
slug: real
version: 1.0.0
title: Real images
description: To test.
organisers: [{{name: Ada Example}}]
license: CC-BY-4.0
task: {task}
data:
  sources: [{{accession: SB-REAL}}]
splits:
  group_by: [study, image]
  rules: {rules}
leakage: {{check: false}}
scoring:
  bootstrap: {{resamples: 50}}
  {scoring}
"""


def release_of_pairs(root: Path, task: str, pairs: dict[str, tuple], scoring: str = "",
                     rules: str = "{train: {share: 1.0}}") -> challenge.Release:  # fmt: skip
    """Archive images as SB-REAL and release a challenge of them.

    `pairs`: name to image, truth (an array, or the text of a table) and the table of tracks.
    """
    bench, files, rows = Bench(root), {}, []
    for name, (image, truth, *tracks) in pairs.items():
        source, table = f"{name}.ome.tif", isinstance(truth, str)
        of = {f"{name}_t.csv" if table else f"{name}_t.ome.tif": truth}
        of |= {f"{name}_k.csv": text for text in tracks}
        for path, content in {source: image, **of}.items():
            if isinstance(content, str):
                files[path] = content.encode()
            else:
                axes = {"axes": "TYX"[-content.ndim :]}
                files[path] = tiff(root / "in" / path, content, metadata=axes)
        roles = ["table" if table else "image" if task == "restoration" else "labels", "table"]
        rows.append({"path": source, "part": "Images"})
        rows += [
            {"path": path, "part": part, "role": role, "source_image": source}
            for path, part, role in zip(of, ("Truth", "Tracks"), roles, strict=False)
        ]
    bench.add_study("SB-REAL", files, rows)
    folder = root / "challenges" / "real"
    folder.mkdir(parents=True)
    text = OF_PAIRS.format(task=task, rules=rules, scoring=scoring)
    (folder / "challenge.yaml").write_text(text)
    return challenge.release(folder, public=bench.public, vault=bench.vault, private=bench.private)
