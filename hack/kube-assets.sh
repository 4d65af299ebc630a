#!/usr/bin/env bash
# Provides etcd, kube-apiserver, kube-controller-manager and kubectl in one folder and prints that folder as
# the last line of standard output; progress goes to standard error.
#
#   1. KUBEBUILDER_ASSETS, when set, is used for every binary it holds.
#   2. Otherwise the cache, bin/kube-assets/<version>-<platform>, is filled once: with what setup-envtest
#      (the program SETUP_ENVTEST, when set) downloads,
#   3. and with builds from the Go modules pinned in hack/kube-assets/go.mod for what it does not publish.
#
# A binary gets its final name only when it is whole (it is written beside it and renamed) and is only believed
# when it answers --version, so an interrupted run is continued, never trusted.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
module=$root/hack/kube-assets
binaries=(etcd kube-apiserver kube-controller-manager kubectl)

say() { printf 'kube-assets: %s\n' "$*" >&2; }

pinned() { (cd "$module" && go list -m -f '{{.Version}}' "$1"); }

kubernetes=$(pinned k8s.io/kubernetes)
cache=$root/bin/kube-assets/$kubernetes-$(go env GOOS)-$(go env GOARCH)
external=$root/bin/kube-assets/external

works() {
  case "$(basename "$1")" in
    kubectl) "$1" version --client >/dev/null 2>&1 ;;
    *) "$1" --version >/dev/null 2>&1 ;;
  esac
}

# missing DIR: the binaries that DIR lacks or that do not run.
missing() {
  local b
  for b in "${binaries[@]}"; do
    works "$1/$b" || printf '%s\n' "$b"
  done
}

# link FILE DIR: by rename, so that DIR never lacks the binary while a suite may be starting it.
link() {
  local name
  name=$(basename "$1")
  [ "$(readlink "$2/$name" || true)" = "$1" ] && return
  ln -sf "$1" "$2/.$name.link"
  mv -f "$2/.$name.link" "$2/$name"
}

download() {
  local dir b wanted
  [ -x "${SETUP_ENVTEST:-}" ] || return 0
  # Of this minor version it publishes some patch releases only; any of them will do.
  wanted=${kubernetes#v}
  wanted=${wanted%.*}.x
  say "asking setup-envtest for Kubernetes $wanted (60 s at most)"
  if dir=$(${timeout:+"$timeout" 60} "$SETUP_ENVTEST" use "$wanted" --bin-dir "$root/bin/kube-assets/download" -p path 2>/dev/null); then
    for b in $(missing "$cache"); do
      if works "$dir/$b"; then link "$dir/$b" "$cache"; fi
    done
  else
    say "it has none, or cannot be reached: building from source"
  fi
}

build() {
  local b=$1 package=k8s.io/kubernetes/cmd/$1 version=$kubernetes ldflags="-s -w" start=$SECONDS
  if [ "$b" = etcd ]; then
    package=go.etcd.io/etcd/server/v3
    version=$(pinned "$package")
  else
    local stamp=k8s.io/component-base/version minor=${version#v1.}
    ldflags+=" -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*} -X $stamp.gitTreeState=archive"
  fi
  say "building $b $version from source (once; minutes on a small machine)"
  rm -f "$cache/.$b.partial" # go build overwrites nothing but whole binaries
  (cd "$module" && CGO_ENABLED=0 "$root/hack/progress.sh" "building $b" \
    go build -trimpath -ldflags "$ldflags" -o "$cache/.$b.partial" "$package")
  mv "$cache/.$b.partial" "$cache/$b"
  say "$b: done in $((SECONDS - start)) s"
}

# fill BINARY...: makes sure that the cache holds these.
fill() {
  local b
  [ $# -gt 0 ] || return 0
  mkdir -p "$cache"
  download
  for b in "$@"; do
    works "$cache/$b" || build "$b"
    if ! works "$cache/$b"; then
      say "$cache/$b does not run on this machine"
      exit 1
    fi
  done
}

mkdir -p "$root/bin/kube-assets"
exec 9>"$root/bin/kube-assets/.lock"
# Neither flock nor timeout is part of macOS; without them two runs must not overlap.
! command -v flock >/dev/null || flock 9
timeout=$(command -v timeout || true)

given=${KUBEBUILDER_ASSETS:-}
[ -z "$given" ] || given=$(cd "$given" && pwd -P)

# Our own folders may be given back to us; they need no links to themselves.
if [ -z "$given" ] || [ "$given" = "$cache" ]; then
  # shellcheck disable=SC2046 # one word per binary
  fill $(missing "$cache")
  printf '%s\n' "$cache"
  exit
fi

mkdir -p "$external"
if [ "$given" != "$external" ]; then
  for b in "${binaries[@]}"; do
    if works "$given/$b"; then link "$given/$b" "$external"; else rm -f "$external/$b"; fi
  done
fi
for b in $(missing "$external"); do
  say "KUBEBUILDER_ASSETS has no working $b: using $kubernetes's own"
  works "$cache/$b" || fill "$b"
  link "$cache/$b" "$external"
done
printf '%s\n' "$external"
