#!/usr/bin/env bash
# Fuzzes every target of tests/fuzz with coverage: FUZZ_SECONDS each (default 300), or only those named in FUZZ_TARGETS. Needs a nightly
# toolchain. What it finds goes into the corpus as a regression, and the command fails.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo_fuzz_version=0.13.2
cache=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}
tools=$cache/tools
seconds=${FUZZ_SECONDS:-300}
# No input of use is longer: the largest limit of a parser but for whole bundles.
input_bytes_max=131072
# Longer than any input takes, on a machine that does other things too.
input_seconds_max=20

if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "Fuzzing with coverage needs a nightly toolchain: rustup toolchain install nightly. \`make test\` has run the smoke on stable." >&2
  exit 2
fi
if ! "$tools/bin/cargo-fuzz" --version 2>/dev/null | grep -qx "cargo-fuzz $cargo_fuzz_version"; then
  echo "Building cargo-fuzz $cargo_fuzz_version once (a minute); it is kept in $tools" >&2
  cargo install cargo-fuzz --version "$cargo_fuzz_version" --locked --quiet --root "$tools"
fi

# No sanitizer: there is no unsafe code behind the targets, and without one twice as many inputs are tried.
build=(--fuzz-dir tests/fuzz/libfuzzer --sanitizer none --target-dir "${FUZZ_TARGET_DIR:-$cache/fuzz-target}")
PATH=$tools/bin:$PATH cargo +nightly fuzz build "${build[@]}" target >&2
program=$(find "${FUZZ_TARGET_DIR:-$cache/fuzz-target}" -path '*/release/target' -type f -perm -u+x | head -n 1)

failed=()
for corpus in tests/fuzz/corpus/*/; do
  target=$(basename "$corpus")
  if [ -n "${FUZZ_TARGETS:-}" ] && [[ " $FUZZ_TARGETS " != *" $target "* ]]; then continue; fi
  # What coverage adds stays in the cache, and the next run goes on from there.
  grown=$cache/fuzz-corpus/$target
  found=$cache/fuzz-found/$target
  mkdir -p "$grown" "$found"
  log=$found/log
  if EXHIBIT_FUZZ_TARGET=$target "$program" -max_total_time="$seconds" -max_len=$input_bytes_max -timeout=$input_seconds_max \
    -artifact_prefix="$found/" -print_final_stats=1 "$grown" "$corpus" >"$log" 2>&1; then
    echo "$target: nothing in $(grep -oP 'number_of_executed_units:\s*\K\d+' "$log") inputs, coverage $(grep -oP 'cov: \K\d+' "$log" | tail -n 1)"
  else
    failed+=("$target")
    echo "$target: FAILED"
    grep -vE '^#|^INFO|^stat::|NEW_FUNC' "$log" | head -n 30
    for input in "$found"/crash-* "$found"/timeout-* "$found"/oom-*; do
      [ -e "$input" ] && mv "$input" "$corpus/regression-$(basename "$input" | cut -c1-24)"
    done
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "Failed: ${failed[*]}. The inputs are in the corpus as regression-…; cargo test -p exhibit-fuzz shows each." >&2
  exit 1
fi
