"""Which number a change needs, worked out from what was released before.

MAJOR: the test set, its truth or the primary metric, also when another scorer gives other values of
it. MINOR: more training data, metrics, other settings, another scorer. PATCH: words.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..findings import Finding
from ..scoring.release import MANIFEST, sha256_file
from ..scoring.settings import Settings
from .commitment import commitment
from .integrity import verify_folder, verify_private
from .model import Challenge
from .writer import Writer

LEVELS = ("PATCH", "MINOR", "MAJOR")
NEAR = 1e-6  # what values of one control may differ by on two machines


def parse(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def released(folder: Path) -> list[str]:
    """Versions in a challenge's public folder, oldest first."""
    found = [
        p.parent.name for p in folder.glob("*/SHA256SUMS") if not p.parent.name.startswith(".")
    ]
    return sorted((v for v in found if _is_version(v)), key=parse)


def _is_version(text: str) -> bool:
    return text.count(".") == 2 and all(part.isdigit() for part in text.split("."))


def previous(folder: Path, version: str) -> str | None:
    """The newest release before a version."""
    earlier = [v for v in released(folder) if parse(v) < parse(version)]
    return earlier[-1] if earlier else None


def state(
    challenge: dict[str, Any], rows: list[dict[str, str]], truth: dict[str, str],
    scorer: str = "", controls: dict[str, dict] | None = None,
) -> dict:  # fmt: skip
    """What two releases are compared by.

    `truth` maps ids to digests, hidden ones included; `scorer` is the wheel's digest; `controls`
    maps splits, hidden ones included, to the metrics of each control, where they are known.
    """
    scoring = _filled(challenge["scoring"])
    # Groups decide the value of the primary metric when it is a mean of the groups' means
    grouped = scoring.get("average") == "group"
    return {
        "images": {
            r["id"]: (
                r["split"],
                r["pixels_sha256"],
                truth.get(r["id"], ""),
                r["axes"],
                r["shape"],
                r["pixel_size"],
                r["group"] if grouped else "",
            )
            for r in rows
        },
        "fields": {r["id"]: (r["group"], r["fold"]) for r in rows},
        "hidden": sorted(challenge.get("hidden", [])),
        "task": challenge["task"],
        # The primary metric is all that decides its value
        "primary": {k: v for k, v in scoring.items() if k not in ("metrics", "bootstrap", "custom")}
        | {"custom": [c for c in scoring.get("custom", []) if c["name"] == scoring["primary"]]},
        "metrics": {"metrics": scoring["metrics"], "custom": scoring.get("custom", [])},
        "scorer": scorer,
        "controls": controls or {},
        "settings": {"bootstrap": scoring.get("bootstrap"),
                     "images": challenge.get("data", {}).get("images"),
                     "public_share": challenge.get("leaderboard", {}).get("public_share", 1.0)},
    }  # fmt: skip


def _filled(scoring: dict[str, Any]) -> dict[str, Any]:
    """Settings with what is unset filled in, so that a key the older software didn't know is no
    change."""
    try:
        return Settings.model_validate(scoring).model_dump(mode="json")
    except ValidationError:
        return scoring


