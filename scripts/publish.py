"""Adapter of rule publish."""

from slidebox import config
from slidebox.ingest.log import logged
from slidebox.publish import stage

with logged(snakemake.log[0]):
    stage.stage(config.load(snakemake.config))
