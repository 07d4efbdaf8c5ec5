"""The ledger made again from the target: what it lists, with what the last manifest says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slidebox.catalogue import evicted
from slidebox.publish.ledger import Ledger, Row
from slidebox.publish.target import Target
from slidebox.publish.units import SITE, prefix_of

COLUMNS = "key\tsize\tsha256\tetag\theaders\n"
MANIFESTS = ".slidebox/manifests/"


def manifest_key(unit: str) -> str:
    """Where the target keeps the list of a unit's objects."""
    return f"{MANIFESTS}{unit}.tsv"


def manifest_lines(rows: Iterable[Row]) -> Iterator[str]:
    """The list of a unit's objects; addresses hold no tab or line break that isn't escaped."""
    from slidebox.catalogue.listing import escape

    yield COLUMNS
    for row in rows:
        yield f"{escape(row.key)}\t{row.size}\t{row.sha256}\t{row.etag}\t{row.headers}\n"


def recover(target: Target, ledger: Ledger, unit: str) -> None:
    """Write down anew what a target holds of a unit.

    An object whose etag is the manifest's keeps the manifest's sha256 and headers; of any other
    only its etag is known, and publication compares that and asks for the headers.
    """
    from slidebox.catalogue.listing import unescape

    ledger.forget(unit)
    text = target.get(manifest_key(unit))
    said: dict[str, tuple[str, str, str]] = {}
    for line in (text or b"").decode().split("\n")[1:]:
        if line:
            key, _, sha256, etag, headers = line.split("\t")
            said[unescape(key)] = (sha256, etag, headers)
    for held in target.list(prefix_of(unit)):
        sha256, etag, headers = said.get(held.key, ("", "", ""))
        if etag != held.etag:
            sha256 = headers = ""
        tree = evicted.tree_prefix(held.key)
        ledger.put(Row(held.key, unit, tree, held.size, 0, sha256, held.etag, headers), 0)
    if unit == SITE:  # the site's own pages have no prefix to list: they are asked for one by one
        for key, (sha256, etag, headers) in said.items():
            if not key.startswith(prefix_of(unit)) and (found := target.head(key)):
                same = found[0].etag == etag
                known = (sha256, headers) if same else ("", "")
                ledger.put(Row(key, unit, None, found[0].size, 0, known[0], found[0].etag,
                               known[1]), 0)  # fmt: skip
    ledger.commit()
