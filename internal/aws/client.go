// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package aws is the one narrow door to AWS IAM: the operations that are used, what their errors mean, and how they
// are told to people.
package aws

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"k8s.io/utils/clock"
)

// IAM are the operations that the operator uses, with the signatures of the SDK, so that the SDK's client is one.
type IAM interface {
	GetUser(ctx context.Context, in *iam.GetUserInput, opts ...func(*iam.Options)) (*iam.GetUserOutput, error)
	ListMFADevices(ctx context.Context, in *iam.ListMFADevicesInput, opts ...func(*iam.Options)) (*iam.ListMFADevicesOutput, error)
	ListGroupsForUser(ctx context.Context, in *iam.ListGroupsForUserInput, opts ...func(*iam.Options)) (*iam.ListGroupsForUserOutput, error)
	GetGroup(ctx context.Context, in *iam.GetGroupInput, opts ...func(*iam.Options)) (*iam.GetGroupOutput, error)
	AddUserToGroup(ctx context.Context, in *iam.AddUserToGroupInput, opts ...func(*iam.Options)) (*iam.AddUserToGroupOutput, error)
	RemoveUserFromGroup(ctx context.Context, in *iam.RemoveUserFromGroupInput, opts ...func(*iam.Options)) (*iam.RemoveUserFromGroupOutput, error)
	GetAccountAuthorizationDetails(ctx context.Context, in *iam.GetAccountAuthorizationDetailsInput, opts ...func(*iam.Options)) (*iam.GetAccountAuthorizationDetailsOutput, error)
	ListAccessKeys(ctx context.Context, in *iam.ListAccessKeysInput, opts ...func(*iam.Options)) (*iam.ListAccessKeysOutput, error)
	UpdateAccessKey(ctx context.Context, in *iam.UpdateAccessKeyInput, opts ...func(*iam.Options)) (*iam.UpdateAccessKeyOutput, error)
	GetLoginProfile(ctx context.Context, in *iam.GetLoginProfileInput, opts ...func(*iam.Options)) (*iam.GetLoginProfileOutput, error)
	DeleteLoginProfile(ctx context.Context, in *iam.DeleteLoginProfileInput, opts ...func(*iam.Options)) (*iam.DeleteLoginProfileOutput, error)
	ListUserPolicies(ctx context.Context, in *iam.ListUserPoliciesInput, opts ...func(*iam.Options)) (*iam.ListUserPoliciesOutput, error)
	PutUserPolicy(ctx context.Context, in *iam.PutUserPolicyInput, opts ...func(*iam.Options)) (*iam.PutUserPolicyOutput, error)
	DeleteUserPolicy(ctx context.Context, in *iam.DeleteUserPolicyInput, opts ...func(*iam.Options)) (*iam.DeleteUserPolicyOutput, error)
	GenerateCredentialReport(ctx context.Context, in *iam.GenerateCredentialReportInput, opts ...func(*iam.Options)) (*iam.GenerateCredentialReportOutput, error)
	GetCredentialReport(ctx context.Context, in *iam.GetCredentialReportInput, opts ...func(*iam.Options)) (*iam.GetCredentialReportOutput, error)
	CreateUser(ctx context.Context, in *iam.CreateUserInput, opts ...func(*iam.Options)) (*iam.CreateUserOutput, error)
	DeleteUser(ctx context.Context, in *iam.DeleteUserInput, opts ...func(*iam.Options)) (*iam.DeleteUserOutput, error)
	CreateLoginProfile(ctx context.Context, in *iam.CreateLoginProfileInput, opts ...func(*iam.Options)) (*iam.CreateLoginProfileOutput, error)
	CreateVirtualMFADevice(ctx context.Context, in *iam.CreateVirtualMFADeviceInput, opts ...func(*iam.Options)) (*iam.CreateVirtualMFADeviceOutput, error)
	EnableMFADevice(ctx context.Context, in *iam.EnableMFADeviceInput, opts ...func(*iam.Options)) (*iam.EnableMFADeviceOutput, error)
	DeactivateMFADevice(ctx context.Context, in *iam.DeactivateMFADeviceInput, opts ...func(*iam.Options)) (*iam.DeactivateMFADeviceOutput, error)
	DeleteVirtualMFADevice(ctx context.Context, in *iam.DeleteVirtualMFADeviceInput, opts ...func(*iam.Options)) (*iam.DeleteVirtualMFADeviceOutput, error)
	ListVirtualMFADevices(ctx context.Context, in *iam.ListVirtualMFADevicesInput, opts ...func(*iam.Options)) (*iam.ListVirtualMFADevicesOutput, error)
	ListMFADeviceTags(ctx context.Context, in *iam.ListMFADeviceTagsInput, opts ...func(*iam.Options)) (*iam.ListMFADeviceTagsOutput, error)
	CreateAccessKey(ctx context.Context, in *iam.CreateAccessKeyInput, opts ...func(*iam.Options)) (*iam.CreateAccessKeyOutput, error)
	DeleteAccessKey(ctx context.Context, in *iam.DeleteAccessKeyInput, opts ...func(*iam.Options)) (*iam.DeleteAccessKeyOutput, error)
	ListSigningCertificates(ctx context.Context, in *iam.ListSigningCertificatesInput, opts ...func(*iam.Options)) (*iam.ListSigningCertificatesOutput, error)
	DeleteSigningCertificate(ctx context.Context, in *iam.DeleteSigningCertificateInput, opts ...func(*iam.Options)) (*iam.DeleteSigningCertificateOutput, error)
	ListSSHPublicKeys(ctx context.Context, in *iam.ListSSHPublicKeysInput, opts ...func(*iam.Options)) (*iam.ListSSHPublicKeysOutput, error)
	DeleteSSHPublicKey(ctx context.Context, in *iam.DeleteSSHPublicKeyInput, opts ...func(*iam.Options)) (*iam.DeleteSSHPublicKeyOutput, error)
	ListServiceSpecificCredentials(ctx context.Context, in *iam.ListServiceSpecificCredentialsInput, opts ...func(*iam.Options)) (*iam.ListServiceSpecificCredentialsOutput, error)
	DeleteServiceSpecificCredential(ctx context.Context, in *iam.DeleteServiceSpecificCredentialInput, opts ...func(*iam.Options)) (*iam.DeleteServiceSpecificCredentialOutput, error)
	ListAttachedUserPolicies(ctx context.Context, in *iam.ListAttachedUserPoliciesInput, opts ...func(*iam.Options)) (*iam.ListAttachedUserPoliciesOutput, error)
	DetachUserPolicy(ctx context.Context, in *iam.DetachUserPolicyInput, opts ...func(*iam.Options)) (*iam.DetachUserPolicyOutput, error)
	ListAccountAliases(ctx context.Context, in *iam.ListAccountAliasesInput, opts ...func(*iam.Options)) (*iam.ListAccountAliasesOutput, error)
}

