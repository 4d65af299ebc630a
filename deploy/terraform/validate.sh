#!/usr/bin/env bash
# validate.sh: checks the module with Terraform, where it is installed and can get the AWS provider.
set -euo pipefail

cd "$(dirname "$0")"
if ! command -v terraform >/dev/null; then
  echo "deploy/terraform was not validated: terraform is not installed"
  exit 0
fi
terraform fmt -check -diff
TF_DATA_DIR=$(mktemp -d)
export TF_DATA_DIR
trap 'rm -rf "$TF_DATA_DIR" .terraform.lock.hcl' EXIT
if ! said=$(terraform init -backend=false -input=false -no-color 2>&1); then
  if grep -q 'Failed to query available provider packages' <<<"$said"; then
    echo "deploy/terraform was not validated: terraform cannot get the AWS provider (the format is right)"
    exit 0
  fi
  echo "$said" >&2
  exit 1
fi
terraform validate
