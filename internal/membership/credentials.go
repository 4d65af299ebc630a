// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"

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
	// Err is set as long as it is not verified that no access key is Active and that there is no console password. It is
	// told to people; the call is to be made again.
	Err error
}

// Deactivate sets every access key of a user Inactive, then removes the console password, and reads both back. A key that
// AWS does not let go keeps nobody from removing the password: what can be taken away is. m.UserID "" means whoever has
// the name now; with a UserID, nobody else's credentials are touched, and a user who was renamed is found. What is done
// already is not done again. Five calls, and one more for each active key and each further page.
func (e *Engine) Deactivate(ctx context.Context, m Member) Deactivation {
	p, err := e.present(ctx, m)
	if err != nil {
		return Deactivation{Err: err}
	}
	if !p.Found {
		return Deactivation{}
	}
	d := Deactivation{Found: true, Member: Member{UserID: p.UserID, Name: p.Name}}
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
	users, err := e.users(ctx)
	if err != nil {
		return nil, say(err)
	}
	for _, u := range users {
		if u.UserID == m.UserID {
			return &access.Person{Found: true, Name: u.Name, UserID: u.UserID}, nil
		}
	}
	return &access.Person{}, nil
}

// deactivateKeys sets every access key Inactive, each whatever becomes of the others.
func (e *Engine) deactivateKeys(ctx context.Context, d *Deactivation) error {
	active, err := e.activeKeys(ctx, d.Member.Name)
	for _, key := range active {
		_, failed := e.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &d.Member.Name, AccessKeyId: &key, Status: types.StatusTypeInactive})
		switch {
		case failed == nil:
			d.Keys++
		case !aws.IsNotFound(failed) && err == nil:
			err = failed
		}
	}
	return err
}

// activeKeys are the ids of the user's access keys that are not Inactive; none if the user has gone.
func (e *Engine) activeKeys(ctx context.Context, name string) ([]string, error) {
	var active []string
	pages := iam.NewListAccessKeysPaginator(e.iam, &iam.ListAccessKeysInput{UserName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if aws.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if page.AccessKeyMetadata == nil || page.IsTruncated && page.Marker == nil {
			return nil, errIncomplete
		}
		for _, k := range page.AccessKeyMetadata {
			if k.AccessKeyId == nil {
				return nil, errIncomplete
			}
			if k.Status != types.StatusTypeInactive {
				active = append(active, *k.AccessKeyId)
			}
		}
	}
	return active, nil
}

func (e *Engine) removePassword(ctx context.Context, d *Deactivation) error {
	_, err := e.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: &d.Member.Name})
	d.Password = err == nil
	if aws.IsNotFound(err) {
		return nil
	}
	return err
}

// verifyCredentials reads back that there is neither: the keys too, for whoever had the password could make one meanwhile.
func (e *Engine) verifyCredentials(ctx context.Context, d *Deactivation) error {
	active, err := e.activeKeys(ctx, d.Member.Name)
	if err != nil {
		return err
	}
	if len(active) > 0 {
		return told{text: fmt.Sprintf("AWS still shows %d active access keys of the IAM user %s", len(active), d.Member.Name)}
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
