// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"flag"
	"maps"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// schedules is how many orders of events TestRaces tries; -rapid.checks changes it.
const schedules = "1000"

// contested is the grant that is raced for, and lasting how long its window is.
const (
	contested = "n0"
	lasting   = time.Hour
)

// A race is what happens to one grant in whatever order, while the operator looks at it.
type race struct {
	*world
	// left are the events that have not happened yet, in the order in which they will.
	left []event
	// deleted says that somebody deleted the grant.
	deleted bool
}

type event struct {
	name   string
	happen func()
}

// races are the events of each kind of race.
var races = map[string]func(*race) []event{
	"two approvers at once": func(r *race) []event {
		names := pick(r.T, "approvers", []string{"bob", "erin"}, []string{"carol", "carol@hera.example"}, []string{"bob", "BOB"}, []string{account + "carol", "Carol@hera.example"},
			[]string{"bob", "alice@hera.example"}, []string{"bob", "carol"}, []string{"dana", "erin"})
		return []event{r.says(names[0], v1alpha1.DecisionApprove), r.says(names[1], v1alpha1.DecisionApprove)}
	},
	"approve against reject": func(r *race) []event {
		return []event{r.says("bob", v1alpha1.DecisionApprove), r.says("carol", v1alpha1.DecisionApprove),
			r.says(pick(r.T, "rejects", "erin", "bob", "alice", "carol@hera.example"), v1alpha1.DecisionReject)}
	},
	"approve against expiry": func(r *race) []event {
		return []event{r.says("bob", v1alpha1.DecisionApprove), r.says("carol", v1alpha1.DecisionApprove), r.itIs(lasting - time.Second), r.itIs(lasting)}
	},
	"revoke against grant": func(r *race) []event {
		revoke := event{"the request is revoked", func() {
			if g := r.grants[contested]; g != nil && g.Status.SpecDigest != "" {
				r.revokes("", g)
			}
		}}
		if person := pick(r.T, "revoked", "", "alice", "ALICE", "alice@hera.example", account+"alice", "bob", "carol@hera.example"); person != "" {
			revoke = event{person + " is revoked", func() { r.revokes(person, nil) }}
		}
		return []event{r.says("bob", v1alpha1.DecisionApprove), r.says("carol", v1alpha1.DecisionApprove), revoke}
	},
	"delete against grant": func(r *race) []event {
		return []event{r.says("bob", v1alpha1.DecisionApprove), r.says("carol", v1alpha1.DecisionApprove), {"deletion", func() {
			if g := r.grants[contested]; g != nil {
				r.deletes(g)
				r.deleted = true
			}
		}}}
	},
}

func (r *race) says(name string, decision v1alpha1.ApprovalDecision) event {
	return event{string(decision) + " by " + name, func() {
		if g := r.grants[contested]; g != nil {
			r.decides(g, name, decision)
		}
	}}
}

// itIs lets the time be so long after the beginning, or lets it pass, if it is later already.
func (r *race) itIs(after time.Duration) event {
	return event{"time passes", func() {
		if at := begin.Add(after); at.After(r.server) {
			r.server, r.local = at, at
		}
	}}
}

// happens lets the next event happen.
func (r *race) happens() {
	next := r.left[0]
	r.left = r.left[1:]
	r.note("event: %s", next.name)
	next.happen()
}

// others is what can come between any two steps of the operator.
func (r *race) others() {
	switch what := pick(r.T, "between", "nothing", "nothing", "nothing", "nothing", "nothing", "nothing", "an event", "approvals are seen", "revocations are seen"); {
	case what == "an event" && len(r.left) > 0:
		r.happens()
	case what == "approvals are seen":
		r.heard = r.approvals
	case what == "revocations are seen":
		r.known = r.revocations
	}
}

