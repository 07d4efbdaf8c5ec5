"""Adapter of rule reviews."""

from pathlib import Path

from slidebox import atomic, config
from slidebox.ingest import review
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    review.refresh(config.load(snakemake.config))
    atomic.write_json(Path(snakemake.output[0]), {"state": snakemake.wildcards.state})
