"""Adapter of rule study."""

from slidebox import config
from slidebox.ingest import study
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    study.publish(
        config.load(snakemake.config),
        accession=snakemake.wildcards.accession,
        key=snakemake.wildcards.key,
    )
