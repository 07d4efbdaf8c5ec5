"""Adapter of rule validate."""

from slidebox import config
from slidebox.ingest import validation
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    validation.validate(
        config.load(snakemake.config),
        accession=snakemake.wildcards.accession,
        key=snakemake.wildcards.key,
        threads=snakemake.threads,
    )
