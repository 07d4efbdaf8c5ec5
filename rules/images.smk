# Images: OME-Zarr is derived from the archived originals, verified, and shown by a thumbnail.
#
# Reads:  vault/ through archived.json and files.jsonl, filesets.json
# Writes: public/<accession>/images/<image id>.<derivation>.ome.zarr (not tracked by Snakemake: what
#         is there and whole is kept), one list a slice


rule images:
    input:
        archived=f"{STAGES}/archived.json",
        files=f"{STAGES}/files.jsonl",
        filesets=f"{STAGES}/filesets.json",
    output:
        f"{STAGES}/images/{{slice}}of{{slices}}.json",
    log:
        f"{LOGS}/images.{{slice}}of{{slices}}.log",
    benchmark:
        f"{TIMES}/images.{{slice}}of{{slices}}.tsv"
    wildcard_constraints:
        key=queue.SLICED,
        slice="[0-9]+",
        slices="[0-9]+",
    conda:
        "../environment.yml"
    threads: threads_of("images")
    resources:
        mem_mb=memory_of("images"),
        runtime=minutes_of("images"),
    message:
        "{wildcards.accession}: deriving OME-Zarr ({wildcards.slice} of {wildcards.slices})"
    script:
        "../scripts/images.py"
