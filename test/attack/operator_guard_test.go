// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

// outage is a time without one of the policies, by the cluster's administrator, and what is done in it.
type outage struct {
	policy string
	// refused is what the policy refuses and nothing else does: it tells whether the policy acts.
	refused row
	// due is approved, and could be granted as soon as its role allows it; live is granted.
	due, live *v1alpha1.ProdAccessGrant
	// forge uses the outage, and returns what must come of it when the guard is whole again.
	forge func(*play) (after func(*play))
}

// prepareOutages asks for what the outages are about, long enough before them.
func prepareOutages(t *testing.T, w *world) []outage {
	t.Helper()
	made := func(policy string, refused row, forge func(*play) func(*play)) outage {
		p := w.play(t)
		r := p.role()
		due := p.ask(ofRole(r.Name))
		p.approve(frank, due)
		p.changes(r.Name, func(s *v1alpha1.AccessRoleSpec) { s.MaxDuration.Duration = time.Minute })
		w.tells(t, due, told{v1alpha1.StateBlocked, v1alpha1.ConditionActive, v1alpha1.StateBlocked, "the window until expiresAt is"})
		p.approve(gina, due)
		return outage{policy: policy, refused: refused, due: due, live: w.play(t).live(), forge: forge}
	}
	asked, live := func() *v1alpha1.ProdAccessGrant { return w.play(t).ask() }, func() *v1alpha1.ProdAccessGrant { return w.play(t).live() }
	opened := func() *v1alpha1.BreakGlass {
		p := w.play(t)
		e := p.opens(oncall)
		p.active(e)
		return e
	}
	once := func() *v1alpha1.ProdAccessGrant {
		p := w.play(t)
		g := p.ask(ofRole(p.shared))
		p.approve(frank, g)
		return g
	}
	held := labelled(clusterBinding("attempt", "view", user(manager)), v1alpha1.ManagedByLabel, v1alpha1.ManagedByValue)
	anchor, finalized := live(), live()
	return []outage{
		made("approvals", row{who: manager, do: create(approval(frank))}, forgedApprovals(asked())),
		made("attesters", row{who: manager, do: create(grant(func(s *v1alpha1.ProdAccessGrantSpec) { s.RequestedBy = v1alpha1.Username(rita.user) }))}, forgedRequests),
		made("revocations", row{who: manager, do: create(revocation(sam))}, forgedLifts(w.play(t), w.play(t))),
		made("emergencies", row{who: manager, do: create(emergency(oncall))}, forgedEmergencies(opened())),
		made("bindings", row{who: manager, do: create(held)}, editedBindings([4]*v1alpha1.ProdAccessGrant{live(), live(), live(), live()}, once(), once())),
		made("finalizers", row{who: manager, do: edit(anchor, operation("replace", "/metadata/finalizers", []string{}))}, looseObjects(live(), finalized)),
		made("status", row{who: manager, do: patchStatus(anchor, `{"status":{"specDigest":"forged"}}`)}, forgedStatus(asked())),
	}
}

func (w *world) play(t *testing.T) *play {
	return &play{T: t, world: w, subject: w.someone()}
}

// of is a play about the person whom a grant is for.
func (w *world) of(t *testing.T, g *v1alpha1.ProdAccessGrant) *play {
	return &play{T: t, world: w, subject: g.Spec.Subject.IAMUser}
}

func (o *outage) perform(t *testing.T, w *world) {
	t.Helper()
	p := w.of(t, o.due)
	// What was created after the last look that found the guard whole would not count either.
	if err := wait.PollUntilContextTimeout(p.Context(), 20*time.Millisecond, 2*hidden, true, func(context.Context) (bool, error) {
		return time.Since(o.due.CreationTimestamp.Time) > hidden, nil
	}); err != nil {
		t.Fatal(err)
	}
	o.intact(p, metav1.ConditionTrue, "as released") // after an outage that ended in failure as well
	restore := o.cut(p)
	o.intact(p, metav1.ConditionFalse, "prod-access-"+o.policy)

	after := o.forge(w.play(t))
	// Nothing new is granted meanwhile, and what is taken away goes.
	p.changes(o.due.Spec.Role, func(s *v1alpha1.AccessRoleSpec) { s.MaxDuration.Duration = time.Hour })
	w.tells(t, o.due, told{v1alpha1.StateBlocked, v1alpha1.ConditionActive, v1alpha1.StateBlocked, "nothing new is granted until the admission guard is whole"})
	p.deletes(rita, o.live)
	w.nothing(t, o.live.Spec.Subject.IAMUser)
	w.never(t, o.due.Spec.Subject.IAMUser)

	restore()
	o.intact(p, metav1.ConditionTrue, "as released")
	w.granted(t, o.due)
	after(w.play(t))
	p.gone(o.live)
	o.recorded(p)
}

