"""Derived images leave the local disk once a target is proven to hold them; and come back.

Proof: every file of the image is read here and the target lists an object of its size and digest
now. Where a target's digests say nothing (encryption with a key of its own), the object is read
back. Originals stay in the vault; thumbnails, pages and tables stay under ``public/``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from slidebox import atomic
from slidebox.catalogue import evicted
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.images.checksum import tree_checksum
from slidebox.ingest import queue
from slidebox.ingest.paths import Stages, now, read_json
from slidebox.publish.ledger import Ledger
from slidebox.publish.target import Held, PublishError, Target
from slidebox.publish.targets import ledger_of, target_of


@dataclass
class Evicted:
    """What left the disk, or came back."""

    images: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


def lines(done: Evicted, what: str = "evicted") -> list[str]:
    """The same in words."""
    said = [f"{f.severity}: {f.message}" for f in done.findings]
    return [*said, f"{done.images} images {what} ({done.bytes:,} bytes)"]


def evict(config: Config) -> Evicted:
    """Take images off the disk that the first target holds in full.

    Only studies that were published in full are looked at. An image that can't be proven stays, and
    a finding says why.
    """
    to = config.publish.to[0]
    target, done = target_of(config, to), Evicted()
    ledger = Ledger(ledger_of(config, to))
    try:
        for prefix in ledger.trees():
            store = config.public / prefix.rstrip("/")
            if not store.is_dir():
                continue
            held = _proven(target, store, prefix)
            if held is None:
                done.findings.append(_unproven(target, prefix))
                continue
            _leave(config, target, to, store, prefix, held)
            done.images += 1
            done.bytes += sum(one.size for one in held)
    finally:
        ledger.close()
    return done


def _proven(target: Target, store: Path, prefix: str) -> list[Held] | None:
    """What the target holds of an image when it is all there and the same, else None."""
    there = {one.key: one for one in target.list(prefix)}
    files = {f"{prefix}{path}": store / path for path in _files(store)}
    if files.keys() - there.keys():
        return None
    for key, path in files.items():
        size = path.stat().st_size
        with path.open("rb") as file:
            if size != there[key].size:
                return None
            if target.etag_of(file, size) != there[key].etag:
                file.seek(0)
                if not _reads_the_same(target, key, file):
                    return None
    return [there[key] for key in sorted(files)]


def _reads_the_same(target: Target, key: str, file) -> bool:
    digest = hashlib.sha256()
    for block in target.read(key):
        digest.update(block)
    return digest.digest() == hashlib.file_digest(file, "sha256").digest()


def _files(store: Path) -> Iterator[str]:
    for parent, _, names in os.walk(store):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), store)


def _leave(config, target, to, store: Path, prefix: str, held: list[Held]) -> None:
    """Mark, then receipt, then away: killed in between, the image is still there or known."""
    digest, _, _ = tree_checksum(store)
    place = prefix.rstrip("/")
    url = f"{config.publish.url.rstrip('/')}/{place}" if config.publish.url else None
    mark = {
        "to": to,
        "address": target.address(place),
        "url": url,
        "objects": len(held),
        "bytes": sum(one.size for one in held),
        "tree": digest,
        "listing": evicted.listing_digest(held),
        "evicted": now(),
    }
    atomic.write_json(evicted.mark_path(store), mark)
    _note(config, prefix, mark["address"])
    away = store.with_name(f".{store.name}.{atomic.owner()}.tmp")
    os.rename(store, away)
    shutil.rmtree(away)


def _note(config: Config, prefix: str, address: str | None) -> None:
    """Write the address of an image into its study's receipts, or take it out (None)."""
    accession, _, name = prefix.rstrip("/").split("/")
    identifier, derivation = name.removesuffix(".ome.zarr").rsplit(".", 1)
    for found, key in queue.receipts(config):
        if found != accession:
            continue
        path = Stages(config, accession, key).receipt
        receipt, times = read_json(path), path.stat()
        for image in receipt["images"]:
            alone = (image["id"], image["derivation"]) == (identifier, derivation)
            if alone or image.get("plate_zarr") == f"images/{name}":
                image.pop("address", None)
                if address:
                    image["address"] = address
        atomic.write_json(path, receipt)
        # Nothing was made anew: publication and Snakemake go by the time.
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _unproven(target: Target, prefix: str) -> Finding:
    return Finding(
        "EVICT_UNPROVEN",
        "warning",
        f"{prefix} stays: {target} does not hold all of it as it is here",
        file=prefix,
        mend="slidebox publish --check sends what is missing",
    )


def bring_back(config: Config, accession: str) -> Evicted:
    """Download a study's evicted images again, each verified by the checksum of its tree."""
    done = Evicted()
    folder = config.public / accession / "images"
    for path in sorted(folder.glob(f"*{evicted.SUFFIX}")):
        mark = json.loads(path.read_text(encoding="utf-8"))
        store = path.with_name(path.name.removesuffix(evicted.SUFFIX) + ".ome.zarr")
        if not store.is_dir():
            target = target_of(config, mark["to"])
            partial = store.with_name(f".{store.name}.{atomic.owner()}.tmp")
            shutil.rmtree(partial, ignore_errors=True)
            _download(config, target, f"{accession}/images/{store.name}/", partial)
            digest, _, size = tree_checksum(partial)
            if digest != mark["tree"]:
                shutil.rmtree(partial)
                raise PublishError(
                    f"{mark['address']}: its tree checksum is {digest} instead of {mark['tree']}; "
                    f"remove {path} and run slidebox rebuild {accession} to derive it again"
                )
            os.rename(partial, store)
            done.images += 1
            done.bytes += size
        path.unlink()
        _note(config, f"{accession}/images/{store.name}/", None)
    return done


def _download(config: Config, target: Target, prefix: str, folder: Path) -> None:
    def one(key: str) -> None:
        path = folder / key[len(prefix) :]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for block in target.read(key):
                out.write(block)

    keys = [held.key for held in target.list(prefix)]
    with ThreadPoolExecutor(config.publish.threads) as pool:
        list(pool.map(one, keys))
