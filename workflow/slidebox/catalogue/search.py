"""A search index of static files that a browser reads as the reader types.

``catalogue/search/studies.json``: the cards, newest first; a study's number is its place.
``catalogue/search/facets.json``: facet -> value -> numbers.
``catalogue/search/words/<two letters>.json``: word -> [number, weight, number, weight, ...].

A query of any length costs one small file a word; nothing runs on the server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slidebox import atomic

SHOWN = ("accession", "title", "year", "images", "pictures", "facts")


def write_search(cards: list[dict[str, Any]], words: dict[str, list[int]], folder: Path) -> None:
    """Write the index of ``cards`` (in their order) and of ``words`` under ``folder``."""
    facets: dict[str, dict[str, list[int]]] = {}
    for number, card in enumerate(cards):
        for facet, values in card["facets"].items():
            for value in values:
                facets.setdefault(facet, {}).setdefault(value, []).append(number)
    _write(folder / "studies.json", [_shown(card) for card in cards])
    _write(folder / "facets.json", facets)
    shards: dict[str, dict[str, list[int]]] = {}
    for word in sorted(words):
        shards.setdefault(shard_of(word), {})[word] = words[word]
    for name, shard in shards.items():
        _write(folder / "words" / f"{name}.json", shard)
    kept = {f"{name}.json" for name in shards}
    for old in (folder / "words").glob("*.json"):
        if old.name not in kept:
            old.unlink()


def _shown(card: dict[str, Any]) -> dict[str, Any]:
    """What a result shows; pictures relative to the study's folder, which keeps the file small."""
    shown = {key: card[key] for key in SHOWN}
    prefix = f"{card['accession']}/"
    shown["pictures"] = [p.removeprefix(prefix) for p in card["pictures"][:3]]
    return shown


def shard_of(word: str) -> str:
    """Name of the file that holds a word: the code points of its first two letters, in hex."""
    return "-".join(f"{ord(letter):x}" for letter in word[:2])


def _write(path: Path, data: Any) -> None:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        atomic.write_text(path, text)
