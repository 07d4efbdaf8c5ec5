# Validation: is the submission complete, described and readable?
#
# Reads:  inbox/<accession>/
# Writes: validation.json and validation.html (every finding), filesets.json (which files are one
#         image, in which slice it is derived)
# A rejection is a result, not a failure: the stages after it then write that they had nothing to do.


rule validate:
    output:
        validation=f"{STAGES}/validation.json",
        report=f"{STAGES}/validation.html",
        filesets=f"{STAGES}/filesets.json",
    log:
        f"{LOGS}/validate.log",
    benchmark:
        f"{TIMES}/validate.tsv"
    wildcard_constraints:
        key=queue.SLICED,
    conda:
        "../environment.yml"
    threads: threads_of("validate")
    resources:
        mem_mb=memory_of("validate"),
        runtime=minutes_of("validate"),
    message:
        "{wildcards.accession}: validating"
    script:
        "../scripts/validate.py"
