"""What of a study everyone may see: never its restricted parts, nor what tells of them.

A part with ``access: restricted`` (the hidden truth of a challenge) is in the vault only. Its
files, its name, and the files that list them (study.yaml, files.tsv and whatever else no public
part claims) stay out of everything that is handed to the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

PARTS = ("study_components", "annotation_sets")
FREE_TEXT = ("title", "description", "keywords", "acknowledgements", "funding_statement")
ABOUT = ("part", "role", "source_image")


class Visible:
    """The line between public and restricted in one version of a study.

    Parameters
    ----------
    record : the record, with all its parts.
    filesets : the filesets of filesets.json.
    """

    def __init__(self, record: dict[str, Any], filesets: Iterable[dict[str, Any]]) -> None:
        self.names = {
            part["name"]
            for kind in PARTS
            for part in record.get(kind) or []
            if part.get("access") == "restricted"
        }
        self.rows: dict[str, dict[str, Any]] = {}
        self.hidden: set[str] = set()
        alike: dict[tuple, dict[str, Any]] = {}  # few are different: a million files share them
        for fileset in filesets:
            about = {key: fileset[key] for key in ABOUT}
            about = alike.setdefault(tuple(about.values()), about)
            for file in fileset["files"]:
                if fileset["access"] == "public":
                    self.rows[file["path"]] = about
                else:
                    self.hidden.add(file["path"])
        self._record = record

    @property
    def restricted(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self.names or self.hidden)

    def file(self, path: str) -> bool:
        """Whether a file may be listed and served."""
        return path not in self.hidden and (path in self.rows or not self.restricted)

    def files(self, files: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The public ones of some file rows, with their part, role and source image."""
        unlisted = {"part": None, "role": "other", "source_image": None}
        for file in files:
            if self.file(file["path"]):
                yield {**file, **self.rows.get(file["path"], unlisted)}

    def record(self) -> dict[str, Any]:
        """The record without restricted parts and without whatever names them or their files."""
        return {
            key: value if key in FREE_TEXT else self._without(value)
            for key, value in self._record.items()
        }

    def _without(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._without(item) for item in value if not self._tells(item)]
        if isinstance(value, dict):
            return {k: self._without(v) for k, v in value.items() if not self._tells(v)}
        return value

    def _tells(self, value: Any) -> bool:
        if isinstance(value, dict):
            if value.get("access") == "restricted":
                return True
            return value.get("part") in self.names or value.get("name") in self.names
        return isinstance(value, str) and (value in self.names or value in self.hidden)

    def text(self, *texts: str | None) -> bool:
        """Whether words may be shown: they name no restricted part or file."""
        said = " ".join(text for text in texts if text)
        if any(name in said for name in self.names):
            return False
        # A list of hidden files may be long: look for the words of the text in it, not the reverse.
        words = said.replace("'", " ").replace('"', " ").replace(",", " ").split()
        return self.hidden.isdisjoint(words) and self.hidden.isdisjoint(texts)

    def decision(self, entry: dict[str, Any]) -> bool:
        """Whether a curator's entry may be shown.

        Beside restricted parts, what changes a part or waives a finding for some files is not: its
        words, values and patterns may be about them.
        """
        if not self.restricted:
            return True
        about_part = str((entry.get("set") or {}).get("field", "")).startswith((*PARTS, "extra"))
        some_files = bool((entry.get("waive") or {}).get("path"))
        return not (about_part or some_files) and self.text(json.dumps(entry, ensure_ascii=False))

    def findings(self, findings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Warnings and errors about public files that name nothing restricted."""
        return [
            f
            for f in findings
            if f["severity"] != "info"
            and (f["file"] is None or self.file(f["file"]))
            and self.text(f["message"], f["field"], f["mend"])
        ]
