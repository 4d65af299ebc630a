// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "context"

type suite struct{ folder string }

func (s suite) run(context.Context, options) (*result, error) { return &result{}, nil }
