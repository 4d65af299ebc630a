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
	// revokerSession names the sessions of the revoker in CloudTrail.
	revokerSession = "prod-access-revoker"
	// revokerRetry is for how long removals are signed otherwise before the revoker's role is tried again.
	revokerRetry = 30 * time.Second
	// revokerExpiry is how long before their end the revoker's credentials are renewed.
	revokerExpiry = time.Minute
)

// signers are the credentials that calls are signed with: those of the revoker for what it has the right to within a
// removal, the operator's own for all else, and where the revoker's cannot be had, because a removal must not wait for them.
type signers struct {
	clock   clock.Clock
	own     aws.CredentialsProvider
	revoker *aws.CredentialsCache // nil: there is none
	role    string
	timeout time.Duration

	mu     sync.Mutex
	broken time.Time // until when the revoker is not tried
}

func newSigners(cfg aws.Config, o Options) (*signers, error) {
	s := &signers{clock: o.Clock, own: cfg.Credentials, role: o.RevokeRoleARN, timeout: o.Timeout}
	if o.RevokeRoleARN == "" {
		return s, nil
	}
	if _, err := roleName(o.RevokeRoleARN); err != nil {
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
		assume = stscreds.NewWebIdentityRoleProvider(client, o.RevokeRoleARN, stscreds.IdentityTokenFile(file),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = revokerSession })
	} else {
		assume = stscreds.NewAssumeRoleProvider(client, o.RevokeRoleARN, func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = revokerSession })
	}
	s.revoker = aws.NewCredentialsCache(assume, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = revokerExpiry })
	return s, nil
}

// Retrieve implements aws.CredentialsProvider. It goes by the call that the context is for.
func (s *signers) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c := callOf(ctx)
	c.byRevoker = false
	if s.revoker == nil || !c.removal || !c.action.Revoker || c.ownOnly || s.isBroken() {
		return s.own.Retrieve(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	creds, err := s.revoker.Retrieve(bounded)
	if err == nil {
		c.byRevoker = true
		return creds, nil
	}
	if ctx.Err() == nil {
		s.setBroken(ctx, err)
	}
	return s.own.Retrieve(ctx)
}

// refused says whether AWS refused a call for who signed it, and not for what it asks.
func (s *signers) refused(ctx context.Context, err error) bool {
	if !IsDenied(err) && !hasCode(err, stale...) {
		return false
	}
	logr.FromContextOrDiscard(ctx).Error(nil, "the role that takes access away was refused: the operator's own role tries instead", "role", s.role, "why", Explain(err))
	return true
}

// stale are the errors of credentials that were good once, as when the sessions of a role were revoked.
var stale = []string{"ExpiredToken", "InvalidClientTokenId"}

// renew gets new credentials for the next call if those of this one are not good any more, whatever the own clock says.
func (s *signers) renew(err error) {
	if !hasCode(err, stale...) {
		return
	}
	for _, p := range []aws.CredentialsProvider{s.own, s.revoker} {
		if cache, ok := p.(*aws.CredentialsCache); ok && cache != nil {
			cache.Invalidate()
		}
	}
}

func (s *signers) setBroken(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = s.clock.Now().Add(revokerRetry)
	logr.FromContextOrDiscard(ctx).Error(nil, "the role that takes access away cannot be assumed: the operator's own role signs removals meanwhile",
		"role", s.role, "why", Explain(err))
}

func (s *signers) isBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock.Now().Before(s.broken)
}

// roleName is the name in the ARN of an IAM role, without its path.
func roleName(role string) (string, error) {
	a, err := arn.Parse(role)
	if err != nil || a.Service != "iam" || !isRole.MatchString(a.Resource) {
		return "", fmt.Errorf("%q is not the ARN of an IAM role, such as arn:aws:iam::111122223333:role/prod-access-revoker", role)
	}
	return isRole.FindStringSubmatch(a.Resource)[1], nil
}
