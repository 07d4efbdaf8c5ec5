"""The map from an original's address to its bytes in the vault, for Caddy and nginx.

A web server beside the vault needs no second copy: the map names exactly the files that the
studies' public lists name, so nothing restricted can be had. One file a study and server; only what
differs is written. A study that is no longer public loses its map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slidebox import atomic
from slidebox.catalogue import listing
from slidebox.config import Config
from slidebox.ingest import index
from slidebox.vault import Damaged, NotFound, Vault

SERVERS = {"nginx": ".map", "caddy": ".caddy"}


@dataclass
class Mapped:
    """What was mapped."""

    studies: int = 0
    files: int = 0


def write(config: Config, folder: Path) -> Mapped:
    """Write ``folder/{nginx,caddy}/<accession>.*`` for every public study."""
    done, vault, kept = Mapped(), Vault(config.vault), set()
    for path in index.public_studies(config):
        accession = path.parent.name
        rows = list(_rows(vault, path.parent, accession))
        kept.add(accession)
        done.studies += 1
        done.files += len(rows)
        _put(folder / "nginx" / f"{accession}.map", [_nginx(*row) for row in rows])
        _put(folder / "caddy" / f"{accession}.caddy", [_caddy(*row) for row in rows])
    for server, suffix in SERVERS.items():
        for old in (folder / server).glob(f"*{suffix}"):
            if old.name.removesuffix(suffix) not in kept:
                old.unlink()
    return done


def _rows(vault: Vault, study: Path, accession: str) -> Iterator[tuple[str, str]]:
    """(address, path below the vault) of each listed file."""
    listed: dict[int, set[str]] = {}
    for table in [study / "files.tsv", *study.glob("v[0-9]*/files.tsv")]:
        for row in listing.read_table(table) if table.is_file() else ():
            listed.setdefault(row["version"], set()).add(row["path"])
    root = vault.root.path
    for version, paths in sorted(listed.items()):
        for path in sorted(paths):
            try:
                content = vault.file(accession, path, version).content
            except (NotFound, Damaged):
                continue  # deleted for good, or to be repaired: it can't be served
            yield f"/{accession}/files/v{version}/{path}", content.relative_to(root).as_posix()


def _nginx(address: str, place: str) -> str:
    # `geo $dollar` in the example configuration: nginx has no other way to write the sign.
    source = address.replace("\\", "\\\\").replace('"', '\\"')
    target = place.replace("$", "${dollar}")
    return f'"{source}" "/{target}";\n'


def _caddy(address: str, place: str) -> str:
    # In backticks everything is itself; in quotes only a quote is escaped.
    source = '"' + address.replace('"', '\\"') + '"' if "`" in address else f"`{address}`"
    return f'{source} "/{place}"\n'


def _put(path: Path, lines: list[str]) -> None:
    text = "".join(lines)
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        atomic.write_text(path, text)
