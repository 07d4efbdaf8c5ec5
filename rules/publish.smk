# Publication: what is public goes to a bucket or a folder, what was withdrawn goes from it.
#
# Reads:  public/, the receipts, and the vault for files as submitted
# Writes: the targets in `publish.to`; results/publish/ (what is known to be there)
#
# It takes what is sealed: run `snakemake` first. It always runs: with nothing new it asks the target
# for one mark.


rule publish:
    input:
        f"{RESULTS}/index/{SEALED_STATE}.json" if MAIN else [],
    log:
        f"{RESULTS}/logs/publish.log",
    conda:
        "../environment.yml"
    threads: 2
    message:
        "publishing"
    script:
        "../scripts/publish.py"
