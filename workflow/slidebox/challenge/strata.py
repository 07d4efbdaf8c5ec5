"""How strata and groups are spread over the splits: a table for the README and a plot (SVG).

Counts are of images and groups. Nothing is said of objects, whose numbers would tell of hidden
truth.
"""

from __future__ import annotations

from collections import Counter
from html import escape

from .assemble import Pair
from .model import Challenge

# Okabe-Ito colours: told apart by colour-blind readers
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
SHOWN = 40  # values of a field that are drawn
BAR, LEFT, WIDTH = 18, 220, 460


def spread(
    challenge: Challenge, pairs: list[Pair], split_of: dict[str, str]
) -> dict[str, dict[str, dict[str, int]]]:
    """Images by field, value and split: of each stratum, of each study, and the groups' number."""
    return _counted(challenge, pairs, split_of, list(challenge.splits.rules))


def _counted(
    challenge: Challenge, pairs: list[Pair], split_of: dict[str, str], splits: list[str]
) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for field in dict.fromkeys([*challenge.splits.stratify_by, "study"]):
        counts: dict[str, Counter[str]] = {}
        for pair in pairs:
            value = pair.value(field)
            counts.setdefault(value, Counter())[split_of[pair.id]] += 1
        found[field] = {v: {s: counts[v][s] for s in splits} for v in sorted(counts)}
    groups: dict[str, set[str]] = {s: set() for s in splits}
    for pair in pairs:
        groups[split_of[pair.id]].add(pair.group(challenge.splits.group_by))
    found["groups"] = {"groups": {s: len(groups[s]) for s in splits}}
    return found


def folds(
    challenge: Challenge, pairs: list[Pair], fold_of: dict[str, str]
) -> dict[str, dict[str, dict[str, int]]]:
    """The same over the folds of the first split; {} when there are none."""
    chosen = [p for p in pairs if fold_of[p.id]]
    if not chosen:
        return {}
    names = [f"fold {k}" for k in range(challenge.splits.folds)]
    return _counted(challenge, chosen, {p.id: f"fold {fold_of[p.id]}" for p in chosen}, names)


def named(field: str) -> str:
    """A field as readers see it: ``a | b`` is a or b."""
    return " or ".join(part.strip() for part in field.split("|"))


def markdown(found: dict[str, dict[str, dict[str, int]]]) -> str:
    """Tables of images (and their share of the split) for each value of each field."""
    out = []
    for field, values in found.items():
        splits = list(next(iter(values.values())))
        total = {s: sum(v[s] for v in values.values()) for s in splits}
        out += [
            f"| {named(field)} | " + " | ".join(splits) + " |",
            "|---" * (len(splits) + 1) + "|",
        ]
        for value, counts in values.items():
            cells = [
                str(counts[s]) if field == "groups" else
                f"{counts[s]} ({100 * counts[s] / max(total[s], 1):.0f} %)" for s in splits
            ]  # fmt: skip
            name = (value or "(none)").replace("|", "/")
            out.append(f"| {name} | " + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out)


def svg(found: dict[str, dict[str, dict[str, int]]], of: str = "split") -> str:
    """Bars of each value's share of each split: alike where a stratum is spread evenly."""
    splits = list(next(iter(next(iter(found.values())).values())))
    parts: list[str] = []
    x = LEFT
    for k, split in enumerate(splits):
        parts.append(f'<rect x="{x}" y="6" width="12" height="12" fill="{COLOURS[k % 8]}"/>')
        parts.append(f'<text x="{x + 17}" y="16">{escape(split)}</text>')
        x += 40 + 8 * len(split)
    y = 34
    for field, values in found.items():
        if field == "groups":
            continue
        total = {s: max(sum(v[s] for v in values.values()), 1) for s in splits}
        parts.append(f'<text x="4" y="{y + 12}" font-weight="bold">{escape(named(field))}</text>')
        y += BAR + 4
        for value, counts in list(values.items())[:SHOWN]:
            label = value if len(value) <= 30 else value[:29] + "…"
            middle = y + BAR * len(splits) / 2 + 1
            parts.append(
                f'<text x="{LEFT - 8}" y="{middle:g}" text-anchor="end">'
                f"{escape(label or '(none)')}</text>"
            )
            for k, split in enumerate(splits):
                share = counts[split] / total[split]
                parts.append(
                    f'<rect x="{LEFT}" y="{y + 2}" width="{max(share * WIDTH, 0.5):.1f}" '
                    f'height="{BAR - 5}" fill="{COLOURS[k % 8]}"/><text '
                    f'x="{LEFT + share * WIDTH + 5:.1f}" y="{y + 12}">{counts[split]} '
                    f"({100 * share:.0f} %)</text>"
                )
                y += BAR - 4
            y += 8
        if len(values) > SHOWN:
            parts.append(f'<text x="{LEFT}" y="{y + 10}">and {len(values) - SHOWN} more</text>')
            y += BAR
        y += 8
    size = f'width="{LEFT + WIDTH + 90}" height="{y}" viewBox="0 0 {LEFT + WIDTH + 90} {y}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        f"<title>Share of each {of}'s images, by stratum and study</title>"
        '<rect width="100%" height="100%" fill="white"/>' + "".join(parts) + "</svg>\n"
    )
