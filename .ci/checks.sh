# What the scripts here share: checks that are counted, and builds that are quiet unless they fail.
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# count NAME COMMAND...: runs one command that either succeeds or fails, as one test.
count() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED: %s\n' "$name"; fi
}

# tests NAME COMMAND...: runs a jest suite and adds up its totals; a run that ends badly without a failed test is a failure.
tests() {
  local name=$1 status totals
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  totals=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
  read -r p f s <<<"$(sed -E 's/[^0-9]+/ /g' <<<"${totals:-0 passed, 0 failed, 0 skipped}")"
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; printf 'FAILED: %s (status %s)\n' "$name" "$status"; fi
  if [ "$status" -eq 0 ] && [ -z "$totals" ]; then f=1; printf 'FAILED: %s ran no test\n' "$name"; fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# skip NAME REASON: a check that cannot run here.
skip() {
  printf '\n== %s\nskipped: %s\n' "$1" "$2"
  skipped=$((skipped + 1))
}

# build FOLDER "TARGET..." OPTION...: configures and builds, quietly unless it fails; the log stays in build.log there.
build() {
  local folder=$1 targets=$2 generator=()
  shift 2
  command -v ninja >/dev/null && generator=(-G Ninja)
  mkdir -p "$folder"
  # shellcheck disable=SC2086  # several targets
  cmake -S . -B "$folder" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release "$@" >"$folder/build.log" 2>&1 &&
    cmake --build "$folder" --parallel "$(nproc)" --target $targets >>"$folder/build.log" 2>&1
  local status=$?
  [ "$status" -eq 0 ] || tail -n 60 "$folder/build.log"
  return "$status"
}

# Last line: the sum over all of it. Fails when anything did.
report() {
  printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ]
}
