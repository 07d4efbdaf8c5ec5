"""The tasks of challenges, each with the module that reads, measures and values it."""

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
