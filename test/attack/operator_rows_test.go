// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// spelling is a way to write a name of somebody who is an IAM user.
type spelling struct {
	what  string
	spell func(iamUser string) string
}

// spellings are the names of a person, and what stands for them. The first is the one that others write.
func spellings() []spelling {
	all := []spelling{{"Kubernetes username", username}, {"other Kubernetes username", nickname}, {"IAM user name", func(name string) string { return name }}, {"ARN", arn}}
	for _, s := range all[:4] {
		all = append(all, spelling{s.what + " in another case", func(name string) string { return strings.ToUpper(s.spell(name)) }})
	}
	return append(all,
		spelling{"ARN with the name in another case", func(name string) string { return arn(strings.ToUpper(name)) }},
		spelling{"ARN with a path", func(name string) string { return arn("team/" + name) }},
		spelling{"username with a letter that stands for another case of k", func(name string) string { return strings.ReplaceAll(nickname(name), "k", "\u212a") }},
	)
}

// ownApprovals are yeses that somebody gives to their own request or access.
func ownApprovals() []scheme {
	var all []scheme
	for _, s := range spellings() {
		all = append(all, scheme{name: "the subject approves by their " + s.what, want: pending(""), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			p.words = fmt.Sprintf("1 of 2 approvals; not counted: %s: %s is the requester or the subject", p.yesAndNo(g, frank, s.spell(p.subject), gina), s.spell(p.subject))
			return g
		}}, scheme{name: "the requester approves by their " + s.what, want: pending(""), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			p.words = fmt.Sprintf("1 of 2 approvals; not counted: %s: %s is the requester or the subject", p.yesAndNo(g, frank, s.spell("rita"), gina), s.spell("rita"))
			return g
		}})
		if s.what == "Kubernetes username" {
			continue
		}
		all = append(all, scheme{name: "approving twice, the second time by one's " + s.what, want: pending(""), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			p.words = fmt.Sprintf("1 of 2 approvals; not counted: %s: %s is the same person as %s, who has approved already",
				p.yesAndNo(g, frank, s.spell("frank"), gina), s.spell("frank"), frank.user)
			return g
		}})
	}
	return append(all, scheme{name: "approving twice", want: pending("frank@hera.example has approved already"), of: func(p *play) *v1alpha1.ProdAccessGrant {
		g := p.ask()
		p.yesAndNo(g, frank, frank.user, gina)
		return g
	}})
}

// yesAndNo lets somebody approve who may, and then somebody under a name that must not count, or the twin's. It returns
// the name of the second approval.
func (p *play) yesAndNo(g *v1alpha1.ProdAccessGrant, first person, forbidden string, allowed person) string {
	p.Helper()
	p.approve(first, g)
	by := either(p, lead(forbidden), allowed)
	a := p.vote(by, g)
	p.does(by, a)
	return a.Name
}

