"""A grand-challenge evaluation: the folder its container is built from, and the ground truth.

The container reads /input and /opt/ml/input/data/ground_truth and writes /output/metrics.json, as
another user than root, without a network: grand-challenge.org/documentation/runtime-environment.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...atomic import write_json, write_text
from ...scoring.opening import open_release
from ...scoring.release import Release
from . import parts

SCRIPTS = ("do_build.sh", "do_test_run.sh", "do_save.sh")


def grand_challenge(
    release: Path | str, out: Path | str, private: Path | None = None, split: str | None = None
) -> Path:
    """Write ``<out>/<slug>-<version>-grand-challenge/``: the evaluation container's build folder
    and ``ground_truth.tar.gz`` to upload beside it. Raises as `codabench` does."""
    opened, out = open_release(release), Path(out)
    chosen = parts.split_of(opened, split)
    target = out / f"{opened.slug}-{opened.version}-grand-challenge"
    with parts.workplace(target) as work:
        made = work / "made"
        parts.program(opened, made, "grand_challenge", "evaluate.py")
        docker = (parts.PROGRAMS / "Dockerfile").read_text("utf-8")
        write_text(made / "Dockerfile", docker.replace("PYTHON", parts.PYTHON))
        for name in SCRIPTS:
            text = (parts.PROGRAMS / name).read_text("utf-8")
            write_text(made / name, text.replace("TAG", f"{opened.slug}-evaluation"))
            (made / name).chmod(0o755)
        write_json(made / "columns.json", {m.name: _key(m.name) for m in parts.metrics(opened)})
        parts.reference(opened, chosen, private, work / "reference")
        parts.tar_folder(work / "reference", made / "ground_truth.tar.gz")
        write_text(made / "README.md", _readme(opened))
        made.rename(target)
    return target


def _key(name: str) -> str:
    """A metric's key in metrics.json: the host takes a dot for a step into the document."""
    return name.replace(".", "_")


def _readme(release: Release) -> str:
    primary, *others = parts.metrics(release)
    columns = json.dumps(
        [
            {"title": m.name, "path": f"aggregates.{_key(m.name)}",
             "order": "desc" if m.higher else "asc", "exclude_from_ranking": True}
            for m in others
        ], ensure_ascii=False, indent=2,
    )  # fmt: skip
    return f"""# Evaluation of {release.challenge["title"]} at grand-challenge.org

1. `./do_save.sh` builds the container and writes `evaluation.tar.gz`: upload it as the phase's
   evaluation method. `./do_test_run.sh` tries it before, on what you put into `test/input`: the
   files of a submission.
2. Upload `ground_truth.tar.gz` as the phase's ground truth. Keep it to yourself.
3. Let participants submit predictions, as a ZIP or as one CSV table. In a phase that takes
   algorithms, upload the test images to its archive under their names in the release; each
   algorithm's output is read as TIFF, PNG, MetaImage (`.mha`), CSV or ZIP.
4. Score: title `{primary.name}`, JSON path `aggregates.{_key(primary.name)}`, order
   {"descending" if primary.higher else "ascending"}. Extra results columns:

```json
{columns}
```

A submission that has no value by {primary.name} fails and isn't ranked.
"""
