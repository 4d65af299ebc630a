// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package fake is a strict, stateful stand-in for AWS IAM, for tests and local runs. It speaks the AWS Query
// protocol over HTTP (https://docs.aws.amazon.com/IAM/latest/APIReference/), so the real SDK and the AWS CLI talk
// to it unchanged, and keeps all state in memory.
//
// It judges requests as AWS does (quotas, conflicts, names compared without regard to case, paging) and can be
// told to misbehave as AWS does (errors, lost answers, stale reads, throttling). It verifies no signatures and
// evaluates no policies: what is not denied with a switch is allowed. What it answers is held to recordings of real AWS in testdata.
package fake

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// AnyOp stands for every operation where a switch asks for one. A switch set for an operation by name wins.
const AnyOp = "*"

// maxCalls bounds the call log, so that a fake left running does not grow for ever.
const maxCalls = 100_000

// Config holds what cannot change while the fake runs. The zero value is usable.
type Config struct {
	// Clock gives the time of answers, quotas of time and latency. Default: the real clock.
	Clock clock.Clock
	// Seed makes identifiers and probabilities repeatable.
	Seed uint64
	// Account is the twelve-digit account number. Default: 111122223333.
	Account string
	// AccountAlias is what ListAccountAliases answers at first, if not empty.
	AccountAlias string
	// Role is the name of the role whose session the caller is taken to hold. Default: prod-access-operator.
	// A request signed with an access key of a user in the fake, or of a session that it gave out, comes from that
	// user or session instead.
	Role string
	// RolePath is the path of that role. Default: "/".
	RolePath string
	// ReportTakes is how long a credential report is being made, during which it cannot be read. Default: no time.
	ReportTakes time.Duration
	// ReportEvery is how long a credential report is good; until then no other is made. Default: 4 hours, as in AWS.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html
	ReportEvery time.Duration
}

// Call is one request as the fake saw it.
type Call struct {
	Op        string
	Params    url.Values // without passwords, codes and tokens, and without Action and Version
	Role      string     // whose session signed the request; empty for a user, nobody, and a signature that was refused
	Time      time.Time  // of arrival, by the injected clock
	Code      string     // error code or name of the fault that the client saw; empty for success
	Changed   bool       // whether state changed, also if the answer was lost
	RequestID string     // as in the answer
}

// IAM is the fake. It is an http.Handler and safe for concurrent use.
type IAM struct {
	config Config
	clock  clock.Clock

	mu       sync.Mutex // guards everything below
	state    *state
	history  []snapshot // what stale reads see; empty while staleness is off
	lastUsed map[string]keyUse
	roles    map[string]role    // by lower-case name
	sessions map[string]session // by access key id
	report   *report            // the latest; nil before the first
	opened   time.Time          // when the account was made
	deleted  map[string]bool    // lower-case names of users who were deleted
	rand     *rand.Rand

	deletedKeys map[string]bool // by id; any other id that is nobody's signs as the operator

	staleness     time.Duration
	settling      time.Duration
	pageLimit     int
	latency       map[string]time.Duration
	throttles     map[string]throttle
	limiters      map[string]*rate.Limiter
	faults        map[string][]*Fault
	denied        []string
	deniedActions map[string][]string // by lower-case name of the role, empty for everybody
	skew          time.Duration
	beforeWrite   func(Call) error
	afterWrite    func(Call) error
	calls         []Call
}

type snapshot struct {
	from  time.Time
	state *state
}

type throttle struct {
	perSecond float64
	burst     int
}

// keyUse is what GetAccessKeyLastUsed reports of one access key.
type keyUse struct {
	at      time.Time
	service string
}

// New returns an empty account.
func New(config Config) *IAM {
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	if config.Account == "" {
		config.Account = "111122223333"
	}
	if config.Role == "" {
		config.Role = "prod-access-operator"
	}
	if config.RolePath == "" {
		config.RolePath = "/"
	}
	if config.ReportEvery == 0 {
		config.ReportEvery = 4 * time.Hour
	}
	now := config.Clock.Now()
	f := &IAM{
		config:        config,
		clock:         config.Clock,
		state:         newState(now),
		lastUsed:      map[string]keyUse{},
		roles:         map[string]role{},
		sessions:      map[string]session{},
		opened:        now,
		deleted:       map[string]bool{},
		deletedKeys:   map[string]bool{},
		deniedActions: map[string][]string{},
		rand:          rand.New(rand.NewPCG(config.Seed, config.Seed)),
		latency:       map[string]time.Duration{},
		throttles:     map[string]throttle{},
		limiters:      map[string]*rate.Limiter{},
		faults:        map[string][]*Fault{},
	}
	f.state.alias = config.AccountAlias
	f.roles[strings.ToLower(config.Role)] = role{
		id: "AROAPRODACCESSOPERATO", name: config.Role, path: config.RolePath, trust: f.trust(), created: now,
	}
	return f
}

// ServeHTTP answers one request of the Query protocol.
func (f *IAM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	op := r.Form.Get("Action")
	if f.wait(r.Context(), op) != nil {
		return // the client has gone
	}
	entry := Call{Op: op, Params: withoutSecrets(r.Form), Time: f.clock.Now(), RequestID: f.requestID()}
	fault, caller, err := f.admit(op, r)
	entry.Role = caller.role
	var result any
	switch {
	case err != nil:
	case fault != nil && !fault.after && (fault.kind != truncated || operations[op].write):
		// The fault strikes first: the operation never runs. To cut an answer short, a read must have one.
	default:
		result, err = f.perform(r.Form, caller, &entry)
	}
	entry.Code = codeOf(err)
	if fault != nil {
		entry.Code = fault.code
	}
	f.record(entry)
	f.respond(w, r, entry, fault, result, err)
}

