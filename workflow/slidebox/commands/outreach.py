"""For archive staff, before and after release: addresses for reviewers, DOIs."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

from slidebox.commands.common import (
    FINDINGS,
    FINE,
    CannotRun,
    Command,
    directory_option,
    load_config,
    user,
)


def register(command: Command) -> None:
    c = command(
        "review",
        review,
        "give out an address at which reviewers see an embargoed study, list them, take them back",
        "slidebox review SB-1 --create --until 2027-03-01\n"
        "slidebox review SB-1 --create --anonymous\n"
        "slidebox review SB-1 --list\nslidebox review SB-1 --revoke",
    )
    c.add_argument("accession", nargs="?", metavar="ACC", help="--list goes without: all studies")
    what = c.add_mutually_exclusive_group(required=True)
    what.add_argument("--create", action="store_true", help="a new address, and its pages")
    what.add_argument("--list", action="store_true", help="addresses given out, ended ones too")
    what.add_argument(
        "--revoke",
        nargs="?",
        const="",
        metavar="TOKEN",
        help="end all of the study's reviews, or this one",
    )
    c.add_argument("--until", metavar="DATE", help="YYYY-MM-DD: ends that day, 00:00 UTC")
    c.add_argument("--anonymous", action="store_true", help="without people, funding, affiliations")
    c.add_argument("--json", action="store_true", help="for scripts")
    directory_option(c)
    c = command(
        "doi",
        doi,
        "hand a study's DataCite metadata over for registration, record the DOI that it got",
        "slidebox doi SB-1 --export > datacite.json\nslidebox doi SB-1 --record 10.1234/sb-1",
    )
    c.add_argument("accession", metavar="ACC")
    what = c.add_mutually_exclusive_group(required=True)
    what.add_argument("--export", action="store_true", help="DataCite 4.5 JSON, on standard output")
    what.add_argument("--record", metavar="DOI", help="the next run puts it on pages and in crates")
    c.add_argument("--name", help="who records it (default: $SLIDEBOX_USER, else the login)")
    directory_option(c)


def review(a) -> int:
    from slidebox import publish
    from slidebox.ingest import review as room

    if a.accession is None and not a.list:
        raise CannotRun("name a study: slidebox review ACC ...")
    if not a.create and (a.until or a.anonymous):
        raise CannotRun("--until and --anonymous go with --create")
    config = load_config(a)
    try:
        if a.create:
            until = _date(a.until)
            shown = [room.create(config, a.accession, until=until, anonymous=a.anonymous)]
        elif a.list:
            shown = room.reviews(config, a.accession)
        else:
            tokens = room.revoke(config, a.accession, a.revoke or None)
            for line in publish.take_away(config, a.directory):
                print(line, file=sys.stderr)
            shown = [r for r in room.reviews(config, a.accession) if r["token"] in tokens]
    except room.NoReview as error:
        raise CannotRun(str(error)) from None
    base = (config.site.base_url or "").rstrip("/")
    for one in shown:
        one["url"] = f"{base}/review/{one['token']}/" if base else None
    if a.json:
        json.dump(shown, sys.stdout, indent=2)
        print()
        return FINE
    for one in shown:
        ends = f"until {one['until']}" if one["until"] else "until release"
        kind = ", anonymous" if one["anonymous"] else ""
        where = one["url"] or config.public / "review" / one["token"] / "index.html"
        state = f"ended {one['ended']}: {one['why']}" if one.get("ended") else f"{ends}{kind}"
        print(f"{one['accession']}  {where}  {state}")
    if a.create and base:
        print("Its pages are written; where public/ is published, publish again.", file=sys.stderr)
    return FINE if shown else FINDINGS


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise CannotRun(f"--until {text!r}: write YYYY-MM-DD") from None


def doi(a) -> int:
    from slidebox.catalogue.text import bare_doi
    from slidebox.ingest import curating
    from slidebox.record.curation import CurationError
    from slidebox.validate import identifiers

    config = load_config(a)
    if a.export:
        sys.stdout.write(_datacite(config, a.accession).read_text(encoding="utf-8"))
        if not config.site.base_url:
            said = "site.base_url is not set: the metadata has no url, which a registration needs"
            print(f"slidebox: {said}", file=sys.stderr)
        return FINE
    if wrong := identifiers.doi(a.record):
        raise CannotRun(f"{a.record!r} {wrong}")
    value, held = bare_doi(a.record), _recorded(config, a.accession)
    if held == value:
        print(f"{a.accession} has the DOI {value} already")
        return FINE
    if held:
        said = f"{a.accession} has the DOI {held}, and DOIs are for good"
        raise CannotRun(f"{said}; slidebox curate --set doi=... changes it all the same")
    try:
        path = curating.set_fields(
            config,
            a.accession,
            [("doi", value)],
            reason="registered with DataCite",
            name=a.name or user()[0],
        )
    except (CurationError, curating.NoStudy) as error:
        raise CannotRun(str(error)) from None
    print(f"wrote {path}; the next run of snakemake puts the DOI on pages, in crates and citations")
    return FINE


def _datacite(config, accession: str) -> Path:
    from slidebox.deposit import check_accession

    if not check_accession(accession):
        for root in (config.public, config.embargoed):
            if (path := root / accession / "datacite.json").is_file():
                return path
    raise CannotRun(f"{accession}: no sealed study of this name; slidebox status says where it is")


def _recorded(config, accession: str) -> str | None:
    """The DOI that the study has, by its curation or as submitted."""
    from slidebox.catalogue.text import bare_doi
    from slidebox.ingest import curating
    from slidebox.record import curation

    try:
        record = curating.submitted(config, accession)
        curated, _, _ = curation.apply(curation.read(config.curation, accession), record)
    except (curation.CurationError, curating.NoStudy) as error:
        raise CannotRun(str(error)) from None
    return bare_doi(curated.doi)
