"""A study without its people, for review that doesn't know the authors.

What names people goes: authors, organisations, publications, links, funding, acknowledgements, what
the submitter said besides. In all that stays, names, addresses and grants that stood there are
blotted out, as people also stand in titles, descriptions and the names of files.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

HIDDEN = "[hidden]"
LEFT_OUT = {
    "authors": [],
    "organisations": [],
    "publications": [],
    "links": [],
    "funding": [],
    "funding_statement": "",
    "acknowledgements": "",
    "doi": "",
    "extra": {},
}
GIVEN = {"id", "zarr", "thumbnail", "derivation", "digest", "tree", "plate_zarr", "plate_tree"}
# In the attributes of an OME-Zarr: what readers go by, and nobody wrote.
_BUILT = {"axes", "coordinateTransformations", "path", "rows", "columns", "wells", "version"}
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_GERMAN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
)
_ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dXx]")


class Anonymous:
    """Blots out who made a study, as its record names them.

    Parameters
    ----------
    record : the record with its people.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        names = {n for n in _names(record) if len(n) >= 3}
        names |= {plain for n in names for plain in _plain(n)}
        longest = sorted(names, key=lambda n: (-len(n), n))
        said = "|".join(_pattern(n) for n in longest)
        # A name in a file's path stands between slashes and underscores, too.
        self._said = re.compile(rf"(?<![^\W_])(?:{said})(?![^\W_])", re.I) if said else None

    def text(self, text: str) -> str:
        """The text without names, e-mail addresses and ORCID iDs."""
        text = _ORCID.sub(HIDDEN, _EMAIL.sub(HIDDEN, text))
        return self._said.sub(HIDDEN, text) if self._said else text

    def path(self, path: PurePath) -> PurePath:
        """A path whose every part is blotted."""
        return path.__class__(*map(self.text, path.parts))

    def data(self, value: Any) -> Any:
        """Plain data with every text and key blotted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            return {self.text(str(key)): self.data(item) for key, item in value.items()}
        return value

    def zarr(self, text: str) -> str:
        """Metadata of an OME-Zarr node: what its attributes say is blotted, not how it is built.

        An organisation may well be called OME: the keys of the format stay.
        """
        try:
            node = json.loads(text)
        except ValueError:
            return self.text(text)
        attributes = node.get("attributes", {}) if "zarr_format" in node else node  # .zattrs
        # what the store was sealed with names its parts, and holds no longer
        attributes.get("slidebox", {}).pop("sealed", None)
        blotted = self._attributes(attributes)
        if "zarr_format" not in node:
            node = blotted
        elif "attributes" in node:
            node["attributes"] = blotted
        return json.dumps(node, ensure_ascii=False, indent=2) + "\n"

    def _attributes(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._attributes(item) for item in value]
        if isinstance(value, dict):
            return {
                k: v if k in _BUILT else self.data(v) if k == "properties" else self._attributes(v)
                for k, v in value.items()
            }
        return self.data(value)

    def image(self, image: dict[str, Any]) -> dict[str, Any]:
        """An image's facts; the names that Slidebox gave it stay."""
        return {k: v if k in GIVEN else self.data(v) for k, v in image.items()}

    def record(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record without its people."""
        without = {key: LEFT_OUT.get(key, value) for key, value in record.items()}
        return _without_extra(self.data(without))


def _without_extra(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_extra(item) for item in value]
    if isinstance(value, dict):
        return {k: {} if k == "extra" else _without_extra(v) for k, v in value.items()}
    return value


def _pattern(name: str) -> str:
    """A name however it is spaced: Ada Lovelace, Ada_Lovelace, ada-lovelace."""
    return r"[\W_]*".join(re.escape(word) for word in re.split(r"[\W_]+", name) if word)


def _plain(name: str) -> Iterator[str]:
    """A name as file names and keyboards without accents have it: Müller, Muller, Mueller."""
    yield unicodedata.normalize("NFC", name)
    spelled = unicodedata.normalize("NFD", name)
    yield spelled
    yield "".join(c for c in spelled if not unicodedata.combining(c))
    yield name.translate(_GERMAN)
    yield re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")  # as groups of labels are called


def _names(record: dict[str, Any]) -> Iterator[str]:
    for author in record.get("authors") or []:
        name = str(author.get("name") or "").strip()
        yield name
        words = [w for w in re.split(r"[\s,;]+", name) if len(w.strip(".")) >= 3]
        yield from words
        yield str(author.get("email") or "")
        yield str(author.get("email") or "").partition("@")[0]
        yield str(author.get("orcid") or "").rsplit("/", 1)[-1]
        for organisation in author.get("organisations") or []:
            said = organisation.get("name") if isinstance(organisation, dict) else organisation
            yield from (part.strip() for part in re.split(r"[(),;/]", str(said or "")))
    for organisation in record.get("organisations") or []:
        for key in ("name", "ror", "address", "url"):
            yield str(organisation.get(key) or "")
        yield from (p.strip() for p in re.split(r"[(),;/]", str(organisation.get("name") or "")))
    for grant in record.get("funding") or []:
        yield str(grant.get("agency") or "")
        yield str(grant.get("grant_id") or "")
    for paper in record.get("publications") or []:
        yield from (str(paper.get(key) or "") for key in ("doi", "title"))
    yield str(record.get("doi") or "")
