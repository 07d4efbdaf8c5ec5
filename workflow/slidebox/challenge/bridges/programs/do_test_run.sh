#!/usr/bin/env bash
# Score what lies in test/input as the host does: no network, nothing to write to but /output and
# /tmp, and not as root.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
./do_build.sh
mkdir -p test/input test/output
truth=$(mktemp -d)
trap 'rm -rf "$truth"' EXIT
tar -xzf ground_truth.tar.gz -C "$truth"
chmod -R o+rX "$truth" test/input
chmod o+rwx test/output
docker run --rm --platform=linux/amd64 --network none --read-only --tmpfs /tmp \
  --volume "$PWD/test/input":/input:ro \
  --volume "$PWD/test/output":/output \
  --volume "$truth":/opt/ml/input/data/ground_truth:ro \
  TAG
cat test/output/metrics.json
