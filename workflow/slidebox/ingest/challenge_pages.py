"""Pages of the released challenges: one each, and what the front page says of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml

from slidebox.config import Config
from slidebox.ingest.paths import read_json


def released(config: Config) -> list[dict[str, Any]]:
    """The newest release of each challenge, with ``versions`` (newest first), by slug."""
    root = config.public / "challenges"
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        versions = [p.parent.name for p in folder.glob("[0-9]*/challenge.yaml")]
        if versions:
            versions.sort(key=lambda v: [int(part) for part in v.split(".")], reverse=True)
            text = (folder / versions[0] / "challenge.yaml").read_text(encoding="utf-8")
            found.append({**yaml.safe_load(text), "versions": versions})
    return found


def cards(config: Config) -> list[dict[str, Any]]:
    """What `catalogue.build_index` wants to know of each challenge."""
    return [
        {
            "title": challenge["title"],
            "url": f"challenges/{challenge['slug']}/index.html",
            "version": challenge["version"],
            "task": challenge["task"].replace("-", " "),
            "description": challenge["description"],
        }
        for challenge in released(config)
    ]


def write(config: Config) -> None:
    """Write ``public/challenges/<slug>/index.html`` for each challenge that is released."""
    from slidebox.catalogue import render_page

    for challenge in released(config):
        folder = config.public / "challenges" / challenge["slug"]
        release = folder / challenge["version"]
        board = release / "leaderboard" / "leaderboard.json"
        context = {
            "section": "challenges",
            "challenge": {**challenge, "primary": challenge["scoring"]["primary"]},
            "paragraphs": [p for p in challenge["description"].split("\n\n") if p.strip()],
            "splits": _splits(release, challenge.get("hidden", [])),
            "versions": challenge["versions"],
            "board": len(read_json(board)["entries"]) if board.is_file() else 0,
        }
        render_page(
            "challenge/challenge.html",
            context,
            folder / "index.html",
            site_root=config.public,
            site_name=config.site.title,
        )


def _splits(release: Path, hidden: list[str]) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    with (release / "splits.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            groups.setdefault(row["split"], []).append(row["group"])
    return [
        {
            "name": name,
            "images": len(members),
            "groups": len(set(members)),
            "truth": "hidden" if name in hidden else "released",
        }
        for name, members in groups.items()
    ]