// cut takes the binding of the policy away, and returns what puts it back.
func (o *outage) cut(p *play) (restore func()) {
	p.Helper()
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	if err := as(p.T, root).Get(p.Context(), nameOf("prod-access-"+o.policy), binding); err != nil {
		p.Fatal(err)
	}
	whole := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: binding.Name, Labels: binding.Labels}, Spec: *binding.Spec.DeepCopy(),
	}
	acts := func(want bool) {
		p.Helper()
		p.eventually(fmt.Sprintf("the policy %s acts: %v", o.policy, want), func(ctx context.Context) (bool, error) {
			err := o.refused.do(ctx, as(p.T, o.refused.who))
			if err == nil {
				return !want, nil
			}
			policy, _ := refusal(err)
			return want && policy == whole.Name, nil
		})
	}
	acts(true)
	p.deletes(root, binding)
	p.Cleanup(func() {
		// The tests that come after need it, whatever has happened here.
		_ = as(p.T, root).Create(context.WithoutCancel(p.Context()), whole.DeepCopy())
	})
	acts(false)
	return func() {
		p.Helper()
		p.does(root, whole.DeepCopy())
		acts(true)
		ctx, cancel := context.WithTimeout(p.Context(), soon)
		defer cancel()
		if err := operator.WaitGuarded(ctx, cp); err != nil {
			p.Fatal(err)
		}
	}
}

// intact waits until every role tells whether the guard is whole.
func (o *outage) intact(p *play, want metav1.ConditionStatus, words string) {
	p.Helper()
	p.eventually(fmt.Sprintf("the roles show GuardIntact %s and tell of %s", want, words), func(ctx context.Context) (bool, error) {
		var roles v1alpha1.AccessRoleList
		if err := as(p.T, root).List(ctx, &roles); err != nil {
			return false, err
		}
		return !slices.ContainsFunc(roles.Items, func(r v1alpha1.AccessRole) bool {
			c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionGuardIntact)
			return c == nil || c.Status != want || !strings.Contains(c.Message, words)
		}), nil
	})
}

// recorded checks that the trail tells of both ends of the outage.
func (o *outage) recorded(p *play) {
	p.Helper()
	trail, err := os.ReadFile(p.process.Log + ".trail")
	if err != nil {
		p.Fatal(err)
	}
	broken := -1
	whole := -1
	for i, line := range slices.Collect(bytes.Lines(trail)) {
		switch {
		case bytes.Contains(line, []byte(`"event":"guard-broken"`)) && bytes.Contains(line, []byte("prod-access-"+o.policy)):
			broken = i
		case bytes.Contains(line, []byte(`"event":"guard-whole"`)):
			whole = i
		}
	}
	if broken < 0 || whole < broken {
		p.Errorf("the trail tells of the outage of %s in line %d, and of its end in line %d", o.policy, broken+1, whole+1)
	}
}

// forgedApprovals are of the person whom the access is for, in the names of those who may.
func forgedApprovals(open *v1alpha1.ProdAccessGrant) func(*play) func(*play) {
	return func(p *play) func(*play) {
		forger := person{user: username(open.Spec.Subject.IAMUser)}
		p.does(forger, p.vote(frank, open))
		p.does(forger, p.vote(gina, open))
		p.does(forger, p.vote(frank, open, rejecting))
		const words = "when the admission guard was not known to be whole"
		p.tells(p.T, open, pending(words))
		return func(p *play) {
			p.tells(p.T, open, pending(words))
			p.approve(frank, open)
			p.tells(p.T, open, pending("1 of 2 approvals; not counted: "))
			p.never(p.T, open.Spec.Subject.IAMUser)
			p.approve(gina, open)
			p.granted(p.T, open)
		}
	}
}

