// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"errors"
	"sync"

	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// errIncomplete is an answer of AWS that lacks what it always has, such as one cut on its way.
var errIncomplete = errors.New("AWS answered, but the answer is incomplete")

// told is an error whose text is for people; what it wraps is for machines.
type told struct {
	text string
	err  error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.err }

func say(err error) error { return told{text: explain(err), err: err} }

func explain(err error) string {
	if errors.Is(err, errIncomplete) {
		return errIncomplete.Error()
	}
	return aws.Explain(err)
}

// keyedMutex is a mutex for each key, kept only while somebody holds or awaits it.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]*waiters
}

type waiters struct {
	sync.Mutex
	n int
}

func (k *keyedMutex) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*waiters{}
	}
	w := k.held[key]
	if w == nil {
		w = &waiters{}
		k.held[key] = w
	}
	w.n++
	k.mu.Unlock()
	w.Lock()
	return func() {
		w.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if w.n--; w.n == 0 {
			delete(k.held, key)
		}
	}
}
