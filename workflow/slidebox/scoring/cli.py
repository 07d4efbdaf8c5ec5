"""The command `slidebox-score`, which a release runs through its score.py."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..atomic import write_json
from ..findings import Finding
from .opening import open_release
from .release import NotARelease
from .results import ScoreResult
from .run import score

EXAMPLES = """examples:
  slidebox-score RELEASE predictions/ --check          only check, no truth needed
  slidebox-score RELEASE predictions/ --split train    score on released labels
  slidebox-score RELEASE predictions.zip --private DIR the organiser's hidden test labels
  slidebox-score https://.../challenges/nuclei/1.0.0/ predictions/ --out scores/

exit codes: 0 fine, 1 the predictions have errors, 2 cannot run
"""


def parser(prog: str = "slidebox-score", release: Path | None = None) -> argparse.ArgumentParser:
    """Arguments of scoring; RELEASE is left out where the command stands in one."""
    args = argparse.ArgumentParser(
        prog, description="Check and score predictions of a challenge.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    if release is None:
        args.add_argument("release", help="a released challenge: folder, ZIP or http(s) address")
    args.add_argument("predictions", type=Path, help="folder, ZIP, COCO JSON or CSV")
    args.add_argument("--split", help="which split (default: the one most predictions belong to)")
    args.add_argument("--check", action="store_true", help="check the predictions and stop")
    args.add_argument("--out", type=Path, help="folder for scores.json, tables and report.html")
    args.add_argument("--private", type=Path, help="folder of hidden labels (organisers)")
    args.add_argument("--json", type=Path, help="write findings and scores here")
    args.add_argument("--threads", type=int, default=1, help="images at once (default 1)")
    args.add_argument("--template", action="store_true",
                      help="write valid empty predictions to PREDICTIONS")  # fmt: skip
    return args


def main(argv: list[str] | None = None, release: Path | None = None) -> int:
    """Run; `release` is the folder that score.py stands in."""
    args = parser("score.py" if release else "slidebox-score", release).parse_args(argv)
    return run(
        release or args.release, args.predictions, split=args.split, check=args.check, out=args.out,
        private=args.private, json_path=args.json, threads=args.threads, template=args.template,
    )  # fmt: skip


def run(
    release: Path | str,
    predictions: Path,
    *,
    split: str | None = None,
    check: bool = False,
    out: Path | None = None,
    private: Path | None = None,
    json_path: Path | None = None,
    threads: int = 1,
    template: bool = False,
) -> int:
    """Check and score with a progress bar; the exit code. `slidebox score` calls this too."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console, loud = Console(), Console(stderr=True)
    try:
        if template:
            from .template import write_template

            where = write_template(open_release(release), predictions, split)
            console.print(f"A valid empty prediction is in {where}", markup=False)
            return 0
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), console=loud, transient=True, disable=not loud.is_terminal,
        ) as bar:  # fmt: skip
            at = bar.add_task("opening", total=None)
            result = score(
                release, predictions, split, out, private=private, check_only=check,
                threads=threads,
                progress=lambda stage, done, total: bar.update(
                    at, description=stage, completed=done, total=total
                ),
            )  # fmt: skip
    except (NotARelease, FileExistsError, FileNotFoundError) as problem:
        loud.print(f"slidebox score: {problem}", markup=False, style="red")
        return 2
    if json_path:
        write_json(json_path, {"findings": [f.to_dict() for f in result.findings],
                               "scores": result.scores})  # fmt: skip
    show(result, console, loud)
    return 0 if result.ok else 1


def show(result: ScoreResult, console, loud) -> None:
    """Findings and the table of metrics, for people."""
    from rich.table import Table
    from rich.text import Text

    for finding in result.findings:
        loud.print(Text(line(finding), style={"error": "red", "warning": "yellow"}.get(
            finding.severity, "")), soft_wrap=True)  # fmt: skip
    if result.scores is None:
        text = "predictions can't be scored" if not result.ok else "predictions are in order"
        console.print(text)
        return
    scores = result.scores
    title = f"{scores['challenge']['slug']} {scores['challenge']['version']}, {scores['split']}"
    table = Table(title=Text(title))
    for column, side in (("metric", "left"), ("value", "right"), ("interval", "right"),
                         ("better", "left")):  # fmt: skip
        table.add_column(column, justify=side)
    for name, metric in scores["metrics"].items():
        bounds = metric["interval"]
        table.add_row(
            Text(name + (" *" if name == scores["primary"] else "")),
            "-" if metric["value"] is None else f"{metric['value']:.4f}",
            f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else "-",
            metric["direction"],
        )
    console.print(table)
    console.print(f"{scores['images']} images in {scores['groups']} groups, "
                  f"{len(scores['missing'])} missing; * ranks")  # fmt: skip
    if result.out:
        console.print(f"report: {result.out / 'report.html'}", markup=False, soft_wrap=True)


def line(finding: Finding) -> str:
    """A finding in a line, as compilers do it."""
    where = finding.file or "predictions"
    if finding.line:
        where += f":{finding.line}"
    mend = f" ({finding.mend})" if finding.mend else ""
    return f"{finding.severity}: {where}: {finding.message} [{finding.code}]{mend}"


def dump(result: ScoreResult) -> str:
    """Findings and scores as JSON text."""
    return json.dumps(
        {"findings": [f.to_dict() for f in result.findings], "scores": result.scores}, indent=2
    )


if __name__ == "__main__":
    sys.exit(main())
