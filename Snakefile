# Slidebox: a submission goes in, an archived, viewable, checkable study comes out.
#
#   snakemake --cores 2                 all that is pending in the inbox
#   snakemake --cores 2 --config only=SB-CELLS
#   snakemake --cores 2 challenges      releases of the benchmarks
#   snakemake --cores 2 leaderboards    scores of all entries
#   snakemake --cores 2 publish         public/ to a bucket or a folder
#   snakemake --cores 2 audit           re-reads the vault
#
# Each file in rules/ is one stage, in the order the data goes.

from snakemake.utils import min_version

from slidebox.config import says_nothing

min_version("9.27")


# Snakemake takes no empty file; to Slidebox it means the defaults.
if not says_nothing("config/config.yaml"):

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/room.smk"
include: "rules/small.smk"
include: "rules/validate.smk"
include: "rules/archive.smk"
include: "rules/images.smk"
include: "rules/catalogue.smk"
include: "rules/reviews.smk"
include: "rules/challenges.smk"
include: "rules/publish.smk"


onstart:
    alone = runlock.hold(CONFIG)
    stopping.catch()
    for line in leftover.sweep(CONFIG, Path.cwd()) if alone else []:
        print(f"slidebox: {line}", file=sys.stderr)
    RUN.append(runlog.attach(CONFIG, logger, len(QUEUE), len(workflow.dag)))


onsuccess:
    RUN.pop().end(well=True)


# A failed submission keeps `index` from running: the others must be found all the same.
onerror:
    RUN.pop().end(well=False)
    if not stopping.stopped.is_set():
        slidebox_index.catch_up(CONFIG)


rule all:
    default_target: True
    input:
        RECEIPTS,
        INDEX,
        REVIEWS,
        NO_ROOM,
