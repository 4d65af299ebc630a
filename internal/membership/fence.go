// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

// fenceTime is how a deadline is written in the name of a fence, so that two fences can stand side by side while one takes
// the place of the other, and the name alone tells what a fence says.
const fenceTime = "20060102T150405Z"

// fenceName is the name of a cluster's fence from a deadline on.
func fenceName(cluster string, until time.Time) string {
	return policy.FencePrefix + cluster + "-" + until.UTC().Format(fenceTime)
}

// fencing is the cluster whose fence a policy of this name is; ok is false for every other policy.
func fencing(name string) (cluster string, ok bool) {
	rest, ok := strings.CutPrefix(name, policy.FencePrefix)
	i := strings.LastIndexByte(rest, '-')
	if !ok || i < 0 {
		return "", false
	}
	_, err := time.Parse(fenceTime, rest[i+1:])
	return rest[:i], err == nil
}

// fenceDocument denies everything from a deadline on, by the clock of AWS.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-currenttime
func fenceDocument(until time.Time) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"ProdAccessFence","Effect":"Deny","Action":"*","Resource":"*",`+
		`"Condition":{"DateGreaterThanEquals":{"aws:CurrentTime":%q}}}]}`, until.UTC().Format(time.RFC3339))
}

// Fence says from when on AWS denies a person everything by itself.
type Fence struct {
	// Until is that instant; zero when there is no fence.
	Until time.Time
	// Obstacle says why there is none, when that is for others to mend; access is given nevertheless.
	Obstacle access.Obstacle
	// Err is set when the outcome is not known: nothing may be given then. It is told to people.
	Err error
}

// Fence makes AWS deny a person everything from the last deadline of their live grants on, and reads back that it does. The
// later fence is written before the earlier is removed: what a crash leaves denies too early, never too late. Without a
// permissions boundary there is none: the operator may write policies of users with one alone, so that it gains no power by
// it. Two calls, and one for each fence that is replaced.
func (e *Engine) Fence(ctx context.Context, m Member) Fence {
	if e.options.Cluster == "" {
		return Fence{Obstacle: access.Obstacle{Reason: v1alpha1.ReasonFenceDisabled, Message: "the operator runs with --fence=disabled: nothing but the operator ends " +
			"the access to AWS"}}
	}
	known := m.justSeen()
	if known == nil {
		var err error
		if known, err = e.user(ctx, m.Name); err != nil {
			return Fence{Err: say(err)}
		}
	}
	if !known.Bounded {
		return Fence{Obstacle: access.Obstacle{Reason: v1alpha1.ReasonNoBoundary, Message: fmt.Sprintf("the IAM user %s has no permissions boundary, so nothing but the "+
			"operator ends the access to AWS: ask the AWS administrator for the boundary", m.Name)}}
	}
	unlock, err := e.people.lock(ctx, m.UserID)
	if err != nil {
		return Fence{Err: err}
	}
	defer unlock()
	grants, err := e.grants.OfPerson(ctx, m.UserID)
	if err != nil {
		return Fence{Err: err}
	}
	until := access.FencedUntil(grants, e.clock.Now())
	if until.IsZero() || known.UserID != m.UserID {
		return Fence{}
	}
	return e.fence(ctx, known.Name, until)
}

func (e *Engine) fence(ctx context.Context, user string, until time.Time) Fence {
	name, document := fenceName(e.options.Cluster, until), fenceDocument(until)
	put := func() error {
		_, err := e.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &name, PolicyDocument: &document})
		return err
	}
	err := put()
	if aws.IsQuota(err) || aws.IsDenied(err) {
		// An earlier fence that stayed would keep the person out; and there may be room for one, though not for two. Who may
		// not even look has none of them.
		removed, failed := e.unfenceAllBut(ctx, user, "")
		if failed != nil && !aws.IsDenied(failed) {
			return Fence{Err: say(failed)}
		}
		if removed && aws.IsQuota(err) {
			err = put()
		}
	}
	switch {
	case aws.IsQuota(err):
		return Fence{Obstacle: access.Obstacle{Reason: v1alpha1.ReasonFenceTooLarge, Message: fmt.Sprintf("the inline policies of the IAM user %s leave no room for a fence "+
			"(%d of the 2,048 characters that AWS allows), so nothing but the operator ends the access to AWS: ask the AWS administrator to make them managed policies",
			user, len(document))}}
	case aws.IsDenied(err):
		return Fence{Obstacle: access.Obstacle{Reason: v1alpha1.ReasonFenceForbidden, Message: fmt.Sprintf("the operator may not fence the IAM user %s, so nothing but the "+
			"operator ends the access to AWS: %s", user, aws.Explain(err))}}
	case err != nil:
		return Fence{Err: say(err)}
	}
	removed, err := e.unfenceAllBut(ctx, user, name)
	if err == nil && removed {
		// An answer that was cut looks like success here too, and an earlier fence that stayed would keep the person out.
		removed, err = e.unfenceAllBut(ctx, user, name)
	}
	switch {
	case err != nil:
		return Fence{Err: say(err)}
	case removed:
		return Fence{Err: fmt.Errorf("AWS still shows an earlier fence of the IAM user %s", user)}
	}
	return Fence{Until: until}
}

// unfenceAllBut removes all fences of this cluster but one, which must be there; but "" removes all.
func (e *Engine) unfenceAllBut(ctx context.Context, user, kept string) (removed bool, err error) {
	found, err := e.policiesOf(ctx, user)
	if err != nil {
		return false, err
	}
	// Only reading back proves it: a cut answer to the write looks like success.
	if kept != "" && !slices.Contains(found, kept) {
		return false, told{text: "AWS does not yet show the fence of the IAM user " + user}
	}
	for _, name := range found {
		if cluster, ok := fencing(name); ok && cluster == e.options.Cluster && name != kept {
			if err := e.unfence(ctx, user, name); err != nil {
				return removed, err
			}
			removed = true
		}
	}
	return removed, nil
}

// Unfence removes the fence that a grant had, or moves it to the last deadline that is left. One call when there is none
// left. What it misses, the sweep finds.
func (e *Engine) Unfence(ctx context.Context, m Member, was time.Time) error {
	if e.options.Cluster == "" {
		return nil
	}
	unlock, err := e.people.lock(ctx, m.UserID)
	if err != nil {
		return err
	}
	defer unlock()
	grants, err := e.grants.OfPerson(ctx, m.UserID)
	if err != nil {
		return err
	}
	until := access.FencedUntil(grants, e.clock.Now())
	switch {
	case until.Equal(was):
		return nil
	case until.IsZero() && slices.ContainsFunc(grants, holds):
		// What another grant has not taken away yet the fence still ends; that one removes it.
		return nil
	case until.IsZero():
		if err := e.unfence(ctx, m.Name, fenceName(e.options.Cluster, was)); err != nil {
			return say(err)
		}
		return nil
	}
	name, err := e.nameOf(ctx, m)
	if err != nil {
		return say(err)
	}
	if name == "" {
		return nil // renamed: the name may be somebody else's now
	}
	return e.fence(ctx, name, until).Err
}

// unfence removes a fence. It takes nothing away, and may give something back: that is for whoever may grant, and not for
// the role that revokes.
func (e *Engine) unfence(ctx context.Context, user, name string) error {
	_, err := e.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &user, PolicyName: &name})
	if aws.IsNotFound(err) {
		return nil
	}
	return err
}

// policiesOf are the names of a user's inline policies.
func (e *Engine) policiesOf(ctx context.Context, user string) ([]string, error) {
	var names []string
	pages := iam.NewListUserPoliciesPaginator(e.iam, &iam.ListUserPoliciesInput{UserName: &user})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		if page.PolicyNames == nil || page.IsTruncated && page.Marker == nil {
			return nil, errIncomplete
		}
		names = append(names, page.PolicyNames...)
	}
	return names, nil
}

// leftOverFor is how long a fence must have been left over before it is believed: a process that has just become the leader
// may not know of the last grants of the one before.
const leftOverFor = 30 * time.Second

// Reclaim takes away what fences tell to be ours and no grant calls for: memberships in the managed groups of whoever has a
// fence of this cluster and no live grant, and then the fence. It goes by the last reading of the account, and looks at each
// person anew; about is told of each before anything is taken from them. Nothing is taken at first sight.
func (e *Engine) Reclaim(ctx context.Context, managed []v1alpha1.IAMGroupName, about func(user string)) error {
	all := e.lastReading()
	if all == nil || e.options.Cluster == "" {
		return nil
	}
	known := e.leftOver
	e.leftOver = map[string]time.Time{}
	var errs []error
	for id, u := range all.users {
		fences := e.ours(u)
		if len(fences) == 0 || isBelow(u.ARN) {
			continue // a temporary user that is left over goes with its fence
		}
		idle, err := e.idle(ctx, id)
		if !idle {
			errs = append(errs, err)
			continue
		}
		since, ok := known[id]
		if !ok {
			since = all.began
		}
		if e.leftOver[id] = since; all.began.Sub(since) < leftOverFor {
			continue
		}
		errs = append(errs, e.reclaim(ctx, u, fences, managed, about))
	}
	return errors.Join(errs...)
}

// ours are the names of the fences of this cluster that a user had.
func (e *Engine) ours(u *userDetail) (fences []string) {
	for _, name := range u.policies {
		if cluster, ok := fencing(name); ok && cluster == e.options.Cluster {
			fences = append(fences, name)
		}
	}
	return fences
}

// idle says whether no grant of a person is busy with AWS: it would see to itself.
func (e *Engine) idle(ctx context.Context, userID string) (bool, error) {
	grants, err := e.grants.OfPerson(ctx, userID)
	return err == nil && !slices.ContainsFunc(grants, func(g v1alpha1.ProdAccessGrant) bool {
		return !access.Terminal(access.StateOf(&g)) && len(g.Status.AWS.Groups) > 0 || holds(g)
	}), err
}

// holds says whether a membership may exist on the account of a grant. What it has in Kubernetes is no matter of AWS.
func holds(g v1alpha1.ProdAccessGrant) bool {
	return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool { return access.Claims(&g, string(m.Name)) })
}

func (e *Engine) reclaim(ctx context.Context, u *userDetail, fences []string, managed []v1alpha1.IAMGroupName, about func(user string)) error {
	m := Member{UserID: u.UserID, Name: u.Name}
	groups := slices.DeleteFunc(slices.Clone(managed), func(g v1alpha1.IAMGroupName) bool { return !contains(u.groups, string(g)) })
	if len(groups) > 0 {
		about(u.Name)
	}
	for _, group := range groups {
		if o := e.expel(ctx, m, string(group)); o.Err != nil || o.Covered {
			return o.Err
		}
	}
	unlock, err := e.people.lock(ctx, u.UserID)
	if err != nil {
		return err
	}
	defer unlock()
	if idle, err := e.idle(ctx, u.UserID); !idle {
		return err
	}
	name, err := e.nameOf(ctx, m)
	if err != nil {
		return say(err)
	}
	if name == "" {
		return nil // the next reading has the new name
	}
	for _, fence := range fences {
		if err := e.unfence(ctx, name, fence); err != nil {
			return say(err)
		}
	}
	return nil
}

// Fenced says whether the last reading of the account has a person's fence from a deadline on; it does not say no of
// somebody whom it does not have. It asks AWS nothing.
func (e *Engine) Fenced(userID string, until time.Time) bool {
	all := e.lastReading()
	if all == nil || all.users[userID] == nil {
		return true
	}
	return slices.Contains(all.users[userID].policies, fenceName(e.options.Cluster, until))
}

// FencedElsewhere names one of these IAM users who is fenced by another cluster, and that cluster, as the last reading of the
// account has it; "" if there is none.
func (e *Engine) FencedElsewhere(users []string) (user, cluster string) {
	all := e.lastReading()
	// Without a name of its own this cluster's own fences of before would look like another's.
	if all == nil || e.options.Cluster == "" {
		return "", ""
	}
	for _, u := range all.users {
		if !contains(users, u.Name) || user != "" && u.Name > user {
			continue
		}
		for _, p := range u.policies {
			if other, ok := fencing(p); ok && other != e.options.Cluster {
				user, cluster = u.Name, other
			}
		}
	}
	return user, cluster
}
