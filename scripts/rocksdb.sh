#!/usr/bin/env bash
# Builds the RocksDB that librocksdb-sys vendors, once, as unity chunks, into a static library outside the checkout, and prints the folder.
#
# Why: through cargo the same sources take about 2,000 CPU seconds for every profile and every clone; in ten unity chunks they take about
# 530, once. ROCKSDB_LIB_DIR=<folder> ROCKSDB_STATIC=1 makes cargo link the result. A plain `cargo build` without it still works.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}
chunks=10
# x86-64-v2 has SSE 4.2 for RocksDB's checksums; other machines build for their own baseline.
case $(uname -m) in
  x86_64) machine=(-march=x86-64-v2 -mpclmul) ;;
  *) machine=() ;;
esac
flags=(-std=c++20 -O3 -fPIC -fno-rtti "${machine[@]}" -w -DNDEBUG -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX
  -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT
  -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT)

folder_of() { # the sources of a locked package, fetched if need be
  cargo metadata --format-version 1 --locked |
    python3 -c 'import json,os,sys; print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"]==sys.argv[1]))' "$1"
}

version=$(python3 - <<'PY'
import tomllib
packages = tomllib.load(open("Cargo.lock", "rb"))["package"]
print(next(p["version"] for p in packages if p["name"] == "librocksdb-sys"))
PY
)
compiler=${CXX:-c++}
key=$(printf '%s\n' "$version" "${flags[@]}" "$("$compiler" --version | head -n 1)" | sha256sum | cut -c1-12)
out=$cache/rocksdb/$version-$key
if [ ! -f "$out/librocksdb.a" ]; then
  echo "Building RocksDB $version once (about five minutes on two cores); it is kept in $out" >&2
  rocksdb=$(folder_of librocksdb-sys)
  lz4=$(folder_of lz4-sys)/liblz4/lib
  includes=("-I$rocksdb" "-I$rocksdb/rocksdb" "-I$rocksdb/rocksdb/include" "-I$rocksdb/rocksdb/third-party/gtest-1.8.1/fused-src" "-I$lz4")
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  grep -v build_version.cc "$rocksdb/rocksdb_lib_sources.txt" | sed 's/.*/#include "&"/' >"$work/all"
  split -n "l/$chunks" -d --additional-suffix=.cc "$work/all" "$work/chunk"
  cp "$rocksdb/build_version.cc" "$work/chunk_version.cc"
  for unit in "$work"/chunk*.cc; do printf '%s\0' "$unit"; done |
    xargs -0 -P "$(nproc)" -I{} sh -c 'unit=$1; compiler=$2; shift 2; "$compiler" "$@" -c "$unit" -o "${unit%.cc}.o"' _ {} "$compiler" "${flags[@]}" "${includes[@]}"
  mkdir -p "$out"
  ar crs "$work/librocksdb.a" "$work"/*.o
  mv "$work/librocksdb.a" "$out/.librocksdb.a.$$" && mv "$out/.librocksdb.a.$$" "$out/librocksdb.a"
fi
echo "$out"
