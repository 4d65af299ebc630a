// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/policy"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	sealedName = "sealed-break-glass"
	sealedPath = "/sealed/"
)

// sealing is the page about the sealed user, carried out by an administrator and four holders.
type sealing struct {
	*site
	values   map[string]string
	admin    string            // the administrator's folder
	homes    string            // of the holders
	holders  map[string]string // their folders
	others   *standIn          // EventBridge and CloudTrail
	path     string
	executed map[string]bool
	printed  strings.Builder // what the administrator's blocks have printed
}

func newSealing(t *testing.T, s *site) *sealing {
	t.Helper()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Fatal("the page makes use of jq: install it")
	}
	v := &sealing{site: s, admin: t.TempDir(), homes: t.TempDir(), holders: map[string]string{}, others: &standIn{}, executed: map[string]bool{}}
	folder := t.TempDir()
	if err := addTools(folder); err != nil {
		t.Fatal(err)
	}
	v.path = strings.Join([]string{filepath.Dir(s.cli), filepath.Dir(s.binary), os.Getenv("PATH"), folder}, string(os.PathListSeparator))
	server := httptest.NewServer(v.others)
	t.Cleanup(server.Close)
	v.others.url = server.URL
	release, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	v.values = map[string]string{"release": release, "account": policytest.Account.ID}
	return v
}

// try carries a block out in a folder, as somebody does who has pasted the first two before.
func (v *sealing) try(t *testing.T, name, folder string) (string, error) {
	t.Helper()
	set, err := with(sealedUser.script(t, settings), v.values)
	if err != nil {
		t.Fatal(err)
	}
	script := set + sealedUser.script(t, derive) + "exec 2>&1\n" + sealedUser.script(t, name)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = folder
	cmd.Env = append(operator.AWSEnv(v.iamURL), "PATH="+v.path, "HOME="+folder, "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_MAX_ATTEMPTS=1", "AWS_ENDPOINT_URL_EVENTBRIDGE="+v.others.url, "AWS_ENDPOINT_URL_CLOUDTRAIL="+v.others.url)
	out, err := cmd.CombinedOutput()
	if folder == v.admin {
		v.printed.Write(out)
	}
	v.executed[settings], v.executed[derive], v.executed[name] = true, true, true
	return string(out), err
}

// paste is try, of the administrator, that must end well.
func (v *sealing) paste(t *testing.T, name string) string {
	t.Helper()
	out, err := v.try(t, name, v.admin)
	if err != nil {
		t.Fatalf("the block %s: %v\n%s", name, err, out)
	}
	return out
}

var (
	publicKey = regexp.MustCompile(`age1[a-z0-9]+`)
	// notTheirs is what age says to whoever has another key, in the library and on the command line.
	notTheirs = regexp.MustCompile(`no identity matched|identity did not match`)
)

// enlist has holders make their keys, and returns the public ones.
func (v *sealing) enlist(t *testing.T, names ...string) string {
	t.Helper()
	var keys []string
	for _, name := range names {
		folder := filepath.Join(v.homes, fmt.Sprint(len(v.executed), name))
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		v.holders[name] = folder
		out, err := v.try(t, "holder-key", v.holders[name])
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		file := filepath.Join(v.holders[name], "holder-key.txt")
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key of %s: %v, %v; want it readable by its holder alone", name, info.Mode(), err)
		}
		if strings.Contains(out, "AGE-SECRET-KEY") {
			t.Errorf("the key of %s is shown", name)
		}
		keys = append(keys, publicKey.FindString(out))
	}
	return strings.Join(keys, " ")
}

