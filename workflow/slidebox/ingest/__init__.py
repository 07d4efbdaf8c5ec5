"""From a deposit to a sealed study: the stages in their order, each a function of plain files.

A stage reads what the stages before it wrote under ``results/<accession>/<key>/`` and writes its
own files atomically, so that each can be killed and run again. Snakemake's rules call these
functions through ``scripts/``; nothing here knows of Snakemake.
"""
