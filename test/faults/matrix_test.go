// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package faults lets AWS go wrong in every way that it is known to, in every operation that the operator uses, and looks at
// what becomes of the invariants meanwhile and of the grants afterwards.
package faults

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	debug.SetGCPercent(400) // the matrix is short-lived, and large
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "3",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// fault is a way of AWS to go wrong. Those that client and engine take alike share a row, and each request that is struck draws
// one of them.
type fault struct {
	name  string
	codes []fake.Fault
	// whole says that it is not one operation's, and begins and ends it: of what is no fault of a request.
	whole func(w *world, on bool)
	// slow says that nobody gets an answer: some requests have to do for all.
	slow bool
	// wire says that it is one of the connection, which there has to be then.
	wire bool
	// only says which operations have a row for it; nil for all.
	only func(op string) bool
	// refuses says that the fence is given up for it.
	refuses bool
	// late is for how long it tells beyond its end.
	late time.Duration
}

// The faults of AWS; a read whose answer is lost is a connection that was reset.
var faults = []fault{
	{name: "passing", codes: []fake.Fault{
		fake.Throttling, fake.ThrottlingException, fake.RequestLimitExceeded, fake.ServiceUnavailable, fake.InternalFailure, fake.ServiceFailure,
		fake.BadGateway, fake.ConcurrentModification, fake.TemporarilyUnmodifiable,
	}},
	{name: "connection reset", codes: []fake.Fault{fake.ConnectionReset}, wire: true},
	{name: "hang", codes: []fake.Fault{fake.Hang}, slow: true, wire: true},
	{name: "refusal", codes: []fake.Fault{fake.LimitExceeded, fake.AccessDenied, fake.ExpiredToken, fake.InvalidClientTokenID, fake.RequestExpired}, refuses: true},
	{name: "LimitExceeded", codes: []fake.Fault{fake.LimitExceeded}, refuses: true, only: meant},
	{name: "AccessDenied", codes: []fake.Fault{fake.AccessDenied}, refuses: true, only: meant},
	{name: "ExpiredToken", codes: []fake.Fault{fake.ExpiredToken}, only: meant},
	{name: "cut 200", codes: []fake.Fault{fake.Empty, fake.Truncated}},
	{name: "lost answer", codes: []fake.Fault{fake.LostAnswer, fake.InternalFailure.AfterEffect()}, wire: true, only: writes},
	{name: "stale reads, 10 s", whole: func(w *world, on bool) {
		w.account.SetStaleness(map[bool]time.Duration{true: 10 * time.Second}[on])
	}},
	{name: "5 min ahead", late: skew, whole: func(w *world, on bool) { w.account.SetClockSkew(map[bool]time.Duration{true: skew}[on]) }},
	{name: "5 min behind", whole: func(w *world, on bool) { w.account.SetClockSkew(map[bool]time.Duration{true: -skew}[on]) }},
}

// meant are the operations whose refusals are told apart.
func meant(op string) bool { return op == "AddUserToGroup" || op == "PutUserPolicy" }

func writes(op string) bool {
	return op == fake.AnyOp || slices.ContainsFunc(aws.Actions, func(a aws.Action) bool { return a.Operation == op && (a.Class == aws.Add || a.Class == aws.Remove) })
}

const skew = 5 * time.Minute

// columns are the operations and their names in the table.
var columns = map[string]string{
	fake.AnyOp: "all", "GetUser": "GetUser", "ListMFADevices": "MFA", "ListGroupsForUser": "GroupsOf", "GetGroup": "GetGroup", "ListAccessKeys": "Keys",
	"GetLoginProfile": "Login", "ListUserPolicies": "Policies", "GetAccountAuthorizationDetails": "Account", "GenerateCredentialReport": "GenReport",
	"GetCredentialReport": "GetReport", "AddUserToGroup": "Add", "PutUserPolicy": "PutPol", "DeleteUserPolicy": "DelPol",
	"RemoveUserFromGroup": "Remove", "UpdateAccessKey": "UpdKey", "DeleteLoginProfile": "DelLogin",
}

// operations are all, and each that the operator uses, in the order of its table. What nothing but the preflight uses
// changes nothing and is asked of once.
func operations(t *testing.T) []string {
	ops := []string{fake.AnyOp}
	for _, a := range aws.Actions {
		if !a.Optional && (a.Grantor || a.Revoker) { // what only temporary users need has a matrix of its own, in internal/membership
			ops = append(ops, a.Operation)
		}
	}
	for _, op := range ops {
		if columns[op] == "" {
			t.Fatalf("%s has no column: the table of operations has grown", op)
		}
	}
	return ops
}

// When the fault strikes: while most are granted, and while most end.
var strikes = [][2]time.Duration{{20 * time.Second, 65 * time.Second}, {6 * time.Minute, 7*time.Minute + 15*time.Second}}

