"""Adapter of rule archive."""

from slidebox import config
from slidebox.ingest import archive
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    archive.archive(
        config.load(snakemake.config),
        accession=snakemake.wildcards.accession,
        key=snakemake.wildcards.key,
        threads=snakemake.threads,
    )
