# What all stages share: the checked configuration, the queue, and the patterns of wildcards.
#
# Reads:  config, the inbox's `.ready` headers, the names in results/receipts
# Gives:  CONFIG, QUEUE, RECEIPTS (what is to be sealed), INDEX (the catalogue after that)
#
# Only the main process looks at the inbox: jobs parse this file again, and must see the plan that
# stands in their paths, not a queue that has changed since.

import sys

from slidebox import config as slidebox_config
from slidebox import resources
from slidebox.ingest import challenges as challenge_plan
from slidebox.ingest import index as slidebox_index
from slidebox.ingest import queue, runlock

try:
    CONFIG = slidebox_config.load(config)
except slidebox_config.ConfigError as error:
    sys.exit(str(error))

# Jobs in an environment of their own (--software-deployment-method conda) find the library.
resources.export_library()

# Where queue and catalogue stand; jobs elsewhere have an empty queue and the paths they were given.
MAIN = workflow.is_main_process
QUEUE = queue.scan(CONFIG) if MAIN else []
SEALED = queue.receipts(CONFIG) if MAIN else set()
STATE = queue.catalogue_key(SEALED | {(item.accession, item.key) for item in QUEUE})

RESULTS = CONFIG.results.as_posix()
STAGES = f"{RESULTS}/{{accession}}/{{key}}"
LOGS = f"{RESULTS}/logs/{{accession}}/{{key}}"
TIMES = f"{RESULTS}/benchmarks/{{accession}}/{{key}}"

RECEIPTS = [f"{RESULTS}/receipts/{item.accession}~{item.key}.json" for item in QUEUE]
INDEX = f"{RESULTS}/index/{STATE}.json"

SEALED_STATE = queue.catalogue_key(SEALED)
SLUGS = challenge_plan.slugs(CONFIG) if MAIN else []


BYTES = {(item.accession, item.key): item.bytes for item in QUEUE}


def threads_for(wildcards):
    """Small submissions run side by side, large ones with two threads each."""
    return 2 if BYTES.get((wildcards.accession, wildcards.key), 0) > 500_000_000 else 1


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
