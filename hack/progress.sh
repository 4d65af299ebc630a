#!/usr/bin/env bash
# progress.sh LABEL COMMAND [ARG...]: runs a command that may be silent for minutes and says on standard error,
# every 15 seconds, that it is still at it.
set -euo pipefail

label=$1
shift

tick() {
  local start=$SECONDS
  # Short sleeps: a caller that waits for our output to close must not wait for a long one.
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    if (((SECONDS - start) % 15 == 0)); then printf '... %s: %d s\n' "$label" $((SECONDS - start)) >&2; fi
  done
}

tick &
ticker=$!
trap 'kill "$ticker" 2>/dev/null || true' EXIT
"$@"
