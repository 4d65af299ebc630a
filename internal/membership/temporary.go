// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/pquerna/otp/totp"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/policy"
	"github.com/hera-platform/prod-access-operator/internal/sealed"
)

// Temporary is a temporary user as an emergency recorded it.
type Temporary struct {
	// Name of the IAM user.
	Name string
	// Emergency is the UID of the BreakGlass.
	Emergency string
	// UserID is its UserId, "" if none is on record.
	UserID string
}

// Wish is what a temporary user is to be.
type Wish struct {
	Temporary
	// For is the name of the BreakGlass, and Opener who opened it.
	For, Opener string
	// Until is the deadline.
	Until time.Time
	// AccessKey says whether it gets an access key.
	AccessKey bool
}

// Made is what became of a wish.
type Made struct {
	// UserID of the user.
	UserID string
	// Names are those of the opener, as AWS has them.
	Names []string
	// Credentials are the only copy.
	Credentials sealed.Credentials
	// Obstacle is set when the user cannot be made until somebody mends something.
	Obstacle access.Obstacle
	// Err is set when it failed, and may succeed the next time. It is told to people.
	Err error
}

// Make makes a temporary user with credentials and a fence, and without any group: those come when it has been read back. What
// an earlier attempt has left of it goes first, since nobody has its credentials. About ten calls.
func (e *Engine) Make(ctx context.Context, w Wish) Made {
	ctx = aws.OnTemporaryUser(ctx)
	unlock, err := e.people.lock(ctx, w.Name)
	if err != nil {
		return Made{Err: err}
	}
	defer unlock()
	names, o, err := e.openerOf(ctx, w.Opener)
	if err != nil || o.Reason != "" {
		return Made{Obstacle: o, Err: err}
	}
	if o, err := e.clear(ctx, w.Temporary); err != nil || o.Reason != "" {
		return Made{Obstacle: o, Err: err}
	}
	m := e.make(ctx, w)
	m.Names = append([]string{w.Name}, names...)
	return m
}

// openerOf are the names of whoever opened an emergency, and why they get no temporary user.
func (e *Engine) openerOf(ctx context.Context, opener string) (names []string, o access.Obstacle, err error) {
	all, err := e.readAccount(ctx, 0)
	if err != nil {
		return nil, o, err
	}
	for _, u := range all.users {
		if u.Quarantine != "" && all.who.Same(u.Name, opener) {
			return nil, access.Obstacle{Reason: v1alpha1.ReasonQuarantined, Message: fmt.Sprintf("AWS has quarantined the IAM user %s of %s, who opened it (%s), as it does when an "+
				"access key was found in public: the security team must look into it; somebody else may open it", u.Name, opener, u.Quarantine)}, nil
		}
	}
	return all.who.Names(opener), o, nil
}

// clear makes sure that no user has the name.
func (e *Engine) clear(ctx context.Context, t Temporary) (o access.Obstacle, err error) {
	u, err := e.temporary(ctx, t.Name)
	switch {
	case err != nil:
		return o, say(err)
	case u == nil:
		return o, nil
	case !e.isOurs(u, t):
		return access.Obstacle{Reason: v1alpha1.ReasonUserNameTaken, Message: fmt.Sprintf("AWS has an IAM user %s already, which was not made for this emergency: ask the AWS "+
			"administrator to look into it, and open another BreakGlass", t.Name)}, nil
	}
	return o, e.dispose(ctx, u)
}

func (e *Engine) make(ctx context.Context, w Wish) Made {
	tags := []types.Tag{tag(v1alpha1.ClusterTag, e.options.Cluster), tag(v1alpha1.EmergencyTag, w.Emergency)}
	out, err := e.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &w.Name, Path: new(policy.BreakGlassPath), PermissionsBoundary: &e.options.Boundary, Tags: tags})
	switch {
	case aws.IsNotFound(err):
		return Made{Obstacle: access.Obstacle{Reason: v1alpha1.ReasonBoundaryNotFound, Message: fmt.Sprintf("AWS does not have %s, the permissions boundary of temporary users: ask the "+
			"platform team to create it, or to mend --break-glass-boundary-arn", e.options.Boundary)}}
	case err != nil:
		return failed(err, "the IAM user "+w.Name)
	case out.User == nil || out.User.UserId == nil || out.User.Arn == nil:
		return Made{Err: errIncomplete}
	}
	at, err := arn.Parse(*out.User.Arn)
	if err != nil {
		return Made{Err: errIncomplete}
	}
	m := e.equip(ctx, w, at, tags)
	m.UserID = *out.User.UserId
	return m
}

