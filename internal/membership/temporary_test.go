// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/membership"
)

const (
	breakGlassBoundary = "arn:aws:iam::111122223333:policy/prod-access/break-glass-boundary"
	breakGlassPath     = "/prod-access/break-glass/"
	temporaryName      = "bg-ledger-12345678"
)

// newTemporaryWorld is a world with temporary users, and what one of them is to be.
func newTemporaryWorld(t *testing.T) (*world, membership.Wish) {
	t.Helper()
	w := newWorld(t)
	w.AddUser(fake.User{Name: "bounded"})
	w.SetBoundary("bounded", breakGlassBoundary)
	w.engine = membership.New(w.api, w, w.clock, membership.Options{Cluster: "hera", Boundary: breakGlassBoundary})
	return w, membership.Wish{
		Temporary: membership.Temporary{Name: temporaryName, Emergency: "12345678-7f3c"}, For: "ledger", Opener: "alice@hera.example", Until: start.Add(time.Hour), AccessKey: true,
	}
}

func made(t *testing.T, w *world, wish membership.Wish) membership.Wish {
	t.Helper()
	m := w.engine.Make(t.Context(), wish)
	if m.Err != nil || m.Obstacle.Reason != "" {
		t.Fatalf("%v %+v", m.Err, m.Obstacle)
	}
	wish.UserID = m.UserID
	return wish
}

func TestMakeTemporaryUser(t *testing.T) {
	w, wish := newTemporaryWorld(t)
	m := w.engine.Make(t.Context(), wish)
	if m.Err != nil || m.Obstacle.Reason != "" {
		t.Fatalf("%v %+v", m.Err, m.Obstacle)
	}
	if !slices.Contains(m.Names, "alice") || !slices.Contains(m.Names, wish.Name) {
		t.Errorf("names: %v", m.Names)
	}
	c := m.Credentials
	if c.ConsoleURL != "https://111122223333.signin.aws.amazon.com/console" || c.IAMUser != wish.Name || c.Emergency != "ledger" || !c.Until.Equal(wish.Until) ||
		c.AccessKeyID == "" || c.SecretAccessKey == "" || c.MFASerial != "arn:aws:iam::111122223333:mfa"+breakGlassPath+wish.Name {
		t.Error("the credentials are not whole")
	}
	if out, err := w.api.ListGroupsForUser(t.Context(), &iam.ListGroupsForUserInput{UserName: &wish.Name}); err != nil || len(out.Groups) > 0 {
		t.Errorf("groups: %v, %v", out, err)
	}
	wish.UserID = m.UserID
	if err := w.engine.Complete(t.Context(), wish.Temporary); err != nil {
		t.Error(err)
	}
	// Once more, because nobody has stored the credentials: another takes its place.
	again := w.engine.Make(t.Context(), wish)
	if again.Err != nil || again.UserID == m.UserID || again.Credentials.Password == m.Credentials.Password {
		t.Errorf("made again: %v", again.Err)
	}
	if n := w.Under(breakGlassPath, wish.Name); n != 2 {
		t.Errorf("%d users and devices, want one of each", n)
	}
	wish.AccessKey = false
	if c := w.engine.Make(t.Context(), wish).Credentials; c.AccessKeyID != "" || c.Password == "" {
		t.Error("an access key that nobody asked for")
	}
}

