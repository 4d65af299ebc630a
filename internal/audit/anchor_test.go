// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// run starts the trail, and returns what ends it.
func run(t *testing.T, trail *Trail, clk *testclock.FakeClock) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- trail.Start(ctx) }()
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		return clk.HasWaiters(), nil
	}); err != nil {
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAnchorsAtMostEveryTenSeconds(t *testing.T) {
	clk := testclock.NewFakeClock(start)
	anchor := &memory{told: make(chan struct{}, 100)}
	trail := New(Options{Sink: NewStream(io.Discard), Anchor: anchor, Clock: clk})
	stop := run(t, trail, clk)
	appendOne := func() {
		t.Helper()
		if err := trail.Append(t.Context(), Entry{Event: EventGranted}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		appendOne()
		clk.Step(3 * time.Second)
	}
	appendOne()
	clk.Step(time.Second)
	<-anchor.told
	head, _ := trail.Head()
	if *anchor.head != head || anchor.stores != 1 {
		t.Errorf("%d heads were anchored after 10 s, the last %v, want one, %v", anchor.stores, anchor.head, head)
	}

	// It fails to be anchored, and is tried again.
	anchor.mu.Lock()
	anchor.fail = errors.New("the API server is away")
	anchor.mu.Unlock()
	appendOne()
	clk.Step(10 * time.Second)
	<-anchor.told
	appendOne() // is not held up
	anchor.mu.Lock()
	anchor.fail = nil
	anchor.mu.Unlock()
	clk.Step(10 * time.Second)
	<-anchor.told
	head, _ = trail.Head()
	if *anchor.head != head || anchor.stores != 3 {
		t.Errorf("%d heads were anchored, the last %v, want three (one failed), %v", anchor.stores, anchor.head, head)
	}

	appendOne()
	stop()
	head, _ = trail.Head()
	if *anchor.head != head || anchor.stores != 4 {
		t.Errorf("%d heads were anchored at the end, the last %v, want four, %v", anchor.stores, anchor.head, head)
	}
	stop = run(t, trail, clk)
	stop()
	if anchor.stores != 4 {
		t.Error("a head was anchored that had not moved")
	}
}

// strict allows what config/rbac/records.yaml allows.
type strict struct {
	client.Client
	t *testing.T
}

func (s strict) named(name string) {
	s.t.Helper()
	if name != "prod-access-audit" {
		s.t.Errorf("the operator may not touch the ConfigMap %s", name)
	}
}

func (s strict) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	s.named(key.Name)
	return s.Client.Get(ctx, key, obj, opts...)
}

func (s strict) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	s.named(obj.GetName())
	return s.Client.Update(ctx, obj, opts...)
}

func (s strict) List(context.Context, client.ObjectList, ...client.ListOption) error {
	s.t.Error("the operator may not list ConfigMaps")
	return errors.New("forbidden")
}

func (s strict) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	s.t.Error("the operator may not patch ConfigMaps")
	return errors.New("forbidden")
}

func TestConfigMapAnchor(t *testing.T) {
	ctx := t.Context()
	clk := testclock.NewFakeClock(start)
	c := strict{Client: fake.NewClientBuilder().Build(), t: t}
	first := NewConfigMapAnchor(c, "prod-access-system", clk)
	if head, err := first.Load(ctx); head != nil || err != nil {
		t.Errorf("nothing is anchored yet: %v %v", head, err)
	}
	heads := make([]Head, 4)
	for i := range heads {
		heads[i] = Head{Segment: "0123456789abcdef", Seq: uint64(i), Hash: strings.Repeat("ab", 32)}
	}
	for _, head := range heads[:2] {
		if err := first.Store(ctx, head); err != nil {
			t.Fatal(err)
		}
	}
	var cm corev1.ConfigMap
	key := client.ObjectKey{Namespace: "prod-access-system", Name: "prod-access-audit"}
	if err := c.Get(ctx, key, &cm); err != nil || cm.Data["head"] != heads[1].String() || cm.Data["time"] != "2026-11-23T09:00:00Z" {
		t.Errorf("the ConfigMap holds %v (%v), want %s", cm.Data, err, heads[1])
	}

	second := NewConfigMapAnchor(c, "prod-access-system", clk)
	if head, err := second.Load(ctx); err != nil || head == nil || *head != heads[1] {
		t.Errorf("the successor reads %v (%v), want %s", head, err, heads[1])
	}
	if err := second.Store(ctx, heads[2]); err != nil {
		t.Fatal(err)
	}
	// The first is not the leader any more, and does not know it yet.
	if err := first.Store(ctx, heads[3]); !apierrors.IsConflict(err) {
		t.Errorf("the successor's head was overwritten unseen: %v", err)
	}
	if head, err := second.Load(ctx); err != nil || *head != heads[2] {
		t.Errorf("anchored %v (%v), want %s", head, err, heads[2])
	}
	if err := first.Store(ctx, heads[3]); err != nil {
		t.Errorf("seen, it may be replaced: %v", err)
	}

	cm.ResourceVersion = ""
	cm.Data = map[string]string{"head": "latest"}
	if err := c.Update(ctx, &cm); err != nil {
		t.Fatal(err)
	}
	if head, err := second.Load(ctx); head != nil || err == nil || !strings.Contains(err.Error(), `"latest" is not a head`) {
		t.Errorf("a head that somebody spoilt: %v %v", head, err)
	}
	if err := c.Delete(ctx, &cm); err != nil {
		t.Fatal(err)
	}
	if err := second.Store(ctx, heads[0]); err == nil {
		t.Error("a ConfigMap that was deleted was updated")
	}
	if err := second.Store(ctx, heads[0]); err != nil {
		t.Errorf("a ConfigMap that was deleted is made again: %v", err)
	}
}
