// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/membership"
)

// equipped is a world in which alice and bob have two access keys and a console password each.
func equipped(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.AddUser(fake.User{Name: "bob"})
	for _, name := range []string{"alice", "bob"} {
		w.AddAccessKey(name, start)
		w.AddAccessKey(name, start)
		w.AddPassword(name)
	}
	return w
}

func (w *world) usable(name string) bool { return len(w.ActiveKeys(name)) > 0 || w.HasPassword(name) }

func TestDeactivate(t *testing.T) {
	w := equipped(t)
	w.SetPageLimit(1)
	d := w.engine.Deactivate(t.Context(), w.alice())
	if d.Err != nil || !d.Found || d.Keys != 2 || !d.Password || d.Member != w.alice() || w.usable("alice") {
		t.Errorf("alice keeps keys %v and password %v: %+v", w.ActiveKeys("alice"), w.HasPassword("alice"), d)
	}
	if len(w.ActiveKeys("bob")) != 2 || !w.HasPassword("bob") {
		t.Error("bob lost something too")
	}
	var writes []string
	for _, c := range w.Calls() {
		if c.Changed {
			writes = append(writes, c.Op)
		}
	}
	if !slices.Equal(slices.Compact(writes), []string{"UpdateAccessKey", "DeleteLoginProfile"}) {
		t.Errorf("the order was %v, want the keys before the password", writes)
	}
	w.ResetCalls()
	d = w.engine.Deactivate(t.Context(), membership.Member{Name: "ALICE"})
	if d.Err != nil || !d.Found || d.Keys != 0 || d.Password || d.Member.Name != "alice" {
		t.Errorf("the second time: %+v", d)
	}
	for _, c := range w.Calls() {
		if c.Changed {
			t.Errorf("the second time something changed: %+v", c)
		}
	}
}

func TestDeactivateTheRightUser(t *testing.T) {
	t.Run("renamed: found by the UserId", func(t *testing.T) {
		w := equipped(t)
		m := w.alice()
		w.RenameUser("alice", "alicia")
		if d := w.engine.Deactivate(t.Context(), m); d.Err != nil || d.Member.Name != "alicia" || w.usable("alicia") {
			t.Errorf("she kept her credentials under her new name: %+v", d)
		}
	})
	t.Run("the name is somebody else's now", func(t *testing.T) {
		w := equipped(t)
		m := w.alice()
		w.RenameUser("alice", "alicia")
		w.RenameUser("bob", "alice")
		if d := w.engine.Deactivate(t.Context(), m); d.Err != nil || d.Member.Name != "alicia" || w.usable("alicia") || !w.usable("alice") {
			t.Errorf("the new user of the name was touched, or she was not: %+v", d)
		}
	})
	t.Run("created anew: nobody is left", func(t *testing.T) {
		w := equipped(t)
		m := w.alice()
		w.RecreateUser("alice")
		w.AddAccessKey("alice", start)
		if d := w.engine.Deactivate(t.Context(), m); d.Err != nil || d.Found || !w.usable("alice") {
			t.Errorf("the new user of the name was touched: %+v", d)
		}
		if d := w.engine.Deactivate(t.Context(), membership.Member{Name: "alice"}); d.Err != nil || !d.Found || w.usable("alice") {
			t.Errorf("whoever has the name: %+v", d)
		}
	})
	t.Run("no such user", func(t *testing.T) {
		w := equipped(t)
		if d := w.engine.Deactivate(t.Context(), membership.Member{Name: "nobody"}); d.Err != nil || d.Found {
			t.Errorf("nobody is %+v", d)
		}
	})
	t.Run("by the UserId alone", func(t *testing.T) {
		w := equipped(t)
		if d := w.engine.Deactivate(t.Context(), membership.Member{UserID: w.UserID("alice")}); d.Err != nil || w.usable("alice") || !w.usable("bob") {
			t.Errorf("alice is %+v", d)
		}
	})
	t.Run("unnamed: never the caller", func(t *testing.T) {
		w := equipped(t)
		if d := w.engine.Deactivate(t.Context(), membership.Member{}); d.Err == nil || len(w.Calls()) != 0 {
			t.Errorf("nobody was named: %+v, %d calls", d, len(w.Calls()))
		}
	})
}

