# Catalogue: the study's pages and tables, the receipt that seals it, and the index over all studies.
#
# Reads:  what the stages before wrote, and the vault
# Writes: public/<accession>/ (or embargoed/<accession>/), results/receipts/<accession>~<key>.json,
#         public/index.html and public/catalogue/


rule study:
    input:
        validation=f"{STAGES}/validation.json",
        archived=f"{STAGES}/archived.json",
        files=f"{STAGES}/files.jsonl",
        filesets=f"{STAGES}/filesets.json",
        images=image_lists,
    output:
        f"{STAGES}/published.json",
    log:
        f"{LOGS}/study.log",
    benchmark:
        f"{TIMES}/study.tsv"
    wildcard_constraints:
        key=queue.SLICED,
    conda:
        "../environment.yml"
    resources:
        mem_mb=memory_of("study"),
        runtime=minutes_of("study"),
    message:
        "{wildcards.accession}: writing the study's pages"
    script:
        "../scripts/study.py"


# The receipt is the truth about what is done: written last, and in one step.
rule seal:
    input:
        validation=f"{STAGES}/validation.json",
        archived=f"{STAGES}/archived.json",
        images=image_lists,
        published=f"{STAGES}/published.json",
    output:
        f"{RESULTS}/receipts/{{accession}}~{{key}}.json",
    log:
        f"{LOGS}/seal.log",
    benchmark:
        f"{TIMES}/seal.tsv"
    wildcard_constraints:
        key=queue.SLICED,
    conda:
        "../environment.yml"
    resources:
        mem_mb=memory_of("seal"),
        runtime=minutes_of("seal"),
    message:
        "{wildcards.accession}: sealing"
    script:
        "../scripts/seal.py"


# One index for each set of receipts: a set that has its index needs no job.
rule index:
    input:
        lambda wildcards: RECEIPTS if wildcards.state == STATE else [],
    output:
        f"{RESULTS}/index/{{state}}.json",
    log:
        f"{RESULTS}/logs/index/{{state}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/index/{{state}}.tsv"
    conda:
        "../environment.yml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * 2 ** (attempt - 1) + len(SEALED) // 10,
        runtime=lambda wildcards, attempt: 30 * 2 ** (attempt - 1) + len(SEALED) // 100,
    message:
        "writing the catalogue's index"
    script:
        "../scripts/index.py"
