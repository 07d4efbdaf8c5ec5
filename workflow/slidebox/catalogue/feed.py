"""What is new, changed and withdrawn, as a static feed that other archives follow.

JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/). ``catalogue/feed.json`` has the newest items;
``feed-<N>.json`` have 100 each and are numbered from the oldest, so that what is new changes the
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
from slidebox.catalogue import numbered, pages
from slidebox.catalogue.entry import Entry
from slidebox.catalogue.known import Known, digest

ITEMS = 100


def write_feed(
    entries: Iterable[Entry],
    withdrawn: Iterable[dict[str, Any]],
    folder: Path,
    known: Known,
    *,
    site_url: str | None,
    site_name: str,
) -> None:
    """Write the feed to ``folder``; addresses are relative when the site's isn't known."""
    base = f"{site_url.rstrip('/')}/" if site_url else "../"
    # (id, moment, whose version or which withdrawal it is, what decides how it reads)
    items = [item for entry in entries for item in _versions(entry)]
    items += [
        (f"{w['accession']}/withdrawn", _moment(w.get("date")), w, w.get("reason"))
        for w in withdrawn
    ]
    items.sort(key=lambda i: i[0])
    items.sort(key=lambda i: i[1], reverse=True)
    here = f"{base}catalogue/" if site_url else ""
    shared = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": f"{site_name}: new, changed and withdrawn studies",
        "home_page_url": f"{base}index.html",
    }
    (_, newest), *others = numbered.pages(items, ITEMS)
    listed = [{"url": here + _name(page), "until": part[0][1]} for page, part in others]
    for page, part in [(None, newest), *others]:
        older = page - 1 if page else len(others)
        feed = {**shared, "feed_url": here + _name(page)}
        if page is None:
            feed["_slidebox"] = {"pages": listed}
        if older:
            feed["next_url"] = here + _name(older)
        path = folder / _name(page)
        state = digest(pages.look(), feed, [(i[0], i[1], i[3]) for i in part])
        if known.same(path, state):
            continue
        feed["items"] = [_item(source, name, moment, base) for name, moment, source, _ in part]
        text = json.dumps(feed, ensure_ascii=False, indent=2) + "\n"
        if not (path.is_file() and path.read_text(encoding="utf-8") == text):
            atomic.write_text(path, text)
        known.wrote(path, state)
    numbered.tidy(folder, "feed", len(others), ".json")


def _name(page: int | None) -> str:
    return numbered.name("feed", page, ".json")


def _moment(value: Any) -> str:
    """An RFC 3339 moment; a date alone is its first second in UTC."""
    text = str(value or "")
    return f"{text}T00:00:00Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text


def _versions(entry: Entry) -> Iterable[tuple[str, str, Any, str]]:
    released = _moment(entry.date)
    for number, created in entry.versions:
        # A study is news on the day it is out, not on the day it was archived under embargo.
        moment = max(_moment(created), released)
        yield f"{entry.accession}/v{number}", moment, (entry, number), entry.digest


def _item(source: Any, name: str, moment: str, base: str) -> dict[str, Any]:
    if isinstance(source, dict):
        return _withdrawal(source, name, moment, base)
    entry, number = source
    card = entry.card()
    (version,) = (v for v in card["versions"] if v["version"] == number)
    event = "new" if number == 1 else "changed"
    return {
        "id": name,
        "url": f"{base}{entry.accession}/v{number}/index.html",
        "title": card["title"],
        "content_text": version.get("message") or card["title"],
        "date_published": moment,
        "_slidebox": {"accession": entry.accession, "version": number, "event": event},
    }


def _withdrawal(entry: dict[str, Any], name: str, moment: str, base: str) -> dict[str, Any]:
    accession = entry["accession"]
    return {
        "id": name,
        "url": f"{base}{accession}/index.html",
        "title": f"{accession} was withdrawn",
        "content_text": str(entry.get("reason") or "No reason was given."),
        "date_published": moment,
        "_slidebox": {"accession": accession, "event": "withdrawn"},
    }