// votes are yeses that are about something else, or from somebody who lost their voice.
func votes() []scheme {
	second := func(change func(*play, *v1alpha1.ProdAccessGrant, *approvalSpec)) func(*play) *v1alpha1.ProdAccessGrant {
		return func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			p.approve(frank, g)
			p.approve(gina, g, func(s *approvalSpec) {
				if !p.fair {
					change(p, g, s)
				}
			})
			return g
		}
	}
	return []scheme{
		{name: "approving another uid", want: pending("it is for an earlier object of this name (uid 00000000-0000-4000-8000-000000000000)"),
			of: second(func(_ *play, _ *v1alpha1.ProdAccessGrant, s *approvalSpec) {
				s.Target.UID = "00000000-0000-4000-8000-000000000000"
			})},
		{name: "approving the digest of another request", want: pending("its digest is not status.approvalDigest; approve again what the role gives now"),
			of: second(func(p *play, _ *v1alpha1.ProdAccessGrant, s *approvalSpec) { s.Digest = p.ask().Status.ApprovalDigest })},
		{name: "approving the digest of the spec alone", want: pending("its digest is not status.approvalDigest"),
			of: second(func(_ *play, g *v1alpha1.ProdAccessGrant, s *approvalSpec) { s.Digest = g.Status.SpecDigest })},
		{name: "approving for another role", want: pending("it is for the role developer"),
			of: second(func(_ *play, _ *v1alpha1.ProdAccessGrant, s *approvalSpec) { s.Role = "developer" })},
		{name: "an approval is used again after re-creation", want: pending("it is for an earlier object of this name (uid"), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			kept := p.vote(frank, g)
			p.does(frank, kept.DeepCopy())
			p.deletes(rita, g)
			p.gone(g)
			p.gone(kept) // with its grant
			again := p.request()
			again.Name, again.Spec = g.Name, g.Spec
			p.creates(rita, again)
			kept.Name += "-again"
			p.does(frank, either(p, kept, p.vote(frank, again)))
			p.approve(gina, again)
			return again
		}},
		{name: "the role comes to give more after an approval", want: pending("its digest is not status.approvalDigest; approve again what the role gives now"),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				r := p.role()
				g := p.ask(ofRole(r.Name))
				p.approve(frank, g)
				p.changes(r.Name, func(s *v1alpha1.AccessRoleSpec) {
					if s.Description = "described anew"; !p.fair {
						s.AWS = &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"hera-prod-infra-manager"}}
					}
				})
				p.renewed(g, !p.fair)
				p.approve(gina, g)
				return g
			}},
		{name: "the rules of the role change after an approval", want: pending("its digest is not status.approvalDigest; approve again what the role gives now"),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				r := p.role()
				g := p.ask(ofRole(r.Name))
				p.approve(frank, g)
				p.does(ada, part(either(p, r.Name, r.Name+"-not"), "delete", "pods"))
				p.renewed(g, !p.fair)
				p.approve(gina, g)
				return g
			}},
		{name: "an approver loses the verb before the second approval", want: pending("does not hold the verb approve on accessroles/infra-member"), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			// By name and not by group, so that what is taken away is their own.
			voter, other := person{user: username(p.someone())}, person{user: username(p.someone())}
			p.enfranchise(voter.user)
			p.enfranchise(other.user)
			p.approve(voter, g)
			p.disfranchise(either(p, voter, other).user)
			p.forgotten()
			p.approve(gina, g)
			return g
		}},
		{name: "an approver is revoked before the second approval", want: pending(" is revoked ("), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			voter, other := p.someone(), p.someone()
			p.approve(lead(nickname(voter)), g)
			p.revokes(either(p, arn(voter), arn(other)))
			p.approve(gina, g)
			return g
		}},
		{name: "a revoked person approves", want: pending(" is revoked ("), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.ask()
			voter, other := p.someone(), p.someone()
			p.revokes(either(p, strings.ToUpper(voter), strings.ToUpper(other)))
			p.approve(frank, g)
			p.approve(lead(username(voter)), g)
			return g
		}},
		{name: "the subject is revoked by their nickname", want: over("revoked by sam@hera.example"), of: func(p *play) *v1alpha1.ProdAccessGrant {
			p.revokes(nickname(either(p, p.subject, p.someone())))
			return p.reviewed()
		}},
	}
}

// renewed waits until a grant is to be approved anew, if it is.
func (p *play) renewed(g *v1alpha1.ProdAccessGrant, anew bool) {
	p.Helper()
	before := g.Status.ApprovalDigest
	p.eventually("another digest of "+g.Name, func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(g), g)
		return g.Status.ApprovalDigest != before || !anew, err
	})
}

// enfranchise gives somebody the verb approve by their name, and disfranchise takes it away.
func (p *play) enfranchise(name string) {
	p.Helper()
	p.does(root, clusterBinding("voice-"+name, leads, user(person{user: name})))
	p.mayApprove(name, "infra-member", true)
}

func (p *play) disfranchise(name string) {
	p.Helper()
	p.deletes(root, clusterBinding("voice-"+name, leads))
	p.mayApprove(name, "infra-member", false)
}

// forgotten waits until the operator does not know any more who held which right before.
func (p *play) forgotten() {
	p.Helper()
	const serves = time.Second // how long an answer of the API server serves the operator
	since := time.Now()
	p.eventually("the answers of before serve no more", func(context.Context) (bool, error) { return time.Since(since) > 2*serves, nil })
}

// revokes lets Sam revoke a person by one of their names, and waits until that is in force.
func (p *play) revokes(name string) *v1alpha1.AccessRevocation {
	p.Helper()
	r := revocation(sam, func(s *revocationSpec) { s.Person = v1alpha1.Username(name) })
	r.Name = "stolen-" + p.next()
	p.does(sam, r)
	p.inForce(r)
	return r
}

