// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Fault is one way in which a request goes wrong. Take one of the package's faults, or make one with ErrorFault, and
// narrow it with Times, Often and AfterEffect.
type Fault struct {
	kind        faultKind
	code        string // of the error, or the name of the fault
	status      int
	message     string
	times       int     // how often it strikes; 0 for as long as it stands
	probability float64 // 0 means always
	after       bool    // whether the operation runs first
}

type faultKind int

const (
	apiError faultKind = iota
	htmlPage
	reset
	hang
	empty
	truncated
)

// The faults which AWS and the network between are known to produce. Codes and statuses are those of
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html.
var (
	Throttling              = ErrorFault("Throttling", http.StatusBadRequest)
	RequestLimitExceeded    = ErrorFault("RequestLimitExceeded", http.StatusServiceUnavailable)
	ServiceUnavailable      = ErrorFault("ServiceUnavailable", http.StatusServiceUnavailable)
	InternalFailure         = ErrorFault("InternalFailure", http.StatusInternalServerError)
	ConcurrentModification  = ErrorFault("ConcurrentModification", http.StatusConflict)
	TemporarilyUnmodifiable = ErrorFault("EntityTemporarilyUnmodifiable", http.StatusConflict)
	AccessDenied            = ErrorFault("AccessDenied", http.StatusForbidden)
	ThrottlingException     = ErrorFault("ThrottlingException", http.StatusBadRequest)
	ServiceFailure          = ErrorFault("ServiceFailure", http.StatusInternalServerError)
	LimitExceeded           = ErrorFault("LimitExceeded", http.StatusConflict)
	ExpiredToken            = ErrorFault("ExpiredToken", http.StatusForbidden)
	InvalidClientTokenID    = ErrorFault("InvalidClientTokenId", http.StatusForbidden)
	RequestExpired          = ErrorFault("RequestExpired", http.StatusBadRequest)
	// BadGateway is a 502 with an HTML page, as a proxy sends it.
	BadGateway = Fault{code: "BadGateway", kind: htmlPage}
	// ConnectionReset drops the connection before anything is done.
	ConnectionReset = Fault{code: "ConnectionReset", kind: reset}
	// LostAnswer carries the operation out and drops the connection.
	LostAnswer = Fault{code: "LostAnswer", kind: reset, after: true}
	// Hang gives no answer until the client goes away.
	Hang = Fault{code: "Hang", kind: hang}
	// Empty is a 200 without a body; nothing is done.
	Empty = Fault{code: "Empty", kind: empty}
	// Truncated is a 200 whose body ends half-way; a write is not carried out.
	Truncated = Fault{code: "Truncated", kind: truncated}
)

// ErrorFault answers with an AWS error of that code and HTTP status, and does nothing.
func ErrorFault(code string, status int) Fault {
	message := "injected " + code
	if code == "Throttling" || code == "ThrottlingException" {
		message = "Rate exceeded"
	}
	return Fault{code: code, status: status, message: message}
}

// Times returns the fault limited to the next n requests that it strikes.
func (f Fault) Times(n int) Fault { f.times = n; return f }

// Often returns the fault striking each request with probability p (0 to 1), drawn from the seed of the fake.
func (f Fault) Often(p float64) Fault { f.probability = p; return f }

// AfterEffect returns the fault striking after the operation has taken effect, so that the answer belies it.
func (f Fault) AfterEffect() Fault { f.after = true; return f }

// Inject makes fault strike requests for op (or AnyOp). Faults set for one operation are tried in the order in which
// they were injected; at most one strikes a request.
func (f *IAM) Inject(op string, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[op] = append(f.faults[op], &fault)
}

// ClearFaults removes all faults.
func (f *IAM) ClearFaults() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.faults)
}

// nextFault takes the fault that is to strike a request for op, or nil.
func (f *IAM) nextFault(op string) *Fault {
	for _, key := range []string{op, AnyOp} {
		for i, fault := range f.faults[key] {
			if fault.probability > 0 && f.rand.Float64() >= fault.probability {
				continue
			}
			if fault.times == 1 {
				f.faults[key] = slices.Delete(f.faults[key], i, i+1)
			} else if fault.times > 1 {
				fault.times--
			}
			struck := *fault
			return &struck
		}
	}
	return nil
}

// SetLatency holds every answer to op (or AnyOp) back for d by the injected clock; 0 ends that.
func (f *IAM) SetLatency(op string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency[op] = d
}

