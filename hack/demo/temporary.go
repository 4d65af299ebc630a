// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"filippo.io/age"

	"github.com/hera-platform/prod-access-operator/internal/policy"
	"github.com/hera-platform/prod-access-operator/internal/sealed"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	// locked is the emergency of somebody who cannot log in.
	locked = "alice-inc-12"
	// temporaryBoundaryName is the permissions boundary of temporary users.
	temporaryBoundaryName = "break-glass-boundary"
	// temporaryBoundary is its ARN in the account of the demo.
	temporaryBoundary = "arn:aws:iam::111122223333:policy" + policy.Path + temporaryBoundaryName
	// cliVariable names the environment variable with the path of the AWS CLI, which hack/awscli.sh prints.
	cliVariable = "DEMO_AWS"
	// masked is how much of a secret the audience sees.
	masked = 2
)

func (s *story) temporary(ctx context.Context) {
	s.note(ctx, "Alice is on call, and her phone, which is her MFA device, is at the bottom of a lake: a role for alice would not help her")
	if os.Getenv(cliVariable) == "" {
		s.note(ctx, "there is no AWS CLI (hack/awscli.sh could not install it): what it would show of the user in AWS is left out")
	}
	recipient := s.keygen(ctx, "alice")
	s.keygen(ctx, "bob")
	file := s.manifest(ctx, locked, "breakglass-temporary-user.yaml", func(spec map[string]any) {
		spec["temporaryUser"] = map[string]any{"recipients": []any{recipient}, "accessKey": "Create"}
		spec["incident"], spec["duration"], spec["openedBy"] = "INC-12", "10m", username("alice")
	})
	s.act(ctx, s.kubectl("alice", "create", "-f", file))
	s.check(ctx, "it is open, and nobody was asked", s.emergencies(locked), "Granted")
	user, ok := s.until(ctx, "the user has a name", s.kubectl("", "get", "bg", locked, "-o", "jsonpath={.status.temporaryUser.iamUser}"), "bg-"+locked)
	if !ok {
		return
	}
	c := s.handOver(ctx, user)
	s.asMade(ctx, user, c)
	added := s.addKey(ctx, user)
	s.endTemporary(ctx, user, c, added)
}

// handOver shows that the credentials are Alice's alone.
func (s *story) handOver(ctx context.Context, user string) (c sealed.Credentials) {
	stored := s.kubectl("bob", "get", "bg", locked, "-o", "jsonpath={.status.temporaryUser.credentials}")
	s.check(ctx, "its credentials are in the status, and encrypted", command{stored.text + " | head -n 1", func(ctx context.Context) (string, error) {
		answer, err := stored.run(ctx)
		first, _, _ := strings.Cut(answer, "\n")
		return first, err
	}}, "-----BEGIN AGE ENCRYPTED FILE-----")
	s.refused(ctx, "Bob may read the status, and his key does not open them", s.decrypt("bob", &sealed.Credentials{}), "are not for any of these private keys")
	s.check(ctx, "Alice's does (only here are they masked)", s.decrypt("alice", &c), user, "…")
	return c
}

// asMade shows the user in AWS.
func (s *story) asMade(ctx context.Context, user string, c sealed.Credentials) {
	arn := fmt.Sprintf("arn:%s:iam::%s:user%s%s", account.Partition, account.ID, policy.BreakGlassPath, user)
	s.shown(ctx, "they are real: AWS knows whose the access key is", s.awsAs(c.AccessKeyID, c.SecretAccessKey, "sts", "get-caller-identity", "--query", "Arn"), arn)
	s.shown(ctx, "the user has a permissions boundary", s.aws("iam", "get-user", "--user-name", user,
		"--query", "User.PermissionsBoundary.PermissionsBoundaryArn"), temporaryBoundary)
	s.shown(ctx, "an MFA device", s.aws("iam", "list-mfa-devices", "--user-name", user, "--query", "MFADevices[].SerialNumber"), policy.BreakGlassPath+user)
	s.shown(ctx, "a fence, by which AWS itself ends it", s.aws("iam", "list-user-policies", "--user-name", user, "--query", "PolicyNames"), "prod-access-fence-"+cluster)
	s.shown(ctx, "and the group of the role", s.aws("iam", "list-groups-for-user", "--user-name", user, "--query", "Groups[].GroupName"), managerGroup)
	s.check(ctx, "Alice herself is in none", s.groupsOf("alice"), "")
}

// addKey makes another access key of the user, and returns its id and its secret, which the audience sees nothing of.
func (s *story) addKey(ctx context.Context, user string) (key [2]string) {
	if os.Getenv(cliVariable) == "" {
		return key
	}
	create := s.aws("iam", "create-access-key", "--user-name", user, "--query", "AccessKey.[AccessKeyId,SecretAccessKey]")
	s.note(ctx, "somebody makes another access key of the user, by hand, to keep")
	s.act(ctx, command{create.text, func(ctx context.Context) (string, error) {
		answer, err := create.run(ctx)
		if err != nil {
			return "", err
		}
		found := strings.Fields(answer)
		if len(found) != len(key) {
			return "", fmt.Errorf("`%s` did not answer a key", create.text)
		}
		key[0], key[1] = found[0], found[1]
		return key[0] + "\t" + mask(key[1]), nil
	}})
	s.shown(ctx, "it works", s.awsAs(key[0], key[1], "sts", "get-caller-identity", "--query", "Arn"), user)
	return key
}

