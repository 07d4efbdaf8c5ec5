"""Adapter of rule audit."""

from slidebox import config
from slidebox.ingest import auditing
from slidebox.ingest.log import logged

with logged(snakemake.log[0]):
    auditing.audit(config.load(snakemake.config), threads=snakemake.threads)