func (p *play) inForce(r *v1alpha1.AccessRevocation) {
	p.Helper()
	p.eventually("the revocation "+r.Name+" is in force", func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(r), r)
		return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady), err
	})
}

// carried is a grant from Git, in Rita's name and with these reviews.
func (p *play) carried(role string, reviewers ...string) *v1alpha1.ProdAccessGrant {
	p.Helper()
	g := p.request(ofRole(role), func(s *v1alpha1.ProdAccessGrantSpec) {
		for _, name := range reviewers {
			s.ReviewedBy = append(s.ReviewedBy, v1alpha1.Username(name))
		}
	})
	p.older(role)
	p.does(carrier, g)
	return g
}

// reviewed is a grant from Git that nobody has to approve any more.
func (p *play) reviewed() *v1alpha1.ProdAccessGrant {
	p.Helper()
	return p.carried(p.shared, frank.user, gina.user)
}

// older waits until a role is older than what is created from now on, as far as the times of creation can tell.
func (p *play) older(role string) {
	p.Helper()
	var r v1alpha1.AccessRole
	p.eventually("the role "+role+" is older", func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, nameOf(role), &r)
		return err == nil && time.Since(r.CreationTimestamp.Time) > time.Second+skew, err
	})
}

// skew is by how much the clock of the API server, on this machine, may differ.
const skew = 50 * time.Millisecond

// reviews are yeses that come from Git.
func reviews() []scheme {
	// The pair is two names that must be two people's.
	carrying := func(pair func(*play) (string, string)) func(*play) *v1alpha1.ProdAccessGrant {
		return func(p *play) *v1alpha1.ProdAccessGrant {
			first, second := pair(p)
			return p.carried(p.shared, first, second)
		}
	}
	voiced := func(p *play, name string) string {
		p.enfranchise(name)
		return name
	}
	all := []scheme{
		{name: "a review under two names of one person", want: pending("is the same person as"),
			of: carrying(func(p *play) (string, string) {
				one, other := p.someone(), p.someone()
				return voiced(p, username(one)), voiced(p, nickname(either(p, one, other)))
			})},
		{name: "a review by the requester under another name", want: pending("is the requester or the subject"),
			of: carrying(func(p *play) (string, string) {
				return frank.user, voiced(p, nickname(either(p, "rita", p.someone())))
			})},
		{name: "a review by the subject under another name", want: pending("is the requester or the subject"),
			of: carrying(func(p *play) (string, string) {
				return frank.user, voiced(p, nickname(either(p, p.subject, p.someone())))
			})},
		{name: "a review by somebody who may not approve", want: pending("does not hold the verb approve on accessroles/attack-"),
			of: carrying(func(p *play) (string, string) {
				return frank.user, either(p, dana.user, gina.user)
			})},
		{name: "a review by somebody whose right is a group's", want: pending("does not hold the verb approve"),
			of: carrying(func(p *play) (string, string) {
				return frank.user, either(p, rita.user+".org", gina.user)
			})},
		{name: "a review by somebody who is revoked", want: pending(" is revoked ("),
			of: carrying(func(p *play) (string, string) {
				reviewer := p.someone()
				p.revokes(either(p, nickname(reviewer), nickname(p.someone())))
				return frank.user, voiced(p, username(reviewer))
			})},
		{name: "a review and an approval by one person", want: pending("the review of frank@hera.example: frank@hera.example has approved already"),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				g := p.carried(p.shared, frank.user)
				p.digest(g)
				p.approve(either(p, frank, gina), g)
				return g
			}},
		{name: "a review and an approval by one person under two names", want: pending("the review of frank@hera.example: frank@hera.example is the same person as "),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				g := p.carried(p.shared, frank.user)
				p.digest(g)
				p.approve(either(p, lead(nickname("frank")), gina), g)
				return g
			}},
		{name: "a review that comes before its role", want: pending("no attester of the role carried it"),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				name := "attack-" + p.next()
				early := p.request(ofRole(name), func(s *v1alpha1.ProdAccessGrantSpec) {
					s.ReviewedBy = []v1alpha1.Username{v1alpha1.Username(frank.user), v1alpha1.Username(gina.user)}
				})
				if !p.fair {
					p.does(carrier, early)
				}
				p.roleNamed(name)
				if p.fair {
					p.older(name)
					p.does(carrier, early)
				}
				return early
			}},
		{name: "the role comes to give something else after a review", want: pending("the role has come to give something else since: create another grant, or ask for AccessApprovals"),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				r := p.role()
				g := p.carried(r.Name, frank.user)
				p.digest(g)
				p.changes(r.Name, func(s *v1alpha1.AccessRoleSpec) {
					if s.Description = "described anew"; !p.fair {
						s.AWS = &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"hera-prod-infra-manager"}}
					}
				})
				p.renewed(g, !p.fair)
				p.approve(gina, g)
				return g
			}},
	}
	return all
}

