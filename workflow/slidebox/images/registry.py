"""Which reader reads what: one row a format (``formats.tsv``), one module a family. The table in
the docs is made here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .model import ImageFile, UnreadableImage, machines_fault


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: how it is recognised and which module of ``readers`` opens it.

    A row of ``formats.tsv``. ``magic`` are (offset, bytes) of which one must be there; a format
    without magic goes by name.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    module: str
    package: str
    magic: tuple[tuple[int, bytes], ...]
    series: str
    plates: str
    metadata: str
    tried: str


def _row(name, title, names, module, package, magic, *facts: str) -> Format:
    pairs = (item.split(":") for item in magic.split())
    found = tuple((int(offset), bytes.fromhex(value)) for offset, value in pairs)
    return Format(name, title, tuple(names.split()), module, package, found, *facts)


def _table() -> tuple[Format, ...]:
    lines = Path(__file__).with_name("formats.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(_row(*line.split("\t")) for line in lines[1:])


# The first that fits by extension (the longest) and magic wins.
FORMATS = _table()


def can_read(path: str | os.PathLike) -> str | None:
    """The format's name if this file looks like one that can be read, else None. Parses nothing.

    The first bytes are looked at where the file exists, so that a table called ``x.map`` or an HTML
    page called ``x.tif`` isn't taken for an image.
    """
    path = Path(path)
    found = by_name(path.name)
    head = _head(path)
    if head is None:
        return found[0].name if found else None
    for fmt in found:
        if not fmt.magic or _has(head, fmt.magic):
            return fmt.name
    if found:  # named like an image, but isn't one: leave it to open_image to say why
        others = [f for f in FORMATS if f.magic and _has(head, f.magic)]
        return others[0].name if others and others[0].module == found[0].module else found[0].name
    return None


def open_one(path: Path, name: str | None = None) -> ImageFile:
    """Open a single file (or folder) by its reader, without looking for its neighbours."""
    name = name or can_read(path)
    if name is None:
        raise UnreadableImage(
            f"no reader knows the format of {path.suffix or 'a file without extension'!r}",
            file=str(path),
        )
    fmt = format_named(name)
    extra = "bioformats" if fmt.module == "bioformats" else "readers"
    try:
        module = importlib.import_module(f".readers.{fmt.module}", __package__)
        opener: Callable[[Path, str], ImageFile] = module.open_file
    except ImportError as error:
        raise UnreadableImage(
            f"reading {fmt.title} needs {fmt.package}: "
            f'pip install ".[{extra}]" in Slidebox\'s source ({error})',
            file=str(path),
        ) from error
    try:
        image = opener(path, fmt.name)
    except UnreadableImage as error:
        error.file = error.file or str(path)
        raise
    except Exception as error:
        if machines_fault(error):
            raise
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UnreadableImage(f"not a readable {fmt.title} ({said})", file=str(path)) from error
    if not image.series:
        image.close()
        raise UnreadableImage("the file holds no image", file=str(path))
    for series in image.series:
        series.file = series.file or str(path)
    return image


def format_named(name: str) -> Format:
    return next(f for f in FORMATS if f.name == name)


@functools.cache
def version(package: str) -> str:
    """Version of an installed distribution, or ``?``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def by_name(name: str) -> list[Format]:
    """Formats whose files are named so, the longest extension first."""
    name = name.lower()
    found = [
        (max(len(e) for e in f.extensions if name.endswith(e)), f)
        for f in FORMATS
        if name.endswith(f.extensions)
    ]
    return [f for _, f in sorted(found, key=lambda item: -item[0])]


def _head(path: Path) -> bytes | None:
    try:
        with path.open("rb") as handle:
            return handle.read(4096)
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        raise UnreadableImage(f"can't be opened: {error}", file=str(path)) from error


def _has(head: bytes, magic: tuple[tuple[int, bytes], ...]) -> bool:
    return any(head[n : n + len(m)] == m for n, m in magic)


# ---------------------------------------------------------------- the table in the docs

BEGIN, END = "<!-- formats: made by slidebox.devel -->", "<!-- end of formats -->"


def table() -> str:
    """The formats as a Markdown table."""
    lines = [
        "| Format | Names | Reader | Images in a file | Plates | Metadata read | Tried on |",
        "|---|---|---|---|---|---|---|",
    ]
    for f in FORMATS:
        names = " ".join(f"`{e}`" for e in f.extensions) or "by pattern"
        cells = (f.title, names, f.package, f.series, f.plates, f.metadata, f.tried)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_table(page: Path) -> None:
    """Put the table into a page, between its two marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
