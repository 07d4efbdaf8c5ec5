"""What is new, changed and withdrawn, as a static feed that other archives follow.

JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/). ``catalogue/feed.json`` has the newest items;
``feed-<N>.json`` have 500 each and are numbered from the oldest, so that what is new changes the
first page alone. ``_slidebox.pages`` of the first page says until when each of them goes: who
follows an archive since a date begins with the oldest page that reaches it.
An item is one version of a study, or its withdrawal.
"""

from __future__ import annotations

import json
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
    kept = max(0, len(items) // ITEMS - 1)
    newest = len(items) - kept * ITEMS
    here = f"{base}catalogue/" if site_url else ""
    shared = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": f"{site_name}: new, changed and withdrawn studies",
        "home_page_url": f"{base}index.html",
    }
    pages = []
    for page in range(1, kept + 1):
        first = newest + (kept - page) * ITEMS
        part = items[first : first + ITEMS]
        pages.append({"url": here + _name(page), "until": part[0]["date_published"]})
        _write(folder, shared, here, page, part)
    extra = {"_slidebox": {"pages": pages[::-1]}}
    _write(folder, {**shared, **extra}, here, None, items[:newest], older=kept)
    for old in folder.glob("feed-*.json"):
        number = re.fullmatch(r"feed-(\d+)\.json", old.name)
        if number and int(number[1]) > kept:
            old.unlink()


def _write(
    folder: Path,
    shared: dict[str, Any],
    here: str,
    page: int | None,
    items: list[dict[str, Any]],
    older: int = 0,
) -> None:
    """Write a page of the feed; None is the first, which leads on to page `older`."""
    older = page - 1 if page else older
    feed = {**shared, "feed_url": here + _name(page)}
    if older:
        feed["next_url"] = here + _name(older)
    path = folder / _name(page)
    text = json.dumps({**feed, "items": items}, ensure_ascii=False, indent=2) + "\n"
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        atomic.write_text(path, text)


def _name(page: int | None) -> str:
    return f"feed-{page}.json" if page else "feed.json"


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
