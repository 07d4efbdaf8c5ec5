#!/usr/bin/env bash
# Build the evaluation's container.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
docker build --platform=linux/amd64 --tag TAG .
