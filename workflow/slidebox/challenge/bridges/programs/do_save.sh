#!/usr/bin/env bash
# Build the container and pack it for the upload.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
./do_build.sh
docker save TAG | gzip -c > evaluation.tar.gz
echo "upload evaluation.tar.gz as the evaluation method, ground_truth.tar.gz as the ground truth"
