# What all stages share: the checked configuration, the queue, and the patterns of wildcards.
#
# Reads:  config, the inbox's `.ready` headers, the names in results/receipts
# Gives:  CONFIG, QUEUE, RECEIPTS (what is to be sealed), INDEX (the catalogue after that)
#
# Only the main process looks at the inbox: jobs parse this file again, and must see the plan that
# stands in their paths, not a queue that has changed since.

import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake.scheduling.job_scheduler import JobScheduler

from slidebox import config as slidebox_config
from slidebox import resources
from slidebox.ingest import challenges as challenge_plan
from slidebox.ingest import index as slidebox_index
from slidebox.ingest import (
    capacity,
    leftover,
    queue,
    runlock,
    runlog,
    sizes,
    stages,
    stopping,
)

try:
    CONFIG = slidebox_config.load(config)
except slidebox_config.ConfigError as error:
    sys.exit(str(error))

# Jobs in an environment of their own (--software-deployment-method conda) find the library.
resources.export_library()

# Before Snakemake starts a job's step, which no longer sees Slurm's variables.
resources.use_scratch()

# Snakemake's own answer to SIGTERM can wait for ever.
JobScheduler.exit_gracefully = stopping.stop

# Where queue and catalogue stand; jobs elsewhere have an empty queue and the paths they were given.
MAIN = workflow.is_main_process
if not MAIN:
    # Small submissions share a job on a cluster: one that fails must not keep the others waiting
    # there either, and Snakemake does not hand `keep-going` down.
    JobScheduler.keepgoing = property(lambda self: True, lambda self, value: None)
QUEUE, TOO_LARGE = capacity.fitting(CONFIG, queue.scan(CONFIG)) if MAIN else ([], [])
for problem in TOO_LARGE:
    print(f"slidebox: {problem}", file=sys.stderr)
SEALED = queue.receipts(CONFIG) if MAIN else set()
REQUESTS = queue.requests(CONFIG) if MAIN else {}
STATE = queue.catalogue_key(SEALED | {(item.accession, item.key) for item in QUEUE})

RESULTS = CONFIG.results.as_posix()
STAGES = f"{RESULTS}/{{accession}}/{{key}}"
LOGS = f"{RESULTS}/logs/{{accession}}/{{key}}"
TIMES = f"{RESULTS}/benchmarks/{{accession}}/{{key}}"

RECEIPTS = [f"{RESULTS}/receipts/{item.accession}~{item.key}.json" for item in QUEUE]
INDEX = f"{RESULTS}/index/{STATE}.json"
NO_ROOM = [f"{RESULTS}/no-room"] if TOO_LARGE else []

SEALED_STATE = queue.catalogue_key(SEALED)
RUN = []  # the log of this run, once it has begun
SLUGS = challenge_plan.slugs(CONFIG) if MAIN else []


# What the jobs handle. A job on another node asks the inbox for its one submission.
ITEMS = {(item.accession, item.key): item for item in QUEUE}


def load_of(wildcards, stage):
    """Counts and sizes that a job of this stage handles, as far as they are known now."""
    at = wildcards.accession, wildcards.key
    item = ITEMS.get(at) or sizes.standing(CONFIG, *at)
    part = int(wildcards.slice) - 1 if stage == "images" else None
    return sizes.Load.of_stages(CONFIG, item, stage, part)


def threads_of(stage):
    """Small jobs run side by side, large ones with two threads each."""
    return lambda wildcards: sizes.threads(load_of(wildcards, stage))


def memory_of(stage):
    """MB, from what is handled; more on each attempt, or what `slidebox retry --memory` said."""
    return lambda wildcards, attempt: max(
        sizes.memory_mb(stage, load_of(wildcards, stage), attempt),
        REQUESTS.get(wildcards.accession, 0),
    )


def minutes_of(stage):
    """Limit of the run time, from what is handled; more on each attempt."""
    return lambda wildcards, attempt: sizes.minutes(
        stage, load_of(wildcards, stage), attempt
    )


def image_lists(wildcards):
    """The lists of images of all slices; the number of slices stands in the key."""
    n = queue.slices_of(wildcards.key)
    return [
        f"{STAGES}/images/{i}of{n}.json".format(**wildcards) for i in range(1, n + 1)
    ]


def release_mark(slug):
    """What says that a challenge is released from the sealed state of the archive."""
    state = challenge_plan.release_state(CONFIG, slug, SEALED_STATE)
    return f"{RESULTS}/challenges/{slug}~{state}.json"


def leaderboard_mark(slug):
    """What says that all entries of a challenge are scored."""
    state = challenge_plan.leaderboard_state(CONFIG, slug, SEALED_STATE)
    return f"{RESULTS}/leaderboards/{slug}~{state}.json"


wildcard_constraints:
    accession="[A-Za-z0-9][A-Za-z0-9-]{0,63}",
    key=queue.KEY,
    state="[0-9a-f]{12}",
    slug="[a-z0-9][a-z0-9-]*",
