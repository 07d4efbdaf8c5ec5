# Reviews: what reviewers see of embargoed studies, as those are sealed; what has ended goes.
#
# Reads:  private/reviews/, results/receipts/, embargoed/
# Writes: public/review/<token>/, results/reviews/<state>.json

from slidebox.ingest import review as slidebox_review

QUEUED = {(item.accession, item.key) for item in QUEUE}
REVIEW_STATE = slidebox_review.state(CONFIG, SEALED | QUEUED) if MAIN else None
REVIEWS = [f"{RESULTS}/reviews/{REVIEW_STATE}.json"] if REVIEW_STATE else []


# Waits for the studies under review alone: another that fails keeps no review open.
rule reviews:
    input:
        [
            f"{RESULTS}/receipts/{accession}~{key}.json"
            for accession, key in sorted(QUEUED)
            if accession in slidebox_review.accessions(CONFIG)
        ],
    output:
        f"{RESULTS}/reviews/{{state}}.json",
    log:
        f"{RESULTS}/logs/reviews/{{state}}.log",
    conda:
        "../environment.yml"
    message:
        "renewing the reviews"
    script:
        "../scripts/reviews.py"