// opened has a holder open a half, whose file somebody brings them.
func (v *sealing) opened(t *testing.T, holder, half string) (string, error) {
	t.Helper()
	name := sealedName + "-" + half + ".age"
	content, err := os.ReadFile(filepath.Join(v.admin, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.holders[holder], name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := v.try(t, "open-"+half, v.holders[holder])
	return strings.TrimSpace(out), err
}

// halves are the password and the seed, opened by all who should, and by nobody else.
func (v *sealing) halves(t *testing.T) (password, seed string) {
	t.Helper()
	for _, holder := range []string{"olga", "otto"} {
		out, err := v.opened(t, holder, "password")
		if err != nil || password != "" && out != password {
			t.Fatalf("the password, opened by %s: %v", holder, err)
		}
		password = out
		if out, err := v.opened(t, holder, "device"); err == nil || !notTheirs.MatchString(out) {
			t.Errorf("%s, who holds the password, opens the device too: %v\n%s", holder, err, out)
		}
	}
	if !regexp.MustCompile(`^A-[0-9a-f]{40}$`).MatchString(password) {
		t.Errorf("the password has %d characters, and is not as the page says", len(password))
	}
	for _, holder := range []string{"pia", "paul"} {
		code, err := v.opened(t, holder, "device")
		if err != nil {
			t.Fatalf("the device, opened by %s: %v\n%s", holder, err, code)
		}
		seed = v.seed(t, holder)
		var good []string
		for _, ago := range []time.Duration{0, 30 * time.Second} {
			want, err := fake.TOTP(seed, time.Now().Add(-ago))
			if err != nil {
				t.Fatal(err)
			}
			good = append(good, want)
		}
		if !slices.Contains(good, code) {
			t.Errorf("%s gets the code %q, want one of %q", holder, code, good)
		}
		if out, err := v.opened(t, holder, "password"); err == nil || !notTheirs.MatchString(out) {
			t.Errorf("%s, who holds the device, opens the password too: %v\n%s", holder, err, out)
		}
	}
	return password, seed
}

// seed is what the holder of the device has in their file.
func (v *sealing) seed(t *testing.T, holder string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "age --decrypt --identity holder-key.txt "+sealedName+"-device.age")
	cmd.Dir, cmd.Env = v.holders[holder], []string{"PATH=" + v.path}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// signsIn fails the test unless IAM takes a password for that of the user, or does not. IAM tells whoever changes theirs; the
// new one is one that it never takes.
func (v *sealing) signsIn(t *testing.T, password string, want bool) {
	t.Helper()
	key := v.iam.AddAccessKey(sealedName, time.Now())
	cmd := exec.CommandContext(t.Context(), v.cli, "iam", "change-password", "--old-password", password, "--new-password", "short")
	cmd.Env = append(operator.AWSEnv(v.iamURL), "PATH="+v.path, "AWS_ACCESS_KEY_ID="+key, "AWS_DEFAULT_REGION=us-east-1", "AWS_MAX_ATTEMPTS=1")
	out, _ := cmd.CombinedOutput()
	if err := v.iam.Admin("DeleteAccessKey", map[string]string{"UserName": sealedName, "AccessKeyId": key}); err != nil {
		t.Fatal(err)
	}
	taken, refused := bytes.Contains(out, []byte("PasswordPolicyViolation")), bytes.Contains(out, []byte("The old password was incorrect"))
	if taken == refused || taken != want {
		t.Errorf("the password is that of the user: %v, want %v\n%s", taken, want, out)
	}
}

// hidden fails the test if a secret was printed by an administrator's block, or lies about unencrypted.
func (v *sealing) hidden(t *testing.T, secrets ...string) {
	t.Helper()
	places := []string{v.admin}
	// Where mktemp makes folders.
	found, err := filepath.Glob("/dev/shm/tmp.*")
	if err != nil {
		t.Fatal(err)
	}
	places = append(places, found...)
	for _, secret := range secrets {
		if strings.Contains(v.printed.String(), secret) {
			t.Error("a block of the administrator's prints a secret")
		}
	}
	for _, place := range places {
		err := filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // others come and go there
			}
			content, err := os.ReadFile(path)
			for _, secret := range secrets {
				if err == nil && bytes.Contains(content, []byte(secret)) {
					t.Errorf("%s has a secret in it", path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// looks fails the test unless look finds the user as it should be, but for these lines at the end.
func (v *sealing) looks(t *testing.T, want ...string) {
	t.Helper()
	arn := func(kind, name string) string {
		return "arn:aws:iam::" + policytest.Account.ID + ":" + kind + "/" + name
	}
	lines := []string{
		arn("user", "sealed/"+sealedName) + "\t" + arn("policy", "prod-access/"+sealedName+"-boundary"),
		arn("policy", "prod-access/prod-access-infra-manager"), arn("policy", "prod-access/"+sealedName+"-guard"),
	}
	lines = append(lines, want...)
	var got []string
	for line := range strings.Lines(v.paste(t, "look")) {
		if line = strings.TrimSpace(line); line != "" {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, lines) {
		t.Errorf("look prints\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func sealedAndUsed(t *testing.T, s *site) {
	v := newSealing(t, s)
	v.values["password_holders"], v.values["device_holders"] = v.enlist(t, "olga", "otto"), v.enlist(t, "pia", "paul")
	const anything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	for _, name := range []string{"prod-access-infra-manager", policy.BoundaryName} {
		if err := s.iam.Admin("CreatePolicy", map[string]string{"Path": policy.Path, "PolicyName": name, "PolicyDocument": anything}); err != nil &&
			!strings.HasPrefix(err.Error(), "EntityAlreadyExists") {
			t.Fatal(err)
		}
	}
	if !t.Run("make", v.make) {
		return
	}
	t.Run("the alarm", v.alarm)
	t.Run("used and closed", v.usedAndClosed)
	t.Run("beside an operator", v.besideOperator)
	t.Run("every block was carried out", func(t *testing.T) {
		for _, b := range sealedUser.blocks(t) {
			if !v.executed[b.name] && !strings.HasPrefix(b.name, untested) {
				t.Errorf("nothing carries out the block %s", b.name)
			}
		}
	})
}

// make makes the user, and seals it at the third attempt.
func (v *sealing) make(t *testing.T) {
	device := "arn:aws:iam::" + policytest.Account.ID + ":mfa" + sealedPath + sealedName
	if out, err := v.try(t, "make-user", v.admin); err == nil || v.iam.Under(sealedPath, sealedName) > 0 {
		t.Errorf("a user is made without its boundary: %v\n%s", err, out)
	}
	v.paste(t, "make-policies")
	v.iam.ResetCalls()
	v.paste(t, "make-user")
	var attached []string
	for _, call := range v.iam.Calls() {
		if call.Op == "AttachUserPolicy" {
			_, name, _ := strings.Cut(call.Params.Get("PolicyArn"), policy.Path)
			attached = append(attached, name)
		}
	}
	if want := []string{sealedName + "-guard", "prod-access-infra-manager"}; !slices.Equal(attached, want) {
		t.Errorf("attached are %q, want %q: the guard before the rights", attached, want)
	}
	if strings.HasPrefix(sealedPath, policy.BreakGlassPath) || strings.HasPrefix(policy.BreakGlassPath, sealedPath) {
		t.Errorf("the operator deletes users below %s", policy.BreakGlassPath)
	}

	// AWS refuses the codes: no password without a device.
	v.iam.Inject("EnableMFADevice", fake.ErrorFault("InvalidAuthenticationCode", http.StatusForbidden).Times(1))
	out, err := v.try(t, "seal", v.admin)
	if err == nil || strings.Contains(out, "SEALED") || v.iam.HasPassword(sealedName) {
		t.Errorf("AWS refuses the codes, and the user has a password: %v; %v\n%s", v.iam.HasPassword(sealedName), err, out)
	}
	if out, err = v.try(t, "seal", v.admin); err == nil || !strings.Contains(out, "EntityAlreadyExists") {
		t.Errorf("what is left over of the device is in the way: %v\n%s", err, out)
	}
	says(t, v.paste(t, "empty"), "NoSuchEntity: it had no password")
	says(t, v.paste(t, "seal"), "SEALED: sealed-break-glass-password.age and sealed-break-glass-device.age, at 20")

	password, seed := v.halves(t)
	v.hidden(t, password, seed)
	v.signsIn(t, password, true)
	v.signsIn(t, password+"0", false)
	v.looks(t, device, "groups, access keys, inline policies:", "older-sessions", "policies that are not as rendered:")
	// What it looks for would be seen.
	v.values["role"] = "infra-member"
	if out, err := v.try(t, "look", v.admin); exitCode(err) != 1 || !strings.Contains(out, "\n> ") {
		t.Errorf("the guard is that of another role: %v\n%s", err, out)
	}
	delete(v.values, "role")
	says(t, v.paste(t, "look-password"), "user,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active\n",
		"\n"+sealedName+",true,no_information,20", ",true\n")

	// It is not sealed twice: what holds stays.
	if out, err := v.try(t, "seal", v.admin); err == nil {
		t.Errorf("sealed while it is sealed:\n%s", out)
	}
	again, same := v.halves(t)
	if again != password || same != seed {
		t.Error("an attempt to seal it once more has changed what is sealed")
	}
}

// usedAndClosed has both halves opened, things left behind, and all of it made anew.
func (v *sealing) usedAndClosed(t *testing.T) {
	device := "arn:aws:iam::" + policytest.Account.ID + ":mfa" + sealedPath + sealedName
	oldPassword, oldSeed := v.halves(t)
	// A virtual device stands in for a FIDO key, which the console alone can register.
	fido, planted := v.iam.AddMFA(sealedName), v.iam.AddMFA(sealedName)
	v.iam.AddAccessKey(sealedName, time.Now())
	v.values["fido_keys"] = fido

	out := v.paste(t, "record")
	says(t, out, "ConsoleLogin", "us-east-1", "eu-central-1")
	if records, err := filepath.Glob(filepath.Join(v.admin, sealedName+"-20*Z.txt")); err != nil || len(records) != 1 {
		t.Errorf("the record is in the files %q, %v", records, err)
	}

	v.paste(t, "empty")
	if v.iam.HasPassword(sealedName) || len(v.iam.ActiveKeys(sealedName)) > 0 {
		t.Errorf("the emptied user has a password: %v, and the keys %q", v.iam.HasPassword(sealedName), v.iam.ActiveKeys(sealedName))
	}
	says(t, v.iam.UserPolicies(sealedName)["older-sessions"], `"Effect":"Deny","Action":"*","Resource":"*"`, `"DateLessThan":{"aws:TokenIssueTime":"20`)
	v.looks(t, fido, "groups, access keys, inline policies:", "older-sessions", "policies that are not as rendered:")
	for _, serial := range []string{device, planted} {
		if err := v.iam.Admin("DeleteVirtualMFADevice", map[string]string{"SerialNumber": serial}); err == nil || !strings.HasPrefix(err.Error(), "NoSuchEntity") {
			t.Errorf("the device %s stays: %v", serial, err)
		}
	}

	v.values["password_holders"], v.values["device_holders"] = v.enlist(t, "olga", "otto"), v.enlist(t, "pia", "paul")
	v.paste(t, "seal")
	password, seed := v.halves(t)
	if password == oldPassword || seed == oldSeed {
		t.Error("sealed anew is what was sealed before")
	}
	v.signsIn(t, oldPassword, false)
	v.signsIn(t, password, true)
	v.hidden(t, oldPassword, oldSeed, password, seed)
	v.looks(t, fido, device, "groups, access keys, inline policies:", "older-sessions", "policies that are not as rendered:")
}

// besideOperator has an operator sweep the account: it names a stranger, and leaves the sealed user as it is, unnamed.
func (v *sealing) besideOperator(t *testing.T) {
	password, _ := v.halves(t)
	e := v.emergency(t, "hugo", "infra-manager", nil)
	v.iam.AddMember("hera-prod-infra-manager", e.person)
	v.start(t, "--break-glass-boundary-arn="+policytest.Account.Boundary())
	e.stranger(t, true)
	v.iam.ResetCalls()
	eventually(t, "two more sweeps", func(context.Context) (bool, error) {
		return v.iam.Count("GetAccountAuthorizationDetails") >= 2, nil
	})
	for _, call := range v.iam.Calls() {
		if call.Changed && call.Params.Get("UserName") == sealedName {
			t.Errorf("the operator writes about the sealed user: %s", call.Op)
		}
	}
	(&emergency{site: v.site, person: sealedName, values: map[string]string{"role": "infra-manager"}}).stranger(t, false)
	v.signsIn(t, password, true)
	v.iam.RemoveMember("hera-prod-infra-manager", e.person)
}

// standIn takes requests to EventBridge and CloudTrail down.
type standIn struct {
	url  string
	mu   sync.Mutex
	took []request
}

type request struct {
	operation, region string
	body              map[string]any
}

var signed = regexp.MustCompile(`Credential=[^/]+/[0-9]+/([a-z0-9-]+)/`)

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	req := request{operation: operation[strings.LastIndex(operation, ".")+1:]}
	if m := signed.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		req.region = m[1]
	}
	if err != nil || json.Unmarshal(content, &req.body) != nil {
		http.Error(w, "{}", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.took = append(s.took, req)
	s.mu.Unlock()
	answers := map[string]string{
		"PutRule":      `{"RuleArn": "arn:aws:events:` + req.region + `:111122223333:rule/any"}`,
		"PutTargets":   `{"FailedEntryCount": 0, "FailedEntries": []}`,
		"LookupEvents": `{"Events": [{"EventTime": 1767225600, "EventName": "ConsoleLogin", "EventSource": "signin.amazonaws.com"}]}`,
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = io.WriteString(w, answers[req.operation])
}

// matches says whether an event has what a pattern of EventBridge asks for, as far as the patterns of the page go.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
func matches(pattern, event any) bool {
	switch p := pattern.(type) {
	case map[string]any:
		e, ok := event.(map[string]any)
		for key, want := range p {
			ok = ok && matches(want, e[key])
		}
		return ok
	case []any:
		text, ok := event.(string)
		return ok && slices.ContainsFunc(p, func(one any) bool {
			if m, is := one.(map[string]any); is {
				want, is := m["equals-ignore-case"].(string)
				return is && strings.EqualFold(want, text)
			}
			return one == text
		})
	}
	return false
}

// Events as CloudTrail writes them, cut to what rules look at.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-aws-console-sign-in-events.html
const (
	signedIn = `{"source": "aws.signin", "detail-type": "AWS Console Sign In via CloudTrail", "detail": {"eventName": "ConsoleLogin",
		"userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/sealed/sealed-break-glass", "userName": "sealed-break-glass"},
		"responseElements": {"ConsoleLogin": "Success"}}}`
	refusedSignIn = `{"source": "aws.signin", "detail-type": "AWS Console Sign In via CloudTrail", "detail": {"eventName": "ConsoleLogin",
		"userIdentity": {"type": "IAMUser", "accountId": "111122223333", "userName": "sealed-break-glass"},
		"responseElements": {"ConsoleLogin": "Failure"}}}`
	calledByIt = `{"source": "aws.ec2", "detail-type": "AWS API Call via CloudTrail", "detail": {"eventName": "StopInstances",
		"userIdentity": {"type": "IAMUser", "userName": "sealed-break-glass"}, "requestParameters": {"instancesSet": {}}}}`
	resetByOthers = `{"source": "aws.iam", "detail-type": "AWS API Call via CloudTrail", "detail": {"eventName": "UpdateLoginProfile",
		"userIdentity": {"type": "IAMUser", "userName": "mallory"}, "requestParameters": {"userName": "Sealed-Break-Glass"}}}`
	ofSomebodyElse = `{"source": "aws.iam", "detail-type": "AWS API Call via CloudTrail", "detail": {"eventName": "UpdateLoginProfile",
		"userIdentity": {"type": "IAMUser", "userName": "mallory"}, "requestParameters": {"userName": "alice"}}}`
)

func (v *sealing) alarm(t *testing.T) {
	v.paste(t, "alarm")
	rules, targets := map[string]any{}, map[string]string{}
	for _, r := range v.others.took {
		switch r.operation {
		case "PutRule":
			var pattern any
			if err := json.Unmarshal([]byte(r.body["EventPattern"].(string)), &pattern); err != nil {
				t.Fatal(err)
			}
			rules[r.region+" "+r.body["Name"].(string)] = pattern
		case "PutTargets":
			targets[r.region+" "+r.body["Rule"].(string)] = r.body["Targets"].([]any)[0].(map[string]any)["Arn"].(string)
		}
	}
	used, changed := "-used", "-changed"
	for _, rule := range []string{"us-east-1 " + sealedName + used, "eu-central-1 " + sealedName + used, "us-east-1 " + sealedName + changed} {
		region, _, _ := strings.Cut(rule, " ")
		if want := "arn:aws:sns:" + region + ":111122223333:break-glass"; targets[rule] != want {
			t.Errorf("the rule %s tells %q, want %q", rule, targets[rule], want)
		}
	}
	if len(rules) != 3 {
		t.Errorf("there are %d rules, want 3", len(rules))
	}
	for _, c := range []struct {
		event, rule string
		rings       bool
	}{
		{signedIn, used, true}, {refusedSignIn, used, true}, {calledByIt, used, true}, {resetByOthers, used, false},
		{resetByOthers, changed, true}, {ofSomebodyElse, changed, false}, {ofSomebodyElse, used, false},
	} {
		var event any
		if err := json.Unmarshal([]byte(c.event), &event); err != nil {
			t.Fatal(err)
		}
		if got := matches(rules["us-east-1 "+sealedName+c.rule], event); got != c.rings {
			t.Errorf("the rule %s rings: %v, want %v, at %s", c.rule, got, c.rings, c.event)
		}
	}
}
