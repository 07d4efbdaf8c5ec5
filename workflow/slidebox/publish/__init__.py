"""Publication: what is public goes to a bucket or a folder, and what is withdrawn goes from it.

``publish`` brings the targets of the configuration up to date, ``evict`` frees the local disk of
images that a bucket is proven to hold, ``bring_back`` undoes that.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from slidebox.config import Config
from slidebox.publish.run import Outcome, Progress
from slidebox.publish.run import publish as _publish
from slidebox.publish.target import FolderTarget, PublishError, Target

__all__ = [
    "Outcome",
    "PublishError",
    "ledger_of",
    "prepare",
    "publish",
    "take_away",
    "target_of",
]


def target_of(config: Config, to: str) -> Target:
    """The target at ``s3://bucket/prefix`` or at a folder; PublishError when it can't be used."""
    settings = config.publish
    if to.startswith("s3://"):
        from slidebox.publish.bucket import BucketTarget

        return BucketTarget(
            to,
            endpoint=settings.endpoint,
            region=settings.region,
            profile=settings.profile,
            acl=settings.acl,
            threads=settings.threads,
        )
    folder = Path(to).resolve()
    for name in ("public", "vault", "embargoed", "private", "results", "inbox"):
        own = getattr(config, name).resolve()
        if folder == own or own in folder.parents or folder in own.parents:
            raise PublishError(f"{to} and `{name}` ({own}) lie in one another; publish elsewhere")
    return FolderTarget(folder)


def ledger_of(config: Config, to: str) -> Path:
    """Where the ledger of a target lies."""
    place = to.rstrip("/") if to.startswith("s3://") else str(Path(to).resolve())
    where = f"{config.publish.endpoint or ''} {place}"
    name = hashlib.sha256(where.encode()).hexdigest()[:12]
    return config.results / "publish" / f"{name}.sqlite"


def prepare(config: Config) -> None:
    """Bring the site's own pages up to date, and end the reviews whose day has come."""
    from slidebox.ingest import index, review

    index.catch_up(config)
    today = datetime.now(UTC).date().isoformat()
    given = review.reviews(config)
    if any(r["until"] and r["until"] <= today for r in given if not r.get("ended")):
        review.refresh(config)


def take_away(config: Config, folder: Path = Path()) -> list[str]:
    """Take what was just withdrawn, revoked or deleted out of every target; say what happened.

    Nothing is raised: what could not be reached is taken away by the next publication. `folder` is
    what targets that are folders are relative to.
    """
    from slidebox.publish.stage import lines

    if not config.publish.to:
        return []
    to = [p if p.startswith("s3://") else str(folder / p) for p in config.publish.to]
    settings = config.publish.model_copy(update={"to": to})
    config = config.model_copy(update={"publish": settings})
    try:
        return [line for outcome in publish(config, takedowns=True) for line in lines(outcome)]
    except Exception as error:
        return [f"the published copy is still there ({error}); run slidebox publish"]


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
