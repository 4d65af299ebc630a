// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package membership looks after who is in which IAM group. A membership is reconciled for a person and a group, never
// for a grant: it exists exactly as long as some live grant covers it.
package membership

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// Grants finds the grants that may speak for a membership.
type Grants interface {
	// OfPerson lists every grant that recorded the person's UserId, as current as our own writes.
	OfPerson(ctx context.Context, userID string) ([]v1alpha1.ProdAccessGrant, error)
}

// Clock tells the time.
type Clock interface{ Now() time.Time }

// Engine reconciles memberships. Safe for concurrent use; the work on one person is done in turn.
type Engine struct {
	iam    aws.IAM
	grants Grants
	clock  Clock
	people keyedMutex

	options  Options
	account  account
	report   credentialReport
	absences absences
	reach    reach
	// leftOver is since when people have a fence that no grant calls for, by UserId. Sweeps come one after the other.
	leftOver map[string]time.Time
}

// Options of an Engine.
type Options struct {
	// Cluster names the cluster in the fences that it writes; "" writes none.
	Cluster string
	// Boundary is the ARN of the permissions boundary of temporary users; "" makes none.
	Boundary string
	// ReportEvery is how old a credential report is used; zero means ReportEvery, the age at which AWS makes another.
	ReportEvery time.Duration
}

// New makes an Engine.
func New(api aws.IAM, grants Grants, clock Clock, o Options) *Engine {
	o.ReportEvery = cmp.Or(o.ReportEvery, ReportEvery)
	return &Engine{iam: api, grants: grants, clock: clock, options: o}
}

// Identify asks AWS about a person who is to have a role, and which of its groups, and of the others, they are in by somebody
// else's doing; a nil role demands nothing of them. It answers always: what could not be asked is said in
// Person.Unavailable. Three calls, one or two more for a role with a maximum age of credentials, one more for each further page, and
// a reading of the account that is shared with all others within a minute.
func (e *Engine) Identify(ctx context.Context, name string, role *access.Role, others ...v1alpha1.IAMGroupName) *access.Person {
	// An empty name would make AWS answer for the operator itself.
	if name == "" {
		return &access.Person{}
	}
	asked := e.clock.Now()
	p, err := e.identify(ctx, name, role, others)
	since := e.reach.note(err, asked, e.clock.Now())
	if err != nil {
		return &access.Person{Unavailable: say(err).Error(), UnreachableSince: since}
	}
	return p
}

func (e *Engine) identify(ctx context.Context, name string, role *access.Role, groups []v1alpha1.IAMGroupName) (*access.Person, error) {
	p, err := e.user(ctx, name)
	if err != nil || !p.Found {
		return p, err
	}
	e.reach.answered(e.clock.Now())
	known, err := e.whoIs(ctx, p)
	if err != nil {
		return nil, err
	}
	if role != nil {
		groups = append(role.Groups(), groups...)
		if maxAge := role.MaxCredentialAge(); maxAge > 0 {
			if p.Credentials, err = e.credentials(ctx, p.Name, known, maxAge); err != nil {
				return nil, err
			}
		}
		if p.Unguarded, err = e.unguarded(ctx, role); err != nil {
			return nil, err
		}
	}
	// One device is enough, and the first page holds one if there is any.
	devices, err := e.iam.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: &p.Name})
	if err != nil {
		return nil, err
	}
	if devices.MFADevices == nil {
		return nil, errIncomplete
	}
	p.MFA = len(devices.MFADevices) > 0
	return p, e.placeIn(ctx, p, groups)
}

// whoIs adds to a person what the account says about them. Who is who has to be known before anybody's word counts: two
// names may be one person's.
func (e *Engine) whoIs(ctx context.Context, p *access.Person) (*userDetail, error) {
	all, err := e.readAccount(ctx, accountFor)
	if err != nil {
		return nil, err
	}
	known := all.users[p.UserID]
	if known == nil || known.Quarantine != "" {
		// Made, or let go, since.
		if all, err = e.readAccount(ctx, 0); err != nil {
			return nil, err
		}
		if known = all.users[p.UserID]; known == nil {
			// AWS does not list the user yet.
			known = &userDetail{User: access.User{Name: p.Name}}
		}
	}
	p.Directory, p.Quarantine = all.who, known.Quarantine
	return known, nil
}

