#!/usr/bin/env bash
# Writes docs/errors.md from the errors that the tests provoked in this run (target/tmp/errors). With
# --check: fails if the page and the tests differ.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
examples=${CARGO_TARGET_DIR:-target}/tmp/errors
page() {
  cat <<'HEAD'
# Error messages

Every message says what failed, where and why. If pgark knows what to do about it, a hint follows.
With `--json`, both are in one object on standard error ([json.md](json.md#errors)). A failed backup
leaves nothing that counts, and a refused restore has changed nothing.

This page is generated from the tests that provoke these errors (`scripts/errors.sh`).

HEAD
  for file in "$examples"/*.md; do cat "$file"; echo; done
}
if [ "${1:-}" = --check ]; then
  if ! diff -u docs/errors.md <(page) >&2; then
    echo "docs/errors.md does not match what the tests provoke: run scripts/errors.sh and read the difference" >&2
    exit 1
  fi
else
  mkdir -p docs
  page > docs/errors.md
fi
