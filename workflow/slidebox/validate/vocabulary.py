"""Terms of NCBITaxon and FBbi: bundled subsets, looked up by id, name or other name.

The subsets (``terms/*.tsv``) are not the whole ontologies: a term that is missing there is no
mistake, an id that stands there under another name is.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VERSIONS = {"ncbitaxon": "2026-11", "fbbi": "2019-03-07"}


@dataclass(frozen=True)
class Vocabulary:
    """``names`` maps an id to its name, ``ids`` a plain form of each name to its id."""

    names: dict[str, str]
    ids: dict[str, str]

    def find(self, text: str) -> str | None:
        """Id of a name, or None."""
        return self.ids.get(plain(text))

    def near(self, text: str) -> str | None:
        """Id of the term that was probably meant: a close name, or one that stands within."""
        mine = plain(text)
        for name in difflib.get_close_matches(mine, self.ids, n=1, cutoff=0.9):
            return self.ids[name]
        words = f" {mine} "
        general = {"microscopy", "tomography", "mus", "hydra"}
        inside = [n for n in self.ids if len(n) > 2 and n not in general and f" {n} " in words]
        return self.ids[max(inside, key=len)] if inside else None


def plain(text: str) -> str:
    """Without case, dashes, brackets and double spaces."""
    return re.sub(r"[\s\-_()/]+", " ", text.casefold()).strip()


@cache
def vocabulary(name: str) -> Vocabulary:
    """``ncbitaxon`` or ``fbbi``."""
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    path = Path(__file__).parent / "terms" / f"{name}.tsv"
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        key, title, *others = line.split("\t")
        names[key] = title
        ids.setdefault(plain(title), key)
        for other in others[0].split("|") if others else []:
            if other:
                ids.setdefault(plain(other), key)
    return Vocabulary(names, ids)


def taxon_id(text: str) -> str | None:
    """Digits of ``9606``, ``NCBITaxon:9606``, ``NCBI:txid9606`` or an address."""
    found = re.fullmatch(
        r"(?:https?://\S*[/_=?]|(?:ncbi[ _]?taxon(?:omy)?|ncbi|taxid|txid)[:_ ]*(?:txid)?)?"
        r"(\d{1,9})",
        text.strip(),
        re.I,
    )
    return found[1] if found else None


def fbbi_id(text: str) -> str | None:
    """Eight digits of ``FBbi:00000251``, ``FBbi_00000251`` or an address that ends so."""
    found = re.fullmatch(r"(?:https?://\S*/)?fbbi[:_ ]?(\d{1,8})", text.strip(), re.I)
    return found[1].zfill(8) if found else None
