# Shared by the scripts of this folder, which source it in the repository's root: what there is, and how to build.
# shellcheck shell=bash
pack=.gpu/pack.tar.xz # what travels
here=build-gpu # what is kept beside it: of a packing machine the build, of a bare one what was carried to it

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
  if ! nvidia-smi --query-gpu=name,driver_version --format=csv,noheader; then
    say "no GPU: nvidia-smi finds none; this needs an NVIDIA GPU of compute capability 8.0 or newer with its driver" >&2
    exit 3
  fi
}

nvcc_path() { command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null; }
sanitizer_path() { command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null; }

# What to compile for: one architecture where nvidia-smi tells which this machine's GPU runs best, Hopper's own or what
# newer GPUs run too.
architectures() {
  case $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1) in
    9.0) say 90a ;;
    8.* | 1*) say 80 ;;
    *) say "80;90a" ;;
  esac
}

# sum_of PATH...: a number that changes with the name or content of any file below.
sum_of() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum | cksum; }
native_sum() { sum_of native binding cmake CMakeLists.txt; }
script_sum() { sum_of src bench/*.ts tsconfig.json tsconfig.bench.json; }

# matches NAME SUM: whether what was carried, or compiled here, was made from the sources that stand here.
matches() { [ -f "$here/$1.sum" ] && [ "$(<"$here/$1.sum")" = "$2" ]; }

# remember NAME SUM
remember() { mkdir -p "$here" && say "$2" >"$here/$1.sum"; }

# On a machine that has no Node.js or no node_modules of its own: what was carried, once for each pack. Python reads xz
# where there is no program for it.
unpack() {
  local sum
  if [ -f "$pack" ] && { [ -f "$here/unpacked.sum" ] || ! command -v node >/dev/null || [ ! -d node_modules ]; }; then
    sum=$(cksum <"$pack")
    if ! matches unpacked "$sum"; then
      say "unpacking $pack"
      rm -rf build node_modules dist dist-bench "$here"
      if command -v xz >/dev/null; then
        tar --no-same-owner -xJf "$pack"
      else
        python3 -W ignore -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(".")' "$pack"
      fi || { say "$pack cannot be unpacked: this needs tar with xz, or python3 with lzma" >&2; return 1; }
      remember unpacked "$sum"
    fi
  fi
  [ -x "$here/bin/node" ] && PATH="$PWD/$here/bin:$PATH"
  PATH="$PWD/node_modules/.bin:$PATH"
  export SELFREFINE_ADDON=$PWD/build/Release/selfrefine.node # dist-bench looks for it beside itself
  [ -d "$here/shared" ] && export SELFREFINE_SHARED="$PWD/$here/shared"
  if ! command -v node >/dev/null || [ ! -d node_modules ]; then
    say "no Node.js or no node_modules: run bench/gpu/pack on a machine that has them, and carry $pack here" >&2
    return 1
  fi
  if ! node --version >/dev/null; then
    say "$(command -v node) does not run here, $(getconf GNU_LIBC_VERSION)" >&2
    return 1
  fi
}

version_of() { "$@" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1; }

# What stands here, in a few lines: the first question when something fails.
describe_machine() {
  local name versions=""
  for name in node cmake ninja make "${CXX:-g++}" python3; do
    command -v "$name" >/dev/null && versions="$versions, $name $(version_of "$name")"
  done
  say "machine: $(nproc) processors, $(awk '/^MemTotal/ { print int($2 / 1048576) }' /proc/meminfo) GiB, $(df -h . |
    awk 'NR == 2 { print $4 }') free, $(getconf GNU_LIBC_VERSION)$versions"
  say "nvcc: $(nvcc_path || say none), compute-sanitizer: $(sanitizer_path || say none)"
  # Not imported: that takes ten seconds.
  python3 - 2>/dev/null <<'SCRIPT' || say "python3: none, so no peers"
from importlib.metadata import PackageNotFoundError, version
for name in ("torch", "transformers"):
    try:
        print(f"python3: {name} {version(name)}")
    except PackageNotFoundError:
        print(f"python3: no {name}")
SCRIPT
}

# has_device DEVICE: says what the device is, or why it cannot be used.
has_device() {
  # shellcheck disable=SC2016  # JavaScript's
  node -e '
    try {
      console.log(require("./dist/native.js").nativeAddon().ops.create({ name: process.argv[1] }).description);
    } catch (error) {
      console.log(error.message);
      process.exitCode = 1;
    }' "$1" 2>&1
}

# library_of DEVICE: CMake's target.
library_of() { printf 'selfrefine_%s' "${1//-/_}"; }

# build_for DEVICE FOLDER OPTION...: the addon and the device's library, with plain CMake.
build_for() {
  local device=$1 folder=$2 cuda=OFF generator=()
  shift 2
  [ "$device" = cuda ] && cuda=ON
  command -v ninja >/dev/null && generator=(-G Ninja)
  cmake -S . -B "$folder" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release "-DSELFREFINE_CUDA=$cuda" "$@" &&
    cmake --build "$folder" --parallel "$(nproc)" --target selfrefine "$(library_of "$device")"
}

# What a build here would lack, said before minutes go into it; nothing where all is there.
missing_tools() {
  local missing=() version
  version=$(version_of cmake)
  [ "$(printf '3.22\n%s\n' "${version:-0}" | sort -V | head -n 1)" = 3.22 ] ||
    missing+=("cmake 3.22 (${version:-none})")
  command -v ninja >/dev/null || command -v make >/dev/null || missing+=("ninja or make")
  if command -v "${CXX:-g++}" >/dev/null; then
    version=$("${CXX:-g++}" -dumpversion)
    [ "${version%%.*}" -ge 12 ] || missing+=("g++ 12 (${version})")
  else
    missing+=("g++ 12 (none)")
  fi
  [ "$1" = cuda ] && ! nvcc_path >/dev/null && missing+=("nvcc (none)")
  local IFS=,
  say "${missing[*]}"
}

# build_if_needed DEVICE: uses what was carried if it loads and was made from these sources, or builds for this machine,
# which also helps where the driver is older than the toolkit of the carried build. Leaves in `description` what it is.
build_if_needed() {
  local sum missing reason options=()
  sum=$(native_sum)
  matches script "$(script_sum)" || compile_scripts || return
  if description=$(has_device "$1"); then
    if [ ! -f "$here/unpacked.sum" ] || matches native "$sum"; then
      say "device: $description"
      return
    fi
    reason="the carried build was made from other sources"
  else
    reason=$description
  fi
  missing=$(missing_tools "$1")
  if [ -n "$missing" ]; then
    say "device $1 cannot be used: $reason" "and it cannot be built here without $missing" >&2
    return 1
  fi
  say "building here, because: $reason"
  [ "$1" = cuda ] && options=("-DSELFREFINE_CUDA_ARCHITECTURES=$(architectures)")
  # A carried file is newer than every source: the builder would leave it.
  [ -f build/build.ninja ] || [ -f build/Makefile ] || rm -rf build/Release
  build_for "$1" build "${options[@]}" >build.log 2>&1 || { tail -n 40 build.log >&2; return 1; }
  remember native "$sum"
  description=$(has_device "$1") || { say "built, but device $1 cannot be used: $description" >&2; return 1; }
  say "device: $description (built in $SECONDS s)"
}

# dist and dist-bench as src/ and bench/ stand in the tree.
compile_scripts() {
  say "compiling TypeScript"
  local compiler=node_modules/typescript/bin/tsc
  node $compiler -p tsconfig.json && node $compiler -p tsconfig.bench.json && remember script "$(script_sum)"
}
