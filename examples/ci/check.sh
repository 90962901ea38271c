#!/usr/bin/env bash
# The budget gate as a job runs it. Exits 0 when the plan is within its limits and the gate stops a plan that is not.
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect CODE COMMAND...: run it and stop unless it exits with CODE
expect() {
  local wanted=$1 code=0
  shift
  "$@" || code=$?
  if [ "$code" -ne "$wanted" ]; then
    printf 'exit %s instead of %s: %s\n' "$code" "$wanted" "$*" >&2
    exit 1
  fi
}

# within its limits, in every format that a job shows
expect 0 scaleplan check plan.toml
expect 0 scaleplan check plan.toml --format junit -o "$work/limits.xml"
grep '<testsuite' "$work/limits.xml"
expect 0 scaleplan check plan.toml --format github --summary "$work/summary.md"
grep 'money.usd' "$work/summary.md"

# twice the tokens: what changed and why, and a limit on the increase stops it
sed 's/^tokens = "10B"/tokens = "20B"/' plan.toml >"$work/changed.toml"
expect 0 scaleplan diff plan.toml "$work/changed.toml" --format md -o "$work/diff.md"
grep 'training.tokens' "$work/diff.md"
printf '\n[[limit]]\nquantity = "money.usd"\nmax_increase = "20%%"\nat = "p50"\n' >>"$work/changed.toml"
expect 1 scaleplan diff plan.toml "$work/changed.toml"
expect 1 scaleplan check "$work/changed.toml" --base plan.toml --format github

# a broken limit is 1, or 0 where it only warns; a bad plan is 2
expect 1 scaleplan check plan.toml --limit 'money.usd<=1'
expect 0 scaleplan check plan.toml --limit 'money.usd<=1:warn'
printf 'no plan' >"$work/bad.toml"
expect 2 scaleplan check "$work/bad.toml"

echo "the gate works"
