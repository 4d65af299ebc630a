// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	testclock "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
)

// TestMain keeps rapid from leaving files behind: a failure prints the seed that repeats it.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	m.Run()
}

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// memory is an Anchor.
type memory struct {
	mu     sync.Mutex
	head   *Head
	stores int
	fail   error
	told   chan struct{} // after each Store, if there is one
}

func (m *memory) Load(context.Context) (*Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head, m.fail
}

func (m *memory) Store(_ context.Context, head Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stores++
	if m.fail == nil {
		m.head = &head
	}
	if m.told != nil {
		m.told <- struct{}{}
	}
	return m.fail
}

func entry(uid string) Entry {
	return Entry{
		Event: EventGranted, Time: start, Kind: "ProdAccessGrant", Name: "alice-chg-1042", UID: uid, Digest: "sha256:00", Role: "payments-oncall",
		Ticket: "CHG-1042", Incident: "INC-7", Subject: "alice@hera.example", RequestedBy: "dana@hera.example", AppliedBy: "prod-access-controller-manager",
		Approvers: []string{"bob@hera.example", "carol@hera.example"}, Reason: "Replace the disk <of> the \"payments\" database — as rehearsed",
		Change: "alice@hera.example may use payments-oncall",
	}
}

// fault is a handle that fails as its functions say, and never waits for a disk.
type fault struct {
	*os.File
	write    func(b []byte) (int, error)
	sync     func() error
	truncate func() error
}

func (f *fault) Write(b []byte) (int, error) {
	if f.write == nil {
		return f.File.Write(b)
	}
	n, err := f.write(b)
	if n, werr := f.File.Write(b[:n]); werr != nil {
		return n, werr
	}
	return n, err
}

func (f *fault) Sync() error {
	if f.sync == nil {
		return nil
	}
	return f.sync()
}

func (f *fault) Truncate(size int64) error {
	if f.truncate != nil {
		if err := f.truncate(); err != nil {
			return err
		}
	}
	return f.File.Truncate(size)
}

// fileTrail is a Trail on a file, whose handle is a fault that set prepares.
func fileTrail(path string, limit int64, keep int, anchor Anchor, set func(*fault)) *Trail {
	clk := testclock.NewFakeClock(start)
	sink := &file{FileOptions: FileOptions{Path: path, Keep: keep, Clock: clk}, limit: limit, wrap: func(f *os.File) handle {
		h := &fault{File: f}
		if set != nil {
			set(h)
		}
		return h
	}}
	return New(Options{Sink: sink, Anchor: anchor, Clock: clk})
}

// closeFile ends a trail as the end of its process does.
func closeFile(t *Trail) { t.sink.(*file).close() }

type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

// sources opens all files of a folder.
func sources(t fatal, dir string) []Source {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []Source
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Source{Name: e.Name(), ReadSeeker: bytes.NewReader(b)})
	}
	return out
}

