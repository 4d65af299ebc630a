// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package admission holds the admission policies as they are released, so that the operator can compare those of its
// cluster with them.
package admission

import "embed"

// Files are the manifests of this folder.
//
//go:embed *.yaml
var Files embed.FS
