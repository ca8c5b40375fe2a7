#!/usr/bin/env bash
# Prints where sslyze is, which `make soak` probes the listeners with. It is installed into a folder of its own, at the version that the test knows.
set -euo pipefail

version=6.3.1
folder=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}/sslyze-$version
if ! [ -x "$folder/bin/sslyze" ]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet "sslyze==$version"; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -rf "$folder"
    echo "sslyze could not be installed (see above): it needs python3-venv, and the network." >&2
    exit 2
  fi
fi
printf '%s\n' "$folder/bin/sslyze"
