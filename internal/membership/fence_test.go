// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/membership"
)

const boundary = "arn:aws:iam::111122223333:policy/prod-access/prod-access-boundary"

// fenceAt is the name of the fence from so long after the start on.
func fenceAt(after time.Duration) string {
	return "prod-access-fence-hera-" + start.Add(after).Format("20060102T150405Z")
}

// fences are the names of alice's inline policies.
func (w *world) fences() []string { return slices.Sorted(maps.Keys(w.UserPolicies("alice"))) }

func (w *world) fence(t *testing.T) membership.Fence {
	t.Helper()
	return w.engine.Fence(t.Context(), w.alice())
}

// From the last deadline on AWS denies everything, and it moves with the grants.
func TestI2FenceMoves(t *testing.T) {
	w := newWorld(t)
	w.SetBoundary("alice", boundary)
	first := w.record(v1alpha1.StateGranting, time.Hour, true, false)
	if f := w.fence(t); f.Err != nil || f.Obstacle.Reason != "" || !f.Until.Equal(start.Add(time.Hour)) {
		t.Fatalf("the fence is %+v", f)
	}
	if got := w.UserPolicies("alice")[fenceAt(time.Hour)]; !strings.Contains(got, `"DateGreaterThanEquals":{"aws:CurrentTime":"2026-11-23T10:00:00Z"}`) ||
		!strings.Contains(got, `"Effect":"Deny","Action":"*","Resource":"*"`) {
		t.Errorf("the fence says %s", got)
	}
	first.Status.Conditions[0].Reason = v1alpha1.StateGranted
	w.record(v1alpha1.StateGranting, 2*time.Hour, true, false)
	// The later one is written before the earlier is removed: what a crash leaves denies too early, and never too late.
	w.onCall = func(call url.Values) {
		if call.Get("Action") == "DeleteUserPolicy" && len(w.fences()) != 2 {
			t.Errorf("a fence is removed while there are %v", w.fences())
		}
	}
	if f := w.fence(t); f.Err != nil || !slices.Equal(w.fences(), []string{fenceAt(2 * time.Hour)}) {
		t.Fatalf("extended: %+v, %v", f, w.fences())
	}
	// The longer one ends early: the fence of the shorter one stands.
	w.grants[1].Status.Conditions[0].Reason = v1alpha1.StateRevoked
	if err := w.engine.Unfence(t.Context(), w.alice(), start.Add(2*time.Hour)); err != nil || !slices.Equal(w.fences(), []string{fenceAt(time.Hour)}) {
		t.Fatalf("moved back: %v, %v", err, w.fences())
	}
	w.onCall = nil
	for i := range w.grants {
		w.grants[i].Status.Conditions[0].Reason = v1alpha1.StateExpired
		w.grants[i].Status.AWS.Groups[0].Intended, w.grants[i].Status.AWS.Groups[0].Observed = false, false
	}
	if err := w.engine.Unfence(t.Context(), w.alice(), start.Add(time.Hour)); err != nil || len(w.fences()) != 0 {
		t.Errorf("over: %v, %v", err, w.fences())
	}
}

// Another grant with the same deadline keeps the fence.
func TestI2FenceOfAnotherGrantStays(t *testing.T) {
	w := newWorld(t)
	w.SetBoundary("alice", boundary)
	w.record(v1alpha1.StateGranted, time.Hour, true, true)
	w.fence(t)
	w.record(v1alpha1.StateRevoked, time.Hour, false, false)
	if err := w.engine.Unfence(t.Context(), w.alice(), start.Add(time.Hour)); err != nil || len(w.fences()) != 1 {
		t.Errorf("the fence of a live grant: %v, %v", err, w.fences())
	}
}

