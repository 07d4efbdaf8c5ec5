"""Publication to every target of the configuration, and what it did in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from slidebox.config import Config
from slidebox.publish.run import Outcome, Progress
from slidebox.publish.run import publish as _publish
from slidebox.publish.target import PublishError
from slidebox.publish.targets import ledger_of, target_of


def prepare(config: Config) -> None:
    """Bring the site's own pages up to date, and end the reviews whose day has come."""
    from slidebox.ingest import index, review

    index.catch_up(config)
    today = datetime.now(UTC).date().isoformat()
    given = review.reviews(config)
    if any(r["until"] and r["until"] <= today for r in given if not r.get("ended")):
        review.refresh(config)


def publish(
    config: Config,
    *,
    delete: bool = False,
    check: bool = False,
    takedowns: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Bring every target of the configuration up to date; see `slidebox.publish.run.publish`."""
    if not config.publish.to:
        raise PublishError(
            "there is nowhere to publish to: set `publish.to` in config/config.yaml to "
            "s3://bucket/prefix or a folder"
        )
    return [
        _publish(
            config,
            target_of(config, to),
            ledger_of(config, to),
            delete=delete or config.publish.delete,
            check=check,
            takedowns=takedowns,
            progress=progress,
        )
        for to in config.publish.to
    ]


def take_away(config: Config, folder: Path = Path()) -> list[str]:
    """Take what was just withdrawn, revoked or deleted out of every target; say what happened.

    Nothing is raised: what could not be reached is taken away by the next publication. `folder` is
    what targets that are folders are relative to.
    """
    if not config.publish.to:
        return []
    to = [p if p.startswith("s3://") else str(folder / p) for p in config.publish.to]
    settings = config.publish.model_copy(update={"to": to})
    config = config.model_copy(update={"publish": settings})
    try:
        return [line for outcome in publish(config, takedowns=True) for line in lines(outcome)]
    except Exception as error:
        return [f"the published copy is still there ({error}); run slidebox publish"]


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