// removals are ways to keep access by way of the object that it hangs on. What is taken away there is taken away
// everywhere; the twin leaves the object, and keeps the access.
func removals() []scheme {
	orphan, foreground := client.PropagationPolicy(metav1.DeletePropagationOrphan), client.PropagationPolicy(metav1.DeletePropagationForeground)
	ending := func(by person, how ...client.DeleteOption) func(*play) *v1alpha1.ProdAccessGrant {
		return func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.live()
			p.deletes(by, g, append(how, either(p, []client.DeleteOption{}, []client.DeleteOption{client.DryRunAll})...)...)
			return g
		}
	}
	all := []scheme{
		{name: "deleting a live grant", of: ending(rita), held: true},
		{name: "deleting a live grant and leaving what it owns", of: ending(nora, orphan), held: true},
		{name: "deleting a live grant after what it owns", of: ending(argo, foreground), held: true},
		{name: "deleting a live grant by force", of: ending(root, client.GracePeriodSeconds(0)), held: true},
		{name: "deleting a live grant by force and leaving what it owns", of: ending(root, client.GracePeriodSeconds(0), orphan), held: true},
	}
	for _, by := range []person{rita, manager, nora, argo, ada, root} {
		all = append(all, scheme{name: by.user + " takes the finalizer off a live grant and deletes it", held: true, of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.live()
			p.refused(by, "finalizers", "only the operator removes it", edit(g, operation("replace", "/metadata/finalizers", []string{})))
			if !p.fair {
				p.deletes(by, g)
			}
			return g
		}})
	}
	for _, by := range []person{manager, nora, argo} {
		all = append(all, scheme{name: by.user + " edits the binding of a live grant and then deletes it", held: true, want: over("so the whole grant ends"),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				g := p.live()
				b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: access.BindingName(g)}}
				for _, change := range []string{
					operation("add", "/subjects/-", user(by)), operation("remove", "/metadata/labels", nil), operation("remove", "/metadata/ownerReferences", nil),
				} {
					p.refused(by, "bindings", "", edit(b, change))
				}
				if !p.fair {
					p.deletes(by, b)
				}
				return g
			}})
	}
	return all
}

// roleChanges are ways to give more to those who have access already.
func roleChanges() []scheme {
	return []scheme{
		{name: "an administrator widens a role by what no role may hold", held: true,
			want: told{v1alpha1.StateSuspended, v1alpha1.ConditionActive, v1alpha1.StateSuspended, "holds the verb impersonate"},
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				r := p.role()
				g := p.live(ofRole(r.Name))
				wider := part(r.Name, "list", "pods")
				p.refused(manager, "clusterroles", "takes the verb administer on accessroles", create(wider))
				p.does(ada, either(p, part(r.Name, "impersonate", "users"), wider))
				if p.fair {
					p.shown(g)
				}
				return g
			}},
		{name: "an administrator names another ClusterRole", held: true, want: over("no longer names anything that this grant holds"),
			of: func(p *play) *v1alpha1.ProdAccessGrant {
				r := p.role()
				g := p.live(ofRole(r.Name))
				p.changes(r.Name, func(s *v1alpha1.AccessRoleSpec) {
					if s.Description = "described anew"; !p.fair {
						s.Kubernetes.ClusterRole = "prod-access-infra-manager"
					}
				})
				return g
			}},
	}
}