// What an earlier time left behind would keep the person out, so it goes before access is given.
func TestOldFenceGoesFirst(t *testing.T) {
	for name, old := range map[string]string{"expired": fenceAt(-time.Hour), "later": fenceAt(9 * time.Hour)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.SetBoundary("alice", boundary)
			w.put("alice", old)
			w.put("alice", "prod-access-fence-other-20261123T080000Z")
			w.put("alice", "their-own")
			w.record(v1alpha1.StateGranting, time.Hour, true, false)
			w.Inject("DeleteUserPolicy", fake.Throttling)
			if f := w.fence(t); f.Err == nil {
				t.Errorf("an old fence stands, and access would be given: %+v", f)
			}
			w.ClearFaults()
			if f := w.fence(t); f.Err != nil {
				t.Errorf("the fence is %+v", f)
			}
			if want := []string{fenceAt(time.Hour), "prod-access-fence-other-20261123T080000Z", "their-own"}; !slices.Equal(w.fences(), want) {
				t.Errorf("there are %v, want %v", w.fences(), want)
			}
		})
	}
}

// put gives a user an inline policy.
func (w *world) put(user, name string) {
	err := w.Admin("PutUserPolicy", map[string]string{"UserName": user, "PolicyName": name,
		"PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`})
	if err != nil {
		panic(err)
	}
}

// Why there is no fence has a name, and keeps nobody from their access; what is not known does.
func TestWithoutAFence(t *testing.T) {
	for name, row := range map[string]struct {
		set    func(*world)
		reason string
		fails  bool
	}{
		"a twin":      {set: func(*world) {}},
		"no boundary": {set: func(w *world) { w.must("DeleteUserPermissionsBoundary") }, reason: v1alpha1.ReasonNoBoundary},
		"not allowed": {set: func(w *world) { w.Inject("PutUserPolicy", fake.AccessDenied) }, reason: v1alpha1.ReasonFenceForbidden},
		"no room":     {set: (*world).crowd, reason: v1alpha1.ReasonFenceTooLarge},
		"room for one": {set: func(w *world) {
			w.record(v1alpha1.StateGranted, time.Minute, true, true)
			w.put("alice", fenceAt(time.Minute))
			w.fill(1700)
		}},
		"disabled":       {set: func(w *world) { w.engine = membership.New(w.api, w, w.clock, membership.Options{}) }, reason: v1alpha1.ReasonFenceDisabled},
		"throttled":      {set: func(w *world) { w.Inject("PutUserPolicy", fake.Throttling) }, fails: true},
		"an empty 200":   {set: func(w *world) { w.Inject("PutUserPolicy", fake.Empty) }, fails: true},
		"not read back":  {set: func(w *world) { w.Inject("ListUserPolicies", fake.InternalFailure) }, fails: true},
		"a cut answer":   {set: func(w *world) { w.Inject("ListUserPolicies", fake.Truncated) }, fails: true},
		"grants unknown": {set: func(w *world) { w.blind = errBlind }, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.SetBoundary("alice", boundary)
			w.record(v1alpha1.StateGranting, time.Hour, true, false)
			row.set(w)
			f := w.fence(t)
			if f.Obstacle.Reason != row.reason || (f.Err != nil) != row.fails {
				t.Errorf("the fence is %+v", f)
			}
			if fenced := !f.Until.IsZero(); fenced != (row.reason == "" && !row.fails) {
				t.Errorf("fenced until %v", f.Until)
			}
		})
	}
}

func (w *world) must(op string) {
	if err := w.Admin(op, map[string]string{"UserName": "alice"}); err != nil {
		panic(err)
	}
}

// crowd leaves no room for a fence among the inline policies of alice.
func (w *world) crowd() { w.fill(1850) }

// fill gives alice an inline policy with so many characters, and some.
func (w *world) fill(characters int) {
	err := w.Admin("PutUserPolicy", map[string]string{"UserName": "alice", "PolicyName": "large", "PolicyDocument": fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Sid":"%s","Effect":"Deny","Action":"*","Resource":"*"}]}`, strings.Repeat("x", characters))})
	if err != nil {
		panic(err)
	}
}

// A fence tells whose membership it was when nothing else does: what no grant calls for goes, and then the fence.
func TestReclaim(t *testing.T) {
	managed := []v1alpha1.IAMGroupName{group}
	for name, row := range map[string]struct {
		set         func(*world)
		taken, stay bool
	}{
		"a twin":                      {set: func(*world) {}, taken: true},
		"a live grant":                {set: func(w *world) { w.record(v1alpha1.StateGranted, time.Hour, true, true) }, stay: true},
		"a grant that is being ended": {set: func(w *world) { w.record(v1alpha1.StateRevoking, time.Hour, false, true) }, stay: true},
		"a grant that was recorded meanwhile": {set: func(w *world) {
			w.sweep()
			w.record(v1alpha1.StateGranting, time.Hour, true, false)
		}, stay: true},
		"the fence of another cluster": {set: func(w *world) {
			w.put("alice", "prod-access-fence-other-20261123T100000Z")
			if err := w.Admin("DeleteUserPolicy", map[string]string{"UserName": "alice", "PolicyName": fenceAt(time.Hour)}); err != nil {
				panic(err)
			}
		}, stay: true},
		"the removal fails": {set: func(w *world) { w.Inject("RemoveUserFromGroup", fake.Throttling) }, taken: true, stay: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put("alice", fenceAt(time.Hour))
			w.AddGroup("theirs", "alice")
			w.AddMember(group, "alice")
			var taken []string
			reclaim := func() error {
				w.sweep()
				return w.engine.Reclaim(t.Context(), managed, func(user string) {
					if taken = append(taken, user); !w.IsMember(group, user) {
						t.Error("told when it was done")
					}
				})
			}
			if err := reclaim(); err != nil || len(taken) > 0 || !w.IsMember(group, "alice") {
				t.Fatalf("at first sight taken from %v (%v)", taken, err)
			}
			row.set(w)
			w.after(time.Minute)
			err := reclaim()
			if got := slices.Equal(taken, []string{"alice"}); got != row.taken {
				t.Errorf("taken from %v (%v)", taken, err)
			}
			if w.IsMember(group, "alice") != row.stay || len(w.fences()) > 0 != row.stay || !w.IsMember("theirs", "alice") {
				t.Errorf("in the group %v, fences %v, in their own group %v", w.IsMember(group, "alice"), w.fences(), w.IsMember("theirs", "alice"))
			}
		})
	}
}

// sweep reads the account anew.
func (w *world) sweep() {
	w.after(time.Second)
	if err := w.engine.Sweep(w.Context()); err != nil && !strings.Contains(err.Error(), "report") {
		panic(err)
	}
}

func TestFencedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.put("alice", fenceAt(time.Hour))
	w.sweep()
	if user, cluster := w.engine.FencedElsewhere([]string{"alice"}); user != "" {
		t.Errorf("our own fence is taken for that of %s", cluster)
	}
	w.put("alice", "prod-access-fence-other-cluster-20261123T100000Z")
	w.sweep()
	if user, cluster := w.engine.FencedElsewhere([]string{"Alice"}); user != "alice" || cluster != "other-cluster" {
		t.Errorf("%q is fenced by %q", user, cluster)
	}
	if user, _ := w.engine.FencedElsewhere([]string{"bob"}); user != "" {
		t.Errorf("%s was not asked about", user)
	}
}

// What was just said about a person is not asked again, and is of use for that person alone.
func TestSettleOfAPersonJustSeen(t *testing.T) {
	w := newWorld(t)
	w.record(v1alpha1.StateGranting, time.Hour, true, false)
	m := w.alice()
	m.Known = w.engine.Identify(t.Context(), "alice", nil)
	asked := len(w.Calls())
	if o := w.engine.Settle(t.Context(), m, group, false); o.Err != nil || !o.Present || len(w.Calls())-asked != 2 {
		t.Errorf("settled: %+v in %d calls, want 2", o, len(w.Calls())-asked)
	}
	other := newWorld(t)
	other.record(v1alpha1.StateGranting, time.Hour, true, false)
	m = other.alice()
	m.Known = &access.Person{Found: true, Name: "alice", UserID: "AIDASOMEBODYELSE", Memberships: []string{group}}
	if o := other.engine.Settle(t.Context(), m, group, false); o.Err != nil || !o.Present || !other.IsMember(group, "alice") {
		t.Errorf("by what is known of somebody else: %+v, a member %v", o, other.IsMember(group, "alice"))
	}
}

// Of what was known of a person before, a grant concludes no more than that they have to be added.
func TestI4JoinAfterAnotherGrantEnded(t *testing.T) {
	for name, trusted := range map[string]bool{"just seen": true, "not seen": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.record(v1alpha1.StateGranting, time.Hour, true, false)
			if o := w.settle(t); !o.Present {
				t.Fatalf("%+v", o)
			}
			a.Status.AWS.Groups[0].Observed = true
			a.Status.Conditions[0].Reason = v1alpha1.StateGranted
			known := w.engine.Identify(t.Context(), "alice", nil, group)
			w.grants[0].Status.Conditions[0].Reason = v1alpha1.StateRevoking
			w.grants[0].Status.AWS.Groups[0].Intended = false
			if o := w.settle(t); o.Err != nil || w.IsMember(group, "alice") {
				t.Fatalf("the first was not ended: %+v", o)
			}
			w.grants[0].Status.Conditions[0].Reason = v1alpha1.StateRevoked
			w.grants[0].Status.AWS.Groups[0].Observed = false
			w.record(v1alpha1.StateGranting, 2*time.Hour, true, false)
			m := w.alice()
			if trusted {
				m.Known = known
			}
			if o := w.engine.Settle(t.Context(), m, group, false); o.Err != nil || !o.Present || !w.IsMember(group, "alice") {
				t.Errorf("told %+v, and in the group: %v", o, w.IsMember(group, "alice"))
			}
		})
	}
}

