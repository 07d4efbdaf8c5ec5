"""Numbers of releases: what was released before, and whether a number is large enough.

MAJOR: the test set, its truth or the primary metric, also when another scorer gives other values of
it. MINOR: more training data, metrics, other settings, another scorer. PATCH: words. What changed
is found in `changes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..findings import Finding
from ..scoring.release import MANIFEST
from .integrity import verify_folder, verify_private

LEVELS = ("PATCH", "MINOR", "MAJOR")
SHOWN = 6  # changes that a refusal names


def parse(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def is_version(text: str) -> bool:
    return text.count(".") == 2 and all(p.isascii() and p.isdigit() for p in text.split("."))


def released(folder: Path) -> list[str]:
    """Versions in a challenge's public folder, oldest first."""
    return _numbers(p.parent for p in folder.glob(f"*/{MANIFEST}"))


def _numbers(folders) -> list[str]:
    return sorted({p.name for p in folders if is_version(p.name)}, key=parse)


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


@dataclass(frozen=True)
class Change:
    """One change: PATCH, MINOR or MAJOR; of an image or of the challenge (None).

    `lost`: maybe none, but what it would be compared with isn't there any more.
    """

    level: str
    text: str
    image: str | None = None
    lost: bool = False

    def __str__(self) -> str:
        return f"{self.image}: {self.text}" if self.image else self.text


@dataclass(frozen=True)
class History:
    """What was released of a challenge before a version.

    Attributes
    ----------
    old : folder of the newest release before it, None when it's the first.
    secret : the private folder of that one.
    again : the version itself was released: it's built once more.
    """

    version: str
    old: Path | None = None
    secret: Path | None = None
    again: bool = False


def look_back(
    version: str, folder: Path, elsewhere: Path, memory: Path
) -> tuple[History, list[Finding]]:
    """What a version follows on, held to what the private folder remembers of each release.

    Parameters
    ----------
    folder, elsewhere : where the challenge's releases are looked for, the first first.
    memory : the challenge's private folder.

    A number before the newest is refused, and so is any number while the release that it would be
    compared with, or the one that it names, is gone or isn't what was released.
    """
    remembered = _numbers(p.parent for p in memory.glob(f"*/{MANIFEST}"))
    places: dict[str, Path] = {}
    for parent in (elsewhere, folder):
        # A folder whose SHA256SUMS was removed is a release too, a damaged one
        places |= {n: parent / n for n in _numbers(p for p in parent.glob("*.*.*") if p.is_dir())}
    known = _numbers(Path(n) for n in {*places, *remembered})
    again = version in known
    if known and not again and parse(version) < parse(known[-1]):
        return History(version), [
            Finding("VERSION_BACK", "error", f"{version} is before {known[-1]}, which is released",
                    "challenge.yaml", field="version", mend="count on from there")
        ]  # fmt: skip
    findings = _standing(folder / version, memory) if (folder / version).exists() else []
    earlier = [n for n in known if parse(n) < parse(version)]
    if not earlier:
        return History(version, again=again), findings
    old = earlier[-1]
    if old in places:
        findings += _standing(places[old], memory)
    else:
        findings.append(
            Finding("RELEASE_DAMAGED", "error",
                    "was released and its folder is gone: nothing tells what changed since",
                    str(folder / old), mend="restore it from a copy, or release it once more as it "
                    f"was; if nobody ever got it, remove {memory / old}")
        )  # fmt: skip
    return History(version, places.get(old), memory / old, again), findings


def _standing(release: Path, memory: Path) -> list[Finding]:
    """Damage of a release, by its own list and by what is remembered of it."""
    secret = memory / release.name
    return verify_folder(release) + verify_private(release, secret, memory.name, release.name)


def needed(found: list[Change]) -> str:
    """The level that a list of changes needs."""
    return max((change.level for change in found), key=LEVELS.index, default="PATCH")


def check(history: History, found: list[Change]) -> list[Finding]:
    """Refuse a number that is too small for what changed."""
    if history.old is None or history.again:  # of a number that is taken its content decides
        return []
    old, version = history.old.name, history.version
    need, step = needed(found), taken(old, version)
    if LEVELS.index(step) >= LEVELS.index(need):
        return []
    causes = [str(change) for change in found if change.level == need]
    mend = f"make it {bump(old, need)}"
    if any(change.lost and change.level == need for change in found):
        mend += (f"; or bring the truth back and release this again: restore {history.secret} from "
                 f"a copy, or release {old} once more as it was")  # fmt: skip
    more = f"; and {len(causes) - SHOWN} more" if len(causes) > SHOWN else ""
    return [
        Finding("VERSION_TOO_SMALL", "error",
                f"the step from {old} to {version} is {step}, the changes need {need}: "
                f"{'; '.join(causes[:SHOWN])}{more}", "challenge.yaml", field="version",
                mend=mend)
    ]  # fmt: skip
