#!/usr/bin/env bash
# Installs the Debian packages that building, the demo and the tests need; asks for sudo once, and only if something is missing.
set -euo pipefail

build=(build-essential clang cmake libclang-dev libgstreamer-plugins-base1.0-dev libgstreamer1.0-dev libssl-dev libtss2-dev mold pkg-config python3)
media=(gstreamer1.0-libav gstreamer1.0-plugins-bad gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly)
tools=(curl ffmpeg gir1.2-gst-rtsp-server-1.0 git gstreamer1.0-tools nodejs opencv-doc openssl procps python3-cryptography python3-gi python3-prometheus-client python3-venv swtpm swtpm-tools systemd
  tpm2-tools xxd)
missing=()
for package in "${build[@]}" "${media[@]}" "${tools[@]}"; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "This is not Debian or a relative of it: install what corresponds to these packages, then run make again: ${missing[*]}" >&2
  exit 2
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "These packages are missing, and there is no sudo. As root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 2
  fi
  echo "These packages are missing and will be installed with sudo: ${missing[*]}" >&2
  as_root=(sudo)
fi
# Small images of Debian leave documentation out, and the clip is part of one.
with_clip=(-o 'DPkg::Options::=--path-include=/usr/share/doc/opencv-doc/*')
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing ${#missing[@]} Debian packages" >&2
if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${with_clip[@]}" "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "The packages could not be installed (see above). Check the network and apt's sources, then run make again." >&2
  exit 2
fi
