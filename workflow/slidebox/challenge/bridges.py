"""The same challenge for other hosts: a CodaBench bundle, a grand-challenge evaluation folder.

Both run this release's own scorer on a copy of the release without images, beside the truth of one
split, so that a prediction has the same scores there as by `slidebox score`. What is written holds
hidden truth: it belongs on the host's side, never under public/.

CodaBench: docs.codabench.org, "Competition Bundle Structure" and "Yaml Structure" (version 2).
grand-challenge: a container that reads /input and /opt/ml/input/data/ground_truth and writes
/output/metrics.json.
"""

from __future__ import annotations

import csv
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..atomic import write_json, write_text
from ..scoring import catalog
from ..scoring.opening import open_release
from ..scoring.overlays import write_png
from ..scoring.release import NotARelease, Release, find_private
from . import describe, wheel
from .wheel import EPOCH

PYTHON = "python:3.13-slim"
LONGEST_KEY = 36  # of a column at CodaBench

RUN = '''"""Score a submission with the challenge's own scorer."""

import json
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def prepare():
    """Install what the scorer needs, where the image lacks it."""
    try:
        import slidebox.scoring  # noqa: F401
    except ImportError:
        target = tempfile.mkdtemp()
        listed = ["-r", str(HERE / "requirements.txt"), *map(str, HERE.glob("*.whl"))]
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", target, *listed]
        subprocess.check_call(command)
        sys.path.insert(0, target)


def predictions(folder):
    """The folder of predictions, or the only ZIP in it; unpacked folders are looked into."""
    zips = sorted(p for p in folder.glob("*.zip"))
    if len(zips) == 1:
        target = Path(tempfile.mkdtemp())
        with zipfile.ZipFile(zips[0]) as packed:
            packed.extractall(target)
        folder = target
    other = ("metadata", "metadata.yaml", "__MACOSX")
    inside = [p for p in folder.iterdir() if p.name not in other]
    if len(inside) == 1 and inside[0].is_dir() and not inside[0].name.endswith(("_RES", ".zarr")):
        return inside[0]
    return folder


def main(given, truth):
    """Exit with what is wrong with the predictions, or return the values of the metrics."""
    prepare()
    from slidebox.scoring import score

    split = json.loads((truth / "split.json").read_text())["split"]
    secret = truth / "private"
    found = score(truth / "release", predictions(given), split, overlays=False,
                  private=secret if secret.is_dir() else None)
    for finding in found.findings:
        print(f"{finding.severity}: {finding.file or ''}: {finding.message}"
              + (f" ({finding.mend})" if finding.mend else ""), file=sys.stderr)
    if found.scores is None:
        sys.exit("the predictions can't be scored; see the messages above")
    metrics = found.scores["metrics"]
    return {name: m["value"] for name, m in metrics.items()
            if m["value"] is not None and math.isfinite(m["value"])}
'''

CODABENCH = (
    RUN
    + """

if __name__ == "__main__":
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    values = main(source / "res", source / "ref")
    out.mkdir(parents=True, exist_ok=True)
    keys = json.loads((HERE / "columns.json").read_text())
    known = {keys[name]: value for name, value in values.items() if name in keys}
    (out / "scores.json").write_text(json.dumps(known))
"""
)

GRAND_CHALLENGE = (
    RUN
    + """

if __name__ == "__main__":
    # The host's folders; others for a try on one's own machine
    given = Path(sys.argv[1] if len(sys.argv) > 1 else "/input")
    out = Path(sys.argv[2] if len(sys.argv) > 2 else "/output")
    truth = Path(sys.argv[3] if len(sys.argv) > 3 else "/opt/ml/input/data/ground_truth")
    values = main(given, truth)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps({"results": [], "aggregates": values}))
"""
)

DOCKERFILE = f"""FROM --platform=linux/amd64 {PYTHON}
ENV PYTHONUNBUFFERED=1
RUN groupadd -r user && useradd -m --no-log-init -r -g user user
WORKDIR /opt/app
COPY requirements.txt *.whl /opt/app/
RUN pip install --no-cache-dir -r requirements.txt && pip install --no-cache-dir --no-deps *.whl
COPY evaluate.py /opt/app/
USER user
ENTRYPOINT ["python", "/opt/app/evaluate.py"]
"""


