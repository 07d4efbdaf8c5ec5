"""The stages of challenges: release a version, score all entries."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from slidebox import atomic, challenge
from slidebox.config import Config
from slidebox.findings import Finding, has_errors, lines
from slidebox.ingest import challenge_pages, index
from slidebox.ingest.paths import now

log = logging.getLogger(__name__)


def release(config: Config, slug: str, mark: Path, threads: int = 1) -> None:
    """Release a challenge from what is sealed; `mark` is written when it stands.

    Exits with the findings when the release is refused: an organiser must see that.
    """
    started = now()
    for root in (config.public, config.private):
        atomic.sweep(root / "challenges" / slug)
    made = challenge.release(
        config.challenges / slug,
        public=config.public,
        vault=config.vault,
        private=config.private,
        threads=threads,
    )
    _say(slug, made.findings)
    index.front(config)
    times = {"started": started, "ended": now()}
    atomic.write_json(mark, {**made.to_json(), "times": times})


def leaderboard(config: Config, slug: str, mark: Path, threads: int = 1) -> None:
    """Score the entries of a challenge, those that changed; write its leaderboard."""
    started = now()
    board = challenge.leaderboard(
        config.challenges / slug,
        entries=config.entries,
        public=config.public,
        private=config.private,
        threads=threads,
        site_name=config.site.title,
    )
    _say(slug, board.findings)
    challenge_pages.write(config)
    atomic.write_json(mark, {"slug": slug, "times": {"started": started, "ended": now()}})


def _say(slug: str, findings: list[Finding]) -> None:
    listed = list(lines(findings))
    for line in listed:
        log.info("%s: %s", slug, line.strip())
    if has_errors(findings):
        sys.exit(f"{slug} is refused:\n  " + "\n  ".join(listed))
