// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/hera-platform/prod-access-operator/internal/access"
)

const (
	// accountFor is how long a reading of the account is used after it began. Tags change who is who, so it is short.
	accountFor = time.Minute
	// accountTimeout bounds the reading: 5,000 users and 300 groups at most, in six calls.
	accountTimeout = 30 * time.Second
	// detailsPerPage is the most that IAM answers at once.
	// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
	detailsPerPage = 1000
)

// account is the last reading of all users and groups, and the one that is under way.
type account struct {
	mu      sync.Mutex
	read    *reading
	pending *reading
}

// reading is one reading of all users and groups. Everything but done is set before done is closed.
type reading struct {
	began  time.Time
	done   chan struct{}
	who    access.Directory
	users  map[string]*userDetail  // by UserId
	groups map[string]*groupDetail // by name in lower case
	err    error
}

// userDetail is what a reading says about a user beyond who it is.
type userDetail struct {
	access.User
	created time.Time
	// policies are the names of the inline policies.
	policies []string
	groups   []string
}

// groupDetail is what a reading says about a group.
type groupDetail struct {
	arn string
	// policies are the inline policies' documents, by name.
	policies map[string]string
}

// Directory tells who is who among all IAM users, from a reading of the account that began less than a minute ago.
// Callers share one reading, which goes on when one of them gives up; one that failed is told to those who awaited it and
// not kept. One call for each 1,000 users and groups.
func (e *Engine) Directory(ctx context.Context) (access.Directory, error) {
	r, err := e.readAccount(ctx, accountFor)
	if err != nil {
		return access.Directory{}, err
	}
	return r.who, nil
}

// readAccount is a reading that began less than so long before the call; with zero, one that begins after it.
func (e *Engine) readAccount(ctx context.Context, young time.Duration) (*reading, error) {
	earliest := e.clock.Now().Add(-young)
	for {
		r := e.reading(ctx, young)
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, told{text: "AWS takes too long to list the IAM users", err: ctx.Err()}
		}
		// One that was under way may have begun too early.
		if r.err != nil || !r.began.Before(earliest) {
			return r, r.err
		}
	}
}

// reading is the one to await: the last if it is young enough, else one that is under way or begins now.
func (e *Engine) reading(ctx context.Context, young time.Duration) *reading {
	a := &e.account
	a.mu.Lock()
	defer a.mu.Unlock()
	now := e.clock.Now()
	switch {
	case a.read != nil && now.Sub(a.read.began) < young:
		return a.read
	case a.pending != nil:
		return a.pending
	}
	r := &reading{began: now, done: make(chan struct{}), users: map[string]*userDetail{}, groups: map[string]*groupDetail{}}
	a.pending = r
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), accountTimeout)
		defer cancel()
		if err := e.details(ctx, r); err != nil {
			r.err = say(err)
		}
		var users []access.User
		for _, u := range r.users {
			users = append(users, u.User)
		}
		r.who = access.NewDirectory(users...)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.pending = nil; r.err == nil {
			a.read = r
		}
		close(r.done)
	}()
	return r
}

// lastReading is the last reading of the account that was whole, nil if there was none.
func (e *Engine) lastReading() *reading {
	e.account.mu.Lock()
	defer e.account.mu.Unlock()
	return e.account.read
}

// details reads all IAM users and groups with their tags and policies.
func (e *Engine) details(ctx context.Context, into *reading) error {
	most := int32(detailsPerPage)
	pages := iam.NewGetAccountAuthorizationDetailsPaginator(e.iam, &iam.GetAccountAuthorizationDetailsInput{
		Filter: []types.EntityType{types.EntityTypeUser, types.EntityTypeGroup}, MaxItems: &most,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		// Without the marker the paginator would stop before the end.
		if page.UserDetailList == nil || page.GroupDetailList == nil || page.IsTruncated && page.Marker == nil {
			return errIncomplete
		}
		for _, u := range page.UserDetailList {
			if u.UserId == nil || u.UserName == nil || u.Arn == nil {
				return errIncomplete
			}
			into.users[*u.UserId] = userDetailOf(u)
		}
		for _, g := range page.GroupDetailList {
			if g.GroupName == nil || g.Arn == nil {
				return errIncomplete
			}
			into.groups[strings.ToLower(*g.GroupName)] = groupDetailOf(g)
		}
	}
	return nil
}

func groupDetailOf(g types.GroupDetail) *groupDetail {
	detail := &groupDetail{arn: *g.Arn, policies: map[string]string{}}
	for _, p := range g.GroupPolicyList {
		if p.PolicyName != nil && p.PolicyDocument != nil {
			detail.policies[*p.PolicyName] = decoded(*p.PolicyDocument)
		}
	}
	return detail
}

func userDetailOf(u types.UserDetail) *userDetail {
	detail := &userDetail{User: access.User{UserID: *u.UserId, Name: *u.UserName, ARN: *u.Arn, Tags: tagsOf(u.Tags)}, groups: u.GroupList}
	if u.CreateDate != nil {
		detail.created = *u.CreateDate
	}
	for _, p := range u.UserPolicyList {
		if p.PolicyName != nil {
			detail.policies = append(detail.policies, *p.PolicyName)
		}
	}
	for _, p := range u.AttachedManagedPolicies {
		if p.PolicyName != nil && strings.HasPrefix(*p.PolicyName, quarantinePrefix) {
			detail.Quarantine = *p.PolicyName
		}
	}
	return detail
}

// quarantinePrefix begins the names of the policies that AWS attaches to a user whose access key was found in public.
// Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCompromisedKeyQuarantineV3.html
const quarantinePrefix = "AWSCompromisedKeyQuarantine"

// decoded is a policy document as it was written: IAM answers it percent-encoded (RFC 3986).
func decoded(document string) string {
	if plain, err := url.PathUnescape(document); err == nil {
		return plain
	}
	return document
}

func tagsOf(tags []types.Tag) map[string]string {
	values := make(map[string]string, len(tags))
	for _, t := range tags {
		if t.Key != nil && t.Value != nil {
			values[*t.Key] = *t.Value
		}
	}
	return values
}