// endTemporary shows that nothing is left of the user.
func (s *story) endTemporary(ctx context.Context, user string, c sealed.Credentials, added [2]string) {
	digest, ok := s.until(ctx, "it can be revoked", s.kubectl("frank", "get", "bg", locked, "-o", "jsonpath={.status.specDigest}"), "sha256:")
	if !ok {
		return
	}
	file := s.manifest(ctx, locked+"-over", "revocation-grant.yaml", func(spec map[string]any) {
		spec["grant"] = map[string]any{"kind": "BreakGlass", "name": locked, "specDigest": digest}
		spec["reason"], spec["revokedBy"] = "The database answers again.", username("frank")
	})
	s.act(ctx, s.kubectl("frank", "create", "-f", file))
	s.check(ctx, "Frank has revoked it", s.emergencies(locked), "Revoked")
	s.shown(ctx, "no temporary user is left in AWS", s.aws("iam", "list-users", "--path-prefix", policy.BreakGlassPath, "--query", "Users[].UserName"), "")
	s.shown(ctx, "nor an MFA device of one", s.aws("iam", "list-virtual-mfa-devices",
		"--query", "VirtualMFADevices[?contains(SerialNumber, `mfa"+policy.BreakGlassPath+"`)].SerialNumber"), "")
	if os.Getenv(cliVariable) != "" {
		s.refused(ctx, "AWS knows nobody of that name", s.aws("iam", "get-user", "--user-name", user), "NoSuchEntity")
		s.refused(ctx, "its access key is gone", s.awsAs(c.AccessKeyID, c.SecretAccessKey, "sts", "get-caller-identity"), "InvalidClientTokenId")
		s.refused(ctx, "and so is the one made by hand", s.awsAs(added[0], added[1], "sts", "get-caller-identity"), "InvalidClientTokenId")
	}
	s.check(ctx, "the status holds no credentials any more", s.kubectl("", "get", "bg", locked, "-o", "jsonpath={.status.temporaryUser.credentials}"), "")
	s.act(ctx, s.write("alice", locked, "The database of payments was full again; it grows by itself now."))
	s.judge(ctx, "bob", locked)
	s.check(ctx, "Bob has approved the report", s.emergencies(locked), "Revoked", "Approved")
	s.act(ctx, s.kubectl("alice", "delete", "bg", locked))
	s.check(ctx, "now it may go", s.emergencies(), "")
}

// shown verifies what the AWS CLI shows, where there is one.
func (s *story) shown(ctx context.Context, claim string, c command, want ...string) {
	if os.Getenv(cliVariable) != "" {
		s.check(ctx, claim, c, want...)
	}
}

// keygen makes a key pair as age-keygen does, and returns the public key.
func (s *story) keygen(ctx context.Context, who string) (public string) {
	s.act(ctx, command{fmt.Sprintf("age-keygen -o $DEMO/%s.key", who), func(context.Context) (string, error) {
		key, err := age.GenerateX25519Identity()
		if err != nil {
			return "", err
		}
		public = key.Recipient().String()
		return "Public key: " + public, os.WriteFile(s.path(who+".key"), []byte(key.String()+"\n"), 0o600)
	}})
	return public
}

// decrypt has the manager open the credentials of the emergency with a person's private key, and shows them masked.
func (s *story) decrypt(who string, c *sealed.Credentials) command {
	get := s.kubectl(who, "get", "bg", locked, "-o", "yaml")
	typed := fmt.Sprintf(`%s | %s decrypt -i $DEMO/%s.key -o json | jq -r '"\(.iamUser) \(.password[:%d])… \(.consoleURL)"'`, get.text, binary, who, masked)
	return command{typed, func(ctx context.Context) (string, error) {
		object, err := get.run(ctx)
		if err != nil {
			return "", err
		}
		var out, refusal strings.Builder
		cmd := exec.CommandContext(ctx, binary, "decrypt", "-i", s.path(who+".key"), "-o", "json")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(object), &out, &refusal
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%s decrypt: %w: %s", binary, err, strings.TrimSpace(refusal.String()))
		}
		if err := json.Unmarshal([]byte(out.String()), c); err != nil {
			return "", fmt.Errorf("%s decrypt: %w", binary, err)
		}
		return fmt.Sprintf("%s %s %s", c.IAMUser, mask(c.Password), c.ConsoleURL), nil
	}}
}

func mask(secret string) string { return secret[:min(len(secret), masked)] + "…" }

// aws is the AWS CLI in the hands of the administrator.
func (s *story) aws(args ...string) command { return s.awsAs("", "", args...) }

// awsAs is the AWS CLI with an access key, "" for the administrator's.
func (s *story) awsAs(id, secret string, args ...string) command {
	env := append(operator.AWSEnv(s.server.URL), "AWS_ENDPOINT_URL_STS="+s.server.URL, "AWS_DEFAULT_REGION=us-east-1", "AWS_DEFAULT_OUTPUT=text",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "PATH="+os.Getenv("PATH"), "HOME="+s.dir)
	typed := []string{"aws"}
	if id != "" {
		env = append(env, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret)
		typed = []string{"AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + mask(secret), "aws"}
	}
	for _, a := range args {
		if strings.ContainsAny(a, "[]`? ") {
			a = "'" + a + "'"
		}
		typed = append(typed, a)
	}
	return command{strings.Join(append(typed, "--output", "text"), " "), func(ctx context.Context) (string, error) {
		cmd := exec.CommandContext(ctx, os.Getenv(cliVariable), append(args, "--output", "text")...)
		cmd.Env = env
		var refusal strings.Builder
		cmd.Stderr = &refusal
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(refusal.String()))
		}
		return strings.TrimSpace(string(out)), nil
	}}
}
