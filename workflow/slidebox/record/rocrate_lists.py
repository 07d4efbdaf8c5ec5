"""The file lists of a crate: tables whose columns the crate describes (CSVW)."""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from urllib.parse import unquote

from .file_list import FileList, Row, parse_size, read_table
from .inside import NotInside
from .model import Record
from .rocrate_graph import Entity, meant
from .rocrate_parts import Parts
from .rocrate_terms import EXPECTED, compact


class Lists:
    """Reads the file lists of a crate from its folder (None: they aren't read).

    Attributes
    ----------
    files : the rows of all of them.
    """

    def __init__(self, parts: Parts, folder: Path | None) -> None:
        self.parts, self.folder = parts, folder
        self.graph, self.entities, self.say = parts.graph, parts.entities, parts.graph.say
        self.names, self.used = parts.names, parts.used
        self.files = FileList()

    def read(self, record: Record) -> set[str]:
        """Read the file lists; returns the ids that their rows refer to."""
        linked: set[str] = set()
        for one in self.entities.values():
            if one.kind != "FileList":
                continue
            self.used.add(one.id)
            columns: dict[str, str] = {}
            for schema in self.graph.referred(one, "csvw:tableSchema"):
                self.used.add(schema.id)
                for column in self.graph.referred(schema, "csvw:column"):
                    self.used.add(column.id)
                    url = compact(column.text("csvw:propertyUrl"))
                    columns[column.text("csvw:name")] = url
            for needed in ("bia:filePath", "schema:isPartOf"):
                if needed not in columns.values():
                    self.say(
                        "CRATE_COLUMN",
                        f"the file list {one.id[:100]} has no column with the property {needed}",
                        one.line,
                        "tableSchema",
                    )
            if self.folder is not None:
                self._list(one, columns, record, linked)
        return linked

    def _list(self, one: Entity, columns: dict[str, str], record: Record, linked: set[str]) -> None:
        file = one.id if os.path.isfile(self.folder / one.id) else unquote(one.id)
        file = file.removeprefix("./")
        try:
            rows = list(read_table(self.folder, file, self.graph.findings))
        except (NotInside, FileNotFoundError, PermissionError) as error:
            self.say(
                "FILE_LIST_MISSING",
                f"the file list {one.id[:200]} can't be read: {error}",
                one.line,
                "tableSchema",
                "Put the file list beside ro-crate-metadata.json under this name.",
            )
            return
        self.files.sources.append(file)
        if not rows:
            self.say("FILE_LIST_EMPTY", "the file list is empty", 1, file=file)
            return
        line, header = rows[0]
        for name in columns:
            if name not in header:
                self.say(
                    "CRATE_COLUMN",
                    f"the column {name!r} is described but is not in the list",
                    line,
                    name,
                    file=file,
                )
        urls = [columns.get(name, "") for name in header]
        if "bia:filePath" not in urls:
            return
        self._rows(file, header, urls, rows[1:], record, linked)

    def _rows(
        self,
        file: str,
        header: list[str],
        urls: list[str],
        rows: list[tuple[int, list[str]]],
        record: Record,
        linked: set[str],
    ) -> None:
        at = {url: i for i, url in reversed(list(enumerate(urls))) if url}
        paths = {cells[at["bia:filePath"]]: cells for _, cells in rows}
        labels: dict[str, str] = {}
        if "schema:name" in at:
            for path, cells in paths.items():
                labels.setdefault(cells[at["schema:name"]], path)
        checked: dict[tuple[str, str], str | None] = {}
        derived: dict[str, set[tuple[str, ...]]] = {}
        for line, cells in rows:
            row = Row(cells[at["bia:filePath"]], file=file, line=line)
            row.attributes = {
                header[i]: c
                for i, c in enumerate(cells)
                if c and urls[i] not in ("bia:filePath", "schema:isPartOf", "bia:sizeInBytes")
            }
            refs: list[str] = []
            for i, url in enumerate(urls):
                if not cells[i]:
                    continue
                if url == "bia:sizeInBytes":
                    row.size = parse_size(cells[i])
                    if row.size is None:
                        message = f"{cells[i][:40]!r} is no number of bytes"
                        self.say("FILE_LIST_SIZE", message, line, header[i], file=file)
                elif url == "schema:isPartOf":
                    self._pointed(cells[i], url, ("Dataset",), checked, file, line, header[i])
                    linked.add(cells[i])
                    row.part = self.names.get(cells[i], cells[i])
                elif url == "bia:associatedSourceImage":
                    sources = _cells(cells[i])
                    self._sources(sources, paths, at, file, line, header[i])
                    row.source_image = sources[0] if sources else ""
                elif url == "bia:sourceImageLabel":
                    found = [labels[s] for s in _cells(cells[i]) if s in labels]
                    row.source_image = row.source_image or (found[0] if found else "")
                elif url in EXPECTED:
                    for one in _cells(cells[i]):
                        self._pointed(one, url, EXPECTED[url], checked, file, line, header[i])
                        linked.add(one)
                        refs.append(one)
            if refs and row.part:
                derived.setdefault(row.part, set()).add(tuple(refs))
            self.files.rows.append(row)
        self._associate(record, derived)

    def _pointed(
        self,
        name: str,
        url: str,
        expected: tuple[str, ...],
        checked: dict[tuple[str, str], str | None],
        file: str,
        line: int,
        column: str,
    ) -> None:
        """A cell's reference, judged once for each id and column."""
        if (url, name) in checked:
            code = checked[url, name]
        else:
            target = self.entities.get(name)
            code = None
            if target is None:
                code = "CRATE_REFERENCE_UNKNOWN"
            elif target.kind not in expected:
                code = "CRATE_REFERENCE_TYPE"
            checked[url, name] = code
        if code == "CRATE_REFERENCE_UNKNOWN":
            near = meant(name, self.entities)
            self.say(
                code,
                f"{name[:100]} is not in the crate",
                line,
                column,
                f"Did you mean {near}?" if near else None,
                file=file,
            )
        elif code:
            kind = self.entities[name].kind or "of none of the profile's types"
            message = f"{name[:100]} is {kind}, not {' or '.join(expected)}"
            self.say(code, message, line, column, file=file)

    def _sources(
        self,
        sources: list[str],
        paths: dict[str, list[str]],
        at: dict[str, int],
        file: str,
        line: int,
        column: str,
    ) -> None:
        typed = at.get("rdf:type")
        for source in sources:
            cells = paths.get(source)
            if cells is None:
                near = meant(source, paths)
                self.say(
                    "SOURCE_UNKNOWN",
                    f"the source image {source[:200]!r} is not in the file list",
                    line,
                    column,
                    f"Did you mean {near}?" if near else None,
                    file=file,
                )
            elif typed is None or compact(cells[typed]) != "bia:Image":
                said = cells[typed] if typed is not None else ""
                self.say(
                    "CRATE_SOURCE_TYPE",
                    f"the source image {source[:200]!r} has the type {said or 'none'}, not "
                    "http://bia/Image",
                    line,
                    column,
                    file=file,
                )

    def _associate(self, record: Record, derived: dict[str, set[tuple[str, ...]]]) -> None:
        """Associations that only the rows tell, for components that tell none themselves."""
        for component in record.study_components:
            if component.associations:
                continue
            for refs in sorted(derived.get(component.name, ())):
                stand_in = Entity(
                    "", {}, (), {"bia:associatedSubject": [("", [{"@id": r} for r in refs], 0)]}, 0
                )
                component.associations += self.parts.associations(stand_in)


def _cells(cell: str) -> list[str]:
    """Several values of one cell: ``["a", "b"]``, ``['a', 'b']`` or ``a,b``."""
    text = cell.strip()
    if text.startswith("[") and text.endswith("]"):
        return [
            a or b or c.strip()
            for a, b, c in re.findall(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([^,\[\]]+))", text)
            if (a or b or c.strip())
        ]
    return [c.strip() for c in text.split(",") if c.strip()]
