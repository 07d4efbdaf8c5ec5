"""What changed between two releases of a challenge, image by image, and how much each matters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..scoring.release import rows_of, sha256_file
from ..scoring.settings import Settings, exact
from . import pixels, versions
from .differences import other_settings
from .versions import Change, History
from .writer import Writer

NEAR = 1e-6  # what values of one control may differ by on two machines
TRAINING = re.compile(r"train(ing)?([_-].*)?")
# Columns of splits.csv that decide what entries are asked for, or how they are valued
SCORED = {
    "pixels_sha256": "other pixels", "axes": "other axes", "shape": "another shape",
    "pixel_size": "another pixel size",
}  # fmt: skip
WORDS = {
    "stratum": "another stratum", "license": "another licence", "attribution": "other attribution",
    "source": "another file of the archive",
}  # fmt: skip
# Under scoring, these decide no value of the primary metric. What a preset stands for is written
# out in the other keys.
BESIDE = ("metrics", "bootstrap", "custom", "preset", "thresholds")


@dataclass
class State:
    """What two releases are compared by.

    Attributes
    ----------
    folder : where its images are; rows : splits.csv by id.
    truth : digest of each truth, hidden ones included; None where it isn't known.
    controls : by split, hidden ones included, the metrics of each control.
    """

    folder: Path
    challenge: dict[str, Any]
    rows: dict[str, dict[str, str]]
    truth: dict[str, str | None]
    controls: dict[str, dict] = field(default_factory=dict)
    looks: dict[str, tuple] = field(default_factory=dict, repr=False)

    @property
    def hidden(self) -> set[str]:
        return set(self.challenge.get("hidden", []))

    @property
    def scoring(self) -> dict[str, Any]:
        """Settings with what is unset filled in: a key the older software didn't know is no
        change."""
        given = self.challenge["scoring"]
        try:
            return Settings.model_validate(given).model_dump(mode="json")
        except ValidationError:
            return given


def of_release(public: Path, private: Path) -> State:
    """The state of a release on disk, which was held to its SHA256SUMS and its commitment before
    (`versions.look_back`)."""
    challenge = yaml.safe_load((public / "challenge.yaml").read_text("utf-8"))
    rows = {r["id"]: r for r in rows_of(public / "splits.csv")}
    truth: dict[str, str | None] = {i: r["truth_sha256"] or None for i, r in rows.items()}
    if (private / "truth.csv").is_file():
        truth |= {row["id"]: row["sha256"] for row in rows_of(private / "truth.csv")}
    return State(public, challenge, rows, truth, controls_in(public, private))


def of_writer(writer: Writer) -> State:
    """The state of what is being released, before its controls were scored."""
    truth: dict[str, str | None] = {r["id"]: r["truth_sha256"] for r in writer.rows}
    truth |= {r["id"]: r["sha256"] for r in writer.secrets}
    return State(writer.staging, writer.resolved(), {r["id"]: r for r in writer.rows}, truth)


def controls_in(*folders: Path) -> dict[str, dict]:
    """Values of the controls by split, from public and private folders."""
    found: dict[str, dict] = {}
    for path in (folder / "controls.json" for folder in folders):
        if path.is_file():
            found |= json.loads(path.read_text("utf-8"))
    return found


def between(old: State, new: State) -> list[Change]:
    """All changes; of hidden truth nothing is told but that it changed."""
    found = [
        change
        for which in sorted(old.rows.keys() | new.rows.keys())
        if (change := _of_image(which, old, new))
    ]
    told: set[str] = {"version", "changes", "groups", "data.sources"}
    for level, text, keys in [*_of_scoring(old, new), *_of_settings(old, new)]:
        found.append(Change(level, text))
        told.update(keys)
    found += [Change("PATCH", text) for text in _of_studies(old.challenge, new.challenge)]
    found += _of_scorer(old, new)
    found += [
        Change("PATCH", key) for key in other_settings(old.challenge, new.challenge)
        if key not in told and not key.startswith("images.")
    ]  # fmt: skip
    return found


def _of_image(which: str, old: State, new: State) -> Change | None:
    a, b = old.rows.get(which), new.rows.get(which)
    splits = [row["split"] for row in (a, b) if row]
    # Everything but training decides how entries compare; a hidden split is a test set
    # whatever its name
    training = all(TRAINING.fullmatch(s) and s not in old.hidden | new.hidden for s in splits)
    weight = "MINOR" if training else "MAJOR"
    if a is None or b is None:
        verb = "added to" if a is None else "removed from"
        return Change(weight, f"{verb} {splits[0]}", which)

    def other(column: str) -> bool:
        return column in a and a[column] != b[column]

    scored = [f"moved from {splits[0]} to {splits[1]}"] if other("split") else []
    scored += [text for column, text in SCORED.items() if other(column)]
    looks = [] if other("pixels_sha256") else [_look(old, a), _look(new, b)]
    if None not in looks and len(set(looks)) > 1:
        scored.append("other channel names, colours or time step")
    lost = old.truth.get(which) is None
    if lost:
        scored.append(f"its truth can't be compared, that of {old.folder.name} isn't in private/")
    elif old.truth[which] != new.truth.get(which):
        scored.append("other truth")
    beside = ["another fold"] if other("fold") else []
    if other("group"):
        # Groups decide the value of the primary metric when it is a mean of the groups' means
        averaged = "group" in (old.scoring.get("average"), new.scoring.get("average"))
        (scored if averaged else beside).append("another group")
    words = [text for column, text in WORDS.items() if other(column)]
    if not (scored or beside or words):
        return None
    level = weight if scored else "MINOR" if beside else "PATCH"
    return Change(level, "; ".join(scored + beside + words), which, lost)


def _look(state: State, row: dict[str, str]) -> tuple | None:
    """What an image's file says beside pixels and their size; frames of tracking say nothing."""
    path, which = state.folder / row["image"], row["id"]
    if path.is_dir() and path.suffix != ".zarr":
        return None
    if which not in state.looks:
        with pixels.released_image(path) as image:
            names = image.channel_names if "c" in image.axes else ()
            state.looks[which] = (image.rgb, image.time_step, *names)
    return state.looks[which]


