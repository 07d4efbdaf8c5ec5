"""Publication: what is public goes to a bucket or a folder, and what is withdrawn goes from it.

``publish`` brings the targets of the configuration up to date, ``evict`` frees the local disk of
images that a bucket is proven to hold, ``bring_back`` undoes that.
"""

from __future__ import annotations

from slidebox.publish.everywhere import prepare, publish, take_away
from slidebox.publish.run import Outcome
from slidebox.publish.target import PublishError
from slidebox.publish.targets import ledger_of, target_of

__all__ = [
    "Outcome",
    "PublishError",
    "ledger_of",
    "prepare",
    "publish",
    "take_away",
    "target_of",
]
