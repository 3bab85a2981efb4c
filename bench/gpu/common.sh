# Shared by the scripts of this folder, which source it in the repository's root: what there is, and how to build.
# shellcheck shell=bash
pack=.gpu/pack.tar.xz

say() { printf '%s\n' "$*"; }

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
    find build/Release -type f -exec touch {} + # newer than the sources they were built from
  fi
  [ -x .gpu/bin/node ] && PATH="$PWD/.gpu/bin:$PATH"
  PATH="$PWD/node_modules/.bin:$PATH"
  [ -d .gpu/shared ] && export SELFREFINE_SHARED="$PWD/.gpu/shared"
  if ! command -v node >/dev/null || [ ! -d node_modules ]; then
    say "no Node.js or no node_modules: run bench/gpu/pack on a machine that has them, and carry .gpu here" >&2
    return 1
  fi
}

has_cuda() {
  node -e '
    const { nativeAddon } = require("./dist/native.js");
    const { ops } = nativeAddon();
    if (!ops.backends().includes("cuda")) throw new Error("this build has no CUDA backend");
    console.log(ops.create({ name: "cuda" }).description);' 2>"$1"
}

# Uses what was carried, or builds for this machine with plain CMake.
build_if_needed() {
  local errors
  errors=$(mktemp)
  if [ "${BUILD:-0}" != 1 ] && has_cuda "$errors"; then return; fi
  grep -m 1 Error "$errors" || true
  if ! nvcc_path >/dev/null; then
    say "no nvcc: the carried build does not load and none can be made here" >&2
    return 1
  fi
  say "building here"
  local generator=()
  command -v ninja >/dev/null && generator=(-G Ninja)
  cmake -S . -B build "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DSELFREFINE_CUDA=ON >build.log 2>&1 &&
    cmake --build build --parallel "$(nproc)" --target selfrefine selfrefine_cuda >>build.log 2>&1 ||
    { tail -n 40 build.log; return 1; }
  has_cuda "$errors" || { cat "$errors" >&2; return 1; }
}