// run lives through one schedule and judges how it came out; every step was judged on its way.
func (r *race) run() (state string) {
	r.everyone(false) // people see the digest that they decide about
	r.late, r.between, r.slow = true, r.others, r.chance(30, "slow")
	const looks = 10
	for range looks {
		if r.chance(30, "happens") && len(r.left) > 0 {
			r.happens()
		}
		if r.chance(50, "answers") {
			r.process(r.runTasks)
		}
		r.process(func() { r.reconcile(contested, false) })
	}
	r.between = nil
	for len(r.left) > 0 {
		r.happens()
	}
	r.slow = false
	r.rest(false)
	return r.outcome()
}

// outcome judges what is left when everything has happened and was seen: either order of a race is fine, and never both.
func (r *race) outcome() string {
	g := r.grants[contested]
	if g == nil {
		return v1alpha1.StateRevoked
	}
	state, v := access.StateOf(g), r.view(r.identify("alice", nil))
	if r.disabled {
		v = r.view(nil)
	}
	exists := len(r.bindings)+len(r.members) > 0
	switch {
	case r.deleted && !access.Terminal(state):
		r.fail("I5: it was deleted, and is %s", state)
	case exists != (state == v1alpha1.StateGranted):
		r.fail("%s, and access exists: %v", state, exists)
	case state == v1alpha1.StateGranted && (!r.now().Before(begin.Add(lasting)) || r.revoked(g, view{revocations: r.revocations}) != ""):
		r.fail("I2, I5: access is over, and %s", state)
	case g.Status.ActivatedAt == nil && r.rejected(g, v) && state != v1alpha1.StateRejected && state != v1alpha1.StateExpired && state != v1alpha1.StateRevoked:
		r.fail("it was rejected, and is %s", state)
	case g.Status.ActivatedAt != nil && state == v1alpha1.StateRejected:
		r.fail("it was active, and is %s", state)
	}
	if state != v1alpha1.StateGranted && g.Status.ActivatedAt != nil {
		return "access, then " + state
	}
	return state
}

func newRace(t *rapid.T, kind string) *race {
	r := &race{world: newWorld(t)}
	r.users["carol"].tag = "carol@hera.example carol"
	role := r.newRole("r0")
	role.Approval.Required = 2
	r.roles["r0"] = role
	if r.disabled {
		role.AWS = nil
	}
	r.created(contested, &v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: "alice", KubernetesUser: "alice@hera.example"}, Role: "r0", Reason: "the disk of the ledger is full",
		RequestedBy: "dana", ExpiresAt: metav1.NewTime(begin.Add(lasting)),
	})
	r.left = races[kind](r)
	// Where what was meant to come first does so, there is access to race for.
	if rapid.Bool().Draw(t, "in any order") {
		r.left = rapid.Permutation(r.left).Draw(t, "order")
	}
	return r
}

// TestRaces lives through a thousand schedules of events that race each other and every step of the operator, whose
// watches are late. A failure prints the seed that repeats it.
func TestRaces(t *testing.T) {
	all := flag.Lookup("rapid.checks").Value.String() == histories
	if all {
		if err := flag.Set("rapid.checks", schedules); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set("rapid.checks", histories) })
	}
	kinds := slices.Sorted(maps.Keys(races))
	came := map[string]map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		kind := pick(t, "race", kinds...)
		r := newRace(t, kind)
		state := r.run()
		if came[kind] == nil {
			came[kind] = map[string]int{}
		}
		came[kind][state]++
		r.finale()
	})
	t.Logf("how the races came out: %v", came)
	for kind, outcomes := range map[string][]string{
		"two approvers at once":  {v1alpha1.StateGranted, v1alpha1.StatePendingApproval},
		"approve against reject": {v1alpha1.StateGranted, v1alpha1.StateRejected},
		"approve against expiry": {v1alpha1.StateExpired, "access, then " + v1alpha1.StateExpired},
		"revoke against grant":   {v1alpha1.StateRevoked, "access, then " + v1alpha1.StateRevoked},
	} {
		for _, state := range outcomes {
			if all && !t.Failed() && came[kind][state] == 0 {
				t.Errorf("%s never came out as %s: nothing was raced", kind, state)
			}
		}
	}
}
