"""Writes images and truth of a release: what everybody gets, and what stays private."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..findings import Finding
from ..images import UnreadableImage
from ..scoring.release import sha256_file
from ..scoring.task_points import MARGIN
from . import objects, pixels, splits
from .archive import Archive
from .assemble import Pair, resolve
from .model import Challenge

Progress = Callable[[str, int, int], None]
COLUMNS = [
    "id", "split", "group", "stratum", "fold", "image", "truth", "axes", "shape", "pixel_size",
    "accession", "study_version", "source", "series", "box", "license", "attribution",
    "pixels_sha256", "truth_sha256",
]  # fmt: skip

CROWD = 20  # points that are in one corner of all images by no chance


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
        self.truths = objects.Truths()
        self.pinned: dict[str, int] | None = None
        self.threads = 1
        # Points of the truth, and the largest share of each side of an image that one has
        self._points, self._reach = 0, dict[str, float]()

    def is_hidden(self, pair: Pair) -> bool:
        return self.split_of[pair.id] in self.challenge.hidden

    def images(self, tell: Progress, findings: list[Finding]) -> None:
        """Write every image and truth; what can't be written is a finding."""
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
        findings += self._unit_doubted()

    def _unit_doubted(self) -> list[Finding]:
        """A warning when all points of all images are where another unit would put them."""
        if self._points < CROWD or max(self._reach.values(), default=1.0) >= 0.5:
            return []
        reach = ", ".join(f"{a} up to {100 * r:.0f} %" for a, r in self._reach.items())
        return [
            Finding("POINTS_UNIT_DOUBT", "warning",
                    f"all {self._points} points of the truth are in one corner of their images "
                    f"({reach} of the side), read as {self.challenge.scoring.unit}s",
                    "challenge.yaml", field="scoring.unit",
                    mend="say the unit that the tables are in: pixel or micrometer")
        ]  # fmt: skip

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
                digest = pixels.write_zarr(
                    self.staging / image_name, source, identity, challenge.task == "tracking"
                )
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
            with self.truths.opened(
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
        """Unfit when points lie outside of their image: a wrong unit, order or image. What they
        reach is kept for `_unit_doubted`."""
        scoring = self.challenge.scoring
        micrometers = scoring.unit == "micrometer"
        if micrometers and (unsized := [a for a in spatial if not sizes.get(a)]):
            raise pixels.Unfit(
                f"scoring.unit is micrometer and the image has no pixel size in {unsized}"
            )
        out = 0
        for point in points:
            places = {
                a: v / sizes[a] if micrometers else v for v, a in zip(point, spatial, strict=True)
            }
            out += any(not -MARGIN <= places[a] <= n - 1 + MARGIN for a, n in spatial.items())
            for a, n in spatial.items():
                if n > 1:
                    self._reach[a] = max(self._reach.get(a, 0.0), places[a] / n)
        self._points += len(points)
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
            named = source.annotations or sorted(
                {p.annotation for p in self.pairs if p.study.accession == study.accession}
            )
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
