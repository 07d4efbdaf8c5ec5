"""Challenges: benchmarks assembled from the archive, released in versions that don't change."""

from .archive import Archive
from .init import init
from .inputs import release_inputs, release_key
from .leaderboard import leaderboard, leaderboard_inputs
from .model import Challenge, json_schema
from .reading import Invalid, load
from .release import Release, release
from .reveal import check_release, reveal, verify

__all__ = [
    "Archive",
    "Challenge",
    "Invalid",
    "Release",
    "check_release",
    "init",
    "json_schema",
    "leaderboard",
    "leaderboard_inputs",
    "load",
    "release",
    "release_inputs",
    "release_key",
    "reveal",
    "verify",
]