// Whatever AWS does to a call or its answer, no success is claimed that is not there, and trying again heals.
func TestDeactivateNeverLies(t *testing.T) {
	faults := map[string]fake.Fault{
		"throttled": fake.Throttling, "internal": fake.InternalFailure, "unmodifiable": fake.TemporarilyUnmodifiable, "denied": fake.AccessDenied,
		"bad gateway": fake.BadGateway, "reset": fake.ConnectionReset, "lost answer": fake.LostAnswer, "empty": fake.Empty, "truncated": fake.Truncated,
		"empty after effect": fake.Empty.AfterEffect(),
	}
	for name, fault := range faults {
		for _, op := range []string{"GetUser", "ListAccessKeys", "UpdateAccessKey", "GetLoginProfile", "DeleteLoginProfile"} {
			t.Run(name+" "+op, func(t *testing.T) {
				w := equipped(t)
				w.Inject(op, fault.Times(3))
				var d membership.Deactivation
				for range 4 {
					if d = w.engine.Deactivate(t.Context(), w.alice()); d.Err == nil {
						break
					}
				}
				if d.Err != nil || !d.Found || w.usable("alice") {
					t.Errorf("usable is %v: %+v", w.usable("alice"), d)
				}
			})
		}
	}
}

// An empty answer to the removal looks like success, and one to the question after it does not prove it.
func TestDeactivateProvesTheEnd(t *testing.T) {
	for _, ops := range [][2]string{{"DeleteLoginProfile", "GetLoginProfile"}, {"UpdateAccessKey", "ListAccessKeys"}} {
		w := equipped(t)
		w.Inject(ops[0], fake.Empty.Times(1))
		w.onCall = func(call url.Values) {
			if call.Get("Action") == "DeleteLoginProfile" {
				w.Inject(ops[1], fake.Empty.Times(1))
			}
		}
		if d := w.engine.Deactivate(t.Context(), w.alice()); d.Err == nil || !w.usable("alice") {
			t.Errorf("%v without an answer: usable is %v: %+v", ops, w.usable("alice"), d)
		}
		w.onCall = nil
		w.ClearFaults()
		if d := w.engine.Deactivate(t.Context(), w.alice()); d.Err != nil || w.usable("alice") {
			t.Errorf("%v, tried again: %+v", ops, d)
		}
	}
}

// A key that AWS does not let go keeps nobody from removing the password, but it is no success.
func TestDeactivateTakesWhatItCan(t *testing.T) {
	w := equipped(t)
	w.Inject("UpdateAccessKey", fake.AccessDenied.Times(1))
	d := w.engine.Deactivate(t.Context(), w.alice())
	if d.Err == nil || !strings.Contains(d.Err.Error(), "UpdateAccessKey") || len(w.ActiveKeys("alice")) != 1 || w.HasPassword("alice") {
		t.Errorf("keys %v, password %v: %+v", w.ActiveKeys("alice"), w.HasPassword("alice"), d)
	}
	if d := w.engine.Deactivate(t.Context(), w.alice()); d.Err != nil || d.Keys != 1 || w.usable("alice") {
		t.Errorf("tried again: %+v", d)
	}
}