const (
	// lasts is how long a row is looked at.
	lasts = 20 * time.Minute
	// settlesIn is within what time everything must be as people want it once a fault has ceased: the longest wait between
	// two attempts, a sweep after it, and the two minutes of which it takes to be sure that somebody took a membership away.
	settlesIn = maxBackoff + sweepEvery + 2*time.Minute
	// costs is how many times the calls of an undisturbed run a disturbed one may make.
	costs = 6
)

// result is what a row came to.
type result struct {
	calls, looks int
	struck       map[string]map[string]int
	unsettled    string
	settled      [2]time.Duration
	failed       string
}

func seed(t *testing.T) uint64 {
	if s := os.Getenv("FAULTS_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
		return n
	}
	return rand.Uint64N(1e9)
}

// people asks for 50 grants of which all end: by their deadline, a revocation, a deletion, a removal or a new name.
func (w *world) people() {
	const n = 45
	for i := range n {
		user, role := fmt.Sprintf("p%02d", i), "member"
		made := w.between(0, 35)
		approved, until := made.Add(time.Duration(w.rand.IntN(20))*time.Second), w.between(350, 430)
		switch {
		case i >= 41:
			role = "strict"
		case i >= 35:
			role = "pair"
		case i >= 15 && i < 20:
			role = "aged"
		case i < 5: // ends while the first fault strikes
			made, until = w.between(0, 10), w.between(25, 60)
			approved = made
		case i >= 30: // has access before the first fault strikes
			made = w.between(0, 10)
			approved = made
		}
		if i >= 8 && i < 12 {
			until = begin.Add(15 * time.Minute)
		}
		var notBefore *time.Time
		if i%3 == 2 && i >= 5 && i < 30 {
			nb := w.between(15, 60)
			notBefore = &nb
		}
		k := w.request(user, role, made, approved, until, notBefore)
		switch {
		case i == 8:
			w.at(w.between(306, 330), func() { w.takeAway(k) })
		case i == 9:
			w.at(w.between(365, 400), func() { w.takeAway(k) })
		case i == 10:
			w.at(w.between(350, 420), func() { w.revoke(k) })
		case i == 11:
			w.at(w.between(355, 420), func() { w.erase(k) })
		case i == 12:
			w.at(w.between(250, 300), func() { w.rename(k) })
		case i == 13 || i == 14:
			w.account.AddAccessKey(user, begin.Add(-old/3))
			w.account.AddPasswordAt(user, begin.Add(-old/3))
			w.at(w.between(355, 420), func() { w.revokePerson(user) })
		case i >= 15 && i < 20: // a password that was made long ago and changed since, which only the report tells
			w.account.AddPasswordAt(user, begin.Add(-2*old))
			w.account.SetPasswordChanged(user, begin.Add(-old/3))
		case i >= 41: // keys that are too old are taken away, and then access is given
			w.account.AddAccessKey(user, begin.Add(-old))
		}
		if i >= 30 && i < 35 {
			// An extension: asked for while the fault strikes, or later.
			made := w.between(40, 60)
			if i%2 == 0 {
				made = w.between(250, 300)
			}
			more := w.request(user, role, made, made.Add(5*time.Second), until.Add(time.Duration(30+w.rand.IntN(90))*time.Second), nil)
			if i < 32 { // and given up early: the fence moves back
				w.at(w.between(335, 348), func() { w.revoke(more) })
			}
		}
	}
}

// play is a row of the matrix.
func play(t *testing.T, seed uint64, op string, f *fault) result {
	w := newWorld(t, seed, f)
	w.people()
	w.unfenced = f != nil && f.refuses && (op == "PutUserPolicy" || op == fake.AnyOp)
	w.skewed = f != nil && strings.HasPrefix(f.name, "5 min")
	for i, s := range strikes {
		w.at(begin.Add(s[0]), func() {
			w.mu.Lock()
			w.struck = f != nil
			w.mu.Unlock()
			if f != nil {
				w.strike(op, f, i)
			}
		})
		w.at(begin.Add(s[1]), func() {
			w.mu.Lock()
			w.struck, w.ceased = false, w.clock.Now()
			w.mu.Unlock()
			w.account.ClearFaults()
			if f != nil && f.whole != nil {
				f.whole(w, false)
			}
		})
	}
	w.at(begin, w.sweep)
	var r result
	for i, s := range strikes {
		ceased := begin.Add(s[1])
		w.run(ceased, nil)
		bound := settlesIn
		if f != nil && f.late > 0 {
			if i+1 < len(strikes) {
				continue // the operator's own clock stands still meanwhile
			}
			bound += f.late
		}
		w.run(ceased.Add(bound), func() (done bool) {
			r.unsettled = w.unsettled()
			return r.unsettled == ""
		})
		r.settled[i] = w.local.Now().Sub(ceased)
		if r.unsettled != "" && len(w.failed) == 0 {
			w.fail("not settled %s after the fault ceased: %s", bound, r.unsettled)
		}
	}
	// The rest of the windows.
	w.run(begin.Add(lasts), func() (done bool) { return w.over() })
	if why := w.unsettled(); why != "" && len(w.failed) == 0 {
		w.fail("in the end %s", why)
	}
	r.calls = w.account.Count(fake.AnyOp)
	r.struck = map[string]map[string]int{}
	if f != nil && f.whole == nil {
		for _, c := range w.account.Calls() {
			if r.struck[c.Code] == nil {
				r.struck[c.Code] = map[string]int{}
			}
			r.struck[c.Code][c.Op]++
		}
	}
	r.looks = w.looks
	if len(w.failed) > 0 {
		r.failed = fmt.Sprintf("%s\n    %s", w.failed[0], w.about(w.failed[0]))
	}
	return r
}

