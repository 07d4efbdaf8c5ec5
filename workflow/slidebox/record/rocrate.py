"""The BioImage Archive's RO-Crate profile to the record.

Properties are understood by their IRI, so that a crate may use any JSON name that its context
gives that meaning; names of the profile may not be given another one. What has no field in the
model stays in ``extra``: of the part that the entity became, or, for entities that became none,
under ``entities`` of the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..findings import Finding
from . import json_lines
from .codes import finding
from .file_list import FileList
from .json_lines import BadJson, plain
from .model import Record
from .positions import Positions
from .rocrate_graph import Entity, Graph, id_of
from .rocrate_lists import Lists
from .rocrate_parts import Parts

NAME = "ro-crate-metadata.json"


@dataclass
class Crate:
    """What a crate gave: record, where its fields stand, files of its lists, findings."""

    record: Record | None
    where: Positions
    files: FileList = field(default_factory=FileList)
    findings: list[Finding] = field(default_factory=list)


def loads(text: str, folder: Path | None = None, file: str = NAME) -> Crate:
    """Read a crate's metadata and, with a folder, the file lists that it names."""
    where = Positions(file)
    try:
        tree, twice = json_lines.loads(text)
    except BadJson as error:
        return Crate(None, where, findings=[finding("JSON_SYNTAX", str(error), file, error.line)])
    graph = Graph(file)
    for name, line in twice:
        graph.say("FIELD_TWICE", f"{name!r} is given twice in one object", line)
    crate = Crate(None, where, findings=graph.findings)
    nodes = tree.get("@graph") if isinstance(tree, dict) else None
    if not isinstance(nodes, list):
        graph.say("RECORD_EMPTY", "the crate has no @graph", 1)
        return crate
    graph.read(nodes, tree.get("@context"))
    root = _root(graph)
    parts, record = Parts(graph, where), Record()
    parts.fill(record, root)
    lists = Lists(parts, folder)
    linked = lists.read(record)
    _reach(graph, root, linked)
    _leftovers(parts, record, nodes)
    crate.record, crate.files = record, lists.files
    return crate


def _root(graph: Graph) -> Entity | None:
    """The entity of the study; it is said when there is none."""
    root = graph.entities.get("./")
    if root is None or "Study" not in root.classes:
        graph.say(
            "CRATE_ROOT",
            "the crate has no root './' of the type bia:Study",
            root.line if root else 1,
            mend="Give the root entity './' the types Dataset and bia:Study.",
        )
    return root


def _reach(graph: Graph, root: Entity | None, linked: set[str]) -> None:
    """Objects that nothing leads to are probably a mistake; the lists lead to some."""
    seen = graph.reached({root.id} if root else set())
    by_list = graph.reached(linked)
    for one in graph.entities.values():
        if one.id in seen or one.id == NAME or "FileList" in one.classes:
            continue
        if one.id in by_list:
            if one.id in linked and one.kind != "Dataset":
                graph.say(
                    "CRATE_BY_LIST",
                    f"{one.id[:100]} is referred to by the file list only",
                    one.line,
                )
        elif one.classes:
            graph.say("CRATE_ORPHAN", f"nothing in the crate refers to {one.id[:100]}", one.line)


def _leftovers(parts: Parts, record: Record, nodes: list[Any]) -> None:
    """Objects that became no part of the record are kept as they are."""

    def is_left(node: Any) -> bool:
        name = id_of(node)
        one = parts.graph.entities.get(name)
        if one is not None and one.node is not node:  # its @id is given twice
            return True
        return name != NAME and name not in parts.used

    rest = [plain(node) for node in nodes if is_left(node)]
    if rest:
        record.extra["entities"] = rest
