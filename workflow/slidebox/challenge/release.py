"""A release: assembled, divided, checked, written beside its place and renamed; then immutable."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..atomic import fsync_dir, write_json, write_text
from ..findings import Finding, has_errors
from ..scoring.release import sha256_file
from . import baseline, metrics, pixels, splits, strata, wheel
from .archive import Archive
from .assemble import Pair, assemble, resolve
from .model import Challenge, Invalid, load

Progress = Callable[[str, int, int], None]
MANIFEST = "SHA256SUMS"
# Made later or by others; no part of what is immutable
OUTSIDE_MANIFEST = {MANIFEST, "leaderboard", "revealed", "bridges", "index.html"}


@dataclass
class Release:
    """What became of a release.

    Attributes
    ----------
    folder : the public folder (None when refused); private : that of the hidden truth.
    new : written now; False when the very same release was there.
    """

    slug: str
    version: str
    findings: list[Finding] = field(default_factory=list)
    folder: Path | None = None
    private: Path | None = None
    new: bool = False

    @property
    def ok(self) -> bool:
        return self.folder is not None and not has_errors(self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "slug": self.slug, "version": self.version, "new": self.new, "ok": self.ok,
            "folder": str(self.folder) if self.folder else None,
            "findings": [f.to_dict() for f in self.findings],
        }  # fmt: skip


def release_key(folder: Path | str, public: Path | str) -> str:
    """Digest of all that a release is made from: when it's the same, there is nothing to do.

    The challenge's folder, the scorer, and the version and file table of each study that
    challenge.yaml selects. A challenge that can't be read still has a key: that of its bytes.
    """
    folder, public = Path(folder), Path(public)
    total = hashlib.sha256(wheel.build())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n".encode())
    try:
        sources = load(folder).data.sources
    except Invalid:
        return total.hexdigest()[:16]
    wanted = {s.accession for s in sources if s.accession}
    everything = any(s.query for s in sources)
    for study in sorted(public.glob("*/study.json")):
        if everything or study.parent.name in wanted:
            for path in (study, study.parent / "files.tsv"):
                if path.is_file():
                    total.update(f"{study.parent.name} {sha256_file(path)}\n".encode())
    return total.hexdigest()[:16]


def release_inputs(folder: Path | str, public: Path | str) -> list[Path]:
    """Files that `release_key` reads and a rule may list as its inputs."""
    folder, public = Path(folder), Path(public)
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    try:
        sources = load(folder).data.sources
    except Invalid:
        return found
    names = {s.accession for s in sources if s.accession}
    if any(s.query for s in sources):
        names |= {p.parent.name for p in public.glob("*/study.json")}
    return found + [p for n in sorted(names) if (p := public / n / "study.json").is_file()]


def release(
    folder: Path | str,
    *,
    public: Path | str,
    vault: Path | str,
    private: Path | str,
    out: Path | str | None = None,
    progress: Progress | None = None,
    threads: int = 1,
) -> Release:
    """Write ``<out>/<slug>/<version>/`` and ``<private>/challenges/<slug>/<version>/``.

    Parameters
    ----------
    folder : the challenge's folder with challenge.yaml.
    public, vault, private : the archive's folders.
    out : default ``<public>/challenges``.

    Nothing is written when there is an error. A version that exists is never changed: the same
    bytes are fine, others are refused with RELEASE_IMMUTABLE.
    """
    folder, public, private = Path(folder), Path(public), Path(private)
    out = Path(out) if out is not None else public / "challenges"
    tell = progress or (lambda *_: None)
    try:
        challenge = load(folder)
    except Invalid as bad:
        return Release(folder.name, "", bad.findings)
    result = Release(challenge.slug, challenge.version)
    archive = Archive(public, Path(vault))
    target = out / challenge.slug / challenge.version
    pinned = released_studies(target)
    pairs, result.findings = assemble(challenge, archive, pinned)
    result.findings += metrics.problems(challenge, folder)
    if has_errors(result.findings):
        return result
    before = splits_before(out / challenge.slug, challenge.version)
    split_of, found = splits.divide(challenge, pairs, before)
    result.findings += found
    if has_errors(result.findings):
        return result
    secret = private / "challenges" / challenge.slug / challenge.version
    staging = target.parent / f".{challenge.version}.{os.getpid()}.tmp"
    hidden = secret.parent / f".{challenge.version}.{os.getpid()}.tmp"
    for path in (staging, hidden):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    hidden.chmod(0o700)
    try:
        writer = Writer(challenge, folder, archive, pairs, split_of, staging, hidden, public)
        writer.pinned, writer.threads = pinned, threads
        writer.images(tell, result.findings)
        if has_errors(result.findings):
            return result
        from .checks import before_release

        writer.describe(secret, out / challenge.slug, private)
        result.findings += before_release(writer, out / challenge.slug, private, tell)
        if has_errors(result.findings):
            _keep_pictures(hidden, secret)
            return result
        writer.seal()
        return _settle(result, staging, hidden, target, secret)
    finally:
        for path in (staging, hidden):
            shutil.rmtree(path, ignore_errors=True)


def _keep_pictures(hidden: Path, secret: Path) -> None:
    """Pictures of leakage outlive a refused release: the organiser has to look at them."""
    if (hidden / "leakage").is_dir():
        kept = secret.with_name(f"{secret.name}.refused")
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        (hidden / "leakage").rename(kept / "leakage")


def _settle(result: Release, staging: Path, hidden: Path, target: Path, secret: Path) -> Release:
    """Give both folders their names, the private one first; or refuse."""
    if target.exists():
        changed = what_changed(target, staging)
        if changed:
            result.findings.append(
                Finding("RELEASE_IMMUTABLE", "error",
                        f"{result.slug} {result.version} is released with other content: "
                        + ", ".join(changed[:10]) + (" ..." if len(changed) > 10 else ""),
                        "challenge.yaml", field="version", mend="give the change a new version")
            )  # fmt: skip
            return result
        result.findings += verify_folder(target)
        if (secret / MANIFEST).is_file():
            result.findings += verify_private(target, secret)
        if has_errors(result.findings):
            return result
        if not (secret / "truth.csv").is_file():
            _rename(hidden, secret)
    else:
        if secret.exists():  # the public folder was removed, or a run stopped between the renames
            changed = what_changed(secret, staging) if (secret / MANIFEST).is_file() else []
            if changed:
                result.findings.append(
                    Finding("RELEASE_IMMUTABLE", "error",
                            f"{result.slug} {result.version} was released with other content and "
                            "its folder is gone: " + ", ".join(changed[:10]), "challenge.yaml",
                            field="version", mend="restore the folder, or take a new version")
                )  # fmt: skip
                return result
            shutil.rmtree(secret)
        _rename(hidden, secret)
        _rename(staging, target)
        result.new = True
    result.folder, result.private = target, secret
    return result


def released_studies(target: Path) -> dict[str, int] | None:
    """Accession and version of each study a release was made from; None when there is none."""
    path = target / "challenge.yaml"
    if not path.is_file():
        return None
    sources = yaml.safe_load(path.read_text("utf-8"))["data"]["sources"]
    return {s["accession"]: s["version"] for s in sources}


def splits_before(folder: Path, version: str) -> dict[str, str]:
    """Split of each id in the last release before `version`, if that is of the same MAJOR."""
    from . import versions

    old = versions.previous(folder, version)
    if old is None or versions.taken(old, version) == "MAJOR":
        return {}
    with (folder / old / "splits.csv").open(encoding="utf-8", newline="") as handle:
        return {row["id"]: row["split"] for row in csv.DictReader(handle)}


def what_changed(old: Path, new: Path) -> list[str]:
    """Names of files in which a release differs from the one that stands.

    Built by the same software every file must be equal. After an upgrade scorer, README and the
    like may differ; then pixels, truth, splits and every setting must agree.
    """
    a, b = _manifest(old), _manifest(new)
    scorer = {n for n in (*a, *b) if n == "score.py" or n.endswith(".whl")}
    if a.keys() == b.keys() and all(a[n] == b[n] for n in scorer):
        return differing(a, b)
    lasting = [n for n in a.keys() | b.keys() if n in ("splits.csv", "commitment.json")
               or n.startswith("metrics/")]  # fmt: skip
    changed = [n for n in sorted(lasting) if a.get(n) != b.get(n)]
    settings = [yaml.safe_load((f / "challenge.yaml").read_text("utf-8")) for f in (old, new)]
    named = [f"challenge.yaml ({key})" for key in other_settings(*settings)]
    return changed + named


def other_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Keys of two resolved challenge.yaml that differ once what is unset is filled in.

    Both are read by today's model: a key that the older software didn't know has its default, and
    one that was left unset can't be set later.
    """
    one, two = (_filled(settings) for settings in (old, new))
    keys = sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k))
    return [
        f"{k}.{inner}" if inner else k
        for k in keys
        for inner in (
            sorted(i for i in one[k].keys() | two[k].keys() if one[k].get(i) != two[k].get(i))
            if isinstance(one.get(k), dict) and isinstance(two.get(k), dict)
            else [""]
        )
    ]


