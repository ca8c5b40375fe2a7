#!/usr/bin/env bash
# Makes sure that Rust's library for WebAssembly is there: wasm32-unknown-unknown for the verifier, wasm32-wasip1 for the pure crates' own
# tests in Node.js. Not every machine can install it: then this says so, and `make test` goes on without. With --check it installs nothing.
set -euo pipefail

# The toolchain is the one of this folder, from wherever it is called.
cd "$(dirname "$0")/.."
missing=()
for target in wasm32-unknown-unknown wasm32-wasip1; do
  compgen -G "$(rustc --print target-libdir --target "$target")/libstd-*.rlib" >/dev/null || missing+=("$target")
done
[ ${#missing[@]} -eq 0 ] && exit 0
[ "${1:-}" = --check ] && exit 1

# rustup installs it for whoever runs this; Debian has it as a package, for Debian's rustc.
if command -v rustup >/dev/null && rustup target add "${missing[@]}" >/dev/null 2>&1; then
  exit 0
fi
echo "The verifier will not be built and tested for WebAssembly: ${missing[*]} can not be installed here." >&2
echo "Try: rustup target add ${missing[*]} (or, with Debian's rustc: apt-get install libstd-rust-dev-wasm32)" >&2
exit 1
