#!/usr/bin/env bash
# Installs the AWS CLI, once, as hack/awscli-requirements.txt says, into a Python environment of its own under bin/, and
# prints the path of the command. PYTHON names the Python to use.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
requirements=$root/hack/awscli-requirements.txt
version=$(sed -n 's/^awscli==\([^ ]*\).*/\1/p' "$requirements")
home=$root/bin/awscli-$version
python=${PYTHON:-python3}

say() { printf 'awscli: %s\n' "$*" >&2; }

install() {
  local start=$SECONDS
  say "installing the AWS CLI $version into ${home#"$root"/} (once)"
  rm -rf "$home"
  if ! "$python" -m venv "$home" >&2; then
    say "$python cannot make an environment; install its venv module (Debian: python3-venv) or name another with PYTHON"
    exit 1
  fi
  "$root/hack/progress.sh" 'installing the AWS CLI' "$home/bin/python" -m pip install \
    --quiet --disable-pip-version-check --no-input --no-deps --require-hashes --requirement "$requirements" >&2
  "$home/bin/python" -m pip check --disable-pip-version-check >&2
  cp "$requirements" "$home/installed.txt" # last, so that half an environment is never used
  say "installed in $((SECONDS - start)) s"
}

mkdir -p "$root/bin"
exec 9>"$root/bin/.awscli.lock"
# flock is no part of macOS; without it two runs must not overlap.
! command -v flock >/dev/null || flock 9
cmp -s "$requirements" "$home/installed.txt" || install
exec 9>&-
printf '%s\n' "$home/bin/aws"