def _filled(settings: dict[str, Any]) -> dict[str, Any]:
    counted = {k: settings.get(k) for k in ("groups", "images")}
    given = {k: v for k, v in settings.items() if k not in counted}
    try:
        return Challenge.model_validate(given).model_dump(mode="json") | counted
    except ValidationError:
        return settings  # of a software whose keys are gone: word by word


def _rename(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    source.rename(target)
    fsync_dir(target.parent)


def _manifest(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def differing(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Names whose digests differ, or that are on one side alone."""
    return sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))


def verify_folder(folder: Path) -> list[Finding]:
    """Compare a released folder with its SHA256SUMS."""
    manifest = _manifest(folder)
    present = {p.relative_to(folder).as_posix(): p for p in _files(folder)}
    findings = [
        Finding("RELEASE_DAMAGED", "error",
                "is missing" if name not in present else "has changed since it was released",
                f"{folder.name}/{name}", mend="restore it from a copy, or release a new version")
        for name, digest in sorted(manifest.items())
        if name not in present or sha256_file(present[name]) != digest
    ]  # fmt: skip
    findings += [
        Finding("RELEASE_DAMAGED", "error", "was added after the release", f"{folder.name}/{name}",
                mend="remove it")
        for name in sorted(present.keys() - manifest.keys())
    ]  # fmt: skip
    return findings


def verify_private(public: Path, private: Path) -> list[Finding]:
    """What the private folder remembers of a release against the public one, and hidden truth
    against its digests and the commitment."""
    from .reveal import truth_digest

    version = public.name

    def damaged(name: str, what: str) -> Finding:
        return Finding("RELEASE_DAMAGED", "error", what, f"{version}/{name}",
                       mend="restore it from a copy, or release a new version")  # fmt: skip

    findings = [
        damaged(name, "isn't what was released: private/ has another digest of it")
        for name in differing(_manifest(private), _manifest(public))
    ]
    table = private / "truth.csv"
    if not table.is_file():
        return findings
    made, key = {}, b""
    if (public / "commitment.json").is_file():
        made = read_json(public / "commitment.json")["truth"]
        key = bytes.fromhex((private / "commitment.key").read_text("ascii").strip())
    with table.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for which in sorted(made.keys() - {row["id"] for row in rows}):
        findings.append(damaged("truth.csv", f"the hidden truth of {which} is missing"))
    for row in rows:
        path = private / row["truth"]
        if not path.exists():
            findings.append(damaged(row["truth"], "the hidden truth is missing"))
        elif truth_digest(path) != row["sha256"]:
            findings.append(damaged(row["truth"], "the hidden truth has changed"))
        elif made.get(row["id"]) != commitment(key, public.parent.name, version, row):
            findings.append(damaged(row["truth"], "isn't the hidden truth that was committed to"))
    return findings


def _files(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*")
        if p.is_file() and p.relative_to(folder).parts[0] not in OUTSIDE_MANIFEST
    )  # fmt: skip


COLUMNS = [
    "id", "split", "group", "stratum", "fold", "image", "truth", "axes", "shape", "pixel_size",
    "accession", "study_version", "source", "series", "box", "license", "attribution",
    "pixels_sha256", "truth_sha256",
]  # fmt: skip


class Writer:
    """Writes a release into two staging folders: what everybody gets, and what stays private."""

    def __init__(
        self, challenge: Challenge, folder: Path, archive: Archive, pairs: list[Pair],
        split_of: dict[str, str], staging: Path, hidden: Path, public: Path,
    ) -> None:  # fmt: skip
        self.challenge, self.folder, self.archive = challenge, folder, archive
        self.pairs, self.split_of = pairs, split_of
        self.staging, self.hidden, self.public = staging, hidden, public
        self.fold_of = splits.folds(challenge, pairs, split_of)
        self.rows: list[dict[str, str]] = []
        self.secrets: list[dict[str, str]] = []
        self.pinned: dict[str, int] | None = None
        self.threads = 1

    def is_hidden(self, pair: Pair) -> bool:
        return self.split_of[pair.id] in self.challenge.hidden

    def images(self, tell: Progress, findings: list[Finding]) -> None:
        """Write every image and truth; what can't be written is a finding."""
        from ..images import UnreadableImage

        for done, pair in enumerate(self.pairs, 1):
            where = f"{pair.study.accession}/{pair.image['path']}"
            try:
                self._one(pair)
            except (pixels.Unfit, UnreadableImage) as bad:
                findings.append(
                    Finding("PAIR_UNFIT", "error", str(bad), where,
                            mend="leave it out with data.sources.images, or mend the study")
                )  # fmt: skip
            tell("writing images", done, len(self.pairs))

    def _one(self, pair: Pair) -> None:
        challenge, split = self.challenge, self.split_of[pair.id]
        secret = self.is_hidden(pair)
        truth_root = self.hidden if secret else self.staging
        identity = f"{challenge.slug}/{pair.id}"
        image_name = f"{split}/images/{pair.id}"
        truth_name = f"{'' if secret else split + '/'}labels/{pair.id}"
        with pixels.archived(
            pair.study, pair.image, pair.series, challenge.data.channels, pair.box
        ) as source:
            sizes, axes, shape = source.pixel_size, source.axes, source.shape
            if challenge.data.images == "ome-zarr":
                image_name += ".ome.zarr"
                digest = pixels.write_zarr(self.staging / image_name, source, identity)
            elif challenge.task == "tracking":
                if "c" in source.axes and source.shape[source.axes.index("c")] == 1:
                    source = pixels.squeeze(source, "c")
                digest = pixels.write_frames(self.staging / image_name, "t{}.tif", source, identity)
            else:
                image_name += ".tif"
                digest = pixels.write_tiff(self.staging / image_name, source, identity)
        spatial = {a: n for a, n in zip(axes, shape, strict=True) if a != "c"}
        if challenge.task == "points":
            truth_name += ".csv"
            points = pixels.read_points(pair.truth_path, "".join(spatial), challenge.data.columns)
            whole = dict(spatial)
            if pair.box:
                whole |= zip("yx", pair.image["series"][pair.series]["shape"][-2:], strict=True)
            self._inside(pair, points, whole, sizes)
            if pair.box:
                unit = sizes if challenge.scoring.unit == "micrometer" else {}
                points = pixels.points_in(pair.box, points, "".join(spatial), unit)
            truth_digest = _write_points(truth_root / truth_name, "".join(spatial), points)
        else:
            with pixels.archived(
                pair.study, pair.truth,
                pair.series if len(pair.truth.get("series") or []) > 1 else 0,
                challenge.data.channels if challenge.task == "restoration" else None, pair.box,
            ) as raw:  # fmt: skip
                labels = (
                    raw
                    if challenge.task == "restoration"
                    else pixels.as_labels(
                        pixels.squeeze(raw, "c")
                        if raw.axes.startswith("c") and raw.shape[0] == 1
                        else raw
                    )
                )
                have = dict(zip(labels.axes, labels.shape, strict=True))
                if challenge.task == "restoration":
                    spatial = dict(zip(axes, shape, strict=True))
                if have != spatial:
                    raise pixels.Unfit(f"the image is {spatial}, its truth {have}")
                if challenge.task == "tracking":
                    truth_name += "_GT"
                    truth_digest = pixels.write_frames(
                        truth_root / truth_name / "TRA", "man_track{}.tif", labels, identity + "/t"
                    )
                    pixels.write_frames(
                        truth_root / truth_name / "SEG", "man_seg{}.tif", labels, identity + "/s"
                    )
                    tracks = pixels.read_tracks(pair.study.content(pair.tracks["path"]))
                    text = "".join(" ".join(map(str, t)) + "\n" for t in sorted(tracks))
                    (truth_root / truth_name / "TRA" / "man_track.txt").write_text(text, "ascii")
                    truth_digest = hashlib.sha256((truth_digest + text).encode()).hexdigest()
                else:
                    truth_name += ".tif"
                    truth_digest = pixels.write_tiff(
                        truth_root / truth_name, labels, identity + "/truth"
                    )
        record = pair.study.record
        row = {
            "id": pair.id, "split": split, "group": pair.group(challenge.splits.group_by),
            "stratum": splits.stratum(challenge.splits, pair), "fold": self.fold_of[pair.id],
            "image": image_name, "truth": "" if secret else truth_name,
            "axes": "".join(spatial), "shape": "x".join(map(str, spatial.values())),
            "pixel_size": " ".join(f"{a}={v:.10g}" for a, v in sizes.items()),
            "accession": pair.study.accession, "study_version": str(pair.study.version),
            "source": pair.image["path"], "series": str(pair.series),
            "box": " ".join(map(str, pair.box)) if pair.box else "",
            "license": record.get("license") or "", "attribution": attribution(record),
            "pixels_sha256": digest, "truth_sha256": "" if secret else truth_digest,
        }  # fmt: skip
        self.rows.append(row)
        if secret:
            self.secrets.append(
                {"id": pair.id, "split": split, "truth": truth_name, "sha256": truth_digest}
            )

    def _inside(
        self, pair: Pair, points: list[tuple[float, ...]], spatial: dict[str, int],
        sizes: dict[str, float],
    ) -> None:  # fmt: skip
        """Unfit when points lie outside of their image: a wrong unit, order or image."""
        scoring = self.challenge.scoring
        micrometers = scoring.unit == "micrometer"
        if micrometers and (unsized := [a for a in spatial if not sizes.get(a)]):
            raise pixels.Unfit(
                f"scoring.unit is micrometer and the image has no pixel size in {unsized}"
            )
        out = 0
        for point in points:
            places = (
                v / sizes[a] if micrometers else v for v, a in zip(point, spatial, strict=True)
            )
            out += any(not -1 <= v <= n for v, n in zip(places, spatial.values(), strict=True))
        if out:
            raise pixels.Unfit(
                f"{out} of the {len(points)} points of its truth {pair.truth['path']} lie outside "
                f"of the image ({' x '.join(f'{a} {n}' for a, n in spatial.items())} pixels), read "
                f"as {scoring.unit}s: is scoring.unit right, and the order of columns?"
            )

    def resolved(self) -> dict[str, Any]:
        """challenge.yaml as everybody reads it: versions pinned, no name of what is restricted."""
        data = self.challenge.model_dump(mode="json", exclude_none=True)
        studies, _ = resolve(self.challenge, self.archive, self.pinned)
        data["data"]["sources"] = []
        for source, study in studies:
            entry = source.model_dump(mode="json", exclude_none=True)
            entry.pop("query", None)
            entry |= {"accession": study.accession, "version": study.version}
            named = source.annotations or sorted({p.annotation for p in self.pairs})
            entry["annotations"] = [a for a in named if a not in study.restricted]
            data["data"]["sources"].append(entry)
        restricted = {name for _, study in studies for name in study.restricted}
        for split, rule in data["splits"]["rules"].items():
            if rule.get("annotations") in restricted:
                groups = {r["group"] for r in self.rows if r["split"] == split}
                data["splits"]["rules"][split] = {"groups": sorted(groups)}
        settings = self.challenge.scoring.resolved(self.challenge.task)
        data["scoring"] = settings.model_dump(mode="json", exclude_none=True)
        for custom in data["scoring"].get("custom", []):
            custom["sha256"] = sha256_file(self.folder / custom["file"])
        data["groups"] = len({r["group"] for r in self.rows})
        data["images"] = {
            split: sum(r["split"] == split for r in self.rows) for split in data["splits"]["rules"]
        }
        return data

    def describe(self, secret: Path, earlier: Path, private: Path) -> None:
        """Write all that isn't pixels, but for what lists or describes files."""
        from . import describe, versions

        staging = self.staging
        resolved = self.resolved()
        text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=100)
        write_text(staging / "challenge.yaml", text)
        write_text(staging / "splits.csv", _csv(COLUMNS, self.rows))
        for custom in self.challenge.scoring.custom:
            (staging / "metrics").mkdir(exist_ok=True)
            shutil.copyfile(self.folder / custom.file, staging / "metrics" / custom.file)
        (staging / wheel.wheel_name()).write_bytes(wheel.build())
        write_text(staging / "score.py", wheel.script())
        if self.challenge.task in baseline.TASKS:
            write_text(staging / "baseline.py", wheel.baseline())
        self._commit(secret)
        write_text(staging / "CHANGELOG.md", versions.changelog(self, earlier, private))
        spread = strata.spread(self.challenge, self.pairs, self.split_of)
        write_text(staging / "splits.svg", strata.svg(spread))
        tables = strata.markdown(spread) + describe.SPLITS
        if folded := strata.folds(self.challenge, self.pairs, self.fold_of):
            write_text(staging / "folds.svg", strata.svg(folded, "fold"))
            tables += describe.FOLDS + strata.markdown(folded)
        write_text(staging / "README.md", describe.readme(resolved, self.rows, self.folder, tables))

    def seal(self) -> None:
        """Describe every file for machines, the manifest last."""
        from . import describe

        staging, resolved = self.staging, self.resolved()
        write_json(staging / "ro-crate-metadata.json", describe.ro_crate(resolved, self))
        write_json(staging / "croissant.json", describe.croissant(resolved, self))
        lines = [f"{sha256_file(p)}  {p.relative_to(staging).as_posix()}" for p in _files(staging)]
        write_text(staging / MANIFEST, "\n".join(lines) + "\n")
        # What the number stands for, should the public folder be removed
        for name in (MANIFEST, "challenge.yaml"):
            shutil.copyfile(staging / name, self.hidden / name)

    def _commit(self, secret: Path) -> None:
        """Hidden truth's table, and a commitment to it that only the key's holder can check.

        The key is made once a challenge and kept, so that building again gives the same bytes.
        """
        write_text(
            self.hidden / "truth.csv", _csv(["id", "split", "truth", "sha256"], self.secrets)
        )
        if not self.secrets:
            return
        key = challenge_key(secret.parent, self.challenge.version)
        write_text(self.hidden / "commitment.key", key.hex() + "\n")
        (self.hidden / "commitment.key").chmod(0o600)
        made = {
            "what": "HMAC-SHA256 of each hidden truth's id and pixel digest. The key is published "
            "when the challenge ends; then anyone can check that no truth was changed.",
            "algorithm": "HMAC-SHA256",
            "message": "<slug>\\n<version>\\n<id>\\n<sha256 of the truth's pixels>",
            "truth": {
                row["id"]: commitment(key, self.challenge.slug, self.challenge.version, row)
                for row in self.secrets
            },
        }
        write_json(self.staging / "commitment.json", made)


def challenge_key(folder: Path, version: str) -> bytes:
    """Key of a version, derived from the challenge's secret, which is made on first use."""
    path = folder / "secret.key"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as handle:
            handle.write(secrets.token_hex(32) + "\n")
    master = bytes.fromhex(path.read_text().strip())
    return hmac.digest(master, f"slidebox release {version}".encode(), "sha256")


def commitment(key: bytes, slug: str, version: str, row: dict[str, str]) -> str:
    message = f"{slug}\n{version}\n{row['id']}\n{row['sha256']}"
    return hmac.digest(key, message.encode(), "sha256").hex()


def attribution(record: dict[str, Any]) -> str:
    """Who to name for an image: authors, title, accession."""
    names = [a.get("name", "") for a in record.get("authors", [])]
    listed = ", ".join(names[:3]) + (" et al." if len(names) > 3 else "")
    return f"{listed}: {record.get('title', '')}" if listed else record.get("title", "")


def _write_points(path: Path, axes: str, points: list[tuple[float, ...]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ",".join(axes) + "\n" + "".join(",".join(map(repr, p)) + "\n" for p in points)
    path.write_text(text, "ascii")
    return hashlib.sha256(text.encode()).hexdigest()


def _csv(columns: list[str], rows: list[dict[str, str]]) -> str:
    buffer = StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