// equip gives a user its fence, and then what it takes to use it.
func (e *Engine) equip(ctx context.Context, w Wish, at arn.ARN, tags []types.Tag) (m Made) {
	c := &m.Credentials
	c.Emergency, c.IAMUser, c.Until = w.For, w.Name, w.Until
	// Before there is any way to use it.
	name, document := fenceName(e.options.Cluster, w.Until), fenceDocument(w.Until)
	if _, err := e.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &w.Name, PolicyName: &name, PolicyDocument: &document}); err != nil {
		return failed(err, "the fence of the IAM user "+w.Name)
	}
	c.Password = newPassword()
	if _, err := e.iam.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: &w.Name, Password: &c.Password, PasswordResetRequired: false}); err != nil {
		return failed(err, "the console password of the IAM user "+w.Name)
	}
	if f := e.enrol(ctx, w.Name, at, tags, c); f.Err != nil || f.Obstacle.Reason != "" {
		return f
	}
	if w.AccessKey {
		key, err := e.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &w.Name})
		if err != nil {
			return failed(err, "the access key of the IAM user "+w.Name)
		}
		if key.AccessKey == nil || key.AccessKey.AccessKeyId == nil || key.AccessKey.SecretAccessKey == nil {
			return Made{Err: errIncomplete}
		}
		c.AccessKeyID, c.SecretAccessKey = *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey
	}
	c.ConsoleURL = e.consoleURL(ctx, at)
	return m
}

// enrol gives a user a virtual MFA device, by two codes that follow each other.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_EnableMFADevice.html
func (e *Engine) enrol(ctx context.Context, user string, at arn.ARN, tags []types.Tag, c *sealed.Credentials) Made {
	in := &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &user, Path: new(policy.BreakGlassPath), Tags: tags}
	out, err := e.iam.CreateVirtualMFADevice(ctx, in)
	if aws.IsExists(err) {
		// What an earlier attempt has left: nobody has its seed.
		if err := e.deleteDevice(ctx, deviceOf(at, user)); err != nil {
			return failed(err, "an MFA device that was left over")
		}
		out, err = e.iam.CreateVirtualMFADevice(ctx, in)
	}
	what := "the MFA device of the IAM user " + user
	switch {
	case err != nil:
		return failed(err, what)
	case out.VirtualMFADevice == nil || out.VirtualMFADevice.SerialNumber == nil || len(out.VirtualMFADevice.Base32StringSeed) == 0:
		return Made{Err: errIncomplete}
	}
	seed, now := string(out.VirtualMFADevice.Base32StringSeed), e.clock.Now()
	var codes [2]string
	for i := range codes {
		// The one before and the present one: nobody has to wait for another.
		if codes[i], err = totp.GenerateCode(seed, now.Add(time.Duration(i-1)*totpStep)); err != nil {
			return Made{Err: errIncomplete} // which would tell the seed
		}
	}
	c.MFASerial = *out.VirtualMFADevice.SerialNumber
	_, err = e.iam.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: &user, SerialNumber: &c.MFASerial, AuthenticationCode1: &codes[0], AuthenticationCode2: &codes[1]})
	if aws.IsInvalidCode(err) {
		return Made{Err: told{text: "AWS does not take the codes of " + what + ": look at the clock of the node that the operator runs on", err: err}}
	}
	if err != nil {
		return failed(err, what)
	}
	label := url.URL{Scheme: "otpauth", Host: "totp", Path: "/AWS:" + user + "@" + at.AccountID, RawQuery: url.Values{"secret": {seed}, "issuer": {"AWS"}}.Encode()}
	c.OTPAuth = label.String()
	return Made{}
}

// totpStep is for how long a code of a virtual MFA device is good (RFC 6238, as AWS uses it).
const totpStep = 30 * time.Second

// failed sorts out why something was not made.
func failed(err error, what string) Made {
	switch {
	case aws.IsQuota(err):
		return Made{Obstacle: access.Obstacle{Reason: v1alpha1.ReasonQuotaExceeded, Message: fmt.Sprintf("%s cannot be made: %s; ask the AWS administrator", what, aws.Explain(err))}}
	case aws.IsDenied(err):
		return Made{Obstacle: access.Obstacle{Reason: v1alpha1.ReasonForbidden, Message: fmt.Sprintf("the operator may not make %s: %s; ask the platform team to mend the policy of its "+
			"role for temporary users", what, aws.Explain(err))}}
	}
	return Made{Err: told{text: fmt.Sprintf("making %s: %s", what, explain(err)), err: err}}
}

// newPassword is one that nobody can guess (130 bits), with a letter of either case, a digit and a symbol, which a password policy of
// an account may demand.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_passwords_account-policy.html
func newPassword() string {
	text := rand.Text()
	half := len(text) / 2
	return strings.ToUpper(text[:half]) + "-" + strings.ToLower(text[half:]) + "-9"
}

