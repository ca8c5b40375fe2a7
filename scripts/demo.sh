#!/usr/bin/env bash
# The main job on real video: camera, appliance, share, export, verdict; then one byte is changed, and the verdict names it.
# Everything is made in $DEMO_STATE; `make clean-demo` removes it. SOURCE=<file or rtsp:// address> plays something else than vtest.avi.
set -euo pipefail
cd "$(dirname "$0")/.."

state=${DEMO_STATE:-$PWD/.demo}
cache=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}
domain=city.example
# vtest.avi lasts 79 seconds; a source that does not end by itself is stopped after this long.
record_seconds=${RECORD_SECONDS:-90}
children=()

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() {
  printf '\n%s\n' "$*" >&2
  exit 2
}

stop_children() {
  local child
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  for child in "${children[@]}"; do wait "$child" 2>/dev/null || true; done
  children=()
}
trap stop_children EXIT
# libtss2 would tell of every TCTI that it tries.
export TSS2_LOG=all+NONE

remove_state() {
  # Only a folder that a demo made is removed.
  if [ -e "$state" ]; then
    [ -f "$state/made-by-exhibit-demo" ] || fail "$state was not made by the demo: remove it by hand, or set DEMO_STATE to another folder."
    rm -rf "$state"
  fi
}

if [ "${1:-}" = --clean ]; then
  remove_state
  exit 0
fi

# What there is to build, and how far it is, so that nobody wonders whether it hangs.
build() {
  local started=$SECONDS target total
  say "Building Exhibit. The first time this takes about fifteen minutes on two cores; later it takes seconds."
  ROCKSDB_LIB_DIR=$(scripts/rocksdb.sh)
  export ROCKSDB_LIB_DIR ROCKSDB_STATIC=1 RUSTFLAGS="${RUSTFLAGS:-} -Clink-arg=-fuse-ld=mold"
  EXHIBIT_COMMIT=$(git describe --always --dirty 2>/dev/null || echo unknown)
  export EXHIBIT_COMMIT
  total=$(cargo tree --locked --workspace --edges normal,build --prefix none --format '{p}' | sort -u | wc -l)
  # Cargo tells each crate that it has compiled; cached ones are not counted again.
  cargo build --release --locked --workspace --bins 2>&1 | awk -v total="$total" -v terminal="$([ -t 1 ] && echo 1 || echo 0)" '
    /^ *Compiling / { count++; if (terminal) printf "\r  %d of at most %d crates: %-50s", count, total, $2; else if (count % 50 == 0) { printf "  %d of at most %d crates\n", count, total; fflush() } next }
    /^(error|warning: unused)/ { failing = 1 }
    failing { print }
    END { if (terminal && count) printf "\n" }' || fail "The build failed; the messages above say where."
  target=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
  bin=$target/release
  [ -x "$bin/exhibit" ] || fail "The build left no programs in $bin."
  say "Built in $((SECONDS - started)) seconds."
}

source_of_video() {
  case ${SOURCE:-} in
    '')
      local clip=/usr/share/doc/opencv-doc/examples/data/vtest.avi
      [ -f "$clip" ] || clip=$(dpkg -L opencv-doc 2>/dev/null | grep -m 1 '/vtest\.avi' || true)
      [ -n "$clip" ] && [ -f "$clip" ] || fail "The surveillance clip vtest.avi is not there. Install Debian's opencv-doc, or name another with SOURCE=."
      echo "file:$clip"
      ;;
    rtsp://* | rtsps://* | test:* | file:*) echo "$SOURCE" ;;
    *)
      [ -f "$SOURCE" ] || fail "SOURCE=$SOURCE is neither a file nor an rtsp:// address."
      echo "file:$(realpath "$SOURCE")"
      ;;
  esac
}

# Two free TCP ports side by side, for swtpm's data and control channels.
free_port_pair() {
  python3 - <<'PY'
import socket, sys
for _ in range(200):
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        try:
            second.bind(("127.0.0.1", port + 1))
        except (OSError, OverflowError):
            continue
        print(port)
        sys.exit()
sys.exit("no two free ports side by side on 127.0.0.1")
PY
}

# Waits until a file has a line that matches, or the process that writes it has ended.
await_line() { # file, pattern, process, what
  local waited=0
  until grep -q -m 1 -- "$2" "$1" 2>/dev/null; do
    kill -0 "$3" 2>/dev/null || { tail -n 20 "$1" "${1%.out}.err" 2>/dev/null >&2 || true; fail "$4 ended before it was ready (see above)."; }
    [ "$waited" -lt 600 ] || fail "$4 was not ready within a minute; see $1."
    sleep 0.1
    waited=$((waited + 1))
  done
}

