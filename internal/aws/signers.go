// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

const (
	// revokerSession and breakGlassSession name the sessions of the other roles in CloudTrail.
	revokerSession    = "prod-access-revoker"
	breakGlassSession = "prod-access-break-glass"
	// otherRetry is for how long another role that cannot be assumed is not tried again where somebody else may sign.
	otherRetry = 30 * time.Second
	// otherExpiry is how long before their end the credentials of another role are renewed.
	otherExpiry = time.Minute
)

// signers are the credentials that calls are signed with: those of the role for temporary users for what is done about them,
// those of the revoker for what it has the right to within a removal, the operator's own for all else, and where the others
// cannot be had, because a removal must not wait for them.
type signers struct {
	clock   clock.Clock
	own     aws.CredentialsProvider
	timeout time.Duration

	revoker, breakGlass *otherRole // nil: there is none
}

// otherRole is a role that the operator assumes for some calls.
type otherRole struct {
	arn   string
	does  string // as the log tells it
	creds *aws.CredentialsCache

	mu     sync.Mutex
	broken time.Time // until when it is not tried
}

func newSigners(cfg aws.Config, o Options) (*signers, error) {
	s := &signers{clock: o.Clock, own: cfg.Credentials, timeout: o.Timeout}
	var err error
	if s.revoker, err = newOtherRole(cfg, o.RevokeRoleARN, revokerSession, "takes access away"); err != nil {
		return nil, err
	}
	s.breakGlass, err = newOtherRole(cfg, o.BreakGlassRoleARN, breakGlassSession, "makes and deletes temporary users")
	return s, err
}

// newOtherRole is nil if there is no such role.
func newOtherRole(cfg aws.Config, role, session, does string) (*otherRole, error) {
	if role == "" {
		return nil, nil
	}
	if _, err := roleName(role); err != nil {
		return nil, err
	}
	env, err := config.NewEnvConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the AWS environment: %w", err)
	}
	var assume aws.CredentialsProvider
	client := sts.NewFromConfig(cfg)
	if file := env.WebIdentityTokenFilePath; file != "" {
		// By the pod's own token, so that it works when the operator's role is disabled.
		assume = stscreds.NewWebIdentityRoleProvider(client, role, stscreds.IdentityTokenFile(file),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = session })
	} else {
		assume = stscreds.NewAssumeRoleProvider(client, role, func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = session })
	}
	return &otherRole{arn: role, does: does, creds: aws.NewCredentialsCache(assume, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = otherExpiry })}, nil
}

// others are those who would sign a call before the operator's own role does, the best first.
func (s *signers) others(c *call) []*otherRole {
	var all []*otherRole
	if s.breakGlass != nil && c.temporary && c.action.BreakGlass {
		all = append(all, s.breakGlass)
	}
	if s.revoker != nil && c.removal && c.action.Revoker {
		all = append(all, s.revoker)
	}
	return all
}

// Retrieve implements aws.CredentialsProvider. It goes by the call that the context is for.
func (s *signers) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c := callOf(ctx)
	c.by = nil
	others := s.others(c)
	for c.passed < len(others) {
		role := others[c.passed]
		if c.yields() && role.isBroken(s.clock) {
			c.passed++
			continue
		}
		creds, err := s.assume(ctx, role)
		switch {
		case err == nil:
			c.by = role
			return creds, nil
		case !c.yields():
			return creds, &unassumed{err, role.arn}
		case ctx.Err() == nil:
			role.setBroken(ctx, s.clock, err)
		}
		c.passed++
	}
	return s.own.Retrieve(ctx)
}

func (s *signers) assume(ctx context.Context, role *otherRole) (aws.Credentials, error) {
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return role.creds.Retrieve(bounded)
}

// refused says whether AWS refused a call for who signed it, and not for what it asks.
func (s *signers) refused(ctx context.Context, role *otherRole, err error) bool {
	if !IsDenied(err) && !hasCode(err, stale...) {
		return false
	}
	logr.FromContextOrDiscard(ctx).Error(nil, "the role that "+role.does+" was refused: another one tries instead", "role", role.arn, "why", Explain(err))
	return true
}

// stale are the errors of credentials that were good once, as when the sessions of a role were revoked.
var stale = []string{"ExpiredToken", "InvalidClientTokenId"}

// renew gets new credentials for the next call if those of this one are not good any more, whatever the own clock says.
func (s *signers) renew(err error) {
	if !hasCode(err, stale...) {
		return
	}
	if own, ok := s.own.(*aws.CredentialsCache); ok && own != nil {
		own.Invalidate()
	}
	for _, role := range []*otherRole{s.revoker, s.breakGlass} {
		if role != nil {
			role.creds.Invalidate()
		}
	}
}

func (r *otherRole) setBroken(ctx context.Context, c clock.Clock, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = c.Now().Add(otherRetry)
	logr.FromContextOrDiscard(ctx).Error(nil, "the role that "+r.does+" cannot be assumed: another one signs removals meanwhile",
		"role", r.arn, "why", Explain(err))
}

func (r *otherRole) isBroken(c clock.Clock) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.Now().Before(r.broken)
}

// roleName is the name in the ARN of an IAM role, without its path.
func roleName(role string) (string, error) {
	a, err := arn.Parse(role)
	if err != nil || a.Service != "iam" || !isRole.MatchString(a.Resource) {
		return "", fmt.Errorf("%q is not the ARN of an IAM role, such as arn:aws:iam::111122223333:role/prod-access-revoker", role)
	}
	return isRole.FindStringSubmatch(a.Resource)[1], nil
}

type onTemporaryUserKey struct{}

// OnTemporaryUser marks the calls within as being about a temporary user, to be signed by the role of --break-glass-role-arn.
func OnTemporaryUser(ctx context.Context) context.Context {
	return context.WithValue(ctx, onTemporaryUserKey{}, true)
}

func isOnTemporaryUser(ctx context.Context) bool {
	marked, _ := ctx.Value(onTemporaryUserKey{}).(bool)
	return marked
}
