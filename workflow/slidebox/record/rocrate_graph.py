"""The graph of a crate: its entities, each property by its meaning, held to the profile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..findings import Finding
from .codes import finding
from .json_lines import plain
from .rocrate_terms import CLASSES, EXPECTED, MORE, PREFIXES, REQUIRED, TERMS, compact, expand
from .study_yaml import nearest

_BAD_IRI = re.compile(r"[\s<>\"{}|\\^`\x00-\x1f]|%(?![0-9A-Fa-f]{2})")


@dataclass
class Entity:
    """An object of the graph: properties by compact IRI, each with its JSON name and line."""

    id: str
    node: dict
    classes: tuple[str, ...]
    properties: dict[str, list[tuple[str, Any, int]]]
    line: int
    taken: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        return self.classes[0] if len(self.classes) == 1 else ""

    def values(self, iri: str) -> list[Any]:
        """All values of a property, single ones as a list; the property counts as taken."""
        self.taken.add(iri)
        out: list[Any] = []
        for _, value, _ in self.properties.get(iri, []):
            out += [
                v for v in (value if isinstance(value, list) else [value]) if v not in (None, "")
            ]
        return out

    def text(self, iri: str) -> str:
        """The first value as text; an ``@value`` object is its value, a reference its id."""
        for value in self.values(iri):
            return plain_text(value)
        return ""

    def texts(self, iri: str) -> list[str]:
        return [plain_text(v) for v in self.values(iri)]

    def references(self, iri: str) -> list[str]:
        """Ids that a property refers to."""
        return [name for v in self.values(iri) if (name := id_of(v)) is not None]

    def line_of(self, iri: str) -> int:
        found = self.properties.get(iri)
        return found[0][2] if found else self.line

    def rest(self) -> dict[str, Any]:
        """What nobody took, by JSON name, and the id."""
        out: dict[str, Any] = {"@id": self.id}
        for iri, members in self.properties.items():
            for n, (name, value, _) in enumerate(members):
                # of two names with one meaning only the first was taken where one value is wanted
                if (iri not in self.taken or n) and value not in (None, "", []):
                    out[name] = plain(value)
        return out


def id_of(value: Any) -> str | None:
    """The ``@id`` of an object or of a reference; None when it has none that is text."""
    name = value.get("@id") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def plain_text(value: Any) -> str:
    """A value as text: an ``@value`` object is its value, a reference its id, null nothing."""
    if isinstance(value, dict):
        value = value.get("@value", value.get("@id", ""))
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else "" if value is None else str(value)


class Graph:
    """The entities of a crate by id, and what is to be said of the crate.

    ``file`` is what findings name.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.entities: dict[str, Entity] = {}

    def say(
        self,
        code: str,
        message: str,
        line: int | None = None,
        at: str | None = None,
        mend: str | None = None,
        file: str | None = None,
    ) -> None:
        self.findings.append(finding(code, message, file or self.file, line, at, mend))

    def read(self, nodes: list[Any], context: Any) -> None:
        """Take in the objects of ``@graph``, and judge what they refer to."""
        terms = self._context(context)
        for node in nodes:
            self._entity(node, terms)
        self._references()

    def referred(self, entity: Entity, iri: str) -> Iterator[Entity]:
        """The entities that a property refers to and that are there."""
        for name in entity.references(iri):
            if name in self.entities:
                yield self.entities[name]

    def reached(self, start: set[str]) -> set[str]:
        """Ids of all that references lead to from some, with these."""
        seen: set[str] = set()
        todo = [s for s in start if s in self.entities]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            for members in self.entities[name].properties.values():
                for _, value, _ in members:
                    for one in value if isinstance(value, list) else [value]:
                        if id_of(one) in self.entities:
                            todo.append(one["@id"])
        return seen

    def _context(self, context: Any) -> dict[str, str]:
        """JSON name -> compact IRI, from the crate's context over the profile's."""
        terms = {**MORE, **TERMS}
        parts = context if isinstance(context, list) else [context]
        prefixes = dict(PREFIXES)
        for part in parts:
            if isinstance(part, dict):
                for name, value in part.items():
                    if isinstance(value, str) and value.endswith(("/", "#")):
                        prefixes[name] = value
        for part in parts:
            if not isinstance(part, dict):
                continue
            for name, value in part.items():
                iri = value.get("@id") if isinstance(value, dict) else value
                if not isinstance(iri, str) or name.startswith("@"):
                    continue
                full = compact(expand(iri, prefixes))
                line = getattr(part, "lines", {}).get(name)
                known = TERMS.get(name)
                if known is not None and full != known:
                    self.say(
                        "CRATE_CONTEXT",
                        f"the context gives {name!r} the meaning {iri[:200]}, not {known}",
                        line,
                        f"@context.{name}",
                    )
                    continue  # read it as the profile means it
                if (
                    name in PREFIXES
                    and expand(iri, {}) != PREFIXES[name]
                    and iri.endswith(("/", "#"))
                ):
                    self.say(
                        "CRATE_CONTEXT",
                        f"the context gives the prefix {name!r} the meaning {iri[:200]}",
                        line,
                        f"@context.{name}",
                    )
                    continue
                terms[name] = full
        return terms

    def _entity(self, node: Any, terms: dict[str, str]) -> None:
        line = getattr(node, "line", None) or 1
        name = id_of(node)
        if name is None:
            self.say("CRATE_ID", "an object of the graph has no @id that is text", line)
            return
        if _BAD_IRI.search(name):
            self.say("CRATE_ID", f"the @id {name[:100]!r} is no valid IRI", line, "@id")
        if name in self.entities:
            self.say(
                "CRATE_ID_TWICE",
                f"the @id {name[:200]!r} is given twice, first in line {self.entities[name].line}",
                line,
                "@id",
            )
            return
        types = node.get("@type") or []
        types = [str(t) for t in (types if isinstance(types, list) else [types])]
        plain_types = [t.removeprefix("bia:").removeprefix("http://bia/") for t in types]
        classes = tuple(
            c for c, t in zip(plain_types, types, strict=True) if c != t and c in CLASSES
        )
        properties: dict[str, list[tuple[str, Any, int]]] = {}
        for key, value in node.items():
            if key in ("@id", "@type"):
                continue
            iri = terms.get(key) or compact(expand(key, PREFIXES))
            at = getattr(node, "lines", {}).get(key, line)
            properties.setdefault(iri if ":" in iri else f"schema:{iri}", []).append(
                (key, value, at)
            )
        entity = Entity(name, node, classes, properties, line)
        self.entities[name] = entity
        if len(classes) > 1:
            self.say(
                "CRATE_TYPE",
                f"{name[:100]} has {len(classes)} types of the profile: {', '.join(classes)}",
                line,
                "@type",
            )
        for iri in REQUIRED.get(entity.kind, ()):
            if iri not in properties or properties[iri][0][1] in (None, []):
                self.say(
                    "CRATE_FIELD",
                    f"{name[:100]} ({entity.kind}) lacks {iri.partition(':')[2]}",
                    line,
                    iri,
                )

    def _references(self) -> None:
        """Every reference points to an object of the right type."""
        for entity in self.entities.values():
            for iri, members in entity.properties.items():
                expected = EXPECTED.get(iri)
                for name, value, line in members:
                    for one in value if isinstance(value, list) else [value]:
                        self._reference(entity, iri, name, one, line, expected)

    def _reference(
        self, entity: Entity, iri: str, name: str, value: Any, line: int, expected: Any
    ) -> None:
        where = f"{entity.id}.{name}"
        if isinstance(value, str) and expected and iri != "schema:memberOf":
            self.say(
                "CRATE_REFERENCE_FORM",
                f"{name} of {entity.id[:100]} holds the text {value[:100]!r}, not a reference",
                line,
                where,
                f'Write {{"@id": {json.dumps(value[:100])}}}.',
            )
            return
        if id_of(value) is None:
            if isinstance(value, dict) and "@id" in value:
                self.say(
                    "CRATE_ID", f"{name} of {entity.id[:100]} has an @id that is no text", line,
                    where,
                )  # fmt: skip
            return
        target = self.entities.get(value["@id"])
        if _BAD_IRI.search(value["@id"]):
            self.say(
                "CRATE_ID", f"{name} of {entity.id[:100]} is no valid IRI: {value['@id'][:80]!r}",
                line, where,
            )  # fmt: skip
        if target is None:
            outside = re.match(r"[a-z][a-z0-9+.-]*:", value["@id"], re.I)
            if expected or (not outside and iri != "schema:license"):
                near = meant(value["@id"], self.entities)
                self.say(
                    "CRATE_REFERENCE_UNKNOWN",
                    f"{name} of {entity.id[:100]} refers to {value['@id'][:100]}, which is not in "
                    "the crate",
                    line,
                    where,
                    f"Did you mean {near}?" if near else None,
                )
            return
        if not expected or target.kind in expected:
            return
        if len(target.classes) > 1:
            return  # said already
        if target.kind:
            self.say(
                "CRATE_REFERENCE_TYPE",
                f"{name} of {entity.id[:100]} refers to {target.id[:100]}, which is "
                f"{target.kind}, not {' or '.join(expected)}",
                line,
                where,
            )
        else:
            self.say(
                "CRATE_TYPE",
                f"{target.id[:100]} has none of the profile's types ({name} of {entity.id[:100]} "
                f"wants {' or '.join(expected)})",
                target.line,
                "@type",
            )


def meant(name: str, known: Iterable[str]) -> str | None:
    """What of the known names was probably meant."""
    return nearest(name, list(known)[:5000])