// forgedRequests are in Rita's name, by the person whom the access is for; one brings its reviews along.
func forgedRequests(p *play) func(*play) {
	forger := person{user: username(p.subject)}
	asked, reviewed := p.request(), p.request(ofRole(p.shared), func(s *v1alpha1.ProdAccessGrantSpec) {
		s.ReviewedBy = []v1alpha1.Username{v1alpha1.Username(frank.user), v1alpha1.Username(gina.user)}
	})
	for _, g := range []*v1alpha1.ProdAccessGrant{asked, reviewed} {
		p.creates(forger, g)
	}
	return func(p *play) {
		for _, g := range []*v1alpha1.ProdAccessGrant{asked, reviewed} {
			p.approve(frank, g)
			p.approve(gina, g)
			p.tells(p.T, g, told{v1alpha1.StateBlocked, v1alpha1.ConditionStalled, v1alpha1.ReasonUnproven, "nobody has proven who asks: create another grant"})
			p.tells(p.T, g, told{v1alpha1.StateBlocked, v1alpha1.ConditionApproved, v1alpha1.ReasonApproved, ""})
		}
		p.never(p.T, asked.Spec.Subject.IAMUser)
		p.live()
		p.granted(p.T, p.play(p.T).reviewed())
	}
}

// forgedLifts are of the revoked person, in Sam's name; and of somebody who deletes what was not lifted.
func forgedLifts(thief, other *play) func(*play) func(*play) {
	lifted, deleted := thief.revokes(username(thief.subject)), other.revokes(username(other.subject))
	return func(p *play) func(*play) {
		if err := as(p.T, person{user: username(thief.subject)}).Patch(p.Context(), lifted, client.RawPatch("application/merge-patch+json", []byte(lift(sam)))); err != nil {
			p.Fatal(err)
		}
		p.judged(lifted, v1alpha1.ReasonGuardMissing)
		p.deletes(manager, deleted)
		return func(p *play) {
			p.judged(lifted, v1alpha1.ReasonGuardMissing)
			for _, who := range []*play{thief, other} {
				p.tells(p.T, p.about(who).reviewed(), over("revoked by "+sam.user))
				p.never(p.T, who.subject)
			}
			again := strings.Replace(lift(sam), "it was somebody else", "the laptop was found again", 1)
			if err := as(p.T, sam).Patch(p.Context(), lifted, client.RawPatch("application/merge-patch+json", []byte(again))); err != nil {
				p.Fatal(err)
			}
			p.judged(lifted, v1alpha1.ReasonLifted)
			p.granted(p.T, p.about(thief).reviewed())
		}
	}
}

// about is a play about the person of another one.
func (p *play) about(other *play) *play { return &play{T: p.T, world: p.world, subject: other.subject} }

// editedBindings are those of live grants, changed by the cluster's administrator: each is put right, or ends. What was
// there before a grant wanted its name is never taken over.
func editedBindings(live [4]*v1alpha1.ProdAccessGrant, conflicted, claimed *v1alpha1.ProdAccessGrant) func(*play) func(*play) {
	return func(p *play) func(*play) {
		of := func(g *v1alpha1.ProdAccessGrant) *rbacv1.ClusterRoleBinding {
			b := &rbacv1.ClusterRoleBinding{}
			if err := as(p.T, root).Get(p.Context(), nameOf(access.BindingName(g)), b); err != nil {
				p.Fatal(err)
			}
			return b
		}
		mallory := user(person{user: username(p.subject)})
		changes := []func(*rbacv1.ClusterRoleBinding){
			func(b *rbacv1.ClusterRoleBinding) { b.Subjects = append(b.Subjects, mallory) },
			func(b *rbacv1.ClusterRoleBinding) { b.Labels = nil },
			func(b *rbacv1.ClusterRoleBinding) { b.OwnerReferences = nil },
		}
		for i, change := range changes {
			before := of(live[i])
			after := before.DeepCopy()
			change(after)
			if err := as(p.T, root).Update(p.Context(), after); err != nil {
				p.Fatal(err)
			}
			p.eventually(fmt.Sprintf("the edited binding %d is put right", i), func(context.Context) (bool, error) {
				b := of(live[i])
				return b.UID == before.UID && equality.Semantic.DeepEqual(b.Subjects, before.Subjects) && equality.Semantic.DeepEqual(b.Labels, before.Labels) &&
					equality.Semantic.DeepEqual(b.OwnerReferences, before.OwnerReferences), nil
			})
		}
		other := of(live[3])
		other.Subjects = []rbacv1.Subject{mallory}
		if err := as(p.T, root).Update(p.Context(), other); err != nil {
			p.Fatal(err)
		}
		p.tells(p.T, live[3], over("so the whole grant ends"))
		p.nothing(p.T, live[3].Spec.Subject.IAMUser)
		p.nothing(p.T, p.subject)

		// One is as anybody would make it, the other claims to be the operator's.
		foreign := clusterBinding(access.BindingName(conflicted), "prod-access-infra-manager", mallory)
		p.does(root, foreign)
		claiming := clusterBinding(access.BindingName(claimed), "prod-access-infra-manager", mallory)
		claiming.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}
		owner := ownedBy(claimed)
		owner.Controller = new(true)
		claiming.OwnerReferences = []metav1.OwnerReference{owner}
		p.does(root, claiming)
		thief := p.subject
		return func(p *play) {
			for _, g := range live[:3] {
				p.granted(p.T, g)
			}
			for _, g := range []*v1alpha1.ProdAccessGrant{conflicted, claimed} {
				p.approve(gina, g)
				p.tells(p.T, g, told{v1alpha1.StateBlocked, v1alpha1.ConditionBindingsSynced, v1alpha1.ReasonConflict, "it is not taken over"})
				p.never(p.T, g.Spec.Subject.IAMUser)
			}
			if have := of(conflicted); have.UID != foreign.UID || have.ResourceVersion != foreign.ResourceVersion {
				p.Errorf("what was in the way was changed: %+v", have)
			}
			p.deletes(root, foreign)
			// What claims to be the operator's is taken away as such.
			p.nothing(p.T, thief)
		}
	}
}

