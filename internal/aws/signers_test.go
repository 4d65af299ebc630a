// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

const (
	grantor = "prod-access-operator" // what the fake takes the operator's own key for
	revoker = "prod-access-revoker"
)

var revokerARN = "arn:aws:iam::111122223333:role/hera/" + revoker

// signed are the roles that signed the calls of an operation.
func (r *rig) signed(op string) []string {
	var roles []string
	for _, c := range r.account.Calls() {
		if c.Op == op {
			roles = append(roles, c.Role)
		}
	}
	return slices.Compact(roles)
}

func (r *rig) wantSigned(t *testing.T, op string, roles ...string) {
	t.Helper()
	if got := r.signed(op); !slices.Equal(got, roles) {
		t.Errorf("%s was signed by %v, want %v", op, got, roles)
	}
}

func podToken(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
}

// Each call is signed by the role that it is for, whichever way the revoker's role is assumed.
func TestSigners(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T){"by the operator's own role": func(*testing.T) {}, "by the token of the pod": podToken} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			r := newRig(t, aws.Options{RevokeRoleARN: revokerARN})
			r.account.AddRole(revoker, "/hera/")
			ctx := aws.ForRemoval(t.Context())
			if err := r.add(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.wantSigned(t, "AddUserToGroup", grantor)
			if err := r.get(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.wantSigned(t, "GetUser", grantor)
			if err := r.get(ctx); err != nil {
				t.Fatal(err)
			}
			r.wantSigned(t, "GetUser", grantor, revoker)
			if err := r.remove(ctx); err != nil {
				t.Fatal(err)
			}
			r.wantSigned(t, "RemoveUserFromGroup", revoker)
			if _, err := r.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: new("alice")}); err != nil {
				t.Fatal(err)
			}
			r.wantSigned(t, "ListUserPolicies", grantor) // the revoker has no right to it
			if n := r.account.Count("AssumeRole") + r.account.Count("AssumeRoleWithWebIdentity"); n != 1 {
				t.Errorf("the role was assumed %d times", n)
			}
		})
	}
}

// With a token of the pod's own, what takes access away works when the operator's own role does not.
func TestRevokerWithoutGrantor(t *testing.T) {
	for name, row := range map[string]struct {
		prepare func(*testing.T)
		works   bool
	}{
		"by the token of the pod":    {podToken, true},
		"by the operator's own role": {func(*testing.T) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			row.prepare(t)
			r := newRig(t, aws.Options{RevokeRoleARN: revokerARN})
			r.account.AddRole(revoker, "/hera/")
			r.account.AddMember("admins", "alice")
			r.account.DenyCredentials(ownKey)
			if err := r.get(t.Context()); !strings.Contains(aws.Explain(err), "AWS IAM GetUser answered InvalidClientTokenId") {
				t.Errorf("the operator's own role: %v", err)
			}
			err := r.remove(aws.ForRemoval(t.Context()))
			if (err == nil) != row.works || r.account.IsMember("admins", "alice") == row.works {
				t.Errorf("member: %t, error: %v", r.account.IsMember("admins", "alice"), err)
			}
		})
	}
}

// A removal goes on by the operator's own role when the revoker's cannot be assumed, which is tried again later.
func TestRevokerCannotBeAssumed(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T){"by the operator's own role": func(*testing.T) {}, "by the token of the pod": podToken} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			r := newRig(t, aws.Options{RevokeRoleARN: revokerARN})
			ctx := aws.ForRemoval(t.Context())
			assumed := func() int { return r.account.Count("AssumeRole") + r.account.Count("AssumeRoleWithWebIdentity") }
			r.account.AddMember("admins", "alice")
			if err := r.remove(ctx); err != nil || r.account.IsMember("admins", "alice") {
				t.Fatalf("member: %t, error: %v", r.account.IsMember("admins", "alice"), err)
			}
			r.wantSigned(t, "RemoveUserFromGroup", grantor)

			r.account.AddRole(revoker, "/hera/")
			before := assumed()
			if err := r.remove(ctx); err != nil {
				t.Fatal(err)
			}
			if assumed() != before {
				t.Error("the role was tried again at once, so an STS that hangs would hold up every removal")
			}
			r.clock.Step(31 * time.Second)
			if err := r.remove(ctx); err != nil {
				t.Fatal(err)
			}
			r.wantSigned(t, "RemoveUserFromGroup", grantor, revoker)
		})
	}
}

// An STS that does not answer holds up a removal for the time of one call, and does not use up the removal's own.
func TestSTSHangs(t *testing.T) {
	podToken(t)
	r := newRig(t, aws.Options{RevokeRoleARN: revokerARN, Timeout: 300 * time.Millisecond})
	r.account.Inject("AssumeRoleWithWebIdentity", fake.Hang)
	r.account.AddMember("admins", "alice")
	if err := r.remove(t.Context()); err != nil || r.account.IsMember("admins", "alice") {
		t.Errorf("member: %t, error: %v", r.account.IsMember("admins", "alice"), err)
	}
}

// A removal goes on by the operator's own role when the revoker's may not do it. If neither may, it is told of the revoker.
func TestRevokerIsDenied(t *testing.T) {
	r := newRig(t, aws.Options{RevokeRoleARN: revokerARN})
	r.account.AddRole(revoker, "/hera/")
	r.account.AddMember("admins", "alice")
	r.account.DenyRoleActions(revoker, "iam:RemoveUserFromGroup")
	if err := r.remove(t.Context()); err != nil || r.account.IsMember("admins", "alice") {
		t.Fatalf("member: %t, error: %v", r.account.IsMember("admins", "alice"), err)
	}
	r.wantSigned(t, "RemoveUserFromGroup", revoker, grantor)

	r.account.AddMember("admins", "alice")
	r.account.DenyRoleActions(grantor, "iam:RemoveUserFromGroup")
	err := r.remove(t.Context())
	if !aws.IsDenied(err) || !strings.Contains(aws.Explain(err), "assumed-role/"+revoker) {
		t.Errorf("neither may: %v", err)
	}
}

// Credentials that AWS does not take any more are renewed, although by their own date they are good.
func TestSessionsRevoked(t *testing.T) {
	r := newRig(t, aws.Options{RevokeRoleARN: revokerARN})
	r.account.AddRole(revoker, "/hera/")
	if err := r.remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.account.Inject("RemoveUserFromGroup", fake.ErrorFault("ExpiredToken", 403).Times(1))
	if err := r.remove(t.Context()); err != nil {
		t.Errorf("with expired credentials: %v", err)
	}
	r.wantSigned(t, "RemoveUserFromGroup", revoker, grantor)
	if err := r.remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wantSigned(t, "RemoveUserFromGroup", revoker, grantor, revoker)
	if n := r.account.Count("AssumeRole"); n != 2 {
		t.Errorf("the role was assumed %d times, want 2", n)
	}
}

func TestRevokeRoleMustBeARole(t *testing.T) {
	for role, valid := range map[string]bool{
		revokerARN: true,
		"arn:aws-cn:iam::111122223333:role/revoker":  true,
		"prod-access-revoker":                        false,
		"arn:aws:iam::111122223333:user/revoker":     false,
		"arn:aws:sts::111122223333:assumed-role/r/s": false,
		"arn:aws:iam::111122223333:role/":            false,
	} {
		_, err := aws.New(t.Context(), aws.Options{Timeout: time.Second, RevokeRoleARN: role})
		if valid && err != nil || !valid && (err == nil || !strings.Contains(err.Error(), "is not the ARN of an IAM role")) {
			t.Errorf("%s: %v", role, err)
		}
	}
}
