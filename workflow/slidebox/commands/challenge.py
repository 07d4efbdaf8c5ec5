"""For organisers and participants: score, and what begins a challenge."""

from __future__ import annotations

from pathlib import Path

from slidebox.commands.common import CANNOT, FINE, CannotRun, Command


def register(command: Command) -> None:
    c = command(
        "score",
        score,
        "check predictions, then score them with the organiser's code",
        "slidebox score public/challenges/nuclei/1.0.0 predictions --split train\n"
        "slidebox score RELEASE predictions --check",
    )
    c.add_argument("release", type=Path, metavar="RELEASE", help="folder of a released challenge")
    c.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="folder, ZIP, COCO JSON or CSV"
    )
    c.add_argument("--split", help="which split (default: the one most predictions belong to)")
    c.add_argument("--check", action="store_true", help="only check, score nothing")
    c.add_argument("--out", type=Path, metavar="DIR", help="where scores and report go")
    c.add_argument("--private", type=Path, metavar="DIR", help="organisers: the hidden labels")
    c.add_argument("--json", type=Path, metavar="FILE", help="write findings and scores as JSON")
    c.add_argument("--threads", type=int, default=1, metavar="N")
    c = command(
        "challenge",
        None,
        "begin a challenge, or a prediction for one",
        "slidebox challenge init challenges/my-challenge --accession SB-1\n"
        "slidebox challenge template public/challenges/nuclei/1.0.0 predictions",
    )
    c.set_defaults(run=lambda a: _usage(c))
    kinds = c.add_subparsers(metavar="WHAT")
    k = kinds.add_parser("init", help="write a challenge's folder, with comments, to fill in")
    k.set_defaults(run=init)
    k.add_argument("folder", type=Path, metavar="DIR")
    k.add_argument("--accession", default="ACCESSION", help="a study that it is made from")
    k.add_argument("--task", default="instance-segmentation")
    k = kinds.add_parser("template", help="write a valid empty prediction")
    k.set_defaults(run=template)
    k.add_argument("release", type=Path, metavar="RELEASE")
    k.add_argument("predictions", type=Path, metavar="DIR")
    k.add_argument("--split")


def _usage(parser) -> int:
    parser.print_help()
    return CANNOT


def score(a) -> int:
    from slidebox.scoring import cli

    options = {"split": a.split, "check": a.check, "out": a.out, "private": a.private}
    return cli.run(a.release, a.predictions, **options, json_path=a.json, threads=a.threads)


def init(a) -> int:
    from slidebox import challenge

    try:
        path = challenge.init(a.folder, task=a.task, accession=a.accession)
    except (FileExistsError, ValueError) as error:
        raise CannotRun(str(error)) from None
    print(f"wrote {path}")
    return FINE


def template(a) -> int:
    from slidebox.scoring import cli

    return cli.run(a.release, a.predictions, split=a.split, template=True)
