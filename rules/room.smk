# What can't fit on the disks is not begun, and the run must not end as if all had been done: a job
# that says so and fails, beside the jobs of the others.
#
# Reads:  TOO_LARGE (common.smk)
# Writes: nothing


localrules:
    no_room,


rule no_room:
    output:
        f"{RESULTS}/no-room",
    log:
        f"{RESULTS}/logs/no-room.log",
    retries: 0
    conda:
        "../environment.yml"
    params:
        said=TOO_LARGE,
    message:
        "looking for room on the disks"
    shell:
        "printf '%s\\n' {params.said:q} >{log}; exit 1"