def _reference(release: Release, split: str, private: Path | None, target: Path) -> None:
    """A release without images, and the truth of one split, as the scorer reads them."""
    folder = target / "release"
    folder.mkdir(parents=True)
    for name in ("challenge.yaml", "splits.csv"):
        shutil.copyfile(release.folder / name, folder / name)
    if (release.folder / "metrics").is_dir():
        shutil.copytree(release.folder / "metrics", folder / "metrics")
    if split in release.hidden:
        if private is None:
            raise NotARelease(f"the truth of split {split!r} is hidden: give --private DIR")
        secret = find_private(private, release.slug, release.version)
        (target / "private").mkdir()
        with (secret / "truth.csv").open(encoding="utf-8", newline="") as handle:
            rows = [r for r in csv.DictReader(handle) if r["split"] == split]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(target / "private" / "truth.csv", buffer.getvalue())
        pairs = [(secret / r["truth"], target / "private" / r["truth"]) for r in rows]
    else:
        named = [r["truth"] for r in release.rows if r["split"] == split]
        pairs = [(release.folder / name, folder / name) for name in named]
    for source, copy in pairs:
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
    write_json(target / "split.json", {"split": split})


def _program(release: Release, target: Path, name: str, text: str) -> None:
    target.mkdir(parents=True)
    write_text(target / name, text)
    write_text(target / "requirements.txt", "\n".join(wheel.pins()) + "\n")
    for path in release.folder.glob("slidebox_scoring-*.whl"):
        shutil.copyfile(path, target / path.name)


def split_of(release: Release, split: str | None) -> str:
    chosen = split or (release.hidden or release.splits)[-1]
    if chosen not in release.splits:
        raise NotARelease(f"no split {chosen!r}; there are {', '.join(release.splits)}")
    return chosen


