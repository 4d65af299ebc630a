#!/usr/bin/env bash
# install-tool.sh TARGET PACKAGE@VERSION: builds a command with exactly the dependencies that its own go.mod names.
#
# `go install` would do, but that asks the proxy for all versions of the module, which some proxies do not answer.
# TARGET appears whole or not at all: make believes whatever it finds.
set -euo pipefail

target=$1 package=$2
progress=$(cd "$(dirname "$0")" && pwd)/progress.sh
name=$(basename "$target")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$target")"

echo "installing $name" >&2
cd "$work"
{
  go mod init tool
  "$progress" "downloading $name" go get "$package" 2> >(grep -v '^go: \(added\|downloading\|upgraded\)' >&2)
} 2> >(grep -v '^go: creating' >&2)
rm -f "$target.partial" # go build overwrites nothing but whole binaries
CGO_ENABLED=0 "$progress" "building $name" go build -trimpath -o "$target.partial" "${package%@*}"
mv "$target.partial" "$target"
