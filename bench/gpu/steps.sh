# Steps of the scripts of this folder: each has its time, says how far it came, and what it measured or printed is kept
# as it comes. After common.sh, in the repository's root.
# shellcheck shell=bash
# shellcheck disable=SC2154  # from common.sh: description
limit=540 device=cuda from="" stages=()
passed=0 failed=0 skipped=0
job="" next="" stopped="" viewer="" figures=""
log=$(mktemp) progress=$(mktemp)
export SELFREFINE_PROGRESS=$progress

# begin SCRIPT "STAGE ..." ARGUMENT...: reads the arguments; all stages where none is named.
begin() {
  local script=$1 known=" $2 "
  shift 2
  while [ $# -gt 0 ]; do
    case $1 in
      --device) device=${2:-} ;;
      --seconds) limit=${2:-} ;;
      --from) from=${2:-} ;;
      *)
        [[ $1 != *" "* && $known = *" $1 "* ]] || usage "$script" "unknown argument \"$1\""
        stages+=("$1") && shift && continue
        ;;
    esac
    shift
    [ $# -eq 0 ] || shift
  done
  [[ $device =~ ^cuda(-sim)?$ ]] || usage "$script" "--device is \"$device\", expected cuda or cuda-sim"
  [[ $limit =~ ^[1-9][0-9]*$ ]] || usage "$script" "--seconds is \"$limit\", expected a positive number"
  [ ${#stages[@]} -gt 0 ] || read -ra stages <<<"$known"
  trap finish EXIT
  trap interrupted INT TERM
  # What is in $OUT comes back even from a machine that is taken away.
  if [ -n "${OUT:-}" ]; then
    mkdir -p "$OUT"
    exec > >(tee -a "$OUT/${script##*/}.log") 2>&1
    viewer=$!
  fi
}

# Ready to begin: the GPU, Node.js, the device, and a file for figures. Ends the script where one is missing.
prepare() {
  [ "$device" != cuda ] || need_gpu
  describe_machine
  if ! unpack || ! build_if_needed "$device"; then
    failed=1
    exit 1
  fi
  # Where they outlive this machine. A simulated GPU's are for trying the way: nothing keeps them.
  if [ "$device" = cuda ]; then folder=${OUT:-bench/results}; else folder=$(mktemp -d); fi
  figures=${description#*, }
  figures=$folder/$(slug "${figures%%, *}").jsonl
}

skip() {
  say "skipped: $1: $2"
  skipped=$((skipped + 1))
}

# step NAME LEAST MOST COMMAND...: runs it if LEAST seconds are left, for at most MOST. Counts the totals it prints, or
# itself as one, and as skipped the peers that cannot be run. Once time was too short for one, the rest is left too:
# --from goes on there.
step() {
  local name=$1 least=$2 most=$3 left status started=$SECONDS
  shift 3
  if [ -n "$from" ] && [ "$from" != "$name" ]; then return; fi
  from=""
  left=$((limit - SECONDS))
  if [ -n "$next" ] || [ "$left" -lt "$least" ]; then
    skip "$name" "$left s left, $least wanted"
    next=${next:-$name}
    return
  fi
  say "" "== $name"
  : >"$log"
  : >"$progress"
  # Into a file, not a pipe: a process that a stopped step leaves behind would hold the pipe open.
  timeout -k 5 "$((left < most ? left : most))" "$@" >"$log" 2>&1 &
  job=$!
  tail -n +1 -s 0.2 --pid="$job" -f "$log" 2>/dev/null | grep --line-buffered -vE '^ +(✓|○)' &
  wait "$job"
  status=$?
  wait $!
  job=""
  if [[ $status =~ ^(124|137)$ ]] && [ "$left" -le "$most" ]; then next=$name; fi
  tally "$name" "$status" "$((SECONDS - started))"
}

# tally NAME STATUS SECONDS: 124 and 137 are timeout's.
tally() {
  local totals p=0 f=0 s=0
  skipped=$((skipped + $(grep -cE ': (not installed \(|cannot be run: )' "$log")))
  if [ "$2" -eq 124 ] || [ "$2" -eq 137 ]; then
    p=$(grep -c '^passed' "$log" "$progress" | awk -F: '{ n += $2 } END { print n }')
    f=$(grep -cE '^(FAILED|failed)' "$log" "$progress" | awk -F: '{ n += $2 } END { print n }')
    stopped=$1
    skip "$1" "stopped after $3 s: $p passed, $f failed until then$(under_way)"
  else
    totals=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    [ -n "$totals" ] || { [ "$2" -eq 0 ] && totals="1 passed, 0 failed, 0" || totals="0 passed, 1 failed, 0"; }
    read -r p f s <<<"$(sed -E 's/[^0-9]+/ /g' <<<"$totals")"
    [ "$2" -ne 0 ] && [ "$f" -eq 0 ] && f=1
    say "($3 s)"
  fi
  # After a fault in a kernel all that follows in its process fails too.
  [ "$f" -gt 0 ] && say "FAILED: $1 (status $2)$(sed -n 's/^failed\t/, first: /p' "$progress" | head -n 1)"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + ${s:-0}))
}

# The tests that had begun and not ended.
under_way() {
  local names
  names=$(awk -F '\t' '$1 == "begun" { open[$2] } $1 != "begun" { delete open[$2] } END { for (n in open) print n }' \
    "$progress")
  [ -z "$names" ] || printf ', under way: %s' "$(paste -sd ';' <<<"$names")"
}

# A signal, perhaps within a step, whose variables are seen from here.
interrupted() {
  trap '' INT TERM
  say "interrupted"
  failed=$((failed + 1))
  if [ -n "$job" ]; then
    kill "$job"
    next=$name
    tally "$name" 124 "$((SECONDS - started))"
  fi
  exit 130
}

# Last words, whatever ended the script.
finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM
  if [ -f "$figures" ]; then
    say "" "$figures:"
    node bench/gpu/table.mjs "$figures"
  fi
  [ -z "$next" ] || say "" "go on with: --from \"$next\""
  if [ -n "$from" ]; then
    say "no step is called \"$from\""
    failed=$((failed + 1))
  fi
  say "" "$passed passed, $failed failed, $skipped skipped"
  rm -f "$log" "$progress"
  [ "$device" = cuda ] || rm -rf "${folder:-$log}"
  if [ -n "$viewer" ]; then
    exec >&- 2>&-
    wait "$viewer"
  fi
  if [ "$status" -eq 0 ] && [ "$failed" -gt 0 ]; then status=1; fi
  exit "$status"
}