// whole verifies a trail, and that it holds entries with these UIDs in this order, others between them or not.
func whole(t fatal, files []Source, head *Head, uids []string) Report {
	t.Helper()
	r, err := Verify(files, VerifyOptions{Head: head})
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors > 0 {
		t.Fatalf("the trail is not whole: %v", r.Findings)
	}
	// Renamed files come before the one that is written to.
	slices.SortFunc(files, func(a, b Source) int { return strings.Compare(a.Name+"~", b.Name+"~") })
	var there []string
	for _, f := range files {
		if err := eachLine(f, func(_ string, _ int, text []byte) {
			if l, _, err := parse(text); err == nil && l.Event != EventSegment {
				there = append(there, l.UID)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, uid := range uids {
		i := slices.Index(there, uid)
		if i < 0 {
			t.Fatalf("the acknowledged entry %s is not in the trail, or not in its place: %v", uid, there)
		}
		there = there[i+1:]
	}
	return r
}

func TestAppendIsInTheTrail(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	trail := New(Options{Sink: NewFile(FileOptions{Path: path, Clock: testclock.NewFakeClock(start)}), Clock: testclock.NewFakeClock(start)})
	if _, ok := trail.Head(); ok {
		t.Error("a trail that wrote nothing has a head")
	}
	e := entry("u1")
	e.Approvers = append(e.Approvers, strings.Repeat("é", maxText), "bad \xff bytes")
	if err := trail.Append(t.Context(), e, Entry{Event: EventExpired, UID: "u2"}); err != nil {
		t.Fatal(err)
	}
	head, ok := trail.Head()
	if !ok || head.Seq != 2 {
		t.Errorf("the head is %v, want seq 2", head)
	}
	if r := whole(t, sources(t, dir), &head, []string{"u1", "u2"}); r.Notes != 0 {
		t.Errorf("notes on a trail that is anchored at its end: %v", r.Findings)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v (%v), want 0600", info.Mode(), err)
	}

	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(b, []byte("\n"))
	var got struct {
		Version, Seq                                  int
		Segment, Time, Event, Kind, UID, Digest, Role string
		Ticket, Incident, Prev, Hash                  string
		Commitments                                   map[string]string
		Personal                                      map[string]struct {
			Salt  string
			Value any
		}
	}
	if err := json.Unmarshal(lines[1], &got); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	salts := map[string]bool{}
	for field, o := range got.Personal {
		values[field] = o.Value
		salts[o.Salt] = true
	}
	approvers, _ := values["approvers"].([]any)
	delete(values, "approvers")
	want := map[string]any{
		"name": e.Name, "subject": e.Subject, "requestedBy": e.RequestedBy, "appliedBy": e.AppliedBy, "reason": e.Reason, "change": e.Change,
	}
	if fmt.Sprint(values) != fmt.Sprint(want) {
		t.Errorf("personal values %v, want %v", values, want)
	}
	if len(approvers) != 4 || approvers[0] != "bob@hera.example" || approvers[3] != "bad \uFFFD bytes" {
		t.Errorf("approvers %v", approvers)
	}
	if cutted, _ := approvers[2].(string); len(cutted) > maxText || !strings.HasSuffix(cutted, "é…") {
		t.Errorf("a text of %d bytes was cut to %d", 2*maxText, len(cutted))
	}
	if len(salts) != 7 {
		t.Errorf("%d salts for 7 values", len(salts))
	}
	if got.Version != 1 || got.Seq != 1 || got.Time != "2026-11-23T09:00:00Z" || got.Event != "granted" || got.Kind != e.Kind || got.UID != "u1" ||
		got.Digest != e.Digest || got.Role != e.Role || got.Ticket != e.Ticket || got.Incident != e.Incident || got.Segment != head.Segment {
		t.Errorf("line %+v", got)
	}
	// Whoever has only the hashed part, and guesses the subject, still cannot confirm the guess without the salt.
	if got.Commitments["subject"] == sum(canonical(e.Subject)) || bytes.Contains(lines[1][:bytes.Index(lines[1], []byte(`"personal"`))], []byte("alice")) {
		t.Error("the hashed part of the line tells the subject")
	}
}

func TestAppendRefusesWhatIsNoEntry(t *testing.T) {
	var out bytes.Buffer
	trail := New(Options{Sink: NewStream(&out), Clock: testclock.NewFakeClock(start)})
	for _, event := range []string{"", EventSegment} {
		if err := trail.Append(t.Context(), Entry{Event: event}); err == nil || !strings.Contains(err.Error(), "cannot have the event") {
			t.Errorf("an entry with the event %q: %v", event, err)
		}
	}
	if err := trail.Append(t.Context()); err != nil || out.Len() > 0 {
		t.Errorf("no entry: %v, and %q was written", err, out.String())
	}
	if err := trail.Append(t.Context(), Entry{Event: EventDrift}); err != nil {
		t.Errorf("the least entry: %v", err)
	}
}

// The longest entry is still a line that can be read.
func TestLongestLine(t *testing.T) {
	long := strings.Repeat("\x01", 2*maxText)
	e := Entry{
		Event: EventGranted, Kind: long, Name: long, UID: long, Digest: long, Role: long, Ticket: long, Incident: long, Change: long,
		Subject: long, RequestedBy: long, AppliedBy: long, Approvers: slices.Repeat([]string{long}, 3*maxTexts), Reason: long,
	}
	var out bytes.Buffer
	trail := New(Options{Sink: NewStream(&out), Clock: testclock.NewFakeClock(start)})
	if err := trail.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	head, _ := trail.Head()
	whole(t, []Source{{"trail", bytes.NewReader(out.Bytes())}}, &head, nil)
	if out.Len() > maxLine {
		t.Errorf("the longest line has %d bytes, more than are read", out.Len())
	}
}

func TestConcurrentAppends(t *testing.T) {
	dir := t.TempDir()
	trail := fileTrail(filepath.Join(dir, "audit.log"), 20_000, 0, nil, nil)
	const callers, each = 8, 10
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if err := trail.Append(t.Context(), entry(fmt.Sprintf("%d-%d", c, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	head, _ := trail.Head()
	if head.Seq != callers*each {
		t.Errorf("the head is %v after %d entries", head, callers*each)
	}
	for c := range callers {
		var uids []string
		for i := range each {
			uids = append(uids, fmt.Sprintf("%d-%d", c, i))
		}
		whole(t, sources(t, dir), &head, uids)
	}
}

// Those who come while the disk is busy share the next write.
func TestConcurrentAppendsShareASync(t *testing.T) {
	syncs := 0
	busy, release := make(chan struct{}), make(chan struct{})
	trail := fileTrail(filepath.Join(t.TempDir(), "audit.log"), 0, 0, nil, func(f *fault) {
		f.sync = func() error {
			syncs++
			if syncs == 1 {
				close(busy)
				<-release
			}
			return nil
		}
	})
	var wg sync.WaitGroup
	appendOne := func(i int) {
		if err := trail.Append(t.Context(), entry(fmt.Sprint(i))); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { appendOne(0) })
	<-busy
	for i := range 10 {
		wg.Go(func() { appendOne(i + 1) })
	}
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		trail.mu.Lock()
		defer trail.mu.Unlock()
		return len(trail.queue) == 10, nil
	}); err != nil {
		t.Fatal(err)
	}
	close(release)
	wg.Wait()
	if syncs != 2 {
		t.Errorf("%d syncs for one caller and then 10 at a time, want 2", syncs)
	}
}

func TestAppendGivesUpWaitingWithItsContext(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	dir := t.TempDir()
	trail := fileTrail(filepath.Join(dir, "audit.log"), 0, 0, nil, func(f *fault) {
		f.sync = func() error { once.Do(func() { close(busy); <-release }); return nil }
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := trail.Append(t.Context(), entry("first")); err != nil {
			t.Error(err)
		}
	})
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- trail.Append(ctx, entry("gone")) }()
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		trail.mu.Lock()
		defer trail.mu.Unlock()
		return len(trail.queue) == 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller whose context ended got %v", err)
	}
	close(release)
	wg.Wait()
	if err := trail.Append(t.Context(), entry("last")); err != nil {
		t.Fatal(err)
	}
	if head, _ := trail.Head(); head.Seq != 2 {
		t.Errorf("the head is %v: what nobody waited for any more was written", head)
	}
}

// A sink that hangs holds nobody beyond their time, not even whoever happened to write, and is told as broken.
func TestASinkThatHangs(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	trail := fileTrail(filepath.Join(t.TempDir(), "audit.log"), 0, 0, nil, func(f *fault) {
		f.sync = func() error { once.Do(func() { close(busy); <-release }); return nil }
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- trail.Append(ctx, entry("hangs")) }()
	<-busy
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who writes got %v", err)
	}
	if trail.Broken() == "" {
		t.Error("it is not said to be broken")
	}
	if err := trail.Append(t.Context(), entry("meanwhile")); err == nil || !strings.Contains(err.Error(), "does not come back") {
		t.Errorf("whoever writes meanwhile got %v", err)
	}
	close(release)
	// The write that hung has to come back before another is begun.
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return trail.Broken() == "", nil
	})
	if err != nil {
		t.Fatalf("it works again, and is said to be broken: %s", trail.Broken())
	}
	if err := trail.Append(t.Context(), entry("again")); err != nil {
		t.Error(err)
	}
}

// A write that was given up before it began does not leave the trail stuck.
func TestGivenUpBeforeItBegan(t *testing.T) {
	trail := fileTrail(filepath.Join(t.TempDir(), "audit.log"), 0, 0, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := &batch{done: make(chan error, 1)}
	trail.queue = []*batch{b}
	trail.writing <- struct{}{} // as by Append, whose flush has not run yet
	if err := trail.giveUp(ctx, b); !errors.Is(err, context.Canceled) {
		t.Fatalf("giving up answers %v", err)
	}
	if trail.Broken() == "" {
		t.Error("it is not said to be broken meanwhile")
	}
	trail.flush(t.Context())
	<-trail.writing
	if err := trail.Append(t.Context(), entry("again")); err != nil || trail.Broken() != "" {
		t.Errorf("the next write got %v, and the trail is broken: %q", err, trail.Broken())
	}
}

func TestOpenIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	anchor := &memory{fail: errors.New("the API server is away")}
	trail := fileTrail(filepath.Join(dir, "audit.log"), 0, 0, anchor, nil)
	for _, step := range []struct {
		name, broken string
		mend         func() error
	}{
		{name: "no anchor", broken: "the API server is away", mend: func() error { anchor.fail = nil; return nil }},
		{name: "no folder", broken: "no such file", mend: func() error { return os.Mkdir(dir, 0o700) }},
	} {
		err := trail.Append(t.Context(), entry("u"))
		if err == nil || !strings.Contains(err.Error(), step.broken) || trail.Broken() != err.Error() {
			t.Errorf("%s: error %v, Broken() %q, want %q", step.name, err, trail.Broken(), step.broken)
		}
		if err := step.mend(); err != nil {
			t.Fatal(err)
		}
	}
	if err := trail.Append(t.Context(), entry("u")); err != nil || trail.Broken() != "" {
		t.Errorf("error %v, Broken() %q after everything was mended", err, trail.Broken())
	}
	whole(t, sources(t, dir), nil, []string{"u"})
}

// Whatever part of a write fails at whatever byte, the files verify, and hold what was acknowledged, in its order.
func TestAFailingDiskNeverBreaksTheChain(t *testing.T) {
	root := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) { // prints its seed
		run++
		dir := filepath.Join(root, fmt.Sprint(run))
		if err := os.Mkdir(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		failing := true
		broken := errors.New("the disk is broken")
		fails := func(what string) bool { return failing && rapid.IntRange(0, 3).Draw(rt, what) == 0 }
		faults := func(f *fault) {
			f.write = func(b []byte) (int, error) {
				if fails("write fails") {
					return rapid.IntRange(0, len(b)).Draw(rt, "after bytes"), broken
				}
				return len(b), nil
			}
			f.sync = func() error {
				if fails("sync fails") {
					return broken
				}
				return nil
			}
			f.truncate = func() error {
				if fails("truncate fails") {
					return broken
				}
				return nil
			}
		}
		limit := rapid.SampledFrom([]int64{0, 1, 4000, 10_000}).Draw(rt, "limit")
		anchor := &memory{}
		trail := fileTrail(filepath.Join(dir, "audit.log"), limit, 0, anchor, faults)
		var acknowledged []string
		for i := range rapid.IntRange(1, 15).Draw(rt, "appends") {
			var entries []Entry
			var uids []string
			for j := range rapid.IntRange(1, 3).Draw(rt, "entries") {
				uids = append(uids, fmt.Sprintf("%d-%d", i, j))
				entries = append(entries, entry(uids[j]))
			}
			switch err := trail.Append(t.Context(), entries...); {
			case err == nil:
				acknowledged = append(acknowledged, uids...)
			case !errors.Is(err, broken) || trail.Broken() == "":
				rt.Fatalf("Append: %v, Broken() %q", err, trail.Broken())
			}
			if head, ok := trail.Head(); ok && rapid.Bool().Draw(rt, "anchor") {
				anchor.head = &head
			}
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 {
				closeFile(trail)
				trail = fileTrail(filepath.Join(dir, "audit.log"), limit, 0, anchor, faults)
			}
		}
		failing = false
		if err := trail.Append(t.Context(), entry("last")); err != nil {
			rt.Fatalf("Append, on a disk that is whole again: %v", err)
		}
		closeFile(trail)
		whole(rt, sources(rt, dir), anchor.head, append(acknowledged, "last"))
	})
}

