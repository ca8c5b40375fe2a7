#!/usr/bin/env bash
# Prints where Debian's nginx is, which `make bench` compares the intake with. It is taken out of its package and not installed, since an
# installed one would begin to serve.
set -euo pipefail

cache=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}
nginx=$cache/nginx/usr/sbin/nginx
if ! [ -x "$nginx" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  if ! (cd "$folder" && apt-get download nginx && dpkg -x nginx_*.deb nginx) >"$folder/log" 2>&1; then
    cat "$folder/log" >&2
    echo "Debian's nginx could not be fetched (see above): try 'apt-get update' as root, then run make bench again." >&2
    exit 2
  fi
  mkdir -p "$cache"
  rm -rf "$cache/nginx"
  mv "$folder/nginx" "$cache/nginx"
fi
"$nginx" -v >/dev/null 2>&1 || { echo "$nginx does not start: $("$nginx" -v 2>&1)" >&2; exit 2; }
printf '%s\n' "$nginx"
