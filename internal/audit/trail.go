// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

const (
	// anchorInterval is the least time between two heads that are anchored.
	anchorInterval = 10 * time.Second
	// anchorTimeout is how long the anchor may take.
	anchorTimeout = 10 * time.Second
)

// Options of a Trail.
type Options struct {
	// Sink is where the lines go.
	Sink Sink
	// Anchor keeps the head elsewhere; nil: nothing does.
	Anchor Anchor
	Clock  clock.WithTicker
	// Log tells of an anchor that fails.
	Log logr.Logger
}

// Trail writes the audit trail: one segment of chained lines for each time that it is opened. Safe for concurrent use.
type Trail struct {
	sink   Sink
	anchor Anchor
	clock  clock.WithTicker
	log    logr.Logger

	// writing is held by the one caller that writes for all that wait; it guards the fields up to mu.
	writing chan struct{}
	open    bool
	segment string
	next    uint64

	// anchoring is held while the anchor is used.
	anchoring sync.Mutex
	anchored  Head

	mu     sync.Mutex
	queue  []*batch
	head   *Head
	broken string
	// stuck says that a caller has given up on the write that is under way.
	stuck bool
}

// batch is what one caller wants written.
type batch struct {
	lines []line
	done  chan error
}

// New makes a Trail. Nothing is opened before the first Append.
func New(o Options) *Trail {
	return &Trail{sink: o.Sink, anchor: o.Anchor, clock: o.Clock, log: o.Log, writing: make(chan struct{}, 1)}
}

// Append writes entries. Nil means that all of them are in the trail for good; after an error, those of a longer list may
// be, in part. Callers at the same time share a write. An entry is never too long: its texts are cut at 4 KiB.
func (t *Trail) Append(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("writing the audit trail: %w", err)
	}
	b := &batch{done: make(chan error, 1)}
	now := t.clock.Now()
	for i := range entries {
		l, err := entries[i].line(now)
		if err != nil {
			return err
		}
		b.lines = append(b.lines, l)
	}
	t.mu.Lock()
	if t.stuck {
		t.mu.Unlock()
		return errStuck // at once: one caller has waited for all
	}
	t.queue = append(t.queue, b)
	t.mu.Unlock()

	select {
	case err := <-b.done:
		return err
	case t.writing <- struct{}{}:
		// Beside the caller: a sink that hangs must not hold whoever happens to write for all.
		go func() {
			t.flush(context.WithoutCancel(ctx))
			<-t.writing
		}()
	case <-ctx.Done():
		return t.giveUp(ctx, b)
	}
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		return t.giveUp(ctx, b)
	}
}

// errStuck is the end of a write that others wait for.
var errStuck = errors.New("a write to the audit trail does not come back: see to the disk, or to whoever reads standard output")

// giveUp leaves a write that does not come back to itself; what it may still write is told once more then.
func (t *Trail) giveUp(ctx context.Context, b *batch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = slices.DeleteFunc(t.queue, func(q *batch) bool { return q == b })
	if len(t.writing) > 0 {
		t.stuck, t.broken = true, errStuck.Error()
	}
	return fmt.Errorf("waiting for the audit trail: %w", ctx.Err())
}

// flush writes what waits, and answers those who wait for it.
func (t *Trail) flush(ctx context.Context) {
	t.mu.Lock()
	batches := t.queue
	t.queue = nil
	if len(batches) == 0 {
		if t.stuck { // whoever waited gave up before the write began
			t.broken, t.stuck = "", false
		}
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	written, err := t.write(ctx, batches)
	if err != nil {
		err = fmt.Errorf("writing the audit trail: %w", err)
	}
	t.mu.Lock()
	t.broken, t.stuck = "", false
	if err != nil {
		t.broken = cut(err.Error())
	}
	t.mu.Unlock()
	for _, b := range batches {
		if len(b.lines) <= written {
			written -= len(b.lines)
			b.done <- nil
			continue
		}
		written = 0
		b.done <- err
	}
}

// write returns how many lines of the batches are in the trail for good. After an error the sink is opened again, and a
// new segment follows what is really there: what a failed write left behind is not known.
func (t *Trail) write(ctx context.Context, batches []*batch) (int, error) {
	var lines [][]byte
	var heads []Head
	var prev string
	add := func(l *line, prev string) {
		lines = append(lines, l.seal(t.segment, t.next, prev))
		heads = append(heads, l.head())
		t.next++
	}
	if head, known := t.Head(); t.open && known {
		prev = head.Hash
	} else {
		first, follows, err := t.begin(ctx)
		if err != nil {
			return 0, err
		}
		add(&first, follows)
		prev = first.Hash
	}
	begun := len(lines)
	for _, b := range batches {
		for i := range b.lines {
			add(&b.lines[i], prev)
			prev = b.lines[i].Hash
		}
	}
	n, err := t.sink.Write(lines)
	t.open = err == nil
	if n > 0 {
		t.mu.Lock()
		t.head = &heads[n-1]
		t.mu.Unlock()
	}
	return max(n-begun, 0), err
}

// begin opens the sink for a new segment, and returns its first line and what that follows: the last line that the sink
// holds, else the last head that is known. A head that is known and is not that line is named too: if the sink lost it,
// the trail says so.
func (t *Trail) begin(ctx context.Context) (line, string, error) {
	var known *Head
	if head, ok := t.Head(); ok {
		known = &head
	} else if t.anchor != nil {
		var err error
		if known, err = t.load(ctx); err != nil {
			return line{}, "", err
		}
	}
	last, err := t.sink.Open()
	if err != nil {
		return line{}, "", err
	}
	if last == nil {
		last = known
	}
	t.segment, t.next = random(segmentBytes), 0
	first := line{Version: formatVersion, Time: stamp(t.clock.Now()), Event: EventSegment}
	if known != nil && *known != *last {
		first.Anchor = known.String()
	}
	if last == nil {
		return first, "", nil
	}
	return first, last.String(), nil
}

// load outlives the caller who happens to open the trail for all.
func (t *Trail) load(ctx context.Context) (*Head, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), anchorTimeout)
	defer cancel()
	t.anchoring.Lock()
	defer t.anchoring.Unlock()
	return t.anchor.Load(ctx)
}

// Broken says for people why the last write failed; empty: it did not.
func (t *Trail) Broken() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken
}

// Head is the last line that this Trail has written for good, if any.
func (t *Trail) Head() (Head, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.head == nil {
		return Head{}, false
	}
	return *t.head, true
}

// Start anchors the head while it moves, at most every 10 seconds, and once more at the end. It implements
// manager.Runnable.
func (t *Trail) Start(ctx context.Context) error {
	if t.anchor == nil {
		<-ctx.Done()
		return nil
	}
	ticker := t.clock.NewTicker(anchorInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			t.store(context.WithoutCancel(ctx))
			return nil
		case <-ticker.C():
			t.store(ctx)
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: only the leader's trail goes on.
func (t *Trail) NeedLeaderElection() bool { return true }

func (t *Trail) store(ctx context.Context) {
	head, ok := t.Head()
	t.anchoring.Lock()
	defer t.anchoring.Unlock()
	if !ok || head == t.anchored {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, anchorTimeout)
	defer cancel()
	if err := t.anchor.Store(ctx, head); err != nil {
		t.log.Error(err, "The head of the audit trail is not anchored; what follows the last anchored head could be cut unnoticed. Trying again.", "head", head.String())
		return
	}
	t.anchored = head
}
