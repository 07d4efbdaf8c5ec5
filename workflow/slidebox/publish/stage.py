"""Publication as a job of the workflow: what it did goes to the log, what is wrong ends the job."""

from __future__ import annotations

import logging
import sys

from slidebox.config import Config
from slidebox.publish import evict
from slidebox.publish.everywhere import lines, prepare, publish
from slidebox.publish.target import PublishError

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