// What another grant has done since is not taken for somebody's removal.
func TestI5JoinAfterAnotherGrantBegan(t *testing.T) {
	w := newWorld(t)
	known := w.engine.Identify(t.Context(), "alice", nil, group)
	a := w.record(v1alpha1.StateGranting, time.Hour, true, false)
	w.settle(t)
	a.Status.AWS.Groups[0].Observed = true
	a.Status.Conditions[0].Reason = v1alpha1.StateGranted
	w.record(v1alpha1.StateGranting, 2*time.Hour, true, false)
	m := w.alice()
	m.Known = known
	if o := w.engine.Settle(t.Context(), m, group, false); o.Err != nil || !o.Present {
		t.Errorf("told %+v", o)
	}
}

// The fence stays as long as something of ours may be behind it.
func TestI2FenceStaysWhileSomethingIsLeft(t *testing.T) {
	for name, left := range map[string]bool{"left": true, "gone": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.SetBoundary("alice", boundary)
			w.record(v1alpha1.StateGranted, 2*time.Hour, true, true)
			w.AddGroup("other", "alice")
			w.record(v1alpha1.StateGranted, time.Hour, true, true).Status.AWS.Groups[0].Name = "other"
			if f := w.fence(t); f.Err != nil {
				t.Fatal(f.Err)
			}
			for i, observed := range []bool{false, left} {
				w.grants[i].Status.Conditions[0].Reason = v1alpha1.StateRevoking
				w.grants[i].Status.AWS.Groups[0].Intended, w.grants[i].Status.AWS.Groups[0].Observed = false, observed
			}
			if err := w.engine.Unfence(t.Context(), w.alice(), start.Add(2*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if fenced := len(w.fences()) > 0; fenced != left {
				t.Errorf("fences %v", w.fences())
			}
		})
	}
}

