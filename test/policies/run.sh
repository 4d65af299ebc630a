#!/usr/bin/env bash
# run.sh MANAGER: judges the policies that MANAGER renders. What it needs of npm is installed under bin/, once.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
manager=$(realpath "${1:-$root/bin/manager}")
modules=$root/bin/policies

if ! cmp -s "$here/package-lock.json" "$modules/installed.json"; then
  mkdir -p "$modules"
  cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$modules/"
  (cd "$modules" && "$root/hack/progress.sh" "npm ci" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  cp "$here/package-lock.json" "$modules/installed.json"
fi
cd "$root"
MANAGER=$manager MODULES=$modules exec node "$here/judge.mjs"
