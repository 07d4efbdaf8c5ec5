"""Scoring: metrics, checks of predictions, reports. What a release of a challenge carries.

Needs nothing of the rest of Slidebox but the form of findings and atomic files.
"""

from .release import NotARelease, Release, open_release
from .run import ScoreResult, score
from .settings import Settings

__all__ = ["NotARelease", "Release", "ScoreResult", "Settings", "open_release", "score"]