// placeIn adds to a person the groups that they are in, and in which of these by somebody else's doing.
func (e *Engine) placeIn(ctx context.Context, p *access.Person, groups []v1alpha1.IAMGroupName) error {
	unlock, err := e.people.lock(ctx, p.UserID)
	if err != nil {
		return err
	}
	defer unlock()
	if p.Memberships, err = e.memberships(ctx, p.Name); err != nil {
		return err
	}
	grants, err := e.grants.OfPerson(ctx, p.UserID)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if contains(p.Memberships, string(group)) && !claimed(grants, string(group)) {
			p.Foreign = append(p.Foreign, string(group))
		}
	}
	return nil
}

// userName is what IAM takes for the name of a user; it refuses to look for any other.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetUser.html
var userName = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`)

// user reads an IAM user with its tags.
func (e *Engine) user(ctx context.Context, name string) (*access.Person, error) {
	if !userName.MatchString(name) {
		return &access.Person{}, nil
	}
	out, err := e.iam.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if aws.IsNotFound(err) {
		return &access.Person{}, nil
	}
	if err != nil {
		return nil, err
	}
	u := out.User
	if u == nil || u.UserId == nil || u.UserName == nil || u.Arn == nil {
		return nil, errIncomplete
	}
	return &access.Person{Found: true, Name: *u.UserName, UserID: *u.UserId, KubernetesUsers: access.KubernetesUsersOf(*u.UserName, *u.Arn, tagsOf(u.Tags)),
		Bounded: u.PermissionsBoundary != nil, Temporary: isBelow(*u.Arn)}, nil
}

// Member is a person as a grant recorded them.
type Member struct {
	UserID, Name string
	// Known is what AWS has just said about the person; nil when it was not asked. It is not asked again then.
	Known *access.Person
}

// justSeen is what AWS has just said about the person, nil if that is not known.
func (m Member) justSeen() *access.Person {
	if m.Known != nil && m.Known.Found && m.Known.UserID == m.UserID {
		return m.Known
	}
	return nil
}

// Outcome says what became of one membership.
type Outcome struct {
	// Present says that AWS showed the membership, or did not show that it is gone.
	Present bool
	// Covered says that a live grant calls for it.
	Covered bool
	// Obstacle is set when the membership cannot be made until somebody mends something.
	Obstacle access.Obstacle
	// Err is set when the outcome is not known, or not yet as it should be. It is told to people. For how long it is of no
	// use to try again where a removal is suspected, Engine.Absent says.
	Err error
}

// unknown is the outcome when nothing was learnt about a membership.
func unknown(err error) Outcome { return Outcome{Present: true, Err: err} }

// Settle makes one membership what the live grants of the person call for, and reads it back. ours says that the
// caller has it on record that a membership in the group may be of our making; without a record in any grant a
// membership is somebody else's and stays. Three or four calls, two less for a person who was just seen, and one more for
// each further page.
func (e *Engine) Settle(ctx context.Context, m Member, group string, ours bool) Outcome {
	unlock, err := e.people.lock(ctx, m.UserID)
	if err != nil {
		return unknown(err)
	}
	defer unlock()
	grants, err := e.grants.OfPerson(ctx, m.UserID)
	if err != nil {
		// Not having looked is not having seen it gone.
		return unknown(err)
	}
	now := e.clock.Now()
	until, covered := coveredUntil(grants, group, now)
	if covered {
		// A write that is still being tried when the last deadline passes must not succeed after it.
		ctx, cancel := context.WithTimeout(ctx, until.Sub(now))
		defer cancel()
		return e.join(ctx, m, group, grants)
	}
	ctx = aws.ForRemoval(ctx)
	// Whoever takes it away from here on, it is not against any grant.
	e.absences.clear(m.UserID, group)
	if !ours && !claimed(grants, group) {
		return Outcome{}
	}
	return e.leave(ctx, m, group)
}

// Verify looks once more that a membership which no live grant covers is gone, and removes it if it is not: a write that
// was on its way when it was removed may have brought it back. One call when all is well.
func (e *Engine) Verify(ctx context.Context, m Member, group string) Outcome {
	ctx = aws.ForRemoval(ctx)
	unlock, err := e.people.lock(ctx, m.UserID)
	if err != nil {
		return unknown(err)
	}
	defer unlock()
	grants, err := e.grants.OfPerson(ctx, m.UserID)
	if err != nil {
		// Not having looked is not having seen it gone.
		return unknown(err)
	}
	if _, covered := coveredUntil(grants, group, e.clock.Now()); covered {
		return Outcome{Covered: true}
	}
	e.absences.clear(m.UserID, group)
	groups, err := e.memberships(ctx, m.Name)
	switch {
	case aws.IsNotFound(err):
		// Renamed or deleted: the group itself knows its members by UserId.
		return e.leave(ctx, m, group)
	case err != nil:
		return unknown(say(err))
	case !contains(groups, group):
		return Outcome{}
	}
	return e.leave(ctx, m, group)
}

// Expel removes the membership of somebody who has none from us: a stranger, by the name that the IAM user has now. A
// membership that a live grant covers is left alone, and so is one in a group that somebody is not in or that AWS does not
// have. Two calls when there is nothing to remove, four otherwise.
func (e *Engine) Expel(ctx context.Context, iamUser, group string) Outcome {
	return e.expel(ctx, Member{Name: iamUser}, group)
}

// expel does it, and to nobody else if m.UserID is set.
func (e *Engine) expel(ctx context.Context, m Member, group string) Outcome {
	ctx = aws.ForRemoval(ctx)
	// AWS would take the caller to be meant.
	if m.Name == "" {
		return unknown(errNobody)
	}
	p, err := e.user(ctx, m.Name)
	if err != nil {
		return unknown(say(err))
	}
	if !p.Found || m.UserID != "" && m.UserID != p.UserID {
		return Outcome{}
	}
	unlock, err := e.people.lock(ctx, p.UserID)
	if err != nil {
		return unknown(err)
	}
	defer unlock()
	grants, err := e.grants.OfPerson(ctx, p.UserID)
	if err != nil {
		// Not having looked is not having seen that nothing covers it.
		return unknown(err)
	}
	groups, err := e.memberships(ctx, p.Name)
	if err != nil && !aws.IsNotFound(err) {
		return unknown(say(err))
	}
	if _, covered := coveredUntil(grants, group, e.clock.Now()); covered {
		return Outcome{Covered: true, Present: contains(groups, group)}
	}
	e.absences.clear(p.UserID, group)
	if !contains(groups, group) {
		return Outcome{}
	}
	return e.remove(ctx, p.Name, group)
}

func (e *Engine) join(ctx context.Context, m Member, group string, grants []v1alpha1.ProdAccessGrant) Outcome {
	o := Outcome{Covered: true}
	name, err := e.nameOf(ctx, m)
	if err != nil {
		o.Err = say(err)
		return o
	}
	if name == "" {
		o.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonUserNotFound, Message: fmt.Sprintf("AWS no longer has the IAM user %s (%s): "+
			"it was deleted, renamed or created anew; create another grant", m.Name, m.UserID)}
		return o
	}
	// That somebody was not in the group a moment ago is enough to put them in, which is read back. Everything else that
	// may be concluded from it is concluded from what is so now.
	known, missed := m.justSeen(), e.absences.suspects(m.UserID, group) || seen(grants, group, e.clock.Now())
	var before []string
	if known == nil || missed || contains(known.Memberships, group) {
		if before, err = e.memberships(ctx, name); err != nil {
			o.Err = say(err)
			return o
		}
	}
	if contains(before, group) {
		e.absences.clear(m.UserID, group)
		o.Present = true
		return o
	}
	// What was seen once and is gone now was taken away by somebody, and is never given back (invariant I5). The suspicion
	// outlives the grant that it arose from, or another would give back what was taken away under the first.
	if missed {
		if e.absences.miss(m.UserID, group, e.clock.Now()).Confirmed {
			o.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonRemovedByOthers, Message: fmt.Sprintf("somebody took %s out of the IAM group %s while a grant "+
				"covers it, and it is not given back: delete the grants that cover it, and create another", name, group)}
			return o
		}
		o.Err = fmt.Errorf("AWS does not show %s in the IAM group %s any more, though a grant covers it: looking again before it is taken for a removal; "+
			"nothing is added meanwhile", name, group)
		return o
	}
	return e.add(ctx, m.UserID, name, group)
}

// add puts a user into a group and reads back that it is so.
func (e *Engine) add(ctx context.Context, userID, name, group string) Outcome {
	o := Outcome{Covered: true}
	_, err := e.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: &group, UserName: &name})
	switch {
	case aws.IsQuota(err):
		o.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonQuotaExceeded, Message: fmt.Sprintf("%s cannot join the IAM group %s: %s; ask the AWS administrator",
			name, group, aws.Explain(err))}
		return o
	case aws.IsNotFound(err):
		o.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonGroupNotFound, Message: fmt.Sprintf("%s cannot join the IAM group %s: %s; ask the platform team to mend the role",
			name, group, aws.Explain(err))}
		return o
	case err != nil:
		o.Err = say(err)
		return o
	}
	// Only reading back proves a grant: a cut answer to the write looks like success.
	after, err := e.memberships(ctx, name)
	if err != nil {
		o.Err = say(err)
		return o
	}
	if o.Present = contains(after, group); !o.Present {
		o.Err = fmt.Errorf("AWS does not yet show %s in the IAM group %s", name, group)
		return o
	}
	// What was read of the group before this says nothing about it.
	e.absences.clear(userID, group)
	return o
}

func (e *Engine) leave(ctx context.Context, m Member, group string) Outcome {
	o := Outcome{Present: true}
	name, err := e.presentName(ctx, m, group)
	if err != nil {
		o.Err = say(err)
		return o
	}
	if name == "" {
		o.Present = false
		return o
	}
	return e.remove(ctx, name, group)
}

// remove takes a user out of a group and reads back that it is so.
func (e *Engine) remove(ctx context.Context, name, group string) Outcome {
	o := Outcome{Present: true}
	_, err := e.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: &group, UserName: &name})
	if err != nil && !aws.IsNotFound(err) {
		o.Err = say(err)
		return o
	}
	after, err := e.memberships(ctx, name)
	if aws.IsNotFound(err) {
		o.Present = false
		return o
	}
	if err != nil {
		o.Err = say(err)
		return o
	}
	if o.Present = contains(after, group); o.Present {
		o.Err = fmt.Errorf("AWS still shows %s in the IAM group %s", name, group)
	}
	return o
}

// presentName is the name under which the person may be in the group, "" if they cannot be.
func (e *Engine) presentName(ctx context.Context, m Member, group string) (string, error) {
	name, err := e.nameOf(ctx, m)
	if err != nil || name != "" {
		return name, err
	}
	// Renamed, deleted, or another user has the name now: the group itself knows its members by UserId.
	return e.memberNamed(ctx, m.UserID, group)
}

// nameOf is the name of the person if the user of the recorded name is still that person, else "".
func (e *Engine) nameOf(ctx context.Context, m Member) (string, error) {
	if known := m.justSeen(); known != nil && known.Name == m.Name {
		return m.Name, nil
	}
	out, err := e.iam.GetUser(ctx, &iam.GetUserInput{UserName: &m.Name})
	if aws.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if out.User == nil || out.User.UserId == nil {
		return "", errIncomplete
	}
	if *out.User.UserId != m.UserID {
		return "", nil
	}
	return m.Name, nil
}

// membersPerPage is the most that IAM answers at once.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetGroup.html
const membersPerPage = 1000

// memberNamed is the present name of a member of a group, by UserId; "" if there is none, or no such group.
func (e *Engine) memberNamed(ctx context.Context, userID, group string) (string, error) {
	pages := iam.NewGetGroupPaginator(e.iam, &iam.GetGroupInput{GroupName: &group, MaxItems: new(int32(membersPerPage))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if aws.IsNotFound(err) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if page.Group == nil || page.IsTruncated && page.Marker == nil {
			return "", errIncomplete
		}
		for _, u := range page.Users {
			if u.UserId != nil && u.UserName != nil && *u.UserId == userID {
				return *u.UserName, nil
			}
		}
	}
	return "", nil
}

func (e *Engine) memberships(ctx context.Context, name string) ([]string, error) {
	var groups []string
	pages := iam.NewListGroupsForUserPaginator(e.iam, &iam.ListGroupsForUserInput{UserName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		// A cut answer looks like an empty one to the SDK, but for the list: an empty list is there, and has no elements.
		if page.Groups == nil || page.IsTruncated && page.Marker == nil {
			return nil, errIncomplete
		}
		for _, g := range page.Groups {
			if g.GroupName != nil {
				groups = append(groups, *g.GroupName)
			}
		}
	}
	return groups, nil
}

// Group is a group as AWS has it.
type Group struct {
	ARN string
	// Members are the names of the members, by UserId.
	Members map[string]string
}

// Inspect reads a group; nil when there is none. Each whole reading counts as a look at the memberships in it (see
// Absent). One call for each page.
func (e *Engine) Inspect(ctx context.Context, group string) (*Group, error) {
	found, err := e.inspect(ctx, group)
	if err != nil {
		return nil, say(err)
	}
	e.forgive(ctx, group)
	members := map[string]bool{}
	if found != nil {
		for id := range found.Members {
			members[id] = true
		}
	}
	e.absences.sawGroup(group, members, e.clock.Now())
	return found, nil
}

func (e *Engine) inspect(ctx context.Context, group string) (*Group, error) {
	found := &Group{Members: map[string]string{}}
	pages := iam.NewGetGroupPaginator(e.iam, &iam.GetGroupInput{GroupName: &group, MaxItems: new(int32(membersPerPage))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if aws.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if page.Group == nil || page.Group.Arn == nil || page.IsTruncated && page.Marker == nil {
			return nil, errIncomplete
		}
		found.ARN = *page.Group.Arn
		for _, u := range page.Users {
			if u.UserId != nil && u.UserName != nil {
				found.Members[*u.UserId] = *u.UserName
			}
		}
	}
	return found, nil
}

// forgive forgets who is missed in a group although no grant calls for them there any more, as when a grant was removed by
// force.
func (e *Engine) forgive(ctx context.Context, group string) {
	for _, userID := range e.absences.missed(group) {
		grants, err := e.grants.OfPerson(ctx, userID)
		if err != nil {
			continue
		}
		if _, covered := coveredUntil(grants, group, e.clock.Now()); !covered {
			e.absences.clear(userID, group)
		}
	}
}

// Absent says whether a membership that was on record as made has gone, as far as AWS was read until now; it asks AWS
// nothing. It is for memberships that a live grant covers and has seen: of others it says nothing of use.
func (e *Engine) Absent(userID, group string) Absence {
	return e.absences.of(userID, group, e.clock.Now())
}

// Claimed says whether any grant of the person has a membership in the group on record.
func (e *Engine) Claimed(ctx context.Context, userID, group string) (bool, error) {
	grants, err := e.grants.OfPerson(ctx, userID)
	return claimed(grants, group), err
}

func claimed(grants []v1alpha1.ProdAccessGrant, group string) bool {
	return slices.ContainsFunc(grants, func(g v1alpha1.ProdAccessGrant) bool { return access.Claims(&g, group) })
}

// seen says whether a live grant has seen the membership.
func seen(grants []v1alpha1.ProdAccessGrant, group string, now time.Time) bool {
	return slices.ContainsFunc(grants, func(g v1alpha1.ProdAccessGrant) bool { return access.Covers(&g, group, now) && observed(&g, group) })
}

func observed(g *v1alpha1.ProdAccessGrant, group string) bool {
	return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool { return strings.EqualFold(string(m.Name), group) && m.Observed })
}

// coveredUntil is the last deadline of the grants that cover a membership.
func coveredUntil(grants []v1alpha1.ProdAccessGrant, group string, now time.Time) (until time.Time, covered bool) {
	for i := range grants {
		if access.Covers(&grants[i], group, now) {
			covered = true
			if d := access.Deadline(&grants[i]); d.After(until) {
				until = d
			}
		}
	}
	return until, covered
}

// contains compares without case: IAM names are unique that way.
func contains(groups []string, group string) bool {
	return slices.ContainsFunc(groups, func(g string) bool { return strings.EqualFold(g, group) })
}