// wait holds the request back for the latency set for op.
func (f *IAM) wait(ctx context.Context, op string) error {
	f.mu.Lock()
	d := pick(f.latency, op)
	f.mu.Unlock()
	if d <= 0 {
		return nil
	}
	select {
	case <-f.clock.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var credential = regexp.MustCompile(`Credential=([^/,\s]+)/`)

// admit decides, in the order of AWS, what stands before the operation itself: credentials, then throttling. It
// returns the fault that is to strike, if any, and the caller.
func (f *IAM) admit(op string, r *http.Request) (*Fault, caller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	var who caller
	// A web identity is what stands for a signature.
	if !operations[op].unsigned {
		var failure *apiFailure
		if who, failure = f.authenticate(r, now); failure != nil {
			return nil, who, failure
		}
	}
	if !f.limiter(op).AllowN(now, 1) {
		return nil, who, &apiFailure{Throttling.status, Throttling.code, Throttling.message}
	}
	return f.nextFault(op), who, nil
}

// authenticate tells who signed the request.
func (f *IAM) authenticate(r *http.Request, now time.Time) (caller, *apiFailure) {
	match := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if match == nil {
		return caller{}, &apiFailure{403, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	id := match[1]
	owner, key := f.state.accessKey(id)
	held, ofSession := f.sessions[id]
	switch {
	case slices.Contains(f.denied, id), f.deletedKeys[id], key != nil && key.status != "Active", ofSession && r.Header.Get("X-Amz-Security-Token") != held.token:
		return caller{}, &apiFailure{403, "InvalidClientTokenId", "The security token included in the request is invalid."}
	case ofSession && !now.Before(held.expires):
		return caller{}, &apiFailure{403, "ExpiredToken", "The security token included in the request is expired"}
	}
	if failure := f.judgeDate(r.Header.Get("X-Amz-Date"), now); failure != nil {
		return caller{}, failure
	}
	switch {
	case owner != nil:
		f.lastUsed[id] = keyUse{at: now, service: "iam"}
		return caller{user: owner.id}, nil
	case ofSession:
		return caller{role: held.role, session: held.name}, nil
	default:
		return f.operator(), nil
	}
}

// perform carries out the operation that params name and notes in entry whether it changed anything.
func (f *IAM) perform(params url.Values, who caller, entry *Call) (any, error) {
	spec, ok := operations[entry.Op]
	if !ok || params.Get("Version") != spec.apiVersion() {
		return nil, &apiFailure{
			400, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", entry.Op, params.Get("Version")),
		}
	}
	f.mu.Lock()
	before, after := f.beforeWrite, f.afterWrite
	c := &call{iam: f, state: f.state, op: entry.Op, params: params, caller: who}
	c.authorize()
	f.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	// The hooks run without the lock, so that they may look at the fake and change it.
	if spec.write && before != nil {
		if err := before(*entry); err != nil {
			return nil, errCut
		}
	}
	result, changed, err := f.apply(entry.Op, params, who)
	entry.Changed = changed
	if changed && after != nil {
		if err := after(*entry); err != nil {
			return nil, errCut
		}
	}
	return result, err
}

// apply runs a known operation under the lock: a write on the state as it is, a read on the state as it may be
// seen now.
func (f *IAM) apply(op string, params url.Values, who caller) (result any, changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	c := &call{iam: f, state: f.state, op: op, params: params, now: now, caller: who}
	spec := operations[op]
	if !spec.write {
		c.state = f.visible(now)
	}
	result = spec.run(c)
	if c.err != nil {
		return nil, false, c.err
	}
	changed = spec.write && !c.unchanged
	if changed {
		f.remember(now)
	}
	return result, changed, nil
}

// remember keeps a copy of the state for stale reads.
func (f *IAM) remember(now time.Time) {
	if f.staleness <= 0 {
		return
	}
	if last := len(f.history) - 1; f.history[last].from.Equal(now) {
		f.history = f.history[:last] // only the last state of an instant is ever seen
	}
	f.history = append(f.history, snapshot{from: now, state: f.state.clone()})
}

// visible returns the state that a read sees: the last one that began at least f.staleness ago.
func (f *IAM) visible(now time.Time) *state {
	if f.staleness <= 0 {
		return f.state
	}
	horizon := now.Add(-f.staleness)
	for len(f.history) > 1 && !f.history[1].from.After(horizon) {
		f.history = f.history[1:]
	}
	return f.history[0].state
}

func (f *IAM) record(entry Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) >= maxCalls {
		f.calls = slices.Delete(f.calls, 0, maxCalls/2)
	}
	f.calls = append(f.calls, entry)
}

// Calls returns the log of requests in order of their answers, at most the last 100,000.
func (f *IAM) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Count returns how many requests for op the log holds. A client may repeat a request whose answer was lost
// (aws-sdk-go-v2 issues 1825, 2737), so a test should not insist on an exact number.
func (f *IAM) Count(op string) int {
	n := 0
	for _, entry := range f.Calls() {
		if op == AnyOp || entry.Op == op {
			n++
		}
	}
	return n
}

// ResetCalls empties the log.
func (f *IAM) ResetCalls() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// withoutSecrets returns what of the parameters may stand in a log.
func withoutSecrets(params url.Values) url.Values {
	params = maps.Clone(params)
	for _, name := range []string{"Action", "Version", "Password", "OldPassword", "NewPassword", "AuthenticationCode1", "AuthenticationCode2", "WebIdentityToken"} {
		params.Del(name)
	}
	return params
}

// pick returns the setting for op, or else the one for every operation.
func pick[T any](settings map[string]T, op string) T {
	if v, ok := settings[op]; ok {
		return v
	}
	return settings[AnyOp]
}
