"""For organisers and participants: score, and what begins a challenge."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from slidebox.commands.common import (
    CANNOT,
    FINDINGS,
    FINE,
    CannotRun,
    Command,
    directory_option,
    load_config,
    print_findings,
    progress,
    subcommand,
)


def register(command: Command) -> None:
    c = command(
        "score",
        score,
        "check predictions, then score them with the organiser's code",
        "slidebox score public/challenges/nuclei/1.0.0 predictions --split train\n"
        "slidebox score RELEASE predictions --check",
    )
    c.add_argument(
        "release", metavar="RELEASE", help="a released challenge: folder, ZIP or http(s) address"
    )
    c.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="folder, ZIP, COCO JSON or CSV"
    )
    c.add_argument("--split", help="which split (default: the one most predictions belong to)")
    c.add_argument("--check", action="store_true", help="only check, score nothing")
    c.add_argument("--out", type=Path, metavar="DIR", help="where scores and report go")
    c.add_argument("--private", type=Path, metavar="DIR", help="organisers: the hidden labels")
    c.add_argument("--json", type=Path, metavar="FILE", help="write findings and scores as JSON")
    c.add_argument(
        "--threads", type=int, default=1, metavar="N", help="images at a time (default: 1)"
    )
    c = command(
        "compare",
        compare,
        "say whether two scores differ: paired, by group",
        "slidebox compare scores-a scores-b",
    )
    c.add_argument("first", type=Path, metavar="SCORES", help="folder that score --out wrote")
    c.add_argument("second", type=Path, metavar="SCORES")
    c.add_argument("--json", action="store_true", help="for scripts")
    c = command(
        "challenge",
        None,
        "begin a challenge, release, check, export and end it; begin a prediction for one",
        "slidebox challenge init challenges/my-challenge --accession SB-1\n"
        "slidebox challenge template public/challenges/nuclei/1.0.0 predictions",
    )
    c.set_defaults(run=lambda a: _usage(c))
    kinds = c.add_subparsers(metavar="WHAT")

    def kind(name: str, run: Callable, help: str, example: str) -> argparse.ArgumentParser:
        return subcommand(kinds, name, run, help, f"slidebox challenge {name} {example}")

    k = kind(
        "init",
        init,
        "write a challenge's folder, with comments, to fill in",
        "challenges/my-challenge --accession SB-1 --task points",
    )
    k.add_argument(
        "folder", type=Path, metavar="DIR", help="where challenge.yaml goes; names the challenge"
    )
    k.add_argument(
        "--accession", help="a public study to begin from: its parts and fields are filled in"
    )
    k.add_argument(
        "--task",
        default="instance-segmentation",
        help="instance-segmentation (default; 2D or 3D), semantic-segmentation, tracking, points "
        "or restoration",
    )
    directory_option(k)
    k = kind(
        "release",
        release,
        "assemble and release what challenge.yaml says",
        "challenges/my-challenge",
    )
    k.add_argument("folder", type=Path, metavar="DIR", help="the challenge's folder")
    k.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")
    directory_option(k)
    k = kind(
        "reveal",
        reveal,
        "publish the hidden truth and the key of its commitment",
        "public/challenges/nuclei/1.0.0",
    )
    k.add_argument("release", type=Path, metavar="RELEASE")
    directory_option(k)
    k = kind(
        "verify",
        verify,
        "check a release: its files, revealed or private truth",
        "public/challenges/nuclei/1.0.0",
    )
    k.add_argument("release", type=Path, metavar="RELEASE")
    k.add_argument("--private", type=Path, metavar="DIR", help="organisers: the hidden labels")
    k = kind(
        "export",
        export,
        "the same challenge for CodaBench or grand-challenge",
        "public/challenges/nuclei/1.0.0 --codabench --out export",
    )
    k.add_argument("release", type=Path, metavar="RELEASE")
    k.add_argument("--codabench", action="store_true", help="a competition bundle (ZIP)")
    k.add_argument("--grand-challenge", action="store_true", help="an evaluation folder")
    k.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="default: here")
    k.add_argument("--split", help="the split to predict (default: the hidden or last one)")
    k.add_argument("--private", type=Path, metavar="DIR", help="default: the archive's private/")
    directory_option(k)
    k = kind(
        "template",
        template,
        "write a valid empty prediction",
        "public/challenges/nuclei/1.0.0 predictions",
    )
    k.add_argument("release", metavar="RELEASE", help="folder, ZIP or http(s) address")
    k.add_argument("predictions", type=Path, metavar="DIR")
    k.add_argument("--split", help="the split to predict (default: the test set)")


def export(a) -> int:
    from slidebox.challenge import bridges
    from slidebox.scoring import NotARelease

    private = a.private or load_config(a).private
    private = private if private.is_dir() else None
    made = []
    try:
        if a.codabench:
            made.append(bridges.codabench(a.release, a.out, private, a.split))
        if a.grand_challenge:
            made.append(bridges.grand_challenge(a.release, a.out, private, a.split))
    except (NotARelease, OSError) as error:
        raise CannotRun(str(error)) from None
    if not made:
        raise CannotRun("say which host: --codabench, --grand-challenge")
    for path in made:
        print(f"wrote {path}; it holds the truth of the split: keep it private")
    return FINE


def _usage(parser) -> int:
    parser.print_help()
    return CANNOT


def score(a) -> int:
    from slidebox.scoring import cli

    options = {"split": a.split, "check": a.check, "out": a.out, "private": a.private}
    return cli.run(a.release, a.predictions, **options, json_path=a.json, threads=a.threads)


def init(a) -> int:
    from slidebox import challenge

    archive = None
    if a.accession:
        config = load_config(a)
        archive = challenge.Archive(config.public, config.vault)
    try:
        path = challenge.init(
            a.folder, task=a.task, accession=a.accession or "ACCESSION", archive=archive
        )
    except (FileExistsError, ValueError) as error:
        raise CannotRun(str(error)) from None
    print(f"wrote {path}")
    print(f"Fill it in, then run: slidebox challenge release {a.folder}")
    return FINE


def release(a) -> int:
    from slidebox import challenge
    from slidebox.ingest import index

    config = load_config(a)
    made = challenge.release(
        a.folder,
        public=config.public,
        vault=config.vault,
        private=config.private,
        progress=progress("releasing"),
        threads=a.threads,
    )
    print_findings(made.findings)
    if made.ok:
        try:
            index.front(config)
        except ModuleNotFoundError as lacking:
            print(f"the site shows it after the next run of snakemake: {lacking.name} is missing")
        print(
            f"{made.slug} {made.version}: {'released' if made.new else 'stands'} in {made.folder}"
        )
    return FINE if made.ok else FINDINGS


def reveal(a) -> int:
    from slidebox import challenge
    from slidebox.scoring import NotARelease

    try:
        where = challenge.reveal(a.release, load_config(a).private)
    except (NotARelease, OSError) as error:
        raise CannotRun(str(error)) from None
    print(f"the truth and its key are in {where}; anyone can check the commitment with them")
    return FINE


def verify(a) -> int:
    from slidebox import challenge
    from slidebox.scoring import NotARelease

    try:
        findings, said = challenge.check_release(a.release, a.private)
    except (NotARelease, OSError, ValueError) as error:
        raise CannotRun(str(error)) from None
    print_findings(findings)
    for line in said:
        print(line)
    return FINDINGS if findings else FINE


def compare(a) -> int:
    from slidebox import scoring

    try:
        found = scoring.compare(a.first, a.second)
    except (scoring.CannotCompare, FileNotFoundError) as error:
        raise CannotRun(str(error)) from None
    if a.json:
        print(json.dumps(found.to_json(), indent=2))
        return FINE
    for m in found.metrics:
        low, high = m["interval"] or (float("nan"), float("nan"))
        print(
            f"{m['name']}: {m['a']:.4f} and {m['b']:.4f}, difference {m['difference']:+.4f} "
            f"({low:+.4f} to {high:+.4f}), p {m['p']:.3f}; second: {m['b_is']}"
        )
    return FINE


def template(a) -> int:
    from slidebox.scoring import cli

    return cli.run(a.release, a.predictions, split=a.split, template=True)
