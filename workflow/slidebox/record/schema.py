"""JSON Schema of study.yaml, for editors: made from the model, shipped in ``schemas/``."""

from __future__ import annotations

import json
from typing import Any

from .model import Record

FILE = "study.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema as plain data. What is required is said by validation, with lines and mends."""
    schema = Record.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://slidebox.invalid/schemas/study.schema.json",
        **schema,
        "title": "Slidebox study",
    }


def text() -> str:
    """The file's content."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from ..resources import resource

    (resource("schemas") / FILE).write_text(text(), encoding="utf-8")
