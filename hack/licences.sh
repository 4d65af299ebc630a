#!/usr/bin/env bash
# licences.sh GO_LICENSES: fails when a Go file lacks our header, or when what we ship depends on a module with a
# licence that we may not combine with ours.
set -euo pipefail

cd "$(dirname "$0")/.."
status=0

# Generated files put build constraints before the header.
while read -r file; do
  [ -f "$file" ] || continue # deleted, not yet in git
  if [ "$(head -n 5 "$file" | grep -cxFf hack/boilerplate.go.txt)" -ne 2 ]; then
    echo "no licence header (hack/boilerplate.go.txt): $file"
    status=1
  fi
done < <(git ls-files --cached --others --exclude-standard --deduplicate '*.go')

if ! report=$("$1" check ./... --allowed_licenses=Apache-2.0,BSD-2-Clause,BSD-3-Clause,ISC,MIT 2>&1); then
  printf '%s\n' "$report"
  status=1
fi
exit $status
