"""Adapter of rule images."""

from slidebox import config
from slidebox.ingest import images
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    images.derive(
        config.load(snakemake.config),
        accession=snakemake.wildcards.accession,
        key=snakemake.wildcards.key,
        number=int(snakemake.wildcards.slice),
        threads=snakemake.threads,
    )
