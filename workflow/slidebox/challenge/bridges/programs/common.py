"""Score a submission with the challenge's own scorer, whose wheel lies beside this file."""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# One submission that lies in a folder of its own, but for these
NO_WRAPPER = (".zarr", "_res")


def prepare():
    """Install what the scorer needs, where the image lacks it."""
    try:
        import slidebox.scoring  # noqa: F401
    except ImportError:
        target = tempfile.mkdtemp()
        listed = ["-r", str(HERE / "requirements.txt"), *map(str, HERE.glob("*.whl"))]
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", target, *listed]
        subprocess.check_call(command)
        sys.path.insert(0, target)


def predictions(folder, hosts=()):
    """What the scorer reads in `folder`: the only ZIP (which the scorer unpacks with care), the
    only folder, or all of it. Names in `hosts` are the host's own files."""
    inside = [p for p in folder.iterdir() if p.name not in (*hosts, "__MACOSX")]
    if len(inside) == 1:
        (only,) = inside
        if only.suffix.lower() == ".zip":
            return only
        if only.is_dir() and not only.name.lower().endswith(NO_WRAPPER):
            return only
    return folder


def measured(given, truth, hosts=()):
    """Values of the metrics, by name; those that have none are left out.

    Exits with what is wrong when the predictions can't be scored, or can't be ranked: hosts take an
    entry without a value for the first.
    """
    from slidebox.scoring import score

    split = json.loads((truth / "split.json").read_text())["split"]
    secret = truth / "private"
    found = score(truth / "release", given, split, overlays=False,
                  private=secret if secret.is_dir() else None)  # fmt: skip
    for finding in found.findings:
        if finding.file not in hosts:
            print(f"{finding.severity}: {finding.file or ''}: {finding.message}"
                  + (f" ({finding.mend})" if finding.mend else ""), file=sys.stderr)  # fmt: skip
    if found.scores is None:
        sys.exit("the predictions can't be scored; see the messages above")
    values = {name: m["value"] for name, m in found.scores["metrics"].items()}
    values = {n: v for n, v in values.items() if v is not None and math.isfinite(v)}
    primary = found.scores["primary"]
    if primary not in values:
        sys.exit(f"the predictions have no value by {primary}, which ranks: is there anything that "
                 "matches the truth?")  # fmt: skip
    return values
