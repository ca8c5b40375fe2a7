#!/usr/bin/env bash
# Judges the dependencies' licences, sources and duplicates with cargo-deny, and the advisories where their database can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo_deny_version=0.20.2
tools=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}/tools
if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -qx "cargo-deny $cargo_deny_version"; then
  echo "Building cargo-deny $cargo_deny_version once (a few minutes); it is kept in $tools" >&2
  cargo install cargo-deny --version "$cargo_deny_version" --locked --quiet --root "$tools"
fi
"$tools/bin/cargo-deny" --log-level error check licenses bans sources
if timeout 60 "$tools/bin/cargo-deny" fetch db >/dev/null 2>&1; then
  "$tools/bin/cargo-deny" --log-level error check advisories
else
  echo "NOT CHECKED: the advisory database can not be reached from here, so known vulnerabilities were not looked up." >&2
fi
