"""For archive staff: bring a bucket or a folder up to date with what is public."""

from __future__ import annotations

import json
from pathlib import Path

from slidebox.commands.common import (
    FINDINGS,
    FINE,
    CannotRun,
    Command,
    directory_option,
    load_config,
    print_findings,
    progress,
)


def register(command: Command) -> None:
    c = command(
        "publish",
        publish,
        "bring the bucket or folder of `publish.to` up to date with what is public",
        "slidebox publish\nslidebox publish --to s3://bucket/prefix --endpoint https://host:port\n"
        "slidebox publish --delete\nslidebox publish --evict\n"
        "slidebox publish --bring-back SB-1\nslidebox publish --cors\n"
        "slidebox publish --map /etc/slidebox",
    )
    c.add_argument("--to", metavar="PLACE", help="s3://bucket/prefix or a folder")
    c.add_argument("--endpoint", metavar="URL", help="of an S3 server other than Amazon's")
    c.add_argument(
        "--delete", action="store_true", help="also delete what nothing refers to any more"
    )
    c.add_argument(
        "--check", action="store_true", help="ask what is there instead of believing the ledger"
    )
    c.add_argument(
        "--evict",
        action="store_true",
        help="then drop derived images from this disk that are proven to be there",
    )
    other = c.add_mutually_exclusive_group()
    other.add_argument("--bring-back", metavar="ACC", help="download evicted images again")
    other.add_argument("--cors", action="store_true", help="print the CORS rules for a bucket")
    other.add_argument(
        "--map",
        type=Path,
        metavar="FOLDER",
        help="write the map of originals for Caddy and nginx, which then serve them from the vault",
    )
    directory_option(c)


def publish(a) -> int:
    from slidebox import publish as room
    from slidebox.publish import everywhere, evict, headers, maps

    if a.cors:
        print(json.dumps(headers.CORS_RULES, indent=2))
        return FINE
    config = load_config(a)
    changes = {"endpoint": a.endpoint} if a.endpoint else {}
    to = [a.to] if a.to else [_from(a.directory, place) for place in config.publish.to]
    settings = type(config.publish).model_validate(
        {**config.publish.model_dump(), **changes, "to": to}
    )
    config = config.model_copy(update={"publish": settings})
    try:
        if a.map:
            done = maps.write(config, a.map)
            print(f"{done.files} files of {done.studies} studies in {a.map}; reload the web server")
            return FINE
        if a.bring_back:
            back = evict.bring_back(config, a.bring_back)
            print("\n".join(evict.lines(back, "brought back")))
            return FINE
        return _publish(a, config, everywhere, evict)
    except room.PublishError as error:
        raise CannotRun(str(error)) from None


def _publish(a, config, everywhere, evict) -> int:
    everywhere.prepare(config)
    tell = progress("publishing")
    outcomes = everywhere.publish(config, delete=a.delete, check=a.check, progress=tell)
    wrong = False
    for outcome in outcomes:
        print("\n".join(everywhere.lines(outcome)))
        print_findings(f for f in outcome.findings if f.severity == "error")
        wrong = wrong or any(f.severity == "error" for f in outcome.findings)
    if (a.evict or config.publish.evict) and not wrong:
        done = evict.evict(config)
        print("\n".join(evict.lines(done)))
        wrong = bool(done.findings)
    return FINDINGS if wrong else FINE


def _from(directory: Path, place: str) -> str:
    """A folder of the configuration, seen from here."""
    return place if place.startswith("s3://") else str(directory / place)
