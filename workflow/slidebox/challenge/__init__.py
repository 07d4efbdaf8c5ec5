"""Challenges: benchmarks assembled from the archive, released in versions that don't change."""

from .init import init
from .leaderboard import leaderboard, leaderboard_inputs
from .model import Challenge, Invalid, json_schema, load
from .release import Release, release, release_inputs, release_key
from .reveal import reveal, verify

__all__ = [
    "Challenge",
    "Invalid",
    "Release",
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
