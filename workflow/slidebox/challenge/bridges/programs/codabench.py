"""CodaBench's scoring program: `run.py <input> <output>`."""

import json
import sys
from pathlib import Path

from common import HERE, measured, predictions, prepare

# What the host's worker writes beside the predictions
HOSTS = ("metadata",)
# The host keeps 20 digits, 10 of them after the point, and fails on more
LARGEST = 9_999_999_999.0

if __name__ == "__main__":
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    prepare()
    values = measured(predictions(source / "res", HOSTS), source / "ref", HOSTS)
    keys = json.loads((HERE / "columns.json").read_text("utf-8"))
    scores = {keys[name]: max(-LARGEST, min(LARGEST, value)) for name, value in values.items()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "scores.json").write_text(json.dumps(scores))
