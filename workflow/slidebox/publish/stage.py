"""Publication as a job of the workflow: what it did goes to the log, what is wrong ends the job."""

from __future__ import annotations

import logging
import sys

from slidebox.config import Config
from slidebox.publish import PublishError, evict, prepare, publish
from slidebox.publish.run import Outcome

log = logging.getLogger(__name__)


def stage(config: Config) -> None:
    """Publish to every target, evict when the configuration says so.

    Raises PublishError when a target could not be brought up to date; all else was published.
    """
    prepare(config)
    problems = []
    for outcome in publish(config):
        for line in lines(outcome):
            log.info(line)
            print(line, file=sys.stderr)
        problems += [f for f in outcome.findings if f.severity == "error"]
    if problems:
        said = "\n".join(f"{f.code}: {f.message}\n    {f.mend}" for f in problems[:20])
        raise PublishError(f"{len(problems)} objects were not published\n{said}")
    if config.publish.evict:
        for line in evict.lines(evict.evict(config)):
            log.info(line)
            print(line, file=sys.stderr)


def lines(outcome: Outcome) -> list[str]:
    """What a publication did, in words."""
    said = [f"note: {note}" for note in outcome.notes]
    if outcome.nothing_new:
        said.append(f"{outcome.target}: nothing new")
    else:
        said += [f"{outcome.target}: {unit} taken away" for unit in outcome.taken_down]
        said.append(
            f"{outcome.target}: {outcome.sent} objects sent ({outcome.bytes:,} bytes), "
            f"{outcome.deleted} deleted"
        )
    if outcome.stale:
        said.append(
            f"{outcome.target}: {outcome.stale} objects that nothing refers to any more are kept; "
            "slidebox publish --delete, or `publish.delete`, removes them"
        )
    for finding in outcome.findings:
        if finding.severity != "error":
            said.append(f"{finding.severity}: {finding.message} ({finding.mend})")
    return said
