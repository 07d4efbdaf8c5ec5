"""Scoring: metrics, checks of predictions, reports. What a release of a challenge carries.

Needs nothing of the rest of Slidebox but the form of findings and atomic files.
"""

from .compare import CannotCompare, Comparison, compare
from .opening import open_release
from .release import NotARelease, Release
from .results import ScoreResult
from .run import score
from .settings import Settings

__all__ = [
    "CannotCompare",
    "Comparison",
    "NotARelease",
    "Release",
    "ScoreResult",
    "Settings",
    "compare",
    "open_release",
    "score",
]