// What was written and could not be synced might be gone after a power cut: nothing follows it.
func TestWhatWasNotSyncedIsTakenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var broken error
	trail := fileTrail(path, 0, 0, nil, func(f *fault) { f.sync = func() error { return broken } })
	if err := trail.Append(t.Context(), entry("a")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken = errors.New("the disk is broken")
	if err := trail.Append(t.Context(), entry("b")); !errors.Is(err, broken) {
		t.Errorf("Append: %v, want %v", err, broken)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has %d bytes (%v) after a write that failed, %d before", len(after), err, len(before))
	}
}

// limited takes so many bytes, fails once, and then takes everything.
type limited struct {
	bytes.Buffer
	left   int
	failed bool
}

func (w *limited) Write(b []byte) (int, error) {
	if w.failed || len(b) <= w.left {
		w.left -= len(b)
		return w.Buffer.Write(b)
	}
	w.failed = true
	n, _ := w.Buffer.Write(b[:w.left])
	return n, io.ErrClosedPipe
}

func TestAStreamThatFailsAtAnyByte(t *testing.T) {
	for left := 0; ; left++ {
		w := &limited{left: left}
		trail := New(Options{Sink: NewStream(w), Clock: testclock.NewFakeClock(start)})
		var acknowledged []string
		for _, uids := range [][]string{{"a"}, {"b", "c"}, {"d"}} {
			var entries []Entry
			for _, uid := range uids {
				entries = append(entries, Entry{Event: EventGranted, UID: uid})
			}
			if err := trail.Append(t.Context(), entries...); err == nil {
				acknowledged = append(acknowledged, uids...)
			}
		}
		head, _ := trail.Head()
		whole(t, []Source{{"trail", bytes.NewReader(w.Bytes())}}, &head, acknowledged)
		if !w.failed {
			return
		}
	}
}

