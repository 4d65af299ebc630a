// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

// reportEvery is how long the demo's IAM gives the same credential report: four hours would be long to watch. It is longer
// than the operator waits for a report that is being made.
const reportEvery = 5 * time.Second

var account = policy.Account{Partition: "aws", ID: "111122223333"}

func (s *stage) startIAM(context.Context) error {
	s.account = fake.New(fake.Config{Account: account.ID, ReportEvery: reportEvery})
	for _, p := range people {
		s.account.AddUser(fake.User{Name: p.name, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: username(p.name)}})
	}
	for _, group := range []string{"hera-prod-infra-manager", memberGroup, securityGroup} {
		s.account.AddGroup(group)
	}
	s.server = httptest.NewServer(s.account)
	s.iam = iam.New(iam.Options{Region: "us-east-1", BaseEndpoint: &s.server.URL,
		Credentials: awssdk.CredentialsProviderFunc(func(context.Context) (awssdk.Credentials, error) {
			return awssdk.Credentials{AccessKeyID: "AKIAFAKEDEMOAUDIENCE", SecretAccessKey: "not-checked"}, nil
		})})
	return nil
}

// administer does what the AWS administrator does before the operator comes: the manager prints the policies and never
// writes them.
func (s *stage) administer(ctx context.Context) error {
	for _, role := range []string{"infra-manager", "infra-member", "security-engineer", "developer"} {
		rendered, err := render(ctx, "--role", role, "-f", config+"/roles", "--format", "json")
		if err != nil {
			return err
		}
		var r policy.Rendered
		if err := json.Unmarshal(rendered, &r); err != nil {
			return fmt.Errorf("the policies of %s: %w", role, err)
		}
		if err := s.apply(&r); err != nil {
			return fmt.Errorf("the policies of %s: %w", role, err)
		}
	}
	boundary, err := render(ctx, "--boundary")
	if err != nil {
		return err
	}
	arn, err := s.createPolicy(policy.Path, policy.BoundaryName, boundary)
	if err != nil {
		return err
	}
	// In an account of its own it may be wider or narrower: it is the most that any temporary user can do.
	if _, err := s.createPolicy(policy.Path, temporaryBoundaryName, boundary); err != nil {
		return err
	}
	for _, p := range people {
		if err := s.account.Admin("PutUserPermissionsBoundary", map[string]string{"UserName": p.name, "PermissionsBoundary": arn}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) apply(r *policy.Rendered) error {
	var errs []error
	attach := r.Attach
	for _, group := range r.Groups {
		errs = append(errs, s.account.Admin("PutGroupPolicy",
			map[string]string{"GroupName": group, "PolicyName": r.Guard.Name, "PolicyDocument": string(r.Guard.Document)}))
	}
	if p := r.Policy; p != nil {
		arn, err := s.createPolicy(p.Path, p.Name, p.Document)
		attach, errs = append(attach, arn), append(errs, err)
	}
	for _, group := range r.Groups {
		for _, arn := range attach {
			errs = append(errs, s.account.Admin("AttachGroupPolicy", map[string]string{"GroupName": group, "PolicyArn": arn}))
		}
	}
	return errors.Join(errs...)
}

func (s *stage) createPolicy(path, name string, document []byte) (arn string, err error) {
	err = s.account.Admin("CreatePolicy", map[string]string{"Path": path, "PolicyName": name, "PolicyDocument": string(document)})
	return fmt.Sprintf("arn:%s:iam::%s:policy%s%s", account.Partition, account.ID, path, name), err
}

// render has the manager print policies.
func render(ctx context.Context, args ...string) ([]byte, error) {
	args = append([]string{"aws", "render", "--account", account.ID}, args...)
	var refusal strings.Builder
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stderr = &refusal
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", binary, strings.Join(args, " "), err, refusal.String())
	}
	return out, nil
}

func (s *story) members(group string) command {
	text := fmt.Sprintf("aws iam get-group --group-name %s --query 'Users[].UserName' --output text", group)
	return command{text, func(ctx context.Context) (string, error) {
		out, err := s.iam.GetGroup(ctx, &iam.GetGroupInput{GroupName: &group})
		if err != nil {
			return "", err
		}
		var names []string
		for _, u := range out.Users {
			names = append(names, *u.UserName)
		}
		return strings.Join(names, "\t"), nil
	}}
}

func (s *story) groupsOf(user string) command {
	text := fmt.Sprintf("aws iam list-groups-for-user --user-name %s --query 'Groups[].GroupName' --output text", user)
	return command{text, func(ctx context.Context) (string, error) {
		out, err := s.iam.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: &user})
		if err != nil {
			return "", err
		}
		var names []string
		for _, g := range out.Groups {
			names = append(names, *g.GroupName)
		}
		return strings.Join(names, "\t"), nil
	}}
}