// strike begins a fault: every request of the operation at one time, some at the other.
func (w *world) strike(op string, f *fault, which int) {
	if f.whole != nil {
		f.whole(w, true)
		return
	}
	often := 1.0
	if w.rand.IntN(2) == which {
		often = 0.3 + 0.6*w.rand.Float64()
	}
	for i, code := range f.codes {
		// The faults are tried in turn: what the first leaves is for the next.
		share := often / float64(len(f.codes))
		if code = code.Often(share / (1 - float64(i)*share)); f.slow {
			code = code.Times(6)
		}
		w.account.Inject(op, code)
	}
}

type row struct {
	op string
	*fault
}

// A fault of AWS breaks no invariant, and when it ceases everything becomes what people want, in bounded time and calls.
func TestMatrix(t *testing.T) {
	seed := seed(t)
	t.Logf("FAULTS_SEED=%d", seed)
	var rows []row
	for i := range faults {
		for _, op := range operations(t) {
			if f := &faults[i]; (f.whole == nil || op == fake.AnyOp) && (f.only == nil || f.only(op)) {
				rows = append(rows, row{op, f})
			}
		}
	}
	plain := play(t, seed, fake.AnyOp, nil)
	if plain.failed != "" {
		t.Fatalf("without a fault: %s", plain.failed)
	}
	results := make([]result, len(rows))
	queue := make(chan int)
	var workers sync.WaitGroup
	for range 6 {
		workers.Go(func() {
			for i := range queue {
				r := rows[i]
				t.Run(r.name+"/"+columns[r.op], func(t *testing.T) {
					h := fnv.New64()
					_, _ = fmt.Fprint(h, r.name, r.op)
					results[i] = play(t, seed^h.Sum64(), r.op, r.fault)
					if results[i].failed != "" {
						t.Errorf("FAULTS_SEED=%d: %s", seed, results[i].failed)
					}
					if most := costs * plain.calls; results[i].calls > most {
						t.Errorf("%d calls, %d without a fault, at most %d allowed", results[i].calls, plain.calls, most)
					}
				})
			}
		})
	}
	for i := range rows {
		queue <- i
	}
	close(queue)
	workers.Wait()
	t.Log(table(operations(t), rows, results, plain))
}

// table is the matrix: how often each fault struck each operation, and for each row its calls, and in how many seconds after
// each strike everything was as it should be.
func table(ops []string, rows []row, results []result, plain result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows of 50 grants and 50 endings each; without a fault %d calls, %d looks, settled in %s\n", len(rows), plain.calls, plain.looks, plain.settled)
	fmt.Fprintf(&b, "How often each fault struck each operation:\n%-30s", "")
	line := func(cell func(op string) string) {
		for _, op := range ops {
			fmt.Fprintf(&b, "%12s", cell(op))
		}
		b.WriteString("\n")
	}
	line(func(op string) string { return columns[op] })
	codes := map[string]bool{}
	for _, r := range results {
		for code := range r.struck {
			codes[code] = code != "" && code != "NoSuchEntity"
		}
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		if !codes[code] {
			continue
		}
		fmt.Fprintf(&b, "%-30s", code)
		line(func(op string) string {
			n := 0
			for _, r := range results {
				for struck, times := range r.struck[code] {
					if op == fake.AnyOp || op == struck {
						n += times
					}
				}
			}
			return strconv.Itoa(n)
		})
	}
	fmt.Fprintf(&b, "For each row, calls:seconds+seconds until all was well after each of two strikes; ! failed, - no row:\n")
	for _, f := range faults {
		fmt.Fprintf(&b, "%-30s", f.name)
		line(func(op string) string {
			i := slices.IndexFunc(rows, func(r row) bool { return r.op == op && r.name == f.name })
			if i < 0 {
				return "-"
			}
			r := results[i]
			return fmt.Sprintf("%d:%.0f+%.0f%s", r.calls, r.settled[0].Seconds(), r.settled[1].Seconds(), map[bool]string{true: "!"}[r.failed != ""])
		})
	}
	return b.String()
}