// What somebody still has in Kubernetes alone keeps no fence, which would deny them all of AWS for as long.
func TestFenceGoesThoughABindingIsLeft(t *testing.T) {
	w := newWorld(t)
	w.SetBoundary("alice", boundary)
	w.record(v1alpha1.StateGranted, time.Hour, true, true)
	if f := w.fence(t); f.Err != nil {
		t.Fatal(f.Err)
	}
	ended := &w.grants[0].Status
	ended.Conditions[0].Reason, ended.AWS.Groups[0].Intended, ended.AWS.Groups[0].Observed = v1alpha1.StateRevoked, false, false
	other := &w.record(v1alpha1.StateGranted, 8*time.Hour, true, true).Status
	other.AWS.Groups, other.Kubernetes.Bindings = nil, []v1alpha1.GrantBinding{{Name: "b", Intended: true, Observed: true}}
	if err := w.engine.Unfence(t.Context(), w.alice(), start.Add(time.Hour)); err != nil || len(w.fences()) != 0 {
		t.Errorf("%v; fences %v", err, w.fences())
	}
	w.put("alice", fenceAt(time.Hour))
	for range 2 {
		w.after(time.Minute)
		w.sweep()
		if err := w.engine.Reclaim(t.Context(), nil, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.fences()) != 0 {
		t.Errorf("two sweeps later there are %v", w.fences())
	}
}

// The fence of whoever has the name now is theirs.
func TestUnfenceOfANamesake(t *testing.T) {
	w := newWorld(t)
	w.SetBoundary("alice", boundary)
	old := w.alice()
	w.record(v1alpha1.StateGranted, time.Hour, true, true)
	w.RenameUser("alice", "alicia")
	w.AddUser(fake.User{Name: "alice", MFA: true})
	w.SetBoundary("alice", boundary)
	w.put("alice", fenceAt(5*time.Hour))
	if err := w.engine.Unfence(t.Context(), old, start.Add(2*time.Hour)); err != nil || !slices.Equal(w.fences(), []string{fenceAt(5 * time.Hour)}) {
		t.Errorf("%v; the namesake has %v", err, w.fences())
	}
}

// Whoever may not be fenced any more is not kept out by an earlier fence.
func TestEarlierFenceGoesWhereNoneMayBeWritten(t *testing.T) {
	w := newWorld(t)
	w.SetBoundary("alice", boundary)
	w.put("alice", fenceAt(time.Minute))
	w.record(v1alpha1.StateGranting, time.Hour, true, false)
	w.Inject("PutUserPolicy", fake.AccessDenied)
	if f := w.fence(t); f.Err != nil || f.Obstacle.Reason != v1alpha1.ReasonFenceForbidden || len(w.fences()) != 0 {
		t.Errorf("the fence is %+v, of %v", f, w.fences())
	}
	w.Inject("ListUserPolicies", fake.AccessDenied)
	if f := w.fence(t); f.Err != nil || f.Obstacle.Reason != v1alpha1.ReasonFenceForbidden {
		t.Errorf("without any of the rights: %+v", f)
	}
	w.ClearFaults()
	w.Inject("PutUserPolicy", fake.AccessDenied)
	w.Inject("ListUserPolicies", fake.InternalFailure)
	if f := w.fence(t); f.Err == nil {
		t.Errorf("an earlier fence may stand: %+v", f)
	}
}

// A removal that AWS only seems to have done is not taken for one.
func TestEarlierFenceThatStays(t *testing.T) {
	w := newWorld(t)
	w.SetBoundary("alice", boundary)
	w.put("alice", fenceAt(time.Minute))
	w.record(v1alpha1.StateGranting, time.Hour, true, false)
	w.Inject("DeleteUserPolicy", fake.Empty)
	if f := w.fence(t); f.Err == nil || len(w.fences()) != 2 {
		t.Errorf("the fence is %+v, of %v", f, w.fences())
	}
	w.ClearFaults()
	if f := w.fence(t); f.Err != nil || !slices.Equal(w.fences(), []string{fenceAt(time.Hour)}) {
		t.Errorf("the fence is %+v, of %v", f, w.fences())
	}
}
