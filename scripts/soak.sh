#!/usr/bin/env bash
# `make soak`: the tests that leave something to chance, thousands of times. `scripts/soak.sh kills seeds` runs some steps. Each tells how far it is, and
# ends all where it fails; what it said is kept below the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

# About two hours on two cores. Each number can be set apart.
kills=${SOAK_KILLS:-3000}
witness_kills=${SOAK_WITNESS_KILLS:-500}
cuts=${SOAK_CUTS:-20000}
restore_cuts=${SOAK_RESTORE_CUTS:-200}
failures=${SOAK_FAILURES:-1000}
seeds=${SOAK_SEEDS:-5000}
cameras=${SOAK_CAMERAS:-1000}
load_seconds=${SOAK_LOAD_SECONDS:-120}
all=(kills witness cuts failures restores seeds tls fleet)

rocksdb=$(scripts/rocksdb.sh)
# The flags of the Makefile: with others all would be built again.
export ROCKSDB_LIB_DIR=$rocksdb ROCKSDB_STATIC=1 RUSTFLAGS="${RUSTFLAGS:-} -Clink-arg=-fuse-ld=mold"
logs=${CARGO_TARGET_DIR:-target}/soak
mkdir -p "$logs"

# With the profile of `make test`: what it has built is used again.
tests() {
  cargo test --locked "$@" -- --nocapture
}

step() {
  case $1 in
    kills) SOAK_KILLS=$kills tests -p exhibit-ledger --test kill ;;
    witness) SOAK_KILLS=$witness_kills tests -p exhibit-witness --test rollback --test mirror_durable ;;
    cuts) SOAK_CUTS=$cuts tests -p exhibit-ledger --test power_loss every_image ;;
    failures) SOAK_FAILURES=$failures tests -p exhibit-ledger --test power_loss a_change_that_fails ;;
    restores) SOAK_CUTS=$restore_cuts tests -p exhibit-appliance --test maintain crash:: ;;
    seeds) SOAK_SEEDS=$seeds tests -p exhibit-simulator --test seeds ;;
    tls) EXHIBIT_SSLYZE=$(scripts/sslyze.sh) tests -p exhibit-appliance --test tls ;;
    fleet)
      # A thousand cameras and their appliance on one machine: optimised, and with a socket for each on both sides.
      cargo build --release --locked -p exhibit-appliance -p exhibit-authority -p exhibit-cli
      ulimit -n "$(ulimit -Hn)"
      SOAK_CAMERAS=$cameras SOAK_LOAD_SECONDS=$load_seconds tests --release -p exhibit-load --test fleet
      ;;
    *)
      echo "soak: there is no step $1: ${all[*]}" >&2
      return 64
      ;;
  esac
}

[ $# -gt 0 ] || set -- "${all[@]}"
done=()
for name in "$@"; do
  echo "soak: $name begins"
  begin=$SECONDS
  # In a shell of its own with -e: within a condition it would be off.
  set +e
  (set -e; step "$name") 2>&1 | tee "$logs/$name.log"
  status=${PIPESTATUS[0]}
  set -e
  if [ "$status" -ne 0 ]; then
    echo "soak: $name FAILED after $((SECONDS - begin)) s (exit $status): $logs/$name.log" >&2
    exit "$status"
  fi
  # A test that was renamed would leave nothing to be run, and cargo content.
  if grep -q 'SKIPPED' "$logs/$name.log" || ! grep -q '^test result: ok\. [1-9]' "$logs/$name.log"; then
    echo "soak: $name FAILED: nothing was run, or something was skipped: $logs/$name.log" >&2
    exit 1
  fi
  done+=("$name $((SECONDS - begin)) s")
  echo "soak: $name ok, $((SECONDS - begin)) s"
done
printf 'soak: %s\n' "${done[@]}" "all ok, $SECONDS s"