// consoleURL is where the users of an account sign in: by its alias, or by its number, which works as well.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_users_sign-in.html
func (e *Engine) consoleURL(ctx context.Context, at arn.ARN) string {
	account := at.AccountID
	if out, err := e.iam.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{}); err == nil && len(out.AccountAliases) > 0 {
		account = out.AccountAliases[0]
	}
	domain := map[string]string{"aws-cn": "signin.amazonaws.cn", "aws-us-gov": "signin.amazonaws-us-gov.com"}[at.Partition]
	if domain == "" {
		domain = "signin.aws.amazon.com"
	}
	return "https://" + account + "." + domain + "/console"
}

// Examine looks whether a temporary user is as it was made. Three calls.
func (e *Engine) Examine(ctx context.Context, t Temporary) *access.Person {
	ctx = aws.OnTemporaryUser(ctx)
	p, err := e.examine(ctx, t)
	if err != nil {
		return &access.Person{Unavailable: say(err).Error()}
	}
	return p
}

func (e *Engine) examine(ctx context.Context, t Temporary) (*access.Person, error) {
	u, err := e.temporary(ctx, t.Name)
	if err != nil || u == nil {
		return &access.Person{}, err
	}
	p := &access.Person{Found: true, Name: *u.UserName, UserID: *u.UserId, Bounded: u.PermissionsBoundary != nil}
	switch boundary := e.options.Boundary; {
	case !p.Bounded || u.PermissionsBoundary.PermissionsBoundaryArn == nil || boundary != "" && *u.PermissionsBoundary.PermissionsBoundaryArn != boundary:
		p.Doubt = "its permissions boundary is another"
	case !e.isTagged(u, t):
		p.Doubt = "its path or its tags are others"
	}
	devices, err := e.iam.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: &t.Name})
	if err != nil {
		return nil, err
	}
	if devices.MFADevices == nil {
		return nil, errIncomplete
	}
	p.MFA = len(devices.MFADevices) > 0
	if p.Doubt == "" && e.options.Cluster != "" {
		policies, err := e.policiesOf(ctx, t.Name)
		if err != nil {
			return nil, err
		}
		if !fenced(policies, e.options.Cluster) {
			p.Doubt = "its fence is gone"
		}
	}
	return p, nil
}

// fenced says whether one of the policies is a fence of a cluster.
func fenced(policies []string, cluster string) bool {
	for _, name := range policies {
		if of, ok := fencing(name); ok && of == cluster {
			return true
		}
	}
	return false
}

// Complete says what is missing of a temporary user that was made, nil if nothing is: groups are given only then.
func (e *Engine) Complete(ctx context.Context, t Temporary) error {
	p, err := e.examine(aws.OnTemporaryUser(ctx), t)
	switch {
	case err != nil:
		return say(err)
	case !p.Found:
		return fmt.Errorf("AWS does not yet show the IAM user %s", t.Name)
	case p.UserID != t.UserID:
		return fmt.Errorf("AWS does not show the IAM user %s that was made, but another one of that name", t.Name)
	case p.Doubt != "":
		return fmt.Errorf("AWS does not show the IAM user %s as it was made: %s", t.Name, p.Doubt)
	case !p.MFA:
		return fmt.Errorf("AWS does not yet show the MFA device of the IAM user %s", t.Name)
	}
	return nil
}

// temporary reads an IAM user; nil if there is none.
func (e *Engine) temporary(ctx context.Context, name string) (*types.User, error) {
	out, err := e.iam.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if aws.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if u := out.User; u == nil || u.UserId == nil || u.UserName == nil || u.Arn == nil {
		return nil, errIncomplete
	}
	return out.User, nil
}

// isOurs says whether a user is the temporary one: by its UserId, or else by its path and tags. Tags alone prove nothing: who
// may write tags could have anybody deleted.
func (e *Engine) isOurs(u *types.User, t Temporary) bool {
	return t.UserID != "" && *u.UserId == t.UserID || e.isTagged(u, t)
}

func (e *Engine) isTagged(u *types.User, t Temporary) bool {
	tags := tagsOf(u.Tags)
	return isBelow(*u.Arn) && e.options.Cluster != "" && tags[v1alpha1.ClusterTag] == e.options.Cluster && tags[v1alpha1.EmergencyTag] == t.Emergency
}

// isBelow says whether the ARN of a user or of an MFA device is below the path of temporary users.
func isBelow(of string) bool {
	at, err := arn.Parse(of)
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(at.Resource, "/")
	return strings.HasPrefix("/"+rest, policy.BreakGlassPath)
}

// deviceOf is the serial number of the MFA device that a temporary user gets.
func deviceOf(at arn.ARN, user string) string {
	at.Resource = "mfa" + policy.BreakGlassPath + user
	return at.String()
}

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }
