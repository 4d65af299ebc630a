// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import "testing"

type outage struct{ policy string }

func (o outage) perform(*testing.T, *world) {}

func prepareOutages(*testing.T, *world) []outage { return nil }
