// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"sync"

	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// errBusy is the end of a wait for one's turn.
var errBusy = errors.New("other calls about the same person took too long")

// errIncomplete is an answer of AWS that lacks what it always has, such as one cut on its way.
var errIncomplete = errors.New("AWS answered, but the answer is incomplete")

// told is an error whose text is for people; what it wraps is for machines.
type told struct {
	text string
	err  error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.err }

func say(err error) error {
	if said, ok := errors.AsType[told](err); ok {
		return said
	}
	return told{text: explain(err), err: err}
}

func explain(err error) string {
	if errors.Is(err, errIncomplete) {
		return errIncomplete.Error()
	}
	return aws.Explain(err)
}

// keyedMutex is a mutex for each key, kept only while somebody holds or awaits it.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	taken chan struct{}
	users int
}

// lock waits for its turn, or for the end of the context.
func (k *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*turn{}
	}
	t := k.held[key]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		k.held[key] = t
	}
	t.users++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(k.held, key)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, errBusy
	}
}