// looseObjects are live grants of which the administrator has taken the finalizer off: one is deleted at once, one later.
// Access goes with either.
func looseObjects(now, later *v1alpha1.ProdAccessGrant) func(*play) func(*play) {
	return func(p *play) func(*play) {
		for _, g := range []*v1alpha1.ProdAccessGrant{now, later} {
			if err := as(p.T, root).Patch(p.Context(), g, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
				p.Fatal(err)
			}
		}
		p.deletes(root, now)
		p.gone(now)
		p.nothing(p.T, now.Spec.Subject.IAMUser)
		return func(p *play) {
			p.granted(p.T, later)
			p.deletes(rita, later)
			p.gone(later)
			p.nothing(p.T, later.Spec.Subject.IAMUser)
		}
	}
}

// forgedStatus is what the administrator writes into the status of a grant: approvals that nobody gave.
func forgedStatus(approved *v1alpha1.ProdAccessGrant) func(*play) func(*play) {
	return func(p *play) func(*play) {
		now := metav1.NewTime(time.Now().Truncate(time.Second))
		condition := func(s *v1alpha1.ProdAccessGrantStatus, kind string, status metav1.ConditionStatus, reason string) {
			meta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "forged", ObservedGeneration: 1, LastTransitionTime: now})
		}
		write := func(g *v1alpha1.ProdAccessGrant, change func(*v1alpha1.ProdAccessGrantStatus)) {
			p.eventually("the status of "+g.Name+" is forged", func(ctx context.Context) (bool, error) {
				if err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(g), g); err != nil {
					return false, err
				}
				change(&g.Status)
				err := as(p.T, root).Status().Update(ctx, g)
				return err == nil, ignoreConflict(err)
			})
			// A status alone wakes nobody.
			if err := as(p.T, rita).Patch(p.Context(), g, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"note":"look"}}}`))); err != nil {
				p.Fatal(err)
			}
		}
		intend := func(g *v1alpha1.ProdAccessGrant) {
			s := &g.Status
			s.Approvals = []v1alpha1.CountedApproval{
				{Approver: v1alpha1.Username(frank.user), Source: v1alpha1.SourceApproval, At: now}, {Approver: v1alpha1.Username(gina.user), Source: v1alpha1.SourceApproval, At: now},
			}
			s.AWS = v1alpha1.GrantAWSStatus{UserID: p.iam.UserID(g.Spec.Subject.IAMUser), Names: namesOf(g.Spec.Subject.IAMUser),
				Groups: []v1alpha1.GroupMembership{{Name: "hera-prod-infra-member", Intended: true}}}
			s.Kubernetes = v1alpha1.GrantKubernetesStatus{User: username(g.Spec.Subject.IAMUser), ClusterRole: "prod-access-infra-member",
				Bindings: []v1alpha1.GrantBinding{{Name: access.BindingName(g), Intended: true}}}
			condition(s, v1alpha1.ConditionApproved, metav1.ConditionTrue, v1alpha1.ReasonApproved)
		}
		write(approved, func(s *v1alpha1.ProdAccessGrantStatus) {
			intend(approved)
			condition(s, v1alpha1.ConditionActive, metav1.ConditionFalse, v1alpha1.StateGranting)
		})
		return func(p *play) {
			p.Run("approvals that nobody gave", func(t *testing.T) {
				p.tells(t, approved, pending("0 of 2 approvals"))
				p.never(t, approved.Spec.Subject.IAMUser)
			})
		}
	}
}
