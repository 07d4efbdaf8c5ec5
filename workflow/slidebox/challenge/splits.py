"""Who goes where: whole groups, stratified, the same whatever the order of files."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

from ..findings import Finding
from .assemble import Pair, like
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
    rest is dealt out group by group, each to the split that needs its strata most.
    """
    rules = challenge.splits
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.group(rules.group_by)].append(pair)
    if findings := [*_without_field(rules, pairs), *_unmet(rules, pairs, groups)]:
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


def _without_field(rules: Splits, pairs: list[Pair]) -> list[Finding]:
    """Fields to split by that images lack; one finding a study and field."""
    findings = []
    studies: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        studies[pair.study.accession].append(pair)
    for accession, members in sorted(studies.items()):
        for where in ("group_by", "stratify_by"):
            for key in getattr(rules, where):
                lack = {p.image["path"]: p for p in members if not p.value(key)}
                if not lack:
                    continue
                of = len({p.image["path"] for p in members})
                have = sorted({name for p in members for name in p.fields})
                named = ", ".join(sorted(lack)[:3]) + (", ..." if len(lack) > 3 else "")
                findings.append(
                    Finding("FIELD_MISSING", "error",
                            f"{len(lack)} of {of} images have no {key!r} to split by: {named}",
                            accession, field=f"splits.{where}",
                            mend=f"fields of this study: {', '.join(have)}; where studies differ, "
                            f"\"{key} | image\" takes the first that an image has")
                )  # fmt: skip
    return findings


def _unmet(rules: Splits, pairs: list[Pair], groups: dict[str, list[Pair]]) -> list[Finding]:
    """What rules name and no image has: mostly a slip."""
    findings = []

    def told(split: str, key: str, what: str, there: set[str]) -> None:
        some = ", ".join(sorted(there)[:6]) + (", ..." if len(there) > 6 else "")
        findings.append(
            Finding("RULE_UNMET", "error", what, "challenge.yaml",
                    field=f"splits.rules.{split}.{key}", mend=f"there is {some}")
        )  # fmt: skip

    for split, rule in rules.rules.items():
        for name in rule.groups or []:
            if name not in groups:
                told(split, "groups", f"no group of {' / '.join(rules.group_by)} is {name!r}",
                     set(groups))  # fmt: skip
        for glob in rule.images or []:
            if not any(_matches(pair, glob) for pair in pairs):
                how = "; in a glob [ is written [[]" if "[" in glob else ""
                told(split, "images", f"no image's path or id is like {glob!r}{how}",
                     {p.image["path"] for p in pairs})  # fmt: skip
        if rule.annotations is not None and rule.annotations not in {p.annotation for p in pairs}:
            told(split, "annotations", f"no image's truth is in {rule.annotations!r}",
                 {p.annotation for p in pairs})  # fmt: skip
    return findings


def _matches(pair: Pair, glob: str) -> bool:
    """By its id, its path, or its path with the study's accession before it, as findings say it."""
    path = pair.image["path"]
    return any(like(name, glob) for name in (pair.id, path, f"{pair.study.accession}/{path}"))


def _fixed(challenge: Challenge, pair: Pair, group: str) -> set[str]:
    """Splits that claim an image: by a rule, or because its truth is restricted."""
    claims = set()
    for split, rule in challenge.splits.rules.items():
        if (
            (rule.annotations is not None and pair.annotation == rule.annotations)
            or (rule.groups is not None and group in rule.groups)
            or (rule.images is not None and any(_matches(pair, glob) for glob in rule.images))
        ):
            claims.add(split)
    if not claims and pair.hidden and len(challenge.hidden) == 1:
        claims.add(challenge.hidden[0])
    return claims


def stratum(rules: Splits, pair: Pair) -> str:
    return pair.group(rules.stratify_by)


def kinds(rules: Splits, pair: Pair) -> list[str]:
    """What an image counts as: one of its stratum; with several fields also one of each field's
    value and of all, since strata may be too small to be shared out."""
    if len(rules.stratify_by) < 2:
        return [stratum(rules, pair)]
    values = [f"{key}={pair.value(key)}" for key in rules.stratify_by]
    return [stratum(rules, pair), *values, "all"]


