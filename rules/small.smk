# Small submissions: one job does all stages, one after the other. Starting Python five times, and
# scheduling five jobs, would take longer than the work.
#
# Reads and writes what the stages in the other rules do, with the same names; the receipt is last.
# Which submissions are small is said by `ingest/queue.py`: their keys have no number of slices.


rule ingest:
    output:
        f"{RESULTS}/receipts/{{accession}}~{{key}}.json",
    log:
        [f"{LOGS}/{name}.log" for name in stages.LOGS.values()],
    benchmark:
        f"{TIMES}/ingest.tsv"
    wildcard_constraints:
        key=queue.WHOLE,
    group:
        "small"
    conda:
        "../environment.yml"
    threads: threads_of("ingest")
    resources:
        mem_mb=memory_of("ingest"),
        runtime=minutes_of("ingest"),
    message:
        "{wildcards.accession}: taking it in"
    script:
        "../scripts/ingest.py"
