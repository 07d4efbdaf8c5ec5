"""Adapter of rule seal."""

from slidebox import config
from slidebox.ingest import seal
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    seal.seal(
        config.load(snakemake.config),
        accession=snakemake.wildcards.accession,
        key=snakemake.wildcards.key,
    )