start_tpm() {
  command -v swtpm >/dev/null || fail "There is no swtpm, the software TPM that stands in for the camera's. Run make packages."
  local port
  port=$(free_port_pair) || fail "No free port could be found on 127.0.0.1 for the TPM."
  mkdir -p "$state/tpm"
  swtpm socket --tpm2 --flags not-need-init,startup-clear --tpmstate "dir=$state/tpm" \
    --server "type=tcp,bindaddr=127.0.0.1,port=$port" --ctrl "type=tcp,bindaddr=127.0.0.1,port=$((port + 1))" \
    --pid "file=$state/tpm/pid" >"$state/tpm.out" 2>"$state/tpm.err" &
  children+=($!)
  await_line "$state/tpm/pid" . $! "The TPM"
  tcti=swtpm:host=127.0.0.1,port=$port
}

make_pki_and_appliance() {
  say "1. Keys: a root, an issuing authority, and an appliance with a new log"
  "$bin/exhibit-authority" init --dir "$state/authority" --domain $domain
  "$bin/exhibit-appliance" init --state "$state/appliance" --identity spiffe://$domain/appliance/1 --server-name localhost --server-name 127.0.0.1
  "$bin/exhibit-authority" sign --dir "$state/authority" --csr "$state/appliance/appliance.csr" --role appliance \
    --server-name localhost --server-name 127.0.0.1 --out "$state/appliance/appliance.pem"
  "$bin/exhibit-appliance" create-log --state "$state/appliance" --origin $domain/log/1 --chain "$state/authority/chain.pem" --root "$state/authority/root.pem"
  start_appliance
}

start_appliance() {
  "$bin/exhibit-appliance" serve --state "$state/appliance" --intake 127.0.0.1:0 --public 127.0.0.1:0 --json >"$state/appliance.out" 2>"$state/appliance.err" &
  children+=($!)
  await_line "$state/appliance.out" '"ready"' $! "The appliance"
  intake=$(python3 -c 'import json,sys; print(next(e["intake"] for e in map(json.loads, open(sys.argv[1])) if e.get("event") == "ready"))' "$state/appliance.out")
  # Where the commands in the bundle's README look for it: beside the bundle, not in it.
  anchor=$state/anchor.json
  cp "$state/appliance/anchor.json" "$anchor"
  export EXHIBIT_APPLIANCE=$intake EXHIBIT_ANCHOR=$anchor
}

certify() { # request, role, out, more options
  local request=$1 role=$2 out=$3
  shift 3
  "$bin/exhibit-authority" sign --dir "$state/authority" --csr "$request" --role "$role" --out "$out" --appliance "$intake" --anchor "$anchor" "$@"
}

make_person() { # folder, role
  "$bin/exhibit" identity new --dir "$state/$1" --domain $domain
  certify "$state/$1/signing.csr" "$2" "$state/$1/signing.pem"
  certify "$state/$1/wrapping.csr" "$2" "$state/$1/wrapping.pem" --purpose wrapping
  cp "$state/authority/chain.pem" "$state/$1/chain.pem"
}

enrol_camera() {
  say "3. Camera 102: a key in its TPM, the custodian pinned"
  "$bin/exhibit" pin --anchor "$anchor" --custodian "$state/custodian/signing.pem" --out "$state/camera-102.pin"
  "$bin/exhibit-camera-agent" enrol --state "$state/camera-102" --tcti "$tcti" --identity spiffe://$domain/camera/102 --csr "$state/camera-102.csr"
  certify "$state/camera-102.csr" camera "$state/camera-102.pem"
  "$bin/exhibit-camera-agent" install --state "$state/camera-102" --tcti "$tcti" --certificate "$state/camera-102.pem" \
    --chain "$state/authority/chain.pem" --pin "$state/camera-102.pin"
}

record() {
  say "4. Recording: $video, at live speed, sealed, signed by the TPM, uploaded; every receipt is verified"
  "$bin/exhibit-camera-agent" run --state "$state/camera-102" --tcti "$tcti" --source "$video" --appliance "$intake" --json \
    >"$state/camera-102.out" 2>"$state/camera-102.err" &
  local agent=$! waited=0
  children+=("$agent")
  local line_end='\n' every=10
  if [ -t 1 ]; then line_end='\r' every=1; fi
  while kill -0 "$agent" 2>/dev/null; do
    sleep 1
    waited=$((waited + 1))
    if [ $((waited % every)) -eq 0 ]; then
      printf "  %3d s: %s segments sealed, %s receipts verified$line_end" "$waited" \
        "$(grep -c '"event":"sealed"' "$state/camera-102.out" || true)" "$(grep -c '"event":"acknowledged"' "$state/camera-102.out" || true)"
    fi
    [ "$waited" -ne "$record_seconds" ] || kill -TERM "$agent" 2>/dev/null || true
    [ "$waited" -lt $((record_seconds + 60)) ] || fail "The camera does not stop; see $state/camera-102.err."
  done
  echo
  wait "$agent" || { tail -n 20 "$state/camera-102.err" >&2; fail "The camera agent failed (see above, and $state/camera-102.err)."; }
}