def _of_scoring(old: State, new: State) -> Iterator[tuple[str, str, list[str]]]:
    """(level, text, keys of challenge.yaml) of changes under `scoring`."""
    one, two = _primary(old.scoring), _primary(new.scoring)
    if keys := sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k)):
        yield "MAJOR", f"scoring: {', '.join(keys)}", [f"scoring.{k}" for k in keys]
    one, two = _metrics(old.scoring), _metrics(new.scoring)
    if names := sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k)):
        said = [
            f"{name} {'is new' if name not in one else 'is gone' if name not in two else 'differs'}"
            for name in names
        ]
        yield "MINOR", f"metrics: {', '.join(said)}", ["scoring.metrics", "scoring.custom"]
    if old.scoring.get("bootstrap") != new.scoring.get("bootstrap"):
        yield "MINOR", "scoring: bootstrap", ["scoring.bootstrap"]


def _primary(scoring: dict[str, Any]) -> dict[str, Any]:
    """All that decides the value of the primary metric."""
    return {k: v for k, v in scoring.items() if k not in BESIDE} | {
        "thresholds": sorted(exact(t) for t in scoring.get("thresholds", [])),
        "custom": _own(scoring).get(scoring["primary"]),
    }


def _own(scoring: dict[str, Any]) -> dict[str, dict]:
    """Metrics of one's own by name: what they are, whatever their file is called."""
    return {
        c["name"]: {k: v for k, v in c.items() if k not in ("name", "file")}
        for c in scoring.get("custom") or []
    }


def _metrics(scoring: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(scoring["metrics"] or [], "") | _own(scoring)


def _of_settings(old: State, new: State) -> Iterator[tuple[str, str, list[str]]]:
    one, two = old.challenge, new.challenge
    if one["task"] != two["task"]:
        yield "MAJOR", "another task", ["task"]
    if old.hidden != new.hidden:
        yield "MAJOR", "other splits are hidden", ["hidden"]
    formats = [c.get("data", {}).get("images") for c in (one, two)]
    if formats[0] != formats[1]:
        yield "MINOR", f"images are {formats[1]}, no longer {formats[0]}", ["data.images"]
    shares = [c.get("leaderboard", {}).get("public_share", 1.0) for c in (one, two)]
    if shares[0] != shares[1]:
        yield "MINOR", "another public share of the board", ["leaderboard.public_share"]


def _of_studies(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    one, two = ({s["accession"]: s["version"] for s in c["data"]["sources"]} for c in (old, new))
    for name in sorted(one.keys() | two.keys()):
        if name not in one or name not in two:
            yield f"study {name} is {'new' if name in two else 'gone'}"
        elif one[name] != two[name]:
            yield f"study {name} in version {two[name]}, was {one[name]}"
    if one == two and old["data"]["sources"] != new["data"]["sources"]:
        yield "data.sources"


def _of_scorer(old: State, new: State) -> Iterator[Change]:
    """Another scorer, or other software below it; MAJOR when it counts otherwise."""
    differs = _counts_otherwise(old, new)
    values = f" (other values of {new.scoring['primary']})" if differs else ""
    level = "MAJOR" if differs else "MINOR"
    if _digest(old.folder, "*.whl") != _digest(new.folder, "*.whl"):
        yield Change(level, f"another scorer{values}")
    elif _digest(old.folder, "score.py") != _digest(new.folder, "score.py"):
        yield Change(level, f"other software that the scorer needs{values}")
    elif differs:
        yield Change(level, f"the same scorer counts otherwise{values}")


def _digest(folder: Path, name: str) -> str:
    return "".join(sha256_file(path) for path in sorted(folder.glob(name)))


def _counts_otherwise(old: State, new: State) -> bool:
    """Whether the primary metric of a control differs where settings, images and truth are the
    same."""
    metric = new.scoring["primary"]
    if _primary(old.scoring) != _primary(new.scoring):
        return False

    def images(state: State, split: str) -> list:
        return sorted(
            (i, state.truth.get(i) or "", r["group"], *(r[c] for c in SCORED))
            for i, r in state.rows.items() if r["split"] == split
        )  # fmt: skip

    for split in old.controls.keys() & new.controls.keys():
        if images(old, split) != images(new, split):
            continue
        before, after = old.controls[split], new.controls[split]
        for name in before.keys() & after.keys():
            a, b = before[name].get(metric), after[name].get(metric)
            if (a is None) != (b is None) or (a is not None and abs(a - b) > NEAR * max(1, abs(a))):
                return True
    return False


def changelog(history: History, changes: str, found: list[Change]) -> str:
    """CHANGELOG.md: the organiser's words, this version's changes, then what earlier ones said."""
    lines = [f"## {history.version}", ""]
    if changes.strip():
        lines += [changes.strip(), ""]
    earlier = ""
    if history.old is None:
        lines += ["First release.", ""]
    else:
        lines += [f"Since {history.old.name} ({versions.needed(found)}):", ""]
        lines += [f"- {change} ({change.level})" for change in found] or ["- words only"]
        lines += [""]
        if (history.old / "CHANGELOG.md").is_file():
            earlier = (history.old / "CHANGELOG.md").read_text("utf-8").partition("\n\n")[2]
    return "# Changes\n\n" + "\n".join(lines) + ("\n" + earlier if earlier else "")
