// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/sealed"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// recipients are the public keys of an emergency with a temporary user.
func recipients(b *v1alpha1.BreakGlass) []string {
	var keys []string
	for _, r := range b.Spec.TemporaryUser.Recipients {
		keys = append(keys, string(r))
	}
	return keys
}

// noTemporary says why no temporary user can be made for the object, whatever its role.
func (r *GrantReconciler) noTemporary(b *v1alpha1.BreakGlass) access.Obstacle {
	if b == nil || b.Spec.TemporaryUser == nil {
		return access.Obstacle{}
	}
	if !r.temporaryUsers {
		return access.Obstacle{Reason: v1alpha1.ReasonNoTemporaryUsers, Message: "the operator makes no temporary users, because it runs without --break-glass-boundary-arn: ask the " +
			"platform team, or open it for a person, by spec.subject of another BreakGlass"}
	}
	if _, err := sealed.Recipients(recipients(b)); err != nil {
		return access.Obstacle{Reason: v1alpha1.ReasonInvalidRecipients, Message: fmt.Sprintf("spec.temporaryUser.recipients cannot be used: %v; open another BreakGlass", err)}
	}
	return access.Obstacle{}
}

// temporary is the temporary user of the object.
func (p *pass) temporary() membership.Temporary { return temporaryOf(p.g) }

func temporaryOf(g *v1alpha1.ProdAccessGrant) membership.Temporary {
	return membership.Temporary{Name: g.Spec.Subject.IAMUser, Emergency: string(g.UID), UserID: g.Status.AWS.UserID}
}

// creation is what became of a temporary user that is being made. Its credentials leave the task that makes it sealed, or not at all.
type creation struct {
	membership.Made

	sealed string
}

// makeTemporary makes the temporary user, and stores who it is and its sealed credentials before it is given anything. If they cannot be
// stored nobody has them, and another user takes the place of this one.
func (p *pass) makeTemporary(ctx context.Context) (again, inFlight bool, err error) {
	spec := p.glass.Spec.TemporaryUser
	wish := membership.Wish{
		Temporary: p.temporary(), For: p.g.Name, Opener: string(p.g.Spec.RequestedBy), Until: access.Deadline(p.g), AccessKey: spec.AccessKey == v1alpha1.AccessKeyCreate,
	}
	keys, left := recipients(p.glass), access.Deadline(p.g).Sub(p.now)
	c, ok := await(p, taskMake, p.lane(), func(ctx context.Context) creation {
		// A write that is still being tried when the deadline passes must not succeed after it.
		ctx, cancel := context.WithTimeout(p.urgently(ctx), left)
		defer cancel()
		return create(ctx, p.memberships, wish, keys)
	})
	switch {
	case !ok:
		return false, true, nil
	case c.Obstacle.Reason != "":
		p.facts.Obstacle = c.Obstacle
		return true, false, nil
	}
	if made := c.Err == nil; !made {
		p.fail(&p.notes.Memberships, c.Err)
		return made, false, nil
	}
	p.g.Status.AWS.UserID, p.g.Status.AWS.Names = c.UserID, access.Stored(c.Names)
	p.made = &v1alpha1.TemporaryUserStatus{IAMUser: wish.Name, MadeAt: &metav1.Time{Time: p.now.Truncate(time.Second)}, Credentials: c.sealed}
	return true, false, p.write(ctx)
}

func create(ctx context.Context, e *membership.Engine, w membership.Wish, keys []string) creation {
	var c creation
	to, err := sealed.Recipients(keys)
	if c.Err = err; err == nil {
		c.Made = e.Make(ctx, w)
	}
	if c.Err == nil && c.Obstacle.Reason == "" {
		c.sealed, c.Err = sealed.Seal(c.Credentials, to)
	}
	c.Credentials = sealed.Credentials{}
	return c
}

// noteTemporary brings the part of the status that tells of the temporary user in line: its name from when it is intended, and its
// credentials for as long as it may exist.
func (p *pass) noteTemporary() {
	s := &p.glass.Status.TemporaryUser
	if p.made != nil {
		*s = *p.made
	}
	switch {
	case !access.Temporary(p.g):
	case access.MayExist(p.g):
		s.IAMUser = p.g.Spec.Subject.IAMUser
	default:
		s.Credentials = ""
	}
}

// deleteTemporary is the removal of the temporary user: with it go all its memberships.
func (p *pass) deleteTemporary(groups []v1alpha1.GroupMembership) func(context.Context) []settled {
	t := p.temporary()
	return func(ctx context.Context) []settled {
		err := errAWSDisabled
		if p.memberships != nil {
			err = p.memberships.Delete(ctx, t)
		}
		var all []settled
		for _, m := range groups {
			all = append(all, settled{m.Name, membership.Outcome{Present: err != nil, Err: err}})
		}
		return all
	}
}

// deleteStrays deletes temporary users, and MFA devices of theirs, that nothing calls for any more: their emergency is over or gone, and
// so is whoever should have deleted them. What there is, is read from the API server itself.
func (s *sweeps) deleteStrays(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	strays, err := s.memberships.Strays(ctx)
	if err != nil {
		log.Info("it cannot be told whether MFA devices of temporary users are left over; trying again", "trouble", err.Error())
	}
	if len(strays) == 0 {
		return
	}
	known, err := emergencies(ctx, s.live)
	if err != nil {
		log.Error(err, "looking for the emergencies of temporary users")
		return
	}
	for _, stray := range strays {
		if !access.Stray(types.UID(stray.Emergency), known) {
			continue
		}
		what := fmt.Sprintf("the temporary IAM user %s is deleted: the emergency that it was made for is over or gone", stray.Name)
		if stray.Device != "" {
			what = fmt.Sprintf("the MFA device %s of a temporary IAM user is deleted: the emergency that it was made for is over or gone", stray.Device)
		}
		log.Info(what)
		if err := appendTo(ctx, s.trail, audit.Entry{Event: audit.EventDrift, Time: s.clock.Now(), Subject: stray.Name, AppliedBy: s.self, Change: what}); err != nil {
			log.Error(err, "writing the audit trail")
		}
		if err := s.memberships.DeleteStray(ctx, stray); err != nil {
			log.Info("what is left of a temporary user is not gone yet; trying again", "user", stray.Name, "trouble", err.Error())
		}
	}
}

// nameRecipients adds to what is told of the opening whose keys open the credentials.
func (p *pass) nameRecipients(told []v1alpha1.OutboxEntry) {
	if p.glass.Spec.TemporaryUser == nil {
		return
	}
	var names []string
	for _, key := range recipients(p.glass) {
		names = append(names, sealed.Fingerprint(key))
	}
	for i := range told {
		if e := &told[i]; e.Event == audit.EventOpened {
			e.Message = status.Bounded(fmt.Sprintf("%s, by a temporary IAM user whose credentials are for %s", e.Message, strings.Join(names, ", ")))
		}
	}
}

// errUnfenced says that a temporary user is not to be given anything yet.
var errUnfenced = errors.New("AWS does not fence the temporary IAM user, so it is given nothing")
