"""In what a release that is built anew differs from the one that stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from .integrity import differing, read_manifest
from .model import Challenge


def what_changed(old: Path, new: Path) -> list[str]:
    """Names of files in which a release differs from the one that stands.

    Built by the same software every file must be equal. After an upgrade scorer, README and the
    like may differ; then pixels, truth, splits and every setting must agree.
    """
    a, b = read_manifest(old), read_manifest(new)
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
