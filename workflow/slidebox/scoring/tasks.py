"""The tasks of challenges, each with the module that reads, measures and values it.

Such a module has ``read_truth``, ``read`` (a prediction; Refused with all that is wrong),
``empty_prediction``, ``measure`` (counts of an image), ``values`` (metrics from counts) and
``picture``. It may have ``verify`` (what `read` left for later), ``objects`` (how many there are,
for those whose images can be empty), ``IMAGE_ONLY`` (counts that don't add up over images) and
``IMAGE_METRICS`` (metrics that are always averaged over images).
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

TASKS = {
    "instance-segmentation": "task_instances",
    "semantic-segmentation": "task_semantic",
    "tracking": "task_tracking",
    "points": "task_points",
    "restoration": "task_restoration",
}


def task_module(task: str) -> ModuleType:
    """The module that reads, measures and values a task."""
    return import_module(f".{TASKS[task]}", __package__)
