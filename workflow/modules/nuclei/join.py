"""Adapter of rule join_nuclei: the parts' tables below one another, one header."""

from pathlib import Path

with Path(snakemake.output[0]).open("w", encoding="utf-8") as out:  # noqa: F821
    for number, name in enumerate(snakemake.input):  # noqa: F821
        lines = Path(name).read_text(encoding="utf-8").splitlines(keepends=True)
        out.writelines(lines if number == 0 else lines[1:])