def read_state(public: Path, private: Path) -> dict:
    """The same of a release on disk."""
    challenge = yaml.safe_load((public / "challenge.yaml").read_text("utf-8"))
    with (public / "splits.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    truth = {r["id"]: r["truth_sha256"] for r in rows}
    table = private / "truth.csv"
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as handle:
            truth |= {
                r["id"]: r["sha256"] for r in csv.DictReader(handle)
                if _committed(public, private, challenge, r)
            }  # fmt: skip
    return state(challenge, rows, truth, _scorer(public), _controls(public, private))


def _scorer(release: Path) -> str:
    """Digest of the scorer's wheel in a release or in what becomes one."""
    wheels = sorted(release.glob("*.whl"))
    return sha256_file(wheels[0]) if wheels else ""


def _controls(*folders: Path) -> dict[str, dict]:
    found: dict[str, dict] = {}
    for folder in folders:
        path = folder / "controls.json"
        if path.is_file():
            found |= json.loads(path.read_text("utf-8"))
    return found


def _committed(public: Path, private: Path, challenge: dict, row: dict[str, str]) -> bool:
    """Whether a row of the private table is what the release was committed to: what was written
    there since counts as other truth."""
    try:
        key = bytes.fromhex((private / "commitment.key").read_text().strip())
        made = json.loads((public / "commitment.json").read_text("utf-8"))["truth"]
    except (OSError, ValueError, KeyError):
        return False
    return made.get(row["id"]) == commitment(key, challenge["slug"], challenge["version"], row)


def changes(old: dict, new: dict) -> list[tuple[str, str, str | None]]:
    """(level, what changed, image or None); of hidden truth nothing but that it changed."""
    found: list[tuple[str, str, str | None]] = []
    # A hidden split is a test set whatever its name
    training = {"train", "training"} - {*old["hidden"], *new["hidden"]}
    for which in sorted(old["images"].keys() | new["images"].keys()):
        a, b = old["images"].get(which), new["images"].get(which)
        if a == b:
            continue
        splits = {x[0] for x in (a, b) if x}
        # Everything but training decides how entries compare
        level = "MINOR" if splits <= training else "MAJOR"
        if a is None:
            found.append((level, f"added to {b[0]}", which))
        elif b is None:
            found.append(("MAJOR" if level == "MAJOR" else "MINOR", f"removed from {a[0]}", which))
        elif a[0] != b[0]:
            found.append((level, f"moved from {a[0]} to {b[0]}", which))
        elif a[1] != b[1]:
            found.append((level, "other pixels", which))
        elif a[3:6] != b[3:6]:
            found.append((level, "other axes or pixel size", which))
        elif a[6:] != b[6:]:
            found.append((level, "another group", which))
        else:
            found.append((level, "other truth", which))
    if old["task"] != new["task"]:
        found.append(("MAJOR", "another task", None))
    if old["hidden"] != new["hidden"]:
        found.append(("MAJOR", "other splits are hidden", None))
    if old["primary"] != new["primary"]:
        keys = sorted(k for k in old["primary"].keys() | new["primary"].keys()
                      if old["primary"].get(k) != new["primary"].get(k))  # fmt: skip
        found.append(("MAJOR", f"scoring: {', '.join(keys)}", None))
    if old["metrics"] != new["metrics"]:
        found.append(("MINOR", "other metrics", None))
    if old.get("scorer") != new.get("scorer"):
        differs = _counts_otherwise(old, new)
        what = f"another scorer (other values of {new['primary']['primary']})"
        found.append(("MAJOR", what, None) if differs else ("MINOR", "another scorer", None))
    if old["settings"] != new["settings"]:
        found.append(("MINOR", "other bootstrap, format of images or public share", None))
    moved = sorted(k for k in old["fields"].keys() & new["fields"].keys()
                   if old["fields"][k] != new["fields"][k])  # fmt: skip
    found += [("MINOR", "another group or fold", which) for which in moved]
    return found


def _counts_otherwise(old: dict, new: dict) -> bool:
    """Whether the primary metric of a control differs where images and truth are the same."""
    metric = new["primary"].get("primary")

    def images(state: dict, split: str) -> list:
        return sorted((k, v) for k, v in state["images"].items() if v[0] == split)

    for split in old["controls"].keys() & new["controls"].keys():
        if images(old, split) != images(new, split):
            continue
        before, after = old["controls"][split], new["controls"][split]
        for name in before.keys() & after.keys():
            a, b = before[name].get(metric), after[name].get(metric)
            if (a is None) != (b is None) or (a is not None and abs(a - b) > NEAR * max(1, abs(a))):
                return True
    return False


def needed(found: list[tuple[str, str, str | None]]) -> str:
    """The level that a list of changes needs."""
    return max((level for level, _, _ in found), key=LEVELS.index, default="PATCH")


def taken(old: str, new: str) -> str:
    """The level of the step between two numbers."""
    a, b = parse(old), parse(new)
    return "MAJOR" if a[0] != b[0] else "MINOR" if a[1] != b[1] else "PATCH"


def bump(old: str, level: str) -> str:
    major, minor, patch = parse(old)
    return {
        "MAJOR": f"{major + 1}.0.0", "MINOR": f"{major}.{minor + 1}.0",
        "PATCH": f"{major}.{minor}.{patch + 1}",
    }[level]  # fmt: skip


def check(writer: Writer, folder: Path, private: Path) -> list[Finding]:
    """Refuse a number that is too small for what changed, or lower than the newest."""
    challenge: Challenge = writer.challenge
    here = released(folder)
    if challenge.version in here:
        return []  # immutability decides
    if here and parse(challenge.version) < parse(here[-1]):
        return [
            Finding("VERSION_BACK", "error", f"{challenge.version} is before {here[-1]}, which is "
                    "released", "challenge.yaml", field="version", mend="count on from there")
        ]  # fmt: skip
    old = previous(folder, challenge.version)
    if old is None:
        return []
    secret = private / "challenges" / challenge.slug / old
    damaged = verify_folder(folder / old)
    if (secret / MANIFEST).is_file():
        damaged += verify_private(folder / old, secret)
    if damaged:
        return damaged  # it says nothing reliable of what changed since
    found = since(writer, folder, private, old)
    need, step = needed(found), taken(old, challenge.version)
    if LEVELS.index(step) < LEVELS.index(need):
        examples = "; ".join(f"{i + ': ' if i else ''}{t}" for lv, t, i in found if lv == need)
        return [
            Finding("VERSION_TOO_SMALL", "error",
                    f"the step from {old} to {challenge.version} is {step}, the changes need "
                    f"{need}: {examples[:400]}", "challenge.yaml", field="version",
                    mend=f"make it {bump(old, need)}")
        ]  # fmt: skip
    return []


def since(writer: Writer, folder: Path, private: Path, old: str) -> list:
    """Changes from a released version to the one being written."""
    slug = writer.challenge.slug
    before = read_state(folder / old, private / "challenges" / slug / old)
    truth = {r["id"]: r["truth_sha256"] for r in writer.rows}
    truth |= {r["id"]: r["sha256"] for r in writer.secrets}
    controls = _controls(writer.staging, writer.hidden)
    after = state(writer.resolved(), writer.rows, truth, _scorer(writer.staging), controls)
    return changes(before, after)


def changelog(writer: Writer, folder: Path, private: Path | None = None) -> str:
    """CHANGELOG.md: this version's changes, image by image, then what earlier versions said."""
    challenge = writer.challenge
    old = previous(folder, challenge.version)
    lines = [f"## {challenge.version}", ""]
    if challenge.changes.strip():
        lines += [challenge.changes.strip(), ""]
    if old is None:
        lines += ["First release.", ""]
    else:
        found = since(writer, folder, private or Path(), old) if private else []
        lines += [f"Since {old} ({needed(found)}):", ""]
        lines += [f"- {i + ': ' if i else ''}{text} ({level})" for level, text, i in found]
        lines += [""] if found else ["- words only", ""]
    earlier = ""
    if old is not None and (folder / old / "CHANGELOG.md").is_file():
        earlier = (folder / old / "CHANGELOG.md").read_text("utf-8").partition("\n\n")[2]
    return "# Changes\n\n" + "\n".join(lines) + ("\n" + earlier if earlier else "")
