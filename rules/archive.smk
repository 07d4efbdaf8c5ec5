# Archiving: the originals become a version of an OCFL object, bit by bit as submitted.
#
# Reads:  inbox/<accession>/ as its `.ready` lists it, validation.json, filesets.json
# Writes: vault/ (one object an accession), archived.json (which version), files.jsonl (digests)


rule archive:
    input:
        validation=f"{STAGES}/validation.json",
        filesets=f"{STAGES}/filesets.json",
    output:
        archived=f"{STAGES}/archived.json",
        files=f"{STAGES}/files.jsonl",
    log:
        f"{LOGS}/archive.log",
    benchmark:
        f"{TIMES}/archive.tsv"
    wildcard_constraints:
        key=queue.SLICED,
    conda:
        "../environment.yml"
    threads: threads_of("archive")
    resources:
        mem_mb=memory_of("archive"),
        runtime=minutes_of("archive"),
    message:
        "{wildcards.accession}: archiving"
    script:
        "../scripts/archive.py"


rule audit:
    log:
        f"{RESULTS}/logs/audit.log",
    conda:
        "../environment.yml"
    threads: 2
    message:
        "re-reading the vault"
    script:
        "../scripts/audit.py"
