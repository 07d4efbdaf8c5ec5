"""Who goes where: whole groups, stratified, the same whatever the order of files."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from fnmatch import fnmatchcase

from ..findings import Finding
from .assemble import Pair
from .model import Challenge, Splits


def order_key(seed: int, name: str) -> str:
    """A number that depends on the seed and the group's name alone: no order, no platform."""
    return hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()


def divide(
    challenge: Challenge, pairs: list[Pair], before: dict[str, str] | None = None
) -> tuple[dict[str, str], list[Finding]]:
    """Split of every id, and what the rules can't do.

    Fixed rules come first; a group one of whose images is fixed goes there as a whole. Groups of
    `before` (splits of ids in the last release of this MAJOR version) stay where they were. The
    rest is dealt out group by group, each to the split that lacks most of the group's strata.
    """
    rules, findings = challenge.splits, []
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        for key in [*rules.group_by, *rules.stratify_by]:
            if not pair.fields.get(key):
                findings.append(
                    Finding("FIELD_MISSING", "error", f"has no {key!r} to split by",
                            f"{pair.study.accession}/{pair.image['path']}",
                            field="splits.group_by" if key in rules.group_by else
                            "splits.stratify_by", mend=f"fields: {', '.join(sorted(pair.fields))}")
                )  # fmt: skip
        groups[pair.group(rules.group_by)].append(pair)
    if findings:
        return {}, findings
    placed: dict[str, str] = {}
    for name, members in sorted(groups.items()):
        wanted = sorted({s for p in members for s in _fixed(challenge, p, name)})
        if len(wanted) > 1:
            findings.append(
                Finding("GROUP_CROSSES", "error", f"group {name!r} is claimed by {wanted}",
                        "challenge.yaml", field="splits.rules",
                        mend="images of a group must be in one split: " +
                        ", ".join(p.id for p in members[:8]))
            )  # fmt: skip
        elif wanted:
            placed[name] = wanted[0]
    if findings:
        return {}, findings
    free = {name: members for name, members in groups.items() if name not in placed}
    stay = {}
    for name, members in free.items():
        known = {before[p.id] for p in members if p.id in (before or {})}
        if len(known) == 1 and (split := known.pop()) in rules.rules and rules.rules[split].share:
            stay[name] = split
    placed |= _deal(rules, free, stay)
    findings += _coverage(challenge, groups, placed)
    there = {p.id: placed[n] for n, ps in groups.items() if n in placed for p in ps}
    return there, findings


def _fixed(challenge: Challenge, pair: Pair, group: str) -> set[str]:
    """Splits that claim an image: by a rule, or because its truth is restricted."""
    claims = set()
    for split, rule in challenge.splits.rules.items():
        if (
            (rule.annotations is not None and pair.annotation == rule.annotations)
            or (rule.groups is not None and group in rule.groups)
            or (
                rule.images is not None
                and any(
                    fnmatchcase(pair.id, g) or fnmatchcase(pair.image["path"], g)
                    for g in rule.images
                )
            )
        ):
            claims.add(split)
    if not claims and pair.hidden and len(challenge.hidden) == 1:
        claims.add(challenge.hidden[0])
    return claims


def stratum(rules: Splits, pair: Pair) -> str:
    return " / ".join(pair.fields.get(key, "") for key in rules.stratify_by)


def _deal(rules: Splits, groups: dict[str, list[Pair]], stay: dict[str, str]) -> dict[str, str]:
    shares = {name: rule.share for name, rule in rules.rules.items() if rule.share}
    if not shares:
        return {}
    total = sum(shares.values())
    wanted: Counter[tuple[str, str]] = Counter()
    have: Counter[tuple[str, str]] = Counter()
    strata = {name: Counter(stratum(rules, p) for p in ps) for name, ps in groups.items()}
    for counts in strata.values():
        for key, n in counts.items():
            for split, share in shares.items():
                wanted[split, key] += n * share / total
    # Large groups first, while there is room for them; a keyed hash decides among equals.
    order = sorted(groups, key=lambda g: (-len(groups[g]), order_key(rules.seed, g)))
    placed = dict(stay)
    for name, split in stay.items():
        for key, n in strata[name].items():
            have[split, key] += n
    for name in (n for n in order if n not in stay):

        def lack(split: str, name: str = name) -> tuple[float, str]:
            need = sum(
                n * (wanted[split, key] - have[split, key]) / max(wanted[split, key], 1e-9)
                for key, n in strata[name].items()
            )
            return (-need, order_key(rules.seed, f"{split}\0{name}"))

        split = min(shares, key=lack)
        placed[name] = split
        for key, n in strata[name].items():
            have[split, key] += n
    return placed


def _coverage(challenge: Challenge, groups: dict[str, list[Pair]], placed: dict[str, str]) -> list:
    findings = []
    for name, members in sorted(groups.items()):
        if name not in placed:
            findings.append(
                Finding("GROUP_UNPLACED", "error", f"no rule places group {name!r}",
                        "challenge.yaml", field="splits.rules",
                        mend="give a split a share, or name the group")
            )  # fmt: skip
            continue
        for pair in members:
            where = f"{pair.study.accession}/{pair.truth['path']}"
            if pair.hidden and placed[name] not in challenge.hidden:
                # The file's name belongs to what is restricted: this finding is for the organiser
                findings.append(
                    Finding("HIDDEN_IN_OPEN_SPLIT", "error",
                            f"is restricted, but split {placed[name]!r} is released with labels",
                            where, field="hidden", mend="put the split under hidden, or its group "
                            "into a hidden split")
                )  # fmt: skip
            if not pair.hidden and placed[name] in challenge.hidden:
                findings.append(
                    Finding("OPEN_IN_HIDDEN_SPLIT", "error",
                            f"is public, so everybody has the truth of split {placed[name]!r}",
                            where, field="hidden", mend="archive it in an annotation set with "
                            "access: restricted")
                )  # fmt: skip
    used = set(placed.values())
    for split in challenge.splits.rules:
        if split not in used:
            findings.append(
                Finding("SPLIT_EMPTY", "error", f"split {split!r} has no image",
                        "challenge.yaml", field=f"splits.rules.{split}",
                        mend=f"there are {len(groups)} groups of {challenge.splits.group_by}")
            )  # fmt: skip
    return findings


def folds(challenge: Challenge, pairs: list[Pair], split_of: dict[str, str]) -> dict[str, str]:
    """Fold (0 to k - 1) of every image of the first split, by whole groups; else ''."""
    rules = challenge.splits
    first = next(iter(rules.rules))
    if not rules.folds:
        return {p.id: "" for p in pairs}
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        if split_of[pair.id] == first:
            groups[pair.group(rules.group_by)].append(pair)
    sizes = [0] * rules.folds
    have: Counter[tuple[int, str]] = Counter()
    out = {p.id: "" for p in pairs}
    for name in sorted(groups, key=lambda g: (-len(groups[g]), order_key(rules.seed, g))):
        kinds = Counter(stratum(rules, p) for p in groups[name])
        fold = min(
            range(rules.folds),
            key=lambda f: (sum(have[f, k] * n for k, n in kinds.items()), sizes[f], f),
        )
        sizes[fold] += len(groups[name])
        for key, n in kinds.items():
            have[fold, key] += n
        for pair in groups[name]:
            out[pair.id] = str(fold)
    return out
