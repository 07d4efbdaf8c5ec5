"""``sitemap.xml``: a line a study; where one file can't hold them, an index of several.

https://www.sitemaps.org/protocol.html: at most 50,000 addresses and 50 MB a file, and as many
files in an index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

from slidebox import atomic

MOST = 1_000  # addresses a file: one more study changes a file
LARGEST = 50_000_000  # bytes
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def write_sitemap(accessions: Iterable[str], site_root: Path, site_url: str) -> None:
    """Write the sitemap of a site that will be at ``site_url``; its parts go beside it.

    ``accessions`` : the oldest first, so that a new study changes the last part alone.
    """
    base = site_url.rstrip("/")
    lines = [_line("url", f"{base}/")]
    lines += [_line("url", f"{base}/{quote(name)}/") for name in accessions]
    parts = list(_parts(lines))
    names = [f"sitemap-{number}.xml" for number in range(1, len(parts) + 1)]
    if len(parts) == 1:
        names = []
        _write(site_root / "sitemap.xml", "urlset", lines)
    else:
        for name, part in zip(names, parts, strict=True):
            _write(site_root / name, "urlset", part)
        index = [_line("sitemap", f"{base}/{name}") for name in names]
        _write(site_root / "sitemap.xml", "sitemapindex", index)
    for old in site_root.glob("sitemap-*.xml"):
        if old.name not in names:
            old.unlink()


def _line(element: str, address: str) -> str:
    return f"<{element}><loc>{escape(address)}</loc></{element}>\n"


def _parts(lines: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    left = LARGEST - 1000
    for line in lines:
        size = len(line.encode())
        if len(part) == MOST or size > left:
            yield part
            part, left = [], LARGEST - 1000
        part.append(line)
        left -= size
    yield part


def _write(path: Path, element: str, lines: list[str]) -> None:
    text = f"{_HEAD}<{element} {_SPACE}>\n{''.join(lines)}</{element}>\n"
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        atomic.write_text(path, text)
