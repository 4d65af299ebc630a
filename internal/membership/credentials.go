// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// errNobody is a person who is named by nothing: AWS would take the caller to be meant.
var errNobody = errors.New("neither a name nor a UserId says whose credentials are meant")

// Deactivation says what became of a person's own credentials.
type Deactivation struct {
	// Found is false when AWS has no such user: there is nothing to deactivate then.
	Found bool
	// Member is the user as AWS has it now.
	Member Member
	// Keys is how many access keys were set Inactive by this call.
	Keys int
	// Password says that a console password was removed by this call.
	Password bool
	// Err is set as long as it is not verified that nothing that was to go can be used any more. It is told to people; the
	// call is to be made again.
	Err error

	// madeBefore spares access keys that are younger; zero spares none. keepPassword spares the console password.
	madeBefore   time.Time
	keepPassword bool
}

// Deactivate sets every access key of a user Inactive, then removes the console password, and reads both back. A key that
// AWS does not let go keeps nobody from removing the password: what can be taken away is. m.UserID "" means whoever has
// the name now; with a UserID, nobody else's credentials are touched, and a user who was renamed is found. What is done
// already is not done again. Five calls, and one more for each active key and each further page.
func (e *Engine) Deactivate(ctx context.Context, m Member) Deactivation {
	ctx = aws.ForRemoval(ctx)
	p, err := e.present(ctx, m)
	if err != nil {
		return Deactivation{Err: err}
	}
	return e.deactivate(ctx, p, Deactivation{})
}

// Retire does the same with those credentials of a person alone that are older than maxAge, as Credentials.Retire of
// m.Known, which must be set, names them; told is since when the person has been told.
func (e *Engine) Retire(ctx context.Context, m Member, maxAge time.Duration, told time.Time) Deactivation {
	known := m.justSeen()
	if known == nil {
		return Deactivation{Err: errNobody}
	}
	now := e.clock.Now()
	_, password := known.Credentials.Retire(maxAge, told, now)
	return e.deactivate(aws.ForRemoval(ctx), known, Deactivation{madeBefore: now.Add(-maxAge), keepPassword: !password})
}

func (e *Engine) deactivate(ctx context.Context, p *access.Person, d Deactivation) Deactivation {
	if !p.Found {
		return d
	}
	d.Found, d.Member = true, Member{UserID: p.UserID, Name: p.Name}
	unlock, err := e.people.lock(ctx, p.UserID)
	if err != nil {
		d.Err = err
		return d
	}
	defer unlock()
	// The error of the first step that failed is the one to tell.
	for _, step := range []func(context.Context, *Deactivation) error{e.deactivateKeys, e.removePassword, e.verifyCredentials} {
		if err := step(ctx, &d); err != nil && d.Err == nil {
			d.Err = say(err)
		}
	}
	return d
}

// present is the user that is meant as AWS has it now.
func (e *Engine) present(ctx context.Context, m Member) (*access.Person, error) {
	if m.Name == "" && m.UserID == "" {
		return nil, errNobody
	}
	if m.Name != "" {
		p, err := e.user(ctx, m.Name)
		if err != nil {
			return nil, say(err)
		}
		if m.UserID == "" || p.Found && p.UserID == m.UserID {
			return p, nil
		}
	}
	// Renamed, deleted, or another user has the name now.
	all, err := e.readAccount(ctx, 0)
	if err != nil {
		return nil, err
	}
	if u := all.users[m.UserID]; u != nil {
		return &access.Person{Found: true, Name: u.Name, UserID: u.UserID}, nil
	}
	return &access.Person{}, nil
}

// deactivateKeys sets access keys Inactive, each whatever becomes of the others.
func (e *Engine) deactivateKeys(ctx context.Context, d *Deactivation) error {
	active, err := e.activeKeys(ctx, d)
	for _, key := range active {
		_, failed := e.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &d.Member.Name, AccessKeyId: &key.ID, Status: types.StatusTypeInactive})
		switch {
		case failed == nil:
			d.Keys++
		case !aws.IsNotFound(failed) && err == nil:
			err = failed
		}
	}
	return err
}

// activeKeys are the access keys that are to go and are not Inactive; none if the user has gone.
func (e *Engine) activeKeys(ctx context.Context, d *Deactivation) ([]access.Key, error) {
	keys, err := e.keys(ctx, d.Member.Name)
	if aws.IsNotFound(err) {
		return nil, nil
	}
	return slices.DeleteFunc(keys, func(k access.Key) bool { return !d.madeBefore.IsZero() && !k.Created.Before(d.madeBefore) }), err
}

func (e *Engine) removePassword(ctx context.Context, d *Deactivation) error {
	if d.keepPassword {
		return nil
	}
	_, err := e.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: &d.Member.Name})
	d.Password = err == nil
	if aws.IsNotFound(err) {
		return nil
	}
	return err
}

// verifyCredentials reads back that there is neither: the keys too, for whoever had the password could make one meanwhile.
func (e *Engine) verifyCredentials(ctx context.Context, d *Deactivation) error {
	active, err := e.activeKeys(ctx, d)
	if err != nil {
		return err
	}
	if len(active) > 0 {
		return told{text: fmt.Sprintf("AWS still shows %d active access keys of the IAM user %s", len(active), d.Member.Name)}
	}
	if d.keepPassword {
		return nil
	}
	out, err := e.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: &d.Member.Name})
	switch {
	case aws.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case out.LoginProfile == nil:
		return errIncomplete
	}
	return told{text: "AWS still shows a console password of the IAM user " + d.Member.Name}
}