def codabench(
    release: Path | str, out: Path | str, private: Path | None = None, split: str | None = None
) -> Path:
    """Write a CodaBench competition bundle: ``<out>/<slug>-<version>-codabench.zip``.

    Raises
    ------
    NotARelease
        The release, its split or the hidden truth isn't there.
    FileExistsError
        There is such a bundle.
    """
    opened, out = open_release(release), Path(out)
    chosen = split_of(opened, split)
    target = out / f"{opened.slug}-{opened.version}-codabench.zip"
    with _workplace(target) as work:
        bundle = work / "bundle"
        bundle.mkdir(parents=True)
        _reference(opened, chosen, private, work / "reference")
        _program(opened, work / "program", "run.py", CODABENCH)
        columns = _columns(opened)
        write_json(work / "program" / "columns.json", {c["title"]: c["key"] for c in columns})
        write_text(
            work / "program" / "metadata.yaml", "command: python3 run.py /app/input /app/output\n"
        )
        _zip(work / "program", bundle / "scoring_program.zip")
        _zip(work / "reference", bundle / "reference_data.zip")
        challenge = opened.challenge
        write_text(bundle / "overview.md", _page(opened))
        write_text(bundle / "evaluation.md", f"# Evaluation\n\n{_metrics(opened)}")
        write_text(
            bundle / "terms.md",
            f"# Terms\n\nImages are published under {challenge['license']}; each image's own "
            "licence and attribution stand in splits.csv of the release.\n",
        )
        write_png(bundle / "logo.png", _logo())
        text = yaml.safe_dump(_competition(opened, chosen, columns), sort_keys=False)
        write_text(bundle / "competition.yaml", text)
        out.mkdir(parents=True, exist_ok=True)
        _zip(bundle, work / target.name)
        (work / target.name).rename(target)
    return target


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A hidden folder beside ``target``, in which it is made; FileExistsError when that exists."""
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    work = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _columns(release: Release) -> list[dict[str, Any]]:
    """Columns of the leaderboard, the primary metric first; keys as CodaBench wants them."""
    settings = release.settings
    names = [settings.primary, *(m for m in settings.metrics if m != settings.primary)]
    columns = []
    for index, name in enumerate(names):
        metric = catalog.lookup(release.task, name, settings)
        columns.append(
            {"title": name[:LONGEST_KEY], "key": f"m{index}_{name}"[:LONGEST_KEY], "index": index,
             "sorting": "desc" if metric.higher else "asc", "precision": 4}
        )  # fmt: skip
    return columns


def _competition(release: Release, split: str, columns: list[dict[str, Any]]) -> dict[str, Any]:
    challenge = release.challenge
    board = challenge.get("leaderboard") or {}
    given = board.get("phases") or [{"name": "open"}]
    times = [
        [datetime.fromisoformat(p[key]) if p.get(key) else None for key in ("begin", "end")]
        for p in given
    ]
    phases = []
    for index, (phase, (begin, end)) in enumerate(zip(given, times, strict=True)):
        begin = begin or datetime(2020, 1, 1, tzinfo=UTC)
        after = times[index + 1][0] if index + 1 < len(times) else None
        if after is not None and (end is None or end >= after):
            end = after - timedelta(seconds=1)  # the host refuses phases that touch
        entry = {
            "index": index, "name": phase["name"], "description": f"Predict split {split}.",
            "start": _time(begin), "tasks": [0], "execution_time_limit": 3600,
            # What was wrong is told on stderr; scores of single images aren't written
            "hide_output": False, "accepts_only_result_submissions": True,
        }  # fmt: skip
        if end is not None:
            entry["end"] = _time(end)
        if phase.get("quota"):
            entry["max_submissions"] = phase["quota"]
        phases.append(entry)
    people = challenge["organisers"]
    return {
        "version": "2",
        "title": challenge["title"],
        "description": challenge["description"].strip(),
        "image": "logo.png",
        "terms": "terms.md",
        "registration_auto_approve": False,
        "docker_image": PYTHON,
        "enable_detailed_results": False,
        "contact_email": next((p["email"] for p in people if p.get("email")), ""),
        "pages": [
            {"title": "Overview", "file": "overview.md"},
            {"title": "Evaluation", "file": "evaluation.md"},
        ],
        "tasks": [
            {"index": 0, "name": f"{challenge['title']}: {split}",
             "description": challenge["description"].strip(),
             "scoring_program": "scoring_program.zip", "reference_data": "reference_data.zip"}
        ],
        "phases": phases,
        "leaderboards": [
            {"title": "Results", "key": "main", "submission_rule": "Force_Best", "columns": columns}
        ],
    }  # fmt: skip


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _page(release: Release) -> str:
    text = describe.LAYOUT[release.task]
    return (
        f"# {release.challenge['title']}\n\n{release.challenge['description'].strip()}\n\n"
        f"Version {release.version}. Images and the scorer are in the release. Submit a ZIP that "
        f"holds, for each id of the split in `splits.csv`, {text}. Check it first: "
        "`uv run score.py predictions/ --check`.\n"
    )


def _metrics(release: Release) -> str:
    rows = "\n".join(
        f"| {name} | {m.what.replace('|', '/')} | {m.direction} is better |"
        for name in release.settings.metrics
        for m in [catalog.lookup(release.task, name, release.settings)]
    )
    head = f"{release.settings.primary} ranks.\n\n| metric | what | direction |\n|---|---|---|"
    return f"{head}\n{rows}\n"


def _logo() -> np.ndarray:
    """Three discs: (y, x, 3) uint8."""
    y, x = np.mgrid[:256, :256]
    picture = np.full((256, 256, 3), 24, np.uint8)
    for cy, cx, r, colour in ((90, 90, 52, (0, 158, 115)), (150, 165, 60, (86, 180, 233)),
                              (190, 70, 34, (230, 159, 0))):  # fmt: skip
        picture[np.hypot(y - cy, x - cx) < r] = colour
    return picture


def grand_challenge(
    release: Path | str, out: Path | str, private: Path | None = None, split: str | None = None
) -> Path:
    """Write ``<out>/<slug>-<version>-grand-challenge/``: the evaluation container's build folder
    and ``ground_truth.tar.gz`` to upload beside it. Raises as `codabench` does."""
    opened, out = open_release(release), Path(out)
    chosen = split_of(opened, split)
    target = out / f"{opened.slug}-{opened.version}-grand-challenge"
    with _workplace(target) as work:
        made = work / "made"
        _program(opened, made, "evaluate.py", GRAND_CHALLENGE)
        write_text(made / "Dockerfile", DOCKERFILE)
        _reference(opened, chosen, private, work / "reference")
        _tar(work / "reference", made / "ground_truth.tar.gz")
        write_text(
            made / "README.md",
            f"# Evaluation of {opened.challenge['title']} at grand-challenge.org\n\n"
            "1. `docker build -t evaluation .` and `docker save evaluation | gzip > "
            "evaluation.tar.gz`; upload it as the phase's evaluation method.\n"
            "2. Upload `ground_truth.tar.gz` as the phase's ground truth. Keep it to yourself.\n"
            "3. Let participants submit predictions as a ZIP (submission kind: ZIP).\n"
            f"4. Rank by `aggregates.{opened.settings.primary}`, "
            + ("highest" if catalog.lookup(opened.task, opened.settings.primary,
                                           opened.settings).higher else "lowest")
            + " first.\n",
        )  # fmt: skip
        made.rename(target)
    return target


def _members(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path.relative_to(folder).as_posix(), path


def _zip(folder: Path, target: Path) -> None:
    """The same bytes for the same files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name, path in _members(folder):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr, entry.create_system = 0o100644 << 16, 3
            with path.open("rb") as source, packed.open(entry, "w", force_zip64=True) as copy:
                shutil.copyfileobj(source, copy)


def _tar(folder: Path, target: Path) -> None:
    import gzip

    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, path in _members(folder):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as handle:
                archive.addfile(entry, handle)