// Options say how AWS is called. Only Timeout is needed.
type Options struct {
	// Timeout bounds one attempt of a call, and a write with all its attempts. It counts from when the call's turn at the
	// limiter has come, so a write is on its way for no longer. A read with all its attempts has three times as long; a
	// call about the whole account has four times as long for either. It is also how long a call that is not for a removal
	// waits for its turn.
	Timeout time.Duration
	// Watch sees every HTTP exchange with IAM. Default: none does.
	Watch func(http.RoundTripper) http.RoundTripper
	// Rate is how many reads a second AWS is asked at most, from which the other limits follow: see DefaultRate.
	Rate float64
	// RevokeRoleARN is the role that signs what takes access away. Default: the credentials that sign everything else.
	RevokeRoleARN string
	// BreakGlassRoleARN is the role that signs what is done about temporary users, but their memberships. Default: the
	// credentials that sign everything else.
	BreakGlassRoleARN string
	// Observe is told of every call when it is over. It must be quick. Default: nobody is.
	Observe func(Observation)
	// Clock paces the limiter. Default: the real clock.
	Clock clock.Clock
}

// Observation is one call that is over, as metrics count it.
type Observation struct {
	Operation string
	// Outcome is OK, the error code of AWS, or in one word what happened instead of an answer.
	Outcome string
	Class   Class
	// Removal says that the call had the share that is reserved for removals.
	Removal bool
	// Waited is for how long the call waited for its turn at the limiter, its further attempts included.
	Waited time.Duration
	// Rate is how many calls a second that share of the limiter allows now.
	Rate float64
}

// Client is IAM as the operator calls it: limited, bounded in time, and signed by the role that the call is for.
type Client struct {
	*iam.Client

	identity *sts.Client
	signers  *signers
}

// New makes a client from the SDK's usual environment: AWS_REGION, AWS_ENDPOINT_URL_IAM, AWS_MAX_ATTEMPTS, credentials or
// a web identity.
//
// A call is tried three times with the backoff of the SDK's standard retryer, which leaves out the conflicts that pass by
// themselves; here they are tried again too. A quota (LimitExceeded) is not: waiting does not help.
func New(ctx context.Context, o Options) (*Client, error) {
	o.Clock = cmp.Or[clock.Clock](o.Clock, clock.RealClock{})
	// IAM is one service for all regions, signed for us-east-1, so nobody has to name a region for it.
	// Source: https://docs.aws.amazon.com/general/latest/gr/iam-service.html
	// The HTTP client must be the SDK's own, or AWS_CA_BUNDLE is refused.
	cfg, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion("us-east-1"),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(o.Timeout)))
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	signers, err := newSigners(cfg, o)
	if err != nil {
		return nil, err
	}
	calls := &calls{options: o, limiter: newLimiter(cmp.Or(o.Rate, DefaultRate), o.Clock), signers: signers}
	return &Client{identity: sts.NewFromConfig(cfg), signers: signers, Client: iam.NewFromConfig(cfg, func(opts *iam.Options) {
		opts.Credentials = signers
		opts.HTTPClient = calls.transport(opts.HTTPClient)
		opts.APIOptions = append(opts.APIOptions, calls.register)
		// The limiter paces what is tried again. A quota of the SDK's own, shared by all calls, would let additions that are
		// throttled use up the attempts of removals.
		opts.Retryer = retry.AddWithErrorCodes(retry.NewStandard(func(s *retry.StandardOptions) { s.RateLimiter = ratelimit.None }),
			codeConcurrentModification, codeTemporarilyUnmodifiable)
	})}, nil
}

// exchange is both ends of an HTTP exchange: what the SDK calls and what a transport is.
type exchange func(*http.Request) (*http.Response, error)

// Do implements iam.HTTPClient.
func (e exchange) Do(req *http.Request) (*http.Response, error) { return e(req) }

// RoundTrip implements http.RoundTripper.
func (e exchange) RoundTrip(req *http.Request) (*http.Response, error) { return e(req) }
