#!/usr/bin/env bash
# Carries out docs/runbooks (test/runbook) with bash, kubectl and the AWS CLI against the local control plane and the IAM
# fake. hack/awscli.sh installs the AWS CLI.
set -euo pipefail

cd "$(dirname "$0")/.."
RUNBOOK_AWS=$(hack/awscli.sh)
export RUNBOOK_AWS
hack/progress.sh 'runbooks' go test -race -count=1 -timeout 15m "$@" ./test/runbook
