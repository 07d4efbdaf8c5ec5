"""Adapter of rule leaderboard."""

from pathlib import Path

from slidebox import config
from slidebox.ingest import benchmarks
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    benchmarks.leaderboard(
        config.load(snakemake.config),
        slug=snakemake.wildcards.slug,
        mark=Path(snakemake.output[0]),
        threads=snakemake.threads,
    )
