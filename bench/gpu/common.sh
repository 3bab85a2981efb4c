# Shared by the scripts of this folder, which source it in the repository's root: what there is, and how to build.
# shellcheck shell=bash
pack=.gpu/pack.tar.xz

# Each argument on a line of its own.
say() { printf '%s\n' "$@"; }

# usage SCRIPT PROBLEM: ends the script with its own head, which says how it is called.
usage() {
  say "$1: $2" >&2
  sed -n '2,/^set /p' "$1" | sed -n 's/^# \{0,1\}//p' >&2
  exit 2
}

# How a machine's name becomes that of its result file; bench/machine.ts has the same.
slug() { tr -cs 'A-Za-z0-9\n' - <<<"$1" | tr '[:upper:]' '[:lower:]'; }

# Ends the script where there is no GPU: nothing here has a meaning without one.
need_gpu() {
  if ! command -v nvidia-smi >/dev/null || ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null) ||
    [ -z "$gpu" ]; then
    say "no GPU: nvidia-smi finds none; this needs an NVIDIA GPU of compute capability 8.0 or newer with its driver" >&2
    exit 3
  fi
  gpu=$(head -n 1 <<<"$gpu")
}

nvcc_path() { command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null; }

# Node and what was built elsewhere, where this machine has none. Python reads xz without a program for it.
unpack() {
  if [ -f "$pack" ] && { ! command -v node >/dev/null || [ ! -d node_modules ]; }; then
    say "unpacking $pack"
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(".")' "$pack" || return
    find build/Release dist dist-bench -type f -exec touch {} + # newer than the sources they were built from
  fi
  [ -x .gpu/bin/node ] && PATH="$PWD/.gpu/bin:$PATH"
  PATH="$PWD/node_modules/.bin:$PATH"
  export SELFREFINE_ADDON=$PWD/build/Release/selfrefine.node # dist-bench looks for it beside itself
  [ -d .gpu/shared ] && export SELFREFINE_SHARED="$PWD/.gpu/shared"
  if ! command -v node >/dev/null || [ ! -d node_modules ]; then
    say "no Node.js or no node_modules: run bench/gpu/pack on a machine that has them, and carry .gpu here" >&2
    return 1
  fi
}

# has_device DEVICE ERRORS: says what the device is.
has_device() {
  node -e '
    const { nativeAddon } = require("./dist/native.js");
    const { ops } = nativeAddon();
    const name = process.argv[1];
    if (!ops.backends().includes(name)) throw new Error(`this build has no device ${name}`);
    console.log(ops.create({ name }).description);' "$1" 2>"$2"
}

library_of() { printf 'selfrefine_%s' "${1//-/_}"; }

# build_for DEVICE: the addon and the device's library, with plain CMake.
build_for() {
  local cuda=OFF generator=()
  [ "$1" = cuda ] && cuda=ON
  command -v ninja >/dev/null && generator=(-G Ninja)
  cmake -S . -B build "${generator[@]}" -DCMAKE_BUILD_TYPE=Release "-DSELFREFINE_CUDA=$cuda" &&
    cmake --build build --parallel "$(nproc)" --target selfrefine "$(library_of "$1")"
}

# build_if_needed DEVICE: uses what was carried, or builds for this machine.
build_if_needed() {
  local errors
  errors=$(mktemp)
  [ -f dist/native.js ] || node node_modules/typescript/bin/tsc -p tsconfig.json || return
  if [ "${BUILD:-0}" != 1 ] && has_device "$1" "$errors"; then return; fi
  grep -m 1 Error "$errors" || true
  if [ "$1" = cuda ] && ! nvcc_path >/dev/null; then
    say "no nvcc: the carried build does not load and none can be made here" >&2
    return 1
  fi
  say "building here"
  build_for "$1" >build.log 2>&1 || { tail -n 40 build.log; return 1; }
  has_device "$1" "$errors" || { cat "$errors" >&2; return 1; }
}

# bench/ as it stands in the tree, unless it was carried.
compile_bench() {
  [ -f dist-bench/bench/index.js ] && [ -z "$(find bench src -name '*.ts' -newer dist-bench/bench/index.js)" ] ||
    node node_modules/typescript/bin/tsc -p tsconfig.bench.json
}
