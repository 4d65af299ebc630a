// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/membership"
)

const readUsers = "GetAccountAuthorizationDetails"

func (w *world) directory(t *testing.T) access.Directory {
	t.Helper()
	d, err := w.engine.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Names are found on every page, and a name that two IAM users claim makes them one person.
func TestI7DirectoryOfAllUsers(t *testing.T) {
	w := newWorld(t)
	w.AddUser(fake.User{Name: "bob", Path: "/people/"})
	w.AddUser(fake.User{Name: "zoe", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "ALICE@hera.example zoe@hera.example"}})
	for i := range 7 {
		w.AddUser(fake.User{Name: fmt.Sprintf("other-%d", i)})
	}
	w.SetPageLimit(2)
	d := w.directory(t)
	if n := w.Count(readUsers); n != 6 {
		t.Errorf("ten users and a group were read in %d pages of two", n)
	}
	if id, ok := d.Of("alice"); !ok || id != w.UserID("alice") {
		t.Errorf("alice is %q", id)
	}
	if !d.Same("bob", "arn:aws:iam::111122223333:user/people/bob") {
		t.Error("bob is not who his ARN says")
	}
	if !d.Same("alice", "zoe@hera.example") || len(d.Users("zoe")) != 2 {
		t.Errorf("alice and zoe share a name and are two: %+v", d.Users("zoe"))
	}
	if d.Same("alice", "bob") {
		t.Error("alice is bob")
	}
}

func TestDirectoryIsKeptForAMinute(t *testing.T) {
	w := newWorld(t)
	w.directory(t)
	w.AddUser(fake.User{Name: "bob"})
	w.after(time.Minute - time.Second)
	if _, ok := w.directory(t).Of("bob"); ok || w.Count(readUsers) != 1 {
		t.Errorf("read again within a minute: %d calls", w.Count(readUsers))
	}
	w.after(time.Second)
	if _, ok := w.directory(t).Of("bob"); !ok {
		t.Error("not read again after a minute")
	}
}

// Unknown is an error, not an empty directory, not a part of one, and not one that is too old.
func TestI10DirectoryIsWholeOrAnError(t *testing.T) {
	for name, fault := range map[string]fake.Fault{
		"denied": fake.AccessDenied, "throttled": fake.Throttling, "empty": fake.Empty, "truncated": fake.Truncated, "bad gateway": fake.BadGateway,
	} {
		for _, page := range []string{"first", "last"} {
			t.Run(name+" on the "+page+" page", func(t *testing.T) {
				w := newWorld(t)
				w.AddUser(fake.User{Name: "bob"})
				w.SetPageLimit(1)
				w.directory(t)
				w.after(time.Minute)
				if page == "last" {
					w.onCall = func(params url.Values) {
						if params.Has("Marker") {
							w.Inject(readUsers, fault)
						}
					}
				} else {
					w.Inject(readUsers, fault)
				}
				if d, err := w.engine.Directory(t.Context()); err == nil {
					t.Errorf("a directory that knows alice as %v", d.Names("alice"))
				} else if !strings.HasPrefix(err.Error(), "AWS ") {
					t.Errorf("the error is for machines: %s", err)
				}
				w.onCall = nil
				w.ClearFaults()
				if d := w.directory(t); !d.Same("alice", "alice@hera.example") {
					t.Error("a failure was kept")
				}
			})
		}
	}
}

// Callers at the same time share one reading, which goes on when the one who began it gives up.
func TestDirectoryIsReadOnceForAll(t *testing.T) {
	w := newWorld(t)
	held, open := make(chan struct{}), make(chan struct{})
	w.onCall = func(url.Values) { close(held); <-open } // panics if it is called twice
	impatient, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := w.engine.Directory(impatient)
		gaveUp <- err
	}()
	<-held
	cancel()
	if err := <-gaveUp; err == nil {
		t.Error("who gave up got an answer")
	}
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range 20 {
		wg.Go(func() {
			d, err := w.engine.Directory(t.Context())
			if err == nil && !d.Same("alice", "alice@hera.example") {
				err = errors.New("alice is unknown")
			}
			errs <- err
		})
	}
	close(open)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := w.Count(readUsers); n != 1 {
		t.Errorf("%d readings for 21 callers", n)
	}
}

// Who needs to know what is so now does not make do with a reading that began before.
func TestAReadingThatBeganBeforeIsNotNew(t *testing.T) {
	w := newWorld(t)
	held, open := make(chan struct{}), make(chan struct{})
	w.onCall = func(call url.Values) {
		if call.Get("Action") == readUsers && held != nil {
			close(held)
			held = nil
			<-open
		}
	}
	waiting := held
	first := make(chan error, 1)
	go func() {
		_, err := w.engine.Directory(t.Context())
		first <- err
	}()
	<-waiting
	w.after(time.Second)
	w.AddUser(fake.User{Name: "bob"})
	swept := make(chan error, 1)
	go func() { swept <- w.engine.Sweep(t.Context()) }()
	close(open)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := <-swept; err != nil && !errors.Is(err, membership.ErrReportInMaking) {
		t.Fatal(err)
	}
	if s := w.engine.Swept(w.UserID("bob")); s.User == nil {
		t.Error("the sweep made do with what was read before")
	}
}
