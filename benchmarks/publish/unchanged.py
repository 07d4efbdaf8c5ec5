"""What a publication costs that has nothing to send: python benchmarks/publish/unchanged.py [N].

Makes N studies (2,000) of one small page each in a temporary folder, publishes them to another,
then publishes again with nothing new, and with one study changed. Prints CPU seconds, the ratio to
the floor (one `stat` of each study's folder and receipt), and peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from slidebox import config, publish


def make(base: Path, number: int) -> None:
    receipts = base / "results" / "receipts"
    receipts.mkdir(parents=True)
    for n in range(number):
        name = f"S-{n}"
        folder = base / "public" / name
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(f"<p>{name}</p>")
        facts = {"accession": name, "key": "0" * 12, "status": "accepted", "version": 1}
        facts |= {
            "where": "public",
            "images": [],
            "files": 1,
            "bytes": 10,
            "sealed": "2026-01-01T00:00:00Z",
        }
        (receipts / f"{name}~000000000000.json").write_text(json.dumps(facts))


def cpu(work) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        make(base, number)
        paths = {k: str(base / k) for k in ("inbox", "vault", "public", "results", "private")}
        settings = config.load({**paths, "publish": {"to": str(base / "out")}})
        first = cpu(lambda: publish.publish(settings))

        def floor() -> None:
            for folder in ("public", "results/receipts"):
                with os.scandir(base / folder) as scan:
                    for entry in scan:
                        entry.stat()

        least, again = cpu(floor), cpu(lambda: publish.publish(settings))
        page = base / "public" / "S-7" / "index.html"
        page.with_name("new").write_text("changed")
        os.replace(page.with_name("new"), page)
        changed = cpu(lambda: publish.publish(settings))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{number} studies: first {first:.2f}, nothing new {again:.2f}, one changed {changed:.2f}"
    )
    print(f"nothing new / floor: {again / least:.1f} ({least:.2f} CPU s); peak {peak:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
