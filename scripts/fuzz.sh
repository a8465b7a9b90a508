#!/usr/bin/env bash
# Runs every fuzz target for a while: scripts/fuzz.sh [SECONDS each, default 60]. Installs
# cargo-fuzz where it is missing. What it finds is left in fuzz/artifacts/TARGET; a crash becomes a
# test beside its mend.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../fuzz"
seconds=${1:-60}
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
# Coverage marks need flags of the compiler that are not stable; the sanitizer, which needs another
# toolchain, is left out.
export RUSTC_BOOTSTRAP=1
cargo fuzz build --sanitizer none --target-dir ../target/fuzz
grown=$(mktemp -d)
trap 'rm -rf "$grown"' EXIT
for target in $(cargo fuzz list); do
  mkdir -p "$grown/$target"
  cargo fuzz run --sanitizer none --target-dir ../target/fuzz "$target" "$grown/$target" "corpus/$target" -- \
    -max_total_time="$seconds" -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 2>&1 | grep -E "Done|executed_units|ERROR|panicked|Test unit" || true
  if [ -n "$(ls -A "artifacts/$target" 2>/dev/null)" ]; then echo "$target: crashes in fuzz/artifacts/$target" >&2; exit 1; fi
  echo "fuzz target $target: no crash in $seconds s"
done
