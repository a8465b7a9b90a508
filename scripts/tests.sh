# How ./test runs the tests. Sourced, not run, behind setup.sh.
#
# A test that fails has one more try, alone. If that passes, the run goes on, and the test is named
# at the end: it depends on something that it should not, and is a defect to be mended first.

# What passed on the second try only, a line each.
second_tries=()

# Some tests wait more than they work.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 1))}

# run_tests LOG
run_tests() {
  if cargo nextest --version >/dev/null 2>&1; then with_nextest "$1"; else with_cargo "$1"; fi
}

# .config/nextest.toml gives the second try.
with_nextest() {
  local log=$1
  # Many tests wait for networks, timers and servers: more of them than there are cores.
  local cores threads
  cores=$(nproc)
  threads=$((cores + (cores + 1) / 2))
  run_into "$log" cargo nextest run --locked --workspace --no-fail-fast --color never --test-threads "$threads" || return
  local name
  while read -r name; do second_tries+=("$name"); done < <(sed -n 's/^ *FLAKY [0-9/]* \[[^]]*\] *\(([^)]*) *\)\{0,1\}//p' "$log" | sort -u)
  run cargo test --locked --workspace --doc
}

with_cargo() {
  local log=$1 failed name
  say "cargo-nextest is not installed, which runs tests of several programs at once: cargo install --locked cargo-nextest"
  if run_into "$log" cargo test --locked --workspace --no-fail-fast; then return 0; fi
  # What did not end as a test ends (a signal, an example in a comment) has no second try.
  if grep -q "^Caused by:\|could not compile" "$log" || grep -q "^test .* - .*FAILED$" "$log"; then return 1; fi
  mapfile -t failed < <(sed -n 's/^test \([^ ]*\)\( - should panic\)\{0,1\} \.\.\. FAILED$/\1/p' "$log" | sort -u)
  if [ ${#failed[@]} = 0 ]; then return 1; fi
  say "== second try of ${failed[*]}"
  RUST_TEST_THREADS=1 run cargo test --locked --workspace -- --exact "${failed[@]}" || return
  for name in "${failed[@]}"; do second_tries+=("$name"); done
}

# Runs a command; what it says goes to the terminal and into a file.
run_into() {
  local log=$1
  shift
  # shellcheck disable=SC2016
  run bash -c 'log=$1; shift; "$@" 2>&1 | tee "$log" >&2; exit "${PIPESTATUS[0]}"' _ "$log" "$@"
}

tell_second_tries() {
  if [ ${#second_tries[@]} = 0 ]; then return; fi
  say "== ${#second_tries[@]} passed on the second try only: a defect, to be mended before anything new"
  printf '%s\n' "${second_tries[@]}" >&2
}
