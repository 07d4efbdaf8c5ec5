"""Adapter of rule ingest."""

from pathlib import Path

from slidebox import config
from slidebox.ingest import stages

stages.ingest(
    config.load(snakemake.config),
    accession=snakemake.wildcards.accession,
    key=snakemake.wildcards.key,
    logs=Path(snakemake.log[0]).parent,
    threads=snakemake.threads,
)