// A key that is made while the password is still there is seen.
func TestDeactivateSeesNewKeys(t *testing.T) {
	w := equipped(t)
	if err := w.Admin("DeleteAccessKey", map[string]string{"UserName": "alice", "AccessKeyId": w.ActiveKeys("alice")[0]}); err != nil {
		t.Fatal(err)
	}
	w.OnWrite(func(c fake.Call) error {
		if c.Op == "DeleteLoginProfile" && len(w.ActiveKeys("alice")) == 0 {
			w.AddAccessKey("alice", start)
		}
		return nil
	}, nil)
	if d := w.engine.Deactivate(t.Context(), w.alice()); d.Err == nil || !strings.Contains(d.Err.Error(), "active access keys") {
		t.Errorf("a new key was not seen: %+v", d)
	}
	w.OnWrite(nil, nil)
	if d := w.engine.Deactivate(t.Context(), w.alice()); d.Err != nil || w.usable("alice") {
		t.Errorf("tried again: %+v", d)
	}
}

func TestExpel(t *testing.T) {
	w := newWorld(t)
	w.AddUser(fake.User{Name: "bob"})
	w.AddMember(group, "alice")
	w.AddMember(group, "bob")
	if o := w.engine.Expel(t.Context(), "BOB", group); o != (membership.Outcome{}) || w.IsMember(group, "bob") || !w.IsMember(group, "alice") {
		t.Errorf("bob is in %v: %+v", w.Members(group), o)
	}
	if o := w.engine.Expel(t.Context(), "bob", group); o != (membership.Outcome{}) {
		t.Errorf("the second time: %+v", o)
	}
	for _, missing := range [][2]string{{"nobody", group}, {"alice", "missing"}} {
		if o := w.engine.Expel(t.Context(), missing[0], missing[1]); o != (membership.Outcome{}) {
			t.Errorf("%v: %+v", missing, o)
		}
	}
	if o := w.engine.Expel(t.Context(), "", group); o.Err == nil || !w.IsMember(group, "alice") {
		t.Errorf("nobody was named: %+v", o)
	}
}

// What a live grant covers is nobody's to expel; only the state differs.
func TestI4ExpelLeavesWhatIsCovered(t *testing.T) {
	w := newWorld(t)
	w.AddMember(group, "alice")
	g := w.record(v1alpha1.StateGranted, time.Hour, true, true)
	w.blind = errors.New("the watch has broken off")
	if o := w.engine.Expel(t.Context(), "alice", group); o.Err == nil || !o.Present || !w.IsMember(group, "alice") {
		t.Errorf("without a look at the grants: %+v", o)
	}
	w.blind = nil
	if o := w.engine.Expel(t.Context(), "alice", group); o != (membership.Outcome{Covered: true, Present: true}) || !w.IsMember(group, "alice") {
		t.Errorf("covered: %+v", o)
	}
	g.Status.Conditions[0].Reason = v1alpha1.StateExpired
	if o := w.engine.Expel(t.Context(), "alice", group); o != (membership.Outcome{}) || w.IsMember(group, "alice") {
		t.Errorf("no longer covered: %+v", o)
	}
}

func TestExpelNeverLies(t *testing.T) {
	for name, fault := range map[string]fake.Fault{
		"throttled": fake.Throttling, "conflict": fake.ConcurrentModification, "denied": fake.AccessDenied, "lost answer": fake.LostAnswer,
		"empty": fake.Empty, "truncated": fake.Truncated, "empty after effect": fake.Empty.AfterEffect(),
	} {
		for _, op := range []string{"GetUser", "ListGroupsForUser", "RemoveUserFromGroup"} {
			t.Run(name+" "+op, func(t *testing.T) {
				w := newWorld(t)
				w.AddMember(group, "alice")
				w.Inject(op, fault.Times(3))
				var o membership.Outcome
				for range 4 {
					if o = w.engine.Expel(t.Context(), "alice", group); !o.Present {
						break
					}
					if o.Err == nil {
						t.Fatalf("still there, and no error: %+v", o)
					}
				}
				if o.Present || o.Err != nil || w.IsMember(group, "alice") {
					t.Errorf("a member is %v: %+v", w.IsMember(group, "alice"), o)
				}
			})
		}
	}
}
