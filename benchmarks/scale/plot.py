"""The picture of cost against size in docs/scaling.md, from what run.py measured.

    python benchmarks/scale/plot.py [REPORT] [OUT]

REPORT: the lines that ``run.py --report`` added (benchmarks/scale/measured.jsonl, which stands with
the project); OUT: docs/scaling.svg. Both axes are logarithmic: what costs the same for each one
more rises by one decade a decade; the thin line is that slope.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = {
    "sealed": "run with nothing to do, N sealed submissions",
    "new": "planning one new among N",
    "pending": "scheduling of N small submissions",
    "files": "one submission of N small files",
    "images": "one submission of N small images",
}
STAGES = ("validate", "archive", "images", "study", "seal")


def points(lines: list[dict]) -> dict[str, dict[int, tuple[float, float]]]:
    """Of each measurement: size -> (CPU seconds, peak MB); the last line of a size counts."""
    found: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in NAMES}
    for line in lines:
        what, n = line["what"], line["n"]
        if what == "sealed":
            pairs = {"sealed": line["nothing to do"], "new": line["one new, planned"]}
        elif what == "pending":
            pairs = {"pending": line}
        else:
            told = [line["stages"][stage] for stage in STAGES]
            seconds, peaks = zip(*((t["cpu_seconds"], t["peak_mb"]) for t in told), strict=True)
            pairs = {what: {"cpu_seconds": sum(seconds), "peak_mb": max(peaks)}}
        for name, told in pairs.items():
            found[name][n] = told["cpu_seconds"], told["peak_mb"]
    return {name: dict(sorted(sizes.items())) for name, sizes in found.items() if sizes}


def draw(found: dict[str, dict[int, tuple[float, float]]], out: Path) -> None:
    """Two pictures side by side: CPU seconds, and peak memory, against size."""
    matplotlib.rcParams["svg.hashsalt"] = "slidebox"  # the same points give the same file
    figure, both = pyplot.subplots(1, 2, figsize=(11, 5.2), layout="constrained")
    for axes, which, title in zip(both, (0, 1), ("CPU seconds", "peak memory, MB"), strict=True):
        for name, sizes in found.items():
            values = [value[which] for value in sizes.values()]
            axes.plot(list(sizes), values, marker="o", label=NAMES[name])
        axes.set(xscale="log", yscale="log", xlabel="N", title=title)
        axes.grid(alpha=0.3)
    most = max(n for sizes in found.values() for n in sizes)
    both[0].plot([most / 100, most], [1, 100], color="grey", linewidth=0.7, label="proportional")
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(out, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "report", nargs="?", type=Path, default=CHECKOUT / "benchmarks/scale/measured.jsonl"
    )
    parser.add_argument("out", nargs="?", type=Path, default=CHECKOUT / "docs/scaling.svg")
    a = parser.parse_args()
    lines = [json.loads(line) for line in a.report.read_text(encoding="utf-8").splitlines()]
    draw(points(lines), a.out)
    print(f"wrote {a.out}")


if __name__ == "__main__":
    main()
