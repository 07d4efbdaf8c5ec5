"""Scoring: metrics, checks of predictions, reports. What a release of a challenge carries.

Needs nothing of the rest of Slidebox but the form of findings and atomic files.
"""

from .compare import CannotCompare, Comparison, compare
from .release import NotARelease, Release, open_release
from .run import ScoreResult, score
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