// A process may be killed at any byte of a write.
func TestASuccessorOfAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	anchor := &memory{}
	trail := fileTrail(path, 0, 0, anchor, nil)
	if err := trail.Append(t.Context(), Entry{Event: EventGranted, UID: "a", Subject: "alice"}, Entry{Event: EventGranted, UID: "b", Subject: "alice"}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := int(info.Size())
	head, _ := trail.Head()
	anchor.head = &head
	if err := trail.Append(t.Context(), Entry{Event: EventGranted, UID: "c", Subject: "alice"}, Entry{Event: EventExpired, UID: "d"}); err != nil {
		t.Fatal(err)
	}
	closeFile(trail)
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for end := acknowledged; end <= len(all); end++ {
		if err := os.WriteFile(path, all[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		next := fileTrail(path, 0, 0, anchor, nil)
		if err := next.Append(t.Context(), Entry{Event: EventGranted, UID: "e", Subject: "alice"}); err != nil {
			t.Fatal(err)
		}
		closeFile(next)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(got, all[:end]) {
			t.Fatalf("killed at byte %d: what was there was rewritten", end)
		}
		last, _ := next.Head()
		whole(t, []Source{{"trail", bytes.NewReader(got)}}, &last, []string{"a", "b", "e"})
	}
}

func TestRotation(t *testing.T) {
	for _, test := range []struct {
		name       string
		keep, want int
	}{
		{name: "all files stay", keep: 0, want: 10},
		{name: "two old files stay", keep: 2, want: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.log")
			// A name that only looks like one of ours.
			if err := os.WriteFile(path+".bak", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			trail := fileTrail(path, 1, test.keep, nil, nil) // the clock stands still: names sort all the same
			var uids []string
			for i := range 9 {
				uids = append(uids, fmt.Sprint(i))
				if err := trail.Append(t.Context(), entry(uids[i])); err != nil {
					t.Fatal(err)
				}
			}
			head, _ := trail.Head()
			if err := os.Remove(path + ".bak"); err != nil {
				t.Errorf("a file that is not of the trail is gone: %v", err)
			}
			files := sources(t, dir)
			if len(files) != test.want {
				t.Fatalf("%d files, want %d", len(files), test.want)
			}
			if test.keep == 0 {
				slices.Reverse(files) // they may come in any order
				if r := whole(t, files, &head, uids); r.Segments != 1 || r.Notes != 0 {
					t.Errorf("%+v, want one segment in all files", r)
				}
				return
			}
			var first line
			if err := eachLine(files[1], func(_ string, _ int, text []byte) { first, _, _ = parse(text) }); err != nil {
				t.Fatal(err)
			}
			from := Head{Segment: first.Segment, Seq: first.Seq - 1, Hash: first.Prev}
			if r, err := Verify(files, VerifyOptions{Head: &head, From: &from}); err != nil || r.Errors+r.Notes != 0 {
				t.Errorf("the files that stayed, from their beginning on: %v %v", r.Findings, err)
			}
			from.Hash = head.Hash
			for name, from := range map[string]*Head{"not told what was deleted": nil, "told something else": &from} {
				if r, err := Verify(files, VerifyOptions{Head: &head, From: from}); err != nil || r.Errors != 1 || r.Findings[0].Kind != Missing {
					t.Errorf("%s: %v %v, want the missing lines", name, r.Findings, err)
				}
			}
		})
	}
}

// Between the renaming of a file and the beginning of the next, a process may be killed too.
func TestASuccessorFollowsTheLastRenamedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	trail := fileTrail(path, 1, 0, nil, nil)
	for _, uid := range []string{"a", "b"} {
		if err := trail.Append(t.Context(), entry(uid)); err != nil {
			t.Fatal(err)
		}
	}
	closeFile(trail)
	if err := os.Rename(path, path+"."+start.Add(time.Hour).Format(rotatedTime)); err != nil {
		t.Fatal(err)
	}
	next := fileTrail(path, 0, 0, nil, nil)
	if err := next.Append(t.Context(), entry("c")); err != nil {
		t.Fatal(err)
	}
	head, _ := next.Head()
	if r := whole(t, sources(t, dir), &head, []string{"a", "b", "c"}); r.Notes != 0 || r.Segments != 2 {
		t.Errorf("%+v, want two linked segments", r)
	}
}

func TestOneProcessWritesToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	first, second := fileTrail(path, 0, 0, nil, nil), fileTrail(path, 0, 0, nil, nil)
	if err := first.Append(t.Context(), entry("a")); err != nil {
		t.Fatal(err)
	}
	if err := second.Append(t.Context(), entry("b")); err == nil || !strings.Contains(err.Error(), "one process at a time") {
		t.Errorf("a second writer: %v", err)
	}
	closeFile(first)
	if err := second.Append(t.Context(), entry("b")); err != nil {
		t.Errorf("the first has ended: %v", err)
	}
}

