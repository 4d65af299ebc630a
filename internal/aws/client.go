// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package aws is the one narrow door to AWS IAM: the operations that are used, what their errors mean, and how they
// are told to people.
package aws

import (
	"context"
	"fmt"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
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
}

// New makes a client from the SDK's usual environment: AWS_REGION, AWS_ENDPOINT_URL_IAM, credentials or a web identity.
// timeout bounds each attempt of a call; the SDK makes three (its standard retryer), with backoff between them.
// watch sees every HTTP exchange.
func New(ctx context.Context, timeout time.Duration, watch func(http.RoundTripper) http.RoundTripper) (*iam.Client, error) {
	// IAM is one service for all regions, signed for us-east-1, so nobody has to name a region for it.
	// Source: https://docs.aws.amazon.com/general/latest/gr/iam-service.html
	// The HTTP client must be the SDK's own, or AWS_CA_BUNDLE is refused.
	cfg, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion("us-east-1"),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(timeout)))
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	return iam.NewFromConfig(cfg, func(o *iam.Options) {
		o.HTTPClient = exchange(watch(exchange(o.HTTPClient.Do)).RoundTrip)
	}), nil
}

// exchange is both ends of an HTTP exchange: what the SDK calls and what a transport is.
type exchange func(*http.Request) (*http.Response, error)

// Do implements iam.HTTPClient.
func (e exchange) Do(req *http.Request) (*http.Response, error) { return e(req) }

// RoundTrip implements http.RoundTripper.
func (e exchange) RoundTrip(req *http.Request) (*http.Response, error) { return e(req) }
