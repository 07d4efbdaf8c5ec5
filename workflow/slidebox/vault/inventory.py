"""The inventory of an OCFL 1.1 object: what it says, read and written.

https://ocfl.io/1.1/spec/#inventory. Digests are sha512 in lower-case hex, fixity holds sha256.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from slidebox.vault import disk
from slidebox.vault.errors import Damaged, error

NAME = "inventory.json"
SIDECAR = "inventory.json.sha512"
DECLARATION = "0=ocfl_object_1.1"
DECLARATION_TEXT = b"ocfl_object_1.1\n"
TYPE = "https://ocfl.io/1.1/spec/#inventory"

State = dict[str, list[str]]


class BadInventory(Exception):
    """An inventory that is absent, isn't the one its sidecar names, or doesn't make sense."""


@dataclass
class Inventory:
    """An object's inventory.

    ``manifest``: sha512 -> content paths. ``versions``: "v1" -> its block, whose ``state`` is
    sha512 -> logical paths. ``sha256``: content path -> sha256 (the fixity block, turned around).
    """

    id: str
    head: int = 0
    manifest: dict[str, list[str]] = field(default_factory=dict)
    versions: dict[str, dict] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    other_fixity: dict[str, dict] = field(default_factory=dict)
    content_directory: str = "content"

    def state(self, version: int | None = None) -> State:
        """The state of a version (the head's when None); KeyError when there is none."""
        return self.versions[f"v{self.head if version is None else version}"]["state"]

    def paths(self, version: int | None = None) -> dict[str, str]:
        """logical path -> sha512 of a version."""
        return {path: digest for digest, paths in self.state(version).items() for path in paths}

    def content(self, digest: str) -> str:
        """The content path (the first one) of a digest."""
        return self.manifest[digest][0]

    def dump(self) -> Iterator[bytes]:
        """The JSON in pieces: a line a digest, so that large inventories need little memory."""
        quote = _quote
        yield b"{\n"
        yield f'  "id": {quote(self.id)},\n  "type": "{TYPE}",\n'.encode()
        yield b'  "digestAlgorithm": "sha512",\n'
        if self.content_directory != "content":
            yield f'  "contentDirectory": {quote(self.content_directory)},\n'.encode()
        yield f'  "head": "v{self.head}",\n'.encode()
        fixity: dict[str, list[str]] = {}
        for path in sorted(self.sha256):
            fixity.setdefault(self.sha256[path], []).append(path)
        blocks = {**self.other_fixity, **({"sha256": fixity} if fixity else {})}
        yield b'  "fixity": {'
        for number, (name, block) in enumerate(blocks.items()):
            yield (b"," if number else b"") + f"\n    {quote(name)}: ".encode()
            yield from _block(block, "    ")
        yield b'\n  },\n  "manifest": ' if blocks else b'},\n  "manifest": '
        yield from _block(self.manifest, "  ")
        yield b',\n  "versions": {'
        for number, (name, version) in enumerate(self.versions.items()):
            yield (b"," if number else b"") + f"\n    {quote(name)}: {{".encode()
            for key, value in version.items():
                if key != "state":
                    yield f"\n      {quote(key)}: {quote(value)},".encode()
            yield b'\n      "state": '
            yield from _block(version["state"], "      ")
            yield b"\n    }"
        yield b"\n  }\n}\n"

    def write(self, *folders: Path) -> str:
        """Write inventory and sidecar into folders, durably, made once; its sha512."""
        digest = hashlib.sha512()
        with contextlib.ExitStack() as stack:
            files = []
            for folder in folders:
                files.append(disk.create(folder / NAME))
                stack.callback(os.close, files[-1])
            buffer = bytearray()
            for piece in itertools.chain(self.dump(), [None]):
                buffer += piece or b""
                if piece is None or len(buffer) >= 1 << 20:
                    digest.update(buffer)
                    for fd in files:
                        disk.write(fd, buffer)
                    buffer = bytearray()
            for fd in files:
                disk.fsync(fd)
        for folder in folders:
            disk.put(folder / SIDECAR, sidecar(digest.hexdigest()))
        return digest.hexdigest()


def sidecar(digest: str) -> bytes:
    """The text of a sidecar file."""
    return f"{digest} {NAME}\n".encode()


def digest_in_sidecar(folder: Path) -> str:
    """The sha512 that a folder's sidecar promises; BadInventory when it can't be read."""
    try:
        text = (folder / SIDECAR).read_bytes()[:1000].decode("ascii", "replace").split()
    except OSError as error:
        raise BadInventory(f"{folder / SIDECAR}: {error.strerror}") from error
    if len(text) != 2 or text[1] != NAME or len(text[0]) != 128:
        raise BadInventory(f"{folder / SIDECAR}: not the digest of an inventory")
    return text[0].lower()


def load(folder: Path) -> Inventory:
    """The inventory in a folder, when it is the one that its sidecar promises.

    Raises BadInventory for anything else: nothing of a damaged inventory is believed.
    """
    promised = digest_in_sidecar(folder)
    where, digest = str(folder / NAME), hashlib.sha512()
    data, fault = None, None
    try:
        with (folder / NAME).open("rb") as handle:
            lines = _hashed(handle, digest)
            try:
                data = read_json(lines)
            except ValueError as error:
                fault = error
            for _ in lines:  # what a fault left unread counts too
                pass
    except OSError as error:
        raise BadInventory(f"{where}: {error.strerror}") from error
    if digest.hexdigest() != promised:
        raise BadInventory(f"{where}: doesn't have the digest that its sidecar promises")
    if fault is not None:
        raise BadInventory(f"{where}: {type(fault).__name__}: {fault}") from fault
    return _inventory(data, where)


def whole_inventory(folder: Path, accession: str) -> Inventory:
    """An object's inventory; when the root's is damaged, the last one that is whole.

    A reader that meets a version just being published sees the one before, or the new one.
    """
    try:
        return load(folder)
    except BadInventory as reason:
        first = reason
    numbers = sorted(
        (int(name[1:]) for name in os.listdir(folder) if name[:1] == "v" and name[1:].isdigit()),
        reverse=True,
    )
    for number in numbers:
        with contextlib.suppress(BadInventory):
            return load(folder / f"v{number}")
    raise Damaged(
        error(
            "INVENTORY_DAMAGED",
            f"{accession}: {first}, and no version has one that is whole",
            file=str(folder),
            mend=f"slidebox repair {accession}",
        )
    ) from first


def parse(raw: bytes, where: str) -> Inventory:
    """The inventory in JSON bytes; BadInventory when it doesn't make sense."""
    try:
        data = read_json(io.BytesIO(raw))
    except ValueError as error:
        raise BadInventory(f"{where}: {type(error).__name__}: {error}") from error
    return _inventory(data, where)


def _hashed(lines: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        yield line


_ENTRY = re.compile(rb'\s*"[0-9a-fA-F]{32,128}": \[.*\],?\s*')
_BLOCK = "lines of digests"  # stands in for them in the rest of the JSON
_LINES = 1000


def read_json(lines: Iterable[bytes]) -> Any:
    """The JSON in ``lines``; ValueError when it is none.

    Lines that hold a digest and its paths, as `Inventory.dump` writes them, are parsed as they
    come, and what is said twice is kept once: of a million files the text alone is half a gigabyte.
    JSON that is laid out otherwise is parsed whole.
    """
    rest: list[bytes] = []
    blocks: list[State] = []
    alike: dict[str, str] = {}
    lines = iter(lines)
    line = next(lines, None)
    while line is not None:
        if not _ENTRY.fullmatch(line):
            rest.append(line)
            line = next(lines, None)
            continue
        before, block = blocks[-1] if blocks else {}, {}
        comma = False
        while line is not None and _ENTRY.fullmatch(line):
            part: list[bytes] = []
            while line is not None and len(part) < _LINES and _ENTRY.fullmatch(line):
                part.append(line)
                line = next(lines, None)
            text = b"".join(part).decode().rstrip()
            comma = text.endswith(",")
            for key, paths in json.loads(f"{{{text.removesuffix(',')}}}", object_pairs_hook=list):
                old = before.get(key)
                block[alike.setdefault(key, key)] = (
                    old if old == paths else [alike.setdefault(path, path) for path in paths]
                )
        rest.append(f'"{_BLOCK}": {len(blocks)}{"," if comma else ""}\n'.encode())
        blocks.append(block)

    def whole(made: dict[str, Any]) -> dict[str, Any]:
        number = made.pop(_BLOCK, None)
        if number is None:
            return made
        return {**blocks[number], **made} if made else blocks[number]

    return json.loads(b"".join(rest).decode(), object_hook=whole)


def _inventory(data: Any, where: str) -> Inventory:
    try:
        head = data["head"]
        versions = data["versions"]
        inventory = Inventory(
            id=data["id"],
            head=int(head.removeprefix("v")),
            manifest=_lower(data["manifest"]),
            versions=versions,
            content_directory=data.get("contentDirectory", "content"),
        )
        for version in versions.values():
            version["state"] = _lower(version["state"])
        fixity = data.get("fixity", {})
        short = fixity.pop("sha256", {})
        while short:  # let go of one form while the other grows
            digest, paths = short.popitem()
            inventory.sha256.update(dict.fromkeys(paths, digest.lower()))
        inventory.other_fixity = fixity
        if data["type"] != TYPE or data["digestAlgorithm"] != "sha512":
            raise BadInventory(f"{where}: not an OCFL 1.1 inventory with sha512")
        if f"v{inventory.head}" not in versions:
            raise BadInventory(f"{where}: the head {head} is not among its versions")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInventory(f"{where}: {type(error).__name__}: {error}") from error
    return inventory


def _lower(block: dict[str, list[str]]) -> dict[str, list[str]]:
    """Digests in lower case, which they nearly always are."""
    if all(digest == digest.lower() for digest in block):
        return block
    return {digest.lower(): paths for digest, paths in block.items()}


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block(block: dict[str, list[str]], indent: str) -> Iterator[bytes]:
    """A JSON object of digest -> list of paths, a line an entry."""
    if not block:
        yield b"{}"
        return
    start = "{"
    for digest, paths in block.items():
        names = ", ".join(map(encode_basestring, paths))
        yield f'{start}\n{indent}  "{digest}": [{names}]'.encode()
        start = ","
    yield f"\n{indent}}}".encode()
