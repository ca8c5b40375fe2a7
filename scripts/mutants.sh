#!/usr/bin/env bash
# Mutation testing of what judges evidence: cargo-mutants changes one thing at a time in a copy of the sources, and some test must notice.
# MUTANTS="ledger/tlog/src/proof.rs evidence/src/cms*" tries some files only. What no test can notice is left out in .cargo/mutants.toml,
# each with its reason. Takes hours.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo_mutants_version=27.1.0
cache=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}
tools=$cache/tools
# A test that takes ten times as long as any does hangs: that is noticing too.
test_seconds_max=300

if ! "$tools/bin/cargo-mutants" mutants --version 2>/dev/null | grep -qx "cargo-mutants $cargo_mutants_version"; then
  echo "Building cargo-mutants $cargo_mutants_version once (two minutes); it is kept in $tools" >&2
  cargo install cargo-mutants --version "$cargo_mutants_version" --locked --quiet --root "$tools"
fi

files=()
for pattern in ${MUTANTS:-'ledger/tlog/src/**' 'pki/src/**' 'evidence/src/**'}; do files+=(--file "$pattern"); done
result=0
PATH=$tools/bin:$PATH cargo mutants --package exhibit-tlog --package exhibit-pki --package exhibit-evidence "${files[@]}" \
  --jobs 1 --timeout "$test_seconds_max" --output "$cache" --colors never || result=$?
# 3: none was missed, and some hung.
if [ "$result" -ne 0 ] && [ "$result" -ne 3 ]; then
  echo "Changes that no test noticed (docs/testing.md): $cache/mutants.out/missed.txt" >&2
  exit 1
fi
