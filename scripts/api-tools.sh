#!/usr/bin/env bash
# Prints where the tools are that judge the API from outside: schemathesis, and the validator of OpenAPI documents. They are installed into a folder of
# their own, at the versions that the tests know.
set -euo pipefail

schemathesis=4.32.5
validator=0.9.0
folder=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}/api-tools-$schemathesis-$validator
mkdir -p "$(dirname "$folder")"
# Tests may ask at once.
exec 9>"$folder.lock"
flock 9
if ! [ -e "$folder/installed" ]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet "schemathesis==$schemathesis" "openapi-spec-validator==$validator"; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -rf "$folder"
    echo "schemathesis could not be installed (see above): it needs python3-venv, and the network." >&2
    exit 2
  fi
  touch "$folder/installed"
fi
printf '%s\n' "$folder/bin"
