#!/usr/bin/env bash
# Runs the contract suite (test/contract) against moto, an independent stand-in for AWS.
#
# moto is installed once, as hack/moto-requirements.txt says, into a Python environment of its own under bin/, and
# served on a free port of the loopback interface while the suite runs. PYTHON names the Python to use.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
requirements=$root/hack/moto-requirements.txt
version=$(sed -n 's/^moto==//p' "$requirements")
home=$root/bin/moto-$version
python=${PYTHON:-python3}

say() { printf 'moto: %s\n' "$*" >&2; }

install() {
  local start=$SECONDS
  say "installing moto $version into ${home#"$root"/} (once)"
  rm -rf "$home"
  if ! "$python" -m venv "$home"; then
    say "$python cannot make an environment; install its venv module (Debian: python3-venv) or name another with PYTHON"
    exit 1
  fi
  "$root/hack/progress.sh" 'installing moto' "$home/bin/python" -m pip install \
    --quiet --disable-pip-version-check --no-input --no-deps --requirement "$requirements"
  "$home/bin/python" -m pip check --disable-pip-version-check >&2
  cp "$requirements" "$home/installed.txt" # last, so that half an environment is never used
  say "installed in $((SECONDS - start)) s"
}

mkdir -p "$root/bin"
exec 9>"$root/bin/.moto.lock"
# flock is no part of macOS; without it two runs must not overlap.
! command -v flock >/dev/null || flock 9
cmp -s "$requirements" "$home/installed.txt" || install
exec 9>&-

log=$(mktemp)
"$home/bin/python" -m moto.server -H 127.0.0.1 -p 0 >"$log" 2>&1 &
server=$!
stop() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -f "$log"
}
trap stop EXIT

started=$SECONDS
until endpoint=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$log"); do
  if ! kill -0 "$server" 2>/dev/null || ((SECONDS - started >= 60)); then
    say "it does not start:"
    tail -n 20 "$log" >&2
    exit 1
  fi
  sleep 0.1
done
say "$version serves on $endpoint"

# In the folder of the package, go test shows the table of differences also when all is well.
cd "$root/test/contract"
CONTRACT_MOTO_ENDPOINT=$endpoint "$root/hack/progress.sh" 'contract suite' go test -race -count=1
