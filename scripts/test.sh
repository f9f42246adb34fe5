#!/usr/bin/env bash
# The whole check of a checkout: set-up, format and lint, types, unused code, Node tests, Python
# checks and tests. Ends with one line: `N passed, N failed, N skipped`.
#
#   npm test                        everything
#   npm test -- test/match test/e2e/camera.test.ts   only these Node tests (files or folders)
#
# OSTIARY_SHARED: folder with the reference models and pictures (default ../shared); tests that need
# it say loudly that they were skipped where it is absent.
set -uo pipefail
root="$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root" || exit 1
export OSTIARY_SHARED="${OSTIARY_SHARED:-$root/../shared}"
# ONNX Runtime reports to its maker otherwise.
export ORT_DISABLE_TELEMETRY=1
OSTIARY_SHARED="$(realpath -m "$OSTIARY_SHARED")"

started=$SECONDS
passed=0 failed=0 skipped=0
broken=()
output="$(mktemp -d)"
trap 'rm -rf "$output"' EXIT

closing_line() { echo "$passed passed, $failed failed, $skipped skipped"; }

if ! bash scripts/setup.sh; then
  echo "set-up failed"
  failed=1
  closing_line
  exit 1
fi

heading() { printf '\n== %s\n' "$*"; }

# check TITLE COMMAND… : a check either holds or counts as one failure
check() {
  local title=$1 begun=$SECONDS
  shift
  heading "$title"
  if "$@"; then
    echo "ok ($((SECONDS - begun)) s)"
  else
    failed=$((failed + 1))
    broken+=("$title")
  fi
}

# number LABEL FILE : what the runner's closing lines say, 0 where it did not get that far
number() {
  local found
  found="$(sed -n "s/^ℹ $1 \([0-9]*\)\$/\1/p" "$2" | tail -1)"
  echo "${found:-0}"
}

# The longest single test takes a minute on two quiet cores. The limit is for tests and hooks, not for
# suites (`describe`), which may take as long as their tests do together.
one_test_ms=200000
# For a file that what a failed test left open keeps from ending; several times what all of them take.
# (--test-force-exit would end a file before all of its report is read.)
all_tests_s=1500

# node_tests TITLE CONCURRENCY FILE…
node_tests() {
  local title=$1 concurrency=$2 file="$output/node" rc
  shift 2
  (($# > 0)) || return 0
  heading "$title ($# files)"
  timeout --foreground --kill-after=20 "$all_tests_s" \
    scripts/node --disable-warning=ExperimentalWarning --test --test-concurrency="$concurrency" \
    --test-timeout="$one_test_ms" \
    --test-reporter=spec --test-reporter-destination=stdout "$@" 2>&1 |
    sed -u 's/\x1b\[[0-9;]*m//g' | tee "$file"
  rc=${PIPESTATUS[0]}
  local bad
  bad=$(($(number fail "$file") + $(number cancelled "$file")))
  # A runner that died without counting, or that failed otherwise, must not look like success.
  if [[ $rc != 0 && $bad == 0 ]]; then bad=1; fi
  passed=$((passed + $(number pass "$file")))
  failed=$((failed + bad))
  skipped=$((skipped + $(number skipped "$file") + $(number todo "$file")))
  ((bad == 0)) || broken+=("$title")
}

find_tests() { find "$@" -name '*.test.ts' -not -path '*/node_modules/*' | sort; }

if (($# > 0)); then
  mapfile -t files < <(for path in "$@"; do
    if [[ -d $path ]]; then find_tests "$path"; else echo "$path"; fi
  done)
  if ((${#files[@]} == 0)); then
    echo "no test files in: $*" >&2
    exit 2
  fi
  node_tests "Node tests" 1 "${files[@]}"
else
  check "format and lint" scripts/node node_modules/@biomejs/biome/bin/biome check \
    --error-on-warnings --max-diagnostics=50 .
  check "types" scripts/node node_modules/typescript/bin/tsc --noEmit
  check "unused code" scripts/node node_modules/knip/bin/knip.js --no-progress

  mapfile -t quick < <(find_tests test scripts | grep -v '^test/\(e2e\|chaos\)/')
  mapfile -t slow < <(find_tests test | grep '^test/\(e2e\|chaos\)/')
  node_tests "Node tests" 2 "${quick[@]}"
  node_tests "Node tests: whole system" 1 "${slow[@]}"

  mapfile -t python < <(git ls-files --cached --others --exclude-standard '*.py')
  if ((${#python[@]} > 0)); then
    check "Python format" .venv/bin/ruff format --check --quiet "${python[@]}"
    check "Python lint" .venv/bin/ruff check --quiet "${python[@]}"
    check "Python types" scripts/node node_modules/pyright/index.js -p .
    mapfile -t suites < <(find scripts test -type d -name tests -not -path '*/node_modules/*' | sort)
    if ((${#suites[@]} > 0)); then
      heading "Python tests"
      # Nets of tests are so small that a second thread waits more than it works.
      OMP_NUM_THREADS=1 timeout --kill-after=10 1800 .venv/bin/python -m pytest -q --color=no -p no:cacheprovider "${suites[@]}" 2>&1 |
        tee "$output/pytest"
      rc=${PIPESTATUS[0]}
      last="$(tail -1 "$output/pytest")"
      count() { grep -o "[0-9]* $1" <<<"$last" | head -1 | cut -d' ' -f1 | grep . || echo 0; }
      bad=$(($(count failed) + $(count error)))
      # 5: nothing was collected
      if [[ $rc != 0 && $rc != 5 && $bad == 0 ]]; then bad=1; fi
      passed=$((passed + $(count passed))) failed=$((failed + bad))
      skipped=$((skipped + $(count skipped)))
      ((bad == 0)) || broken+=("Python tests")
    fi
  fi
fi

heading "Summary ($((SECONDS - started)) s)"
for title in "${broken[@]}"; do echo "failed: $title"; done
closing_line
((failed == 0))