def _deal(rules: Splits, groups: dict[str, list[Pair]], stay: dict[str, str]) -> dict[str, str]:
    """Split of each group: what keeps every kind's shares nearest to those wanted, so far."""
    shares = {name: rule.share for name, rule in rules.rules.items() if rule.share}
    if not shares:
        return {}
    whole = sum(shares.values())
    counts = {name: Counter(k for p in ps for k in kinds(rules, p)) for name, ps in groups.items()}
    total = sum(counts.values(), Counter())
    dealt: Counter[str] = Counter()
    have: dict[str, Counter[str]] = {split: Counter() for split in shares}

    def cost(split: str, name: str) -> float:
        """By how much the squared distances from the wanted counts grow, by kind."""
        grown = 0.0
        for kind, n in counts[name].items():
            wanted = shares[split] / whole * (dealt[kind] + n)
            grown += n * (2 * (have[split][kind] - wanted) + n) / total[kind]
        return round(grown, 9)  # sums may differ in their last digits

    def put(name: str, split: str) -> None:
        placed[name] = split
        have[split].update(counts[name])
        dealt.update(counts[name])

    placed: dict[str, str] = {}
    for name, split in sorted(stay.items()):
        put(name, split)
    # Large groups first, while there is room for them; a keyed hash decides among equals.
    order = [
        name for name in sorted(groups, key=lambda g: (-len(groups[g]), order_key(rules.seed, g)))
        if name not in stay
    ]  # fmt: skip
    for at, name in enumerate(order):
        empty = [split for split in shares if not have[split]]
        # The last groups are for splits that have none yet
        among = empty if empty and len(order) - at <= len(empty) else shares
        key = {s: (cost(s, name), order_key(rules.seed, f"{s}\0{name}")) for s in among}
        put(name, min(key, key=key.get))
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
                        mend=_few(challenge, groups))
            )  # fmt: skip
    first = next(iter(challenge.splits.rules))
    there = sum(split == first for split in placed.values())
    if 0 < there < challenge.splits.folds:
        findings.append(
            Finding("FOLDS_EMPTY", "error",
                    f"split {first!r} has {there} groups, too few for {challenge.splits.folds} "
                    "folds", "challenge.yaml", field="splits.folds", mend=f"at most {there}")
        )  # fmt: skip
    findings += _strata_missing(challenge, groups, placed)
    return findings


def _few(challenge: Challenge, groups: dict[str, list[Pair]]) -> str:
    """What to do when a split gets no group."""
    by = " / ".join(challenge.splits.group_by)
    some = ", ".join(sorted(groups)[:3]) + (", ..." if len(groups) > 3 else "")
    if len(groups) == 1:
        return f"all images are one group by {by} ({some}): group by something finer"
    return f"there are {len(groups)} groups by {by} ({some}), some of them taken by other rules"


def _strata_missing(
    challenge: Challenge, groups: dict[str, list[Pair]], placed: dict[str, str]
) -> list[Finding]:
    """Strata of which a split has nothing; one finding a split."""
    if not challenge.splits.stratify_by:
        return []
    have: dict[str, set[str]] = {split: set() for split in placed.values()}
    for name, members in groups.items():
        if name in placed:
            have[placed[name]] |= {stratum(challenge.splits, p) for p in members}
    everything = set().union(*have.values())
    return [
        Finding("STRATUM_MISSING", "warning",
                f"split {split!r} has no image of "
                + ", ".join(map(repr, sorted(everything - mine)[:6])),
                "challenge.yaml", field="splits.stratify_by",
                mend="more groups, other shares or other rules could give it some")
        for split, mine in sorted(have.items()) if everything - mine
    ]  # fmt: skip


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
    total = Counter(k for ps in groups.values() for p in ps for k in kinds(rules, p))
    have: Counter[tuple[int, str]] = Counter()
    out = {p.id: "" for p in pairs}
    for name in sorted(groups, key=lambda g: (-len(groups[g]), order_key(rules.seed, g))):
        counts = Counter(k for p in groups[name] for k in kinds(rules, p))
        fold = min(
            range(rules.folds),
            key=lambda f: (
                round(sum(have[f, k] * n / total[k] for k, n in counts.items()), 9),
                sizes[f],
                f,
            ),
        )
        sizes[fold] += len(groups[name])
        for key, n in counts.items():
            have[fold, key] += n
        for pair in groups[name]:
            out[pair.id] = str(fold)
    return out