// policiesOf lists a person's own inline policies, of which a fence is one.
func (s *story) policiesOf(user string) command {
	text := fmt.Sprintf("aws iam list-user-policies --user-name %s --query PolicyNames --output text", user)
	return command{text, func(ctx context.Context) (string, error) {
		out, err := s.iam.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: &user})
		if err != nil {
			return "", err
		}
		return strings.Join(out.PolicyNames, "\t"), nil
	}}
}

func (s *story) policy(user, name string) command {
	text := fmt.Sprintf("aws iam get-user-policy --user-name %s --policy-name %s --query 'PolicyDocument.Statement[]'", user, name)
	return command{text, func(ctx context.Context) (string, error) {
		out, err := s.iam.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &user, PolicyName: &name})
		if err != nil {
			return "", err
		}
		plain, err := url.PathUnescape(*out.PolicyDocument)
		if err != nil {
			return "", err
		}
		var document struct{ Statement []json.RawMessage }
		if err := json.Unmarshal([]byte(plain), &document); err != nil {
			return "", err
		}
		statements, err := json.Marshal(document.Statement)
		return string(statements), err
	}}
}

// device is the MFA device of somebody who has one.
func (s *story) device(user string) command {
	text := fmt.Sprintf("aws iam list-mfa-devices --user-name %s --query 'MFADevices[].SerialNumber' --output text", user)
	return command{text, func(ctx context.Context) (string, error) {
		out, err := s.iam.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: &user})
		if err != nil {
			return "", err
		}
		var serials []string
		for _, d := range out.MFADevices {
			serials = append(serials, *d.SerialNumber)
		}
		return strings.Join(serials, "\t"), nil
	}}
}

func (s *story) deactivate(user, serial string) command {
	return command{fmt.Sprintf("aws iam deactivate-mfa-device --user-name %s --serial-number %s", user, serial), func(ctx context.Context) (string, error) {
		_, err := s.iam.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: &user, SerialNumber: &serial})
		return "", err
	}}
}

// register makes a virtual MFA device and enables it by two of its codes, as an app on a phone shows them.
func (s *story) register(ctx context.Context, user, name string) {
	serial := fmt.Sprintf("arn:%s:iam::%s:mfa/%s", account.Partition, account.ID, name)
	var codes [2]string
	s.act(ctx, command{
		fmt.Sprintf("aws iam create-virtual-mfa-device --virtual-mfa-device-name %s --bootstrap-method Base32StringSeed --outfile $DEMO/%s "+
			"--query VirtualMFADevice.SerialNumber --output text", name, name),
		func(ctx context.Context) (string, error) {
			out, err := s.iam.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &name})
			if err != nil {
				return "", err
			}
			seed := out.VirtualMFADevice.Base32StringSeed
			for i := range codes {
				if codes[i], err = fake.TOTP(string(seed), time.Now().Add(time.Duration(i)*30*time.Second)); err != nil {
					return "", err
				}
			}
			return serial, os.WriteFile(s.path(name), seed, 0o600)
		},
	})
	s.act(ctx, command{
		fmt.Sprintf("aws iam enable-mfa-device --user-name %s --serial-number %s --authentication-code1 %s --authentication-code2 %s",
			user, serial, codes[0], codes[1]),
		func(ctx context.Context) (string, error) {
			_, err := s.iam.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{
				UserName: &user, SerialNumber: &serial, AuthenticationCode1: &codes[0], AuthenticationCode2: &codes[1],
			})
			return "", err
		},
	})
}