# The middle of what was recorded, by the camera's clock: from, to.
middle_range() {
  python3 - "$state/camera-102.out" <<'PY'
import datetime, json, sys
starts = [e["start"] for e in map(json.loads, open(sys.argv[1])) if e.get("event") == "sealed"]
if len(starts) < 3:
    sys.exit(f"only {len(starts)} segments were recorded: the source is too short for this demo (6 seconds at least)")
when = [datetime.datetime.fromisoformat(s.replace("Z", "+00:00")) for s in (starts[0], starts[-1])]
length = when[1] - when[0]
for share in (0.25, 0.75):
    print((when[0] + length * share).strftime("%Y-%m-%dT%H:%M:%S.") + "000Z")
PY
}

share_export_verify() {
  local range from to
  range=$(middle_range) || fail "There is nothing to share (see above)."
  from=${range%%$'\n'*} to=${range##*$'\n'}
  say "5. The custodian grants the investigator a range that has passed: $from to $to"
  EXHIBIT_IDENTITY=$state/custodian "$bin/exhibit" share --scope camera/102 --from "$from" --to "$to" \
    --grantee "$state/investigator/wrapping.pem" --purpose "case 2026-117"
  say "6. The investigator fetches (signed before a byte is served), opens and exports it"
  EXHIBIT_IDENTITY=$state/investigator "$bin/exhibit" fetch --purpose "case 2026-117" --out "$state/case"
  EXHIBIT_IDENTITY=$state/investigator "$bin/exhibit" export --case "$state/case" --out "$state/bundle" >"$state/export.out" ||
    { cat "$state/export.out" >&2; fail "The bundle that was exported does not verify (see above)."; }
  stop_children
  say "7. Anybody verifies it offline: camera, TPM and appliance are switched off"
  "$bin/exhibit" verify "$state/bundle" --anchor "$anchor" || fail "The bundle does not verify (see above)."
}

flip_one_byte() {
  say "8. One byte of the video is changed"
  cp -r "$state/bundle" "$state/bundle-with-one-byte-changed"
  python3 - "$state/bundle-with-one-byte-changed" <<'PY'
import pathlib, sys
fragments = sorted(pathlib.Path(sys.argv[1]).glob("disclosed/*/*/*.bin"))
victim = fragments[len(fragments) // 2]
data = bytearray(victim.read_bytes())
data[len(data) // 2] ^= 1
victim.write_bytes(data)
print(f"  in {victim}")
PY
  local code=0
  "$bin/exhibit" verify "$state/bundle-with-one-byte-changed" --anchor "$anchor" || code=$?
  [ "$code" -eq 1 ] || fail "The change was not found (exit code $code)."
}

packages_present() {
  local program
  for program in openssl python3 swtpm gst-launch-1.0; do
    command -v "$program" >/dev/null || fail "$program is missing. Run make packages (it asks for sudo if need be), then make demo again."
  done
  command -v cargo >/dev/null || fail "Rust is missing: install it (https://rustup.rs), open a new shell, then run make demo again."
}

packages_present
# What is wrong with these is told before a build of many minutes, not after.
video=$(source_of_video)
[ ! -e "$state" ] || [ -f "$state/made-by-exhibit-demo" ] ||
  fail "$state was not made by the demo: remove it by hand, or set DEMO_STATE to another folder."
build
started=$SECONDS
remove_state
mkdir -p "$state"
echo "Everything here was made by make demo; make clean-demo removes it." >"$state/made-by-exhibit-demo"
start_tpm
make_pki_and_appliance
say "2. People: a custodian and an investigator, each with a signing and a wrapping certificate on the ledger"
make_person custodian custodian
make_person investigator investigator
enrol_camera
EXHIBIT_IDENTITY=$state/custodian "$bin/exhibit" recipients set --scope camera/102 --recipient "$state/custodian/wrapping.pem" \
  --custodian "$state/custodian/signing.pem"
record
share_export_verify
flip_one_byte
say "Done in $((SECONDS - started)) seconds."
echo "  the video      $(ls "$state"/bundle/working/*.mp4)"
echo "  the bundle     $state/bundle  (its README.md tells how to check it with openssl)"
echo "  the anchor     $anchor"
echo "  check again    $bin/exhibit verify $state/bundle --anchor $anchor"
echo "  clean up       make clean-demo"
