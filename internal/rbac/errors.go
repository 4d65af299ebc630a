// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxExplanation bounds what is told about one error, in bytes.
const maxExplanation = 300

// say turns an error of the API server into one whose text is for people: bounded, and the same each time.
func say(err error) error {
	if err == nil {
		return nil
	}
	text := "the API server cannot be reached"
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		text = status.Status().Message
		if len(text) > maxExplanation {
			text = text[:maxExplanation] + "…"
		}
		text = "the API server answered: " + text
	}
	return told{text: text, err: err}
}

type told struct {
	text string
	err  error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.err }
