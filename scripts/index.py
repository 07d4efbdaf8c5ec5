"""Adapter of rule index."""

from slidebox import config
from slidebox.ingest import index
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    index.index(config.load(snakemake.config), state=snakemake.wildcards.state)