// shown waits until a live grant shows that its role has come to give something else, and the trail as well.
func (p *play) shown(g *v1alpha1.ProdAccessGrant) {
	p.Helper()
	before := g.Status.Kubernetes.RulesHash
	p.eventually("another rulesHash of "+g.Name, func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(g), g)
		return g.Status.Kubernetes.RulesHash != before, err
	})
	p.eventually("a line of the trail that the role "+g.Spec.Role+" has changed", func(context.Context) (bool, error) {
		trail, err := os.ReadFile(p.process.Log + ".trail")
		for line := range bytes.Lines(trail) {
			var l struct{ Event, Role string }
			if json.Unmarshal(line, &l) == nil && l.Event == "role-changed" && l.Role == g.Spec.Role {
				return true, nil
			}
		}
		return false, err
	})
}

// memories are ways around a revocation.
func memories() []scheme {
	const times = 40
	recreated := func(p *play, g *v1alpha1.ProdAccessGrant) *v1alpha1.ProdAccessGrant {
		again := p.request()
		again.Name, again.Spec = g.Name, g.Spec
		if p.fair {
			again.Spec.Reason = "replace the failing disk of the other database"
		}
		if err := as(p.T, carrier).Create(p.Context(), again); err != nil {
			p.Fatal(err)
		}
		return again
	}
	return []scheme{
		{name: "Argo CD re-creates what was deleted, forty times", held: true, want: over("revoked by " + theOperator.user), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.reviewed()
			p.granted(p.T, g)
			p.deletes(rita, g)
			p.gone(g)
			for range either(p, times, 0) {
				again := recreated(p, g)
				p.tells(p.T, again, over("revoked by "+theOperator.user))
				p.deletes(rita, again)
				p.gone(again)
			}
			return recreated(p, g)
		}},
		{name: "Argo CD re-creates what was revoked, forty times", held: true, want: over("revoked by " + sam.user), of: func(p *play) *v1alpha1.ProdAccessGrant {
			g := p.reviewed()
			p.granted(p.T, g)
			r := revocation(sam, func(s *revocationSpec) {
				s.Person, s.Grant = "", &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: g.Name, SpecDigest: g.Status.SpecDigest}
			})
			r.Name = "stop-" + p.next()
			p.does(sam, r)
			p.tells(p.T, g, over("revoked by "+sam.user))
			p.deletes(rita, g)
			p.gone(g)
			for range either(p, times, 0) {
				again := recreated(p, g)
				p.tells(p.T, again, over("revoked by "+sam.user))
				p.deletes(rita, again)
				p.gone(again)
			}
			return recreated(p, g)
		}},
		{name: "lifting one's own revocation under another name", want: over("revoked by " + sam.user), of: func(p *play) *v1alpha1.ProdAccessGrant {
			r := p.revokes(arn(p.subject))
			p.lifts(either(p, nickname(p.subject), sam.user), r, either(p, v1alpha1.ReasonOwnRevocation, v1alpha1.ReasonLifted))
			return p.reviewed()
		}},
		{name: "deleting a revocation that was not lifted", want: over("revoked by " + sam.user), of: func(p *play) *v1alpha1.ProdAccessGrant {
			r := p.revokes(username(p.subject))
			if p.fair {
				p.lifts(sam.user, r, v1alpha1.ReasonLifted)
				p.deletes(sam, r)
				p.gone(r)
			} else {
				p.refused(sam, "revocations", "deleted only after it was lifted", remove(r))
			}
			return p.reviewed()
		}},
	}
}

// lifts lets somebody with the right lift a revocation, and waits until it is judged.
func (p *play) lifts(by string, r *v1alpha1.AccessRevocation, reason string) {
	p.Helper()
	who := person{by, sam.groups}
	if err := as(p.T, who).Patch(p.Context(), r, client.RawPatch("application/merge-patch+json", []byte(lift(who)))); err != nil {
		p.Fatalf("%s cannot lift: %v", by, err)
	}
	p.judged(r, reason)
}

// judged waits until a lift is found to be worth something, or nothing.
func (p *play) judged(r *v1alpha1.AccessRevocation, reason string) {
	p.Helper()
	var c *metav1.Condition
	err := wait.PollUntilContextTimeout(p.Context(), 20*time.Millisecond, soon, true, func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(r), r)
		c = meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionLifted)
		return c != nil && c.Reason == reason && c.ObservedGeneration == r.Generation, err
	})
	if err != nil {
		p.Fatalf("the lift by %s is not judged %s: %v: %+v", r.Spec.Lift.By, reason, err, c)
	}
}
