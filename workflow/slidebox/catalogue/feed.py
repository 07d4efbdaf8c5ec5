"""What is new, changed and withdrawn, as a static feed that other archives follow.

JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/): ``catalogue/feed.json`` and, 500 items on,
``feed-2.json`` and so forth. An item is one version of a study, or its withdrawal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slidebox import atomic

ITEMS = 500


def write_feed(
    cards: Iterable[dict[str, Any]],
    withdrawn: Iterable[dict[str, Any]],
    folder: Path,
    *,
    site_url: str | None,
    site_name: str,
) -> None:
    """Write the feed to ``folder``; addresses are relative when the site's isn't known."""
    base = f"{site_url.rstrip('/')}/" if site_url else "../"
    items = [item for card in cards for item in _items(card, base)]
    items += [_withdrawal(entry, base) for entry in withdrawn]
    items.sort(key=lambda i: i["id"])
    items.sort(key=lambda i: i["date_published"], reverse=True)
    pages = max(1, -(-len(items) // ITEMS))
    here = f"{base}catalogue/" if site_url else ""
    for page in range(1, pages + 1):
        feed: dict[str, Any] = {
            "version": "https://jsonfeed.org/version/1.1",
            "title": f"{site_name}: new, changed and withdrawn studies",
            "home_page_url": f"{base}index.html",
            "feed_url": here + _name(page),
        }
        if page < pages:
            feed["next_url"] = here + _name(page + 1)
        feed["items"] = items[(page - 1) * ITEMS : page * ITEMS]
        atomic.write_json(folder / _name(page), feed)
    for old in folder.glob("feed-*.json"):
        number = re.fullmatch(r"feed-(\d+)\.json", old.name)
        if number and int(number[1]) > pages:
            old.unlink()


def _name(page: int) -> str:
    return "feed.json" if page == 1 else f"feed-{page}.json"


def _moment(value: Any) -> str:
    """An RFC 3339 moment; a date alone is its first second in UTC."""
    text = str(value or "")
    return f"{text}T00:00:00Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text


def _items(card: dict[str, Any], base: str) -> Iterable[dict[str, Any]]:
    released = _moment(card["date"])
    for version in card["versions"]:
        number = version["version"]
        # A study is news on the day it is out, not on the day it was archived under embargo.
        moment = max(_moment(version.get("created")), released)
        event = "new" if number == 1 else "changed"
        yield {
            "id": f"{card['accession']}/v{number}",
            "url": f"{base}{card['accession']}/v{number}/index.html",
            "title": card["title"],
            "content_text": version.get("message") or card["title"],
            "date_published": moment,
            "_slidebox": {"accession": card["accession"], "version": number, "event": event},
        }


def _withdrawal(entry: dict[str, Any], base: str) -> dict[str, Any]:
    accession = entry["accession"]
    return {
        "id": f"{accession}/withdrawn",
        "url": f"{base}{accession}/index.html",
        "title": f"{accession} was withdrawn",
        "content_text": str(entry.get("reason") or "No reason was given."),
        "date_published": _moment(entry.get("date")),
        "_slidebox": {"accession": accession, "event": "withdrawn"},
    }
