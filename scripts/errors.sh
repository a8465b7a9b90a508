#!/usr/bin/env bash
# Puts docs/errors.md together from what the tests provoked in this run (target/tmp/errors). With
# --check: fails where the page and the tests differ.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
examples=${CARGO_TARGET_DIR:-target}/tmp/errors
page() {
  cat <<'HEAD'
# What pgark says when something is wrong

Every message says what failed, where and why; where pgark knows what to do, a hint follows. With
`--json` the same stands in one object on standard error: `{"error", "hint", "code"}`. A failed
backup leaves nothing that counts; a refused restore has touched nothing.

This page is made by the tests that provoke these errors (`scripts/errors.sh`).

HEAD
  for file in "$examples"/*.md; do cat "$file"; echo; done
}
if [ "${1:-}" = --check ]; then
  if ! diff -u docs/errors.md <(page) >&2; then
    echo "docs/errors.md is not what the tests provoke: run scripts/errors.sh and read the difference" >&2
    exit 1
  fi
else
  mkdir -p docs
  page > docs/errors.md
fi
