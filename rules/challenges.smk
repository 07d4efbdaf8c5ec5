# Challenges: releases of the benchmarks, and their leaderboards.
#
# Reads:  challenges/<slug>/, the catalogue, the vault (for hidden labels), entries/<slug>/
# Writes: public/challenges/<slug>/<version>/, private/challenges/<slug>/<version>/
#
# They are made from what is sealed: run `snakemake` first.


rule challenges:
    input:
        [release_mark(slug) for slug in SLUGS],


rule leaderboards:
    input:
        [leaderboard_mark(slug) for slug in SLUGS],


rule release:
    input:
        f"{RESULTS}/index/{SEALED_STATE}.json" if MAIN else [],
    output:
        f"{RESULTS}/challenges/{{slug}}~{{state}}.json",
    log:
        f"{RESULTS}/logs/challenges/{{slug}}~{{state}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/challenges/{{slug}}~{{state}}.tsv"
    conda:
        "../environment.yml"
    threads: 2
    message:
        "{wildcards.slug}: assembling the release"
    script:
        "../scripts/release.py"


rule leaderboard:
    input:
        lambda wildcards: release_mark(wildcards.slug) if MAIN else [],
    output:
        f"{RESULTS}/leaderboards/{{slug}}~{{state}}.json",
    log:
        f"{RESULTS}/logs/leaderboards/{{slug}}~{{state}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/leaderboards/{{slug}}~{{state}}.tsv"
    conda:
        "../environment.yml"
    threads: 2
    message:
        "{wildcards.slug}: scoring the entries"
    script:
        "../scripts/leaderboard.py"