// SetStaleness makes reads answer from the state as it was d ago, but not before this call switched staleness on.
// Writes are judged by the state as it is. 0 ends that.
func (f *IAM) SetStaleness(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.staleness = d
	if d <= 0 {
		f.history = nil
	} else if f.history == nil {
		f.history = []snapshot{{state: f.state.clone()}} // valid since ever
	}
}

// SetSettling makes what is new resist change for d: DeleteLoginProfile and UpdateLoginProfile a password, DeactivateMFADevice
// a device, and these with EnableMFADevice and UpdateUser a user whose name was that of a deleted one. They answer
// EntityTemporarilyUnmodifiable, which AWS documents for these five and, as the only example, for a user name that was
// deleted and made again. 0 ends that.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteLoginProfile.html
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeactivateMFADevice.html
func (f *IAM) SetSettling(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settling = d
}

// settled fails if what was made for the user at that time, or the user, is too new to be changed.
func (c *call) settled(what string, u *user, made time.Time) {
	if u.again && u.created.After(made) {
		made = u.created
	}
	if c.now.Before(made.Add(c.iam.settling)) {
		c.fail(http.StatusConflict, "EntityTemporarilyUnmodifiable", "%s cannot be modified while it is being created.", what)
	}
}

// SetThrottle allows op (each operation on its own, for AnyOp) burst requests at once and perSecond after that, by
// the injected clock; the rest is answered with Throttling. A burst of 0 ends that.
func (f *IAM) SetThrottle(op string, perSecond float64, burst int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.throttles[op] = throttle{perSecond: perSecond, burst: burst}
	clear(f.limiters)
}

func (f *IAM) limiter(op string) *rate.Limiter {
	limiter, ok := f.limiters[op]
	if !ok {
		limiter = rate.NewLimiter(rate.Inf, 0)
		if t := pick(f.throttles, op); t.burst > 0 {
			limiter = rate.NewLimiter(rate.Limit(t.perSecond), t.burst)
		}
		f.limiters[op] = limiter
	}
	return limiter
}

// SetPageLimit makes every list answer at most n items at a time, however many were asked for, as AWS reserves the
// right to do; 0 ends that.
func (f *IAM) SetPageLimit(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pageLimit = n
}

// DenyCredentials makes requests signed with one of these access key ids fail with InvalidClientTokenId. It replaces
// the list given before.
func (f *IAM) DenyCredentials(accessKeyIDs ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied = accessKeyIDs
}

// maxSkew is how far the date of a request may be from the time of AWS.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/signing-elements.html
const maxSkew = 5 * time.Minute

// SetClockSkew sets the clock of AWS ahead of the injected one by d (behind it, if negative): the Date of answers is of
// that time, and a request signed more than 5 minutes away from it is refused with SignatureDoesNotMatch. The SDK then
// takes the time from the answer and signs again. 0 ends that, and no date is looked at.
func (f *IAM) SetClockSkew(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skew = d
}

// judgeDate refuses a request that was signed too long before or after the time of AWS, if there is skew.
func (f *IAM) judgeDate(signed string, now time.Time) *apiFailure {
	const layout = "20060102T150405Z"
	now = now.Add(f.skew).UTC()
	at, err := time.Parse(layout, signed)
	var message string
	switch earliest, latest := now.Add(-maxSkew), now.Add(maxSkew); {
	case f.skew == 0:
		return nil
	case err != nil:
		message = "Date must be in ISO-8601 'basic format'. Got '" + signed + "'."
	case at.Before(earliest):
		message = fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)", signed, earliest.Format(layout), now.Format(layout))
	case at.After(latest):
		message = fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)", signed, latest.Format(layout), now.Format(layout))
	default:
		return nil
	}
	return &apiFailure{http.StatusForbidden, "SignatureDoesNotMatch", message}
}

// awsNow returns the time by the clock of AWS.
func (f *IAM) awsNow() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock.Now().Add(f.skew)
}

// OnWrite sets hooks around mutating operations; either may be nil. before is called ahead of the operation, also if
// that will turn out to fail; after is called once state has changed. If a hook returns an error, the client's
// connection is cut without an answer, and the operation is not carried out if that was before. The hooks may use
// the fake.
func (f *IAM) OnWrite(before, after func(Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beforeWrite, f.afterWrite = before, after
}
