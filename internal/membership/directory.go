// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/hera-platform/prod-access-operator/internal/access"
)

const (
	// directoryFor is how long the directory is used after its reading began. Tags change who is who, so it is short.
	directoryFor = time.Minute
	// directoryTimeout bounds the reading of all users: 5,000 at most, in five calls.
	directoryTimeout = 30 * time.Second
	// usersPerPage is the most that IAM answers at once.
	// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
	usersPerPage = 1000
)

// directory is the last reading of all users, and the one that is under way.
type directory struct {
	mu      sync.Mutex
	read    *reading
	pending *reading
}

// reading is one reading of all users. Everything but done is set before done is closed.
type reading struct {
	began time.Time
	done  chan struct{}
	who   access.Directory
	err   error
}

// Directory tells who is who among all IAM users, from a reading that began less than a minute ago. Callers share one
// reading, which goes on when one of them gives up; one that failed is told to those who awaited it and not kept. One call
// for each 1,000 users.
func (e *Engine) Directory(ctx context.Context) (access.Directory, error) {
	r := e.reading(ctx)
	select {
	case <-r.done:
		return r.who, r.err
	case <-ctx.Done():
		return access.Directory{}, told{text: "AWS takes too long to list the IAM users", err: ctx.Err()}
	}
}

// reading is the one to await: the last if it is young enough, else one that is under way or begins now.
func (e *Engine) reading(ctx context.Context) *reading {
	d := &e.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	now := e.clock.Now()
	switch {
	case d.read != nil && now.Sub(d.read.began) < directoryFor:
		return d.read
	case d.pending != nil:
		return d.pending
	}
	r := &reading{began: now, done: make(chan struct{})}
	d.pending = r
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), directoryTimeout)
		defer cancel()
		users, err := e.users(ctx)
		if err != nil {
			r.err = say(err)
		} else {
			r.who = access.NewDirectory(users...)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.pending = nil; r.err == nil {
			d.read = r
		}
		close(r.done)
	}()
	return r
}

// users reads all IAM users with their tags.
func (e *Engine) users(ctx context.Context) ([]access.User, error) {
	most := int32(usersPerPage)
	pages := iam.NewGetAccountAuthorizationDetailsPaginator(e.iam, &iam.GetAccountAuthorizationDetailsInput{
		Filter: []types.EntityType{types.EntityTypeUser}, MaxItems: &most,
	})
	var users []access.User
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		// Without the marker the paginator would stop before the end.
		if page.UserDetailList == nil || page.IsTruncated && page.Marker == nil {
			return nil, errIncomplete
		}
		for _, u := range page.UserDetailList {
			if u.UserId == nil || u.UserName == nil || u.Arn == nil {
				return nil, errIncomplete
			}
			users = append(users, access.User{UserID: *u.UserId, Name: *u.UserName, ARN: *u.Arn, Tags: tagsOf(u.Tags)})
		}
	}
	return users, nil
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