func TestMakeTemporaryUserObstacles(t *testing.T) {
	for name, test := range map[string]struct {
		spoil  func(*world, *membership.Wish)
		reason string
		says   string
	}{
		"no boundary": {func(w *world, _ *membership.Wish) {
			w.engine = membership.New(w.api, w, w.clock, membership.Options{Cluster: "hera", Boundary: breakGlassBoundary + "-none"})
		}, v1alpha1.ReasonBoundaryNotFound, "--break-glass-boundary-arn"},
		"the name is another cluster's": {func(w *world, wish *membership.Wish) {
			w.AddUser(fake.User{Name: wish.Name, Path: breakGlassPath, Tags: map[string]string{v1alpha1.ClusterTag: "other", v1alpha1.EmergencyTag: wish.Emergency}})
		}, v1alpha1.ReasonUserNameTaken, "was not made for this emergency"},
		"the name is somebody's with our tags": {func(w *world, wish *membership.Wish) {
			w.AddUser(fake.User{Name: wish.Name, Tags: map[string]string{v1alpha1.ClusterTag: "hera", v1alpha1.EmergencyTag: wish.Emergency}})
		}, v1alpha1.ReasonUserNameTaken, "was not made for this emergency"},
		"no more users": {func(w *world, _ *membership.Wish) { w.Inject("CreateUser", fake.ErrorFault("LimitExceeded", 409)) }, v1alpha1.ReasonQuotaExceeded, "the IAM user " + temporaryName},
		"no more devices": {func(w *world, _ *membership.Wish) {
			w.Inject("CreateVirtualMFADevice", fake.ErrorFault("LimitExceeded", 409))
		},
			v1alpha1.ReasonQuotaExceeded, "the MFA device of the IAM user"},
		"denied":                  {func(w *world, _ *membership.Wish) { w.Inject("CreateUser", fake.AccessDenied) }, v1alpha1.ReasonForbidden, "the operator may not make"},
		"an opener in quarantine": {func(w *world, _ *membership.Wish) { w.Quarantine("alice") }, v1alpha1.ReasonQuarantined, "AWS has quarantined the IAM user alice"},
	} {
		t.Run(name, func(t *testing.T) {
			w, wish := newTemporaryWorld(t)
			test.spoil(w, &wish)
			m := w.engine.Make(t.Context(), wish)
			if m.Err != nil || m.Obstacle.Reason != test.reason || !strings.Contains(m.Obstacle.Message, test.says) {
				t.Errorf("%v %+v", m.Err, m.Obstacle)
			}
			if taken := strings.HasPrefix(name, "the name"); taken != (w.UserID(wish.Name) != "") && taken {
				t.Error("somebody else's user is gone")
			}
		})
	}
}

// A clock that is wrong is told as such.
func TestMakeTemporaryUserByAWrongClock(t *testing.T) {
	w, wish := newTemporaryWorld(t)
	w.Inject("EnableMFADevice", fake.ErrorFault("InvalidAuthenticationCode", 403))
	if m := w.engine.Make(t.Context(), wish); m.Err == nil || !strings.Contains(m.Err.Error(), "look at the clock of the node") {
		t.Errorf("%v", m.Err)
	}
}

func TestCompleteTellsWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*world, membership.Wish)
		says  string
	}{
		"the boundary": {func(w *world, wish membership.Wish) { w.SetBoundary(wish.Name, "") }, "its permissions boundary is another"},
		"another boundary": {func(w *world, wish membership.Wish) {
			w.SetBoundary(wish.Name, breakGlassBoundary+"-wider")
		}, "its permissions boundary is another"},
		"the tags": {func(w *world, wish membership.Wish) {
			w.admin("UntagUser", map[string]string{"UserName": wish.Name, "TagKeys.member.1": v1alpha1.ClusterTag})
		}, "its path or its tags are others"},
		"the path": {func(w *world, wish membership.Wish) {
			w.admin("UpdateUser", map[string]string{"UserName": wish.Name, "NewPath": "/"})
		}, "its path or its tags are others"},
		"the device": {func(w *world, wish membership.Wish) {
			w.admin("DeactivateMFADevice", map[string]string{"UserName": wish.Name, "SerialNumber": "arn:aws:iam::111122223333:mfa" + breakGlassPath + wish.Name})
		}, "does not yet show the MFA device"},
		"the fence": {func(w *world, wish membership.Wish) {
			for policy := range w.UserPolicies(wish.Name) {
				w.admin("DeleteUserPolicy", map[string]string{"UserName": wish.Name, "PolicyName": policy})
			}
		}, "its fence is gone"},
		"the user": {func(w *world, wish membership.Wish) {
			if err := w.engine.Delete(w.Context(), wish.Temporary); err != nil {
				w.Fatal(err)
			}
		}, "does not yet show the IAM user"},
	} {
		t.Run(name, func(t *testing.T) {
			w, wish := newTemporaryWorld(t)
			wish = made(t, w, wish)
			if err := w.engine.Complete(t.Context(), wish.Temporary); err != nil {
				t.Fatal(err)
			}
			test.spoil(w, wish)
			if err := w.engine.Complete(t.Context(), wish.Temporary); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}

func (w *world) admin(op string, params map[string]string) {
	w.Helper()
	if err := w.Admin(op, params); err != nil {
		w.Fatal(err)
	}
}

// burden hangs on a user whatever people may hang there.
func burden(w *world, name string) {
	for _, kind := range []fake.Leftover{fake.SSHPublicKey, fake.SigningCertificate, fake.ServiceSpecificCredential} {
		w.AddLeftover(name, kind)
	}
	w.AddMember(group, name)
	w.admin("CreateAccessKey", map[string]string{"UserName": name})
	w.admin("PutUserPolicy", map[string]string{"UserName": name, "PolicyName": "own", "PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`})
	w.Quarantine(name) // attaches a policy
}

func TestDeleteTemporaryUserToTheLastTrace(t *testing.T) {
	for name, before := range map[string]func(*world, membership.Wish){
		"as it was made": func(*world, membership.Wish) {},
		"burdened":       func(w *world, wish membership.Wish) { burden(w, wish.Name) },
		"renamed": func(w *world, wish membership.Wish) {
			w.admin("UpdateUser", map[string]string{"UserName": wish.Name, "NewUserName": "hidden"})
		},
		"moved and renamed": func(w *world, wish membership.Wish) {
			w.admin("UpdateUser", map[string]string{"UserName": wish.Name, "NewUserName": "hidden", "NewPath": "/people/"})
		},
		"without its boundary": func(w *world, wish membership.Wish) { w.SetBoundary(wish.Name, "") },
	} {
		t.Run(name, func(t *testing.T) {
			w, wish := newTemporaryWorld(t)
			wish = made(t, w, wish)
			before(w, wish)
			if err := w.engine.Delete(t.Context(), wish.Temporary); err != nil {
				t.Fatal(err)
			}
			if n := w.Under(breakGlassPath, wish.Name) + w.Under(breakGlassPath, "hidden") + w.Under("/people/", "hidden"); n != 0 {
				t.Errorf("%d users and devices are left", n)
			}
			if err := w.engine.Delete(t.Context(), wish.Temporary); err != nil {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

// I9: what is not of this emergency is left alone.
func TestI9DeleteLeavesOthersAlone(t *testing.T) {
	for name, other := range map[string]fake.User{
		"another cluster's":   {Path: breakGlassPath, Tags: map[string]string{v1alpha1.ClusterTag: "other", v1alpha1.EmergencyTag: "12345678-7f3c"}},
		"another emergency's": {Path: breakGlassPath, Tags: map[string]string{v1alpha1.ClusterTag: "hera", v1alpha1.EmergencyTag: "another"}},
		"a person's":          {Tags: map[string]string{v1alpha1.ClusterTag: "hera", v1alpha1.EmergencyTag: "12345678-7f3c"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, wish := newTemporaryWorld(t)
			other.Name = wish.Name
			w.AddUser(other)
			if err := w.engine.Delete(t.Context(), wish.Temporary); err != nil {
				t.Fatal(err)
			}
			if w.UserID(wish.Name) == "" {
				t.Error("it was deleted")
			}
		})
	}
}

// Everything is taken from a user before it is taken apart, so that a deletion that breaks off leaves nobody with anything.
func TestContainedBeforeItIsTakenApart(t *testing.T) {
	w, wish := newTemporaryWorld(t)
	wish = made(t, w, wish)
	burden(w, wish.Name)
	contained := false
	w.onCall = func(call url.Values) {
		op := call.Get("Action")
		contained = contained || op == "PutUserPolicy" && call.Get("PolicyName") == "prod-access-contained"
		if takes := strings.HasPrefix(op, "Delete") || strings.HasPrefix(op, "Detach") || strings.HasPrefix(op, "Deactivate") || strings.HasPrefix(op, "Remove"); takes && !contained {
			t.Errorf("%s before it is contained", op)
		}
	}
	w.Inject("DeleteUser", fake.ServiceUnavailable)
	if err := w.engine.Delete(t.Context(), wish.Temporary); err == nil {
		t.Error("deleted")
	}
	w.ClearFaults()
	if err := w.engine.Delete(t.Context(), wish.Temporary); err != nil || w.Under(breakGlassPath, wish.Name) != 0 {
		t.Error(err)
	}
}

func TestStrays(t *testing.T) {
	w, wish := newTemporaryWorld(t)
	wish = made(t, w, wish)
	w.AddUser(fake.User{Name: "bg-other", Path: breakGlassPath, Tags: map[string]string{v1alpha1.ClusterTag: "other", v1alpha1.EmergencyTag: "1"}})
	w.AddUser(fake.User{Name: "bg-untagged", Path: breakGlassPath})
	w.AddUser(fake.User{Name: "bg-elsewhere", Tags: map[string]string{v1alpha1.ClusterTag: "hera", v1alpha1.EmergencyTag: "1"}})
	for name, cluster := range map[string]string{"left": "hera", "foreign": "other"} {
		w.admin("CreateVirtualMFADevice", map[string]string{"VirtualMFADeviceName": name, "Path": breakGlassPath, "Tags.member.1.Key": v1alpha1.ClusterTag, "Tags.member.1.Value": cluster,
			"Tags.member.2.Key": v1alpha1.EmergencyTag, "Tags.member.2.Value": "1"})
	}
	w.admin("CreateVirtualMFADevice", map[string]string{"VirtualMFADeviceName": "phone"})
	_ = w.engine.Sweep(t.Context()) // the report is in the making
	strays, err := w.engine.Strays(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range strays {
		names = append(names, s.Name)
		if err := w.engine.DeleteStray(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(names)
	if want := []string{wish.Name, "left"}; !slices.Equal(names, want) {
		t.Errorf("strays: %v, want %v", names, want)
	}
	if w.Under(breakGlassPath, wish.Name)+w.Under(breakGlassPath, "left") != 0 || w.Under(breakGlassPath, "foreign") == 0 || w.UserID("bg-other") == "" {
		t.Error("a stray is left, or another cluster's is gone")
	}
}

// Whatever fails in whatever order: no group before MFA device and fence; and once nothing fails any more nothing is left.
func TestTemporaryUsersUnderFaults(t *testing.T) {
	faults := []fake.Fault{
		fake.ServiceUnavailable, fake.Throttling, fake.ConnectionReset, fake.LostAnswer, fake.Truncated, fake.Empty, fake.AccessDenied, fake.ConcurrentModification,
		fake.ErrorFault("EntityTemporarilyUnmodifiable", 409), fake.ErrorFault("DeleteConflict", 409), fake.ErrorFault("LimitExceeded", 409), fake.ServiceUnavailable.AfterEffect(),
	}
	for round := range 150 {
		seed := uint64(round)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			dice, weather := rand.New(rand.NewPCG(seed, seed)), rand.New(rand.NewPCG(seed, seed+1))
			w, wish := newTemporaryWorld(t)
			w.AddUser(fake.User{Name: "bg-other", Path: breakGlassPath, Tags: map[string]string{v1alpha1.ClusterTag: "other", v1alpha1.EmergencyTag: "1"}})
			failing := true
			var calling sync.Mutex // some calls are made at once, and one whose connection broke may outlive what made it
			w.onCall = func(call url.Values) {
				calling.Lock()
				defer calling.Unlock()
				w.ClearFaults()
				if failing && weather.IntN(4) == 0 {
					w.Inject(call.Get("Action"), faults[weather.IntN(len(faults))])
				}
			}
			for range 6 {
				switch dice.IntN(3) {
				case 0:
					if m := w.engine.Make(t.Context(), wish); m.Err == nil && m.Obstacle.Reason == "" {
						wish.UserID = m.UserID
					}
				case 1:
					if wish.UserID != "" && w.engine.Complete(t.Context(), wish.Temporary) == nil {
						if !slices.ContainsFunc(slices.Collect(maps.Keys(w.UserPolicies(wish.Name))), func(p string) bool { return strings.HasPrefix(p, "prod-access-fence-hera-") }) {
							t.Fatal("complete, and without a fence")
						}
						w.AddMember(group, wish.Name)
					}
				default:
					if w.engine.Delete(t.Context(), wish.Temporary) == nil && w.Under(breakGlassPath, wish.Name) != 0 {
						t.Fatal("said to be deleted, and there")
					}
				}
			}
			calling.Lock()
			failing = false
			w.ClearFaults()
			calling.Unlock()
			if err := w.engine.Delete(t.Context(), wish.Temporary); err != nil {
				t.Fatal(err)
			}
			if w.Under(breakGlassPath, wish.Name) != 0 || w.UserID("bg-other") == "" {
				t.Error("something is left, or another cluster's is gone")
			}
		})
	}
}
