"""Sections of PageTab: their attributes with qualifiers, taken by name, and what is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .json_lines import plain
from .positions import Positions


def key(name: Any) -> str:
    """Names as they are compared: ``Image Acquisition`` is ``imageacquisition``."""
    return re.sub(r"[^a-z0-9]", "", str(name).casefold())


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def flat(items: Any) -> Iterator[dict]:
    """Sections, files or links, those in tables too."""
    for item in items if isinstance(items, list) else []:
        if isinstance(item, list):
            yield from flat(item)
        elif isinstance(item, dict):
            yield item


def line_of(node: Any, name: str | None = None) -> int | None:
    lines = getattr(node, "lines", {})
    if name is not None and isinstance(lines, dict) and name in lines:
        return lines[name]
    return getattr(node, "line", None)


class Section:
    """Attributes of a section (link, submission), taken one by one; the rest becomes ``extra``."""

    def __init__(self, node: dict, at: str, where: Positions) -> None:
        self.node, self.at, self.where = node, at, where
        self.attributes = [
            a
            for a in node.get("attributes") or []
            if isinstance(a, dict) and a.get("name") is not None
        ]
        self.extra: dict[str, Any] = {}
        self.used: set[int] = set()
        if line := line_of(node):
            where.lines.setdefault(at, line)

    def field(self, name: str) -> str:
        return f"{self.at}.{name}" if self.at else name

    def take(self, *names: str) -> Iterator[tuple[int, dict]]:
        """Attributes with one of these names (compared by :func:`key`) that say something."""
        wanted = {key(n) for n in names}
        for i, attribute in enumerate(self.attributes):
            if i not in self.used and key(attribute["name"]) in wanted:
                if text_of(attribute.get("value")).strip() or attribute.get("valqual"):
                    yield i, attribute
                else:
                    self.used.add(i)

    def one(self, name: str, *names: str) -> str:
        """Value of the first such attribute, for the field ``name``; others go to ``extra``."""
        for i, attribute in self.take(*names):
            self.used.add(i)
            self._qualifiers(attribute)
            self.where.lines[self.field(name)] = line_of(attribute, "value") or 0
            return text_of(attribute.get("value"))
        return ""

    def many(self, name: str, *names: str) -> list[str]:
        """Values of all such attributes, for the list field ``name``."""
        return [text_of(a.get("value")) for a in self.nodes(name, *names)]

    def nodes(self, name: str, *names: str, qualifiers: bool = True) -> list[dict]:
        """The same, as attributes; the caller keeps their qualifiers unless ``qualifiers``."""
        out = []
        for i, attribute in self.take(*names):
            self.used.add(i)
            if qualifiers:
                self._qualifiers(attribute)
            line = line_of(attribute, "value") or 0
            self.where.lines.setdefault(self.field(name), line)
            self.where.lines[f"{self.field(name)}[{len(out)}]"] = line
            out.append(attribute)
        return out

    def _qualifiers(self, attribute: dict) -> None:
        told = {k: plain(v) for k, v in attribute.items() if k not in ("name", "value")}
        told.pop("reference", None)
        if told:
            held = self.extra.setdefault("qualifiers", {})
            held.setdefault(str(attribute["name"]), []).append(told)

    def rest(self, *known: str) -> dict[str, Any]:
        """All that was not taken; ``known`` are members of the section that others took."""
        for i, attribute in enumerate(self.attributes):
            if i in self.used:
                continue
            told = {k: plain(v) for k, v in attribute.items() if k != "name"}
            if not any(v not in (None, "", []) for v in told.values()):
                continue
            value = told["value"] if list(told) == ["value"] else told
            name = str(attribute["name"])
            if name in self.extra:
                held = self.extra[name]
                self.extra[name] = [*(held if isinstance(held, list) else [held]), value]
            else:
                self.extra[name] = value
        for name, value in self.node.items():
            if name not in ("attributes", "type", "files", *known) and value not in (None, [], ""):
                self.extra[name] = plain(value)
        return self.extra


def dicts(items: Any) -> list[dict]:
    return [i for i in items or [] if isinstance(i, dict)]


def whole(node: dict) -> dict:
    """A section as it is; of one that says nothing its accno is left."""
    return (
        plain(node)
        if says_something(node)
        else {k: node[k] for k in ("accno", "type") if k in node}
    )


def says_something(node: dict) -> bool:
    """Whether a section holds anything but its type and accno."""
    if any(
        text_of(a.get("value")).strip() or a.get("valqual") for a in dicts(node.get("attributes"))
    ):
        return True
    if any(says_something(n) for n in flat(node.get("subsections"))):
        return True
    return bool(node.get("files") or node.get("links"))


def term_of(attribute: dict) -> tuple[str, dict[str, Any]]:
    """(term id of a value's qualifiers, the other qualifiers)."""
    term, extra = "", {}
    for qualifier in dicts(attribute.get("valqual")):
        if key(qualifier.get("name")) in ("termid", "ontologytermid") and not term:
            term = text_of(qualifier.get("value"))
        else:
            extra[text_of(qualifier.get("name"))] = plain(qualifier.get("value"))
    extra |= {k: plain(v) for k, v in attribute.items() if k not in ("name", "value", "valqual")}
    return term, extra