// What somebody does to the file while it is open is not written over, and is found.
func TestAFileThatSomebodyElseChanges(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(path string) error
		want Kind // empty: nothing was lost
	}{
		"removed":  {do: os.Remove, want: Missing},
		"renamed":  {do: func(path string) error { return os.Rename(path, filepath.Join(filepath.Dir(path), "moved")) }},
		"cut":      {do: func(path string) error { return os.Truncate(path, 1000) }, want: Cut},
		"replaced": {do: func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) }, want: Missing},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.log")
			trail := fileTrail(path, 0, 0, nil, nil)
			if err := trail.Append(t.Context(), entry("a"), entry("b")); err != nil {
				t.Fatal(err)
			}
			if err := test.do(path); err != nil {
				t.Fatal(err)
			}
			if err := trail.Append(t.Context(), entry("c")); err == nil {
				t.Error("an entry was written to a file that is not what it was")
			}
			if err := trail.Append(t.Context(), entry("c")); err != nil {
				t.Fatal(err)
			}
			head, _ := trail.Head()
			r, err := Verify(sources(t, dir), VerifyOptions{Head: &head})
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" && r.Errors > 0 || test.want != "" && (r.Errors != 1 || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == test.want })) {
				t.Errorf("%v, want one error: %q", r.Findings, test.want)
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 10} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			trail := New(Options{
				Sink:  NewFile(FileOptions{Path: filepath.Join(b.TempDir(), "audit.log"), Clock: testclock.NewFakeClock(start)}),
				Clock: testclock.NewFakeClock(start),
			})
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := trail.Append(b.Context(), entry("u")); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
