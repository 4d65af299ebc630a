// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// The grants of the story.
const (
	planned     = "alice-chg-1042"
	overlapping = "alice-chg-1043"
	emergency   = "eve-inc-7"
	byHand      = "grace-chg-1050"
	audited     = "heidi-audit"
	fenced      = "ivan-chg-1061"
	// glass is the one that nobody has approved: a BreakGlass.
	glass = "carol-inc-9"

	managerGroup  = "hera-prod-infra-manager"
	memberGroup   = "hera-prod-infra-member"
	securityGroup = "hera-prod-security-engineer"
)

// fencedFor is how long the grant that the operator does not see the end of lasts from when it is asked for.
const fencedFor = 12 * time.Second

// lasts is how long each grant lasts from the beginning of the story: those that end by themselves long enough on a busy
// machine for all that comes before, the others longer than the story.
var lasts = map[string]time.Duration{
	planned: 50 * time.Second, overlapping: 57 * time.Second, emergency: time.Hour, byHand: time.Hour, audited: time.Hour,
}

// What people try: the first is in infra-member, the second is not; the others are about a developer.
const (
	works     = "delete pods -n payments"
	destroys  = "delete nodes"
	looks     = "list pods -n payments"
	elsewhere = "list pods -n default"
	secrets   = "get secrets -n payments"
	enters    = "create pods --subresource=exec -n payments"
)

// steps are the story. Each is told by a function that acts as people do and checks what comes of it.
func (s *story) steps() []step {
	at := func(grant string) string { return s.ends[grant].Format(time.TimeOnly) }
	return []step{
		{"Dana asks for infra-member for Alice, until " + at(planned), s.request},
		{"Two people have to approve, and nobody is two people", s.approval},
		{"Production is down: Carol, who is on call, opens infra-manager for herself, for a minute", s.alarm},
		{"Heidi, who audits, loses her phone: her MFA device is deactivated in AWS", s.loss},
		{"Alice needs longer: a second grant, until " + at(overlapping) + ", overlaps the first", s.overlap},
		{"An incident: Eve, a developer, may look at payments until " + at(emergency) + ", and no more", s.incident},
		{"Eve's laptop is stolen: Frank, of security, revokes her", s.revocation},
		{"Somebody takes Grace's access away by hand, and the operator does not give it back", s.removal},
		{"A revocation beats whoever applies the manifests again, be it a person or a GitOps tool", s.recreation},
		{"Without MFA no access: Heidi's is suspended until she has another phone", s.suspension},
		{"Access ends by itself: at " + at(planned) + " the first of Alice's grants, at " + at(overlapping) + " the second", s.expiry},
		{"The emergency ends by itself as well, and is over when somebody else has approved Carol's report on it", s.report},
		{"Over is over: the same manifest gives nothing", s.again},
		{"The operator is killed, and AWS itself ends Ivan's access at his deadline", s.fence},
		{"Heidi has another phone, and so her access is back", s.comeback},
		{"Alice's own login is what broke: she gets an IAM user that is made for her emergency, and deleted to the last trace", s.temporary},
		{"All of it is on the audit trail, which nobody changes unnoticed", s.trail},
	}
}

func (s *story) request(ctx context.Context) {
	s.ask(ctx, planned, "grant-infra-member.yaml", func(spec map[string]any) {
		delete(spec, "notBefore") // as soon as it is approved
	})
	s.check(ctx, "it waits for approvals", s.grants(planned), "PendingApproval")
	s.check(ctx, "Alice has no access to Kubernetes", s.canI("alice", works), "no")
	s.check(ctx, "nobody is in the IAM group", s.members(memberGroup), "")
}

func (s *story) approval(ctx context.Context) {
	s.check(ctx, "an approval names exactly what was read", s.identity("bob", planned), "infra-member", "sha256:")
	s.approve(ctx, "bob", planned)
	s.check(ctx, "one approval is not enough", s.grants(planned, "-o", `jsonpath={.status.conditions[?(@.type=="Approved")].message}`), "1 of 2 approvals")
	s.check(ctx, "the request waits on", s.grants(planned), "PendingApproval")
	s.check(ctx, "Alice still has no access to Kubernetes", s.canI("alice", works), "no")
	s.check(ctx, "and nobody is in the IAM group", s.members(memberGroup), "")
	s.refused(ctx, "Bob cannot approve as Carol: the API server knows who he is",
		s.kubectl("bob", "create", "-f", s.answer(ctx, "carol", planned)), "approver is carol@hera.example, but you are bob@hera.example")
	s.approve(ctx, "carol", planned)
	s.check(ctx, "with two, access is granted", s.grants(planned), "Granted")
	s.check(ctx, "Kubernetes agrees", s.canI("alice", works), "yes")
	s.check(ctx, "IAM agrees", s.members(memberGroup), "alice")
	s.check(ctx, "infra-member deletes nothing that is the whole cluster's", s.canI("alice", destroys), "no")
}

func (s *story) alarm(ctx context.Context) {
	file := s.manifest(ctx, glass, "breakglass.yaml", func(spec map[string]any) {
		spec["subject"] = map[string]any{"iamUser": "carol", "kubernetesUser": username("carol")}
		spec["incident"], spec["duration"], spec["openedBy"] = "INC-9", "1m", username("carol")
	})
	s.act(ctx, s.kubectl("carol", "create", "-f", file))
	s.check(ctx, "it is open, and nobody was asked", s.emergencies(glass), "Granted")
	s.check(ctx, "in Kubernetes Carol may do what infra-member may not", s.canI("carol", destroys), "yes")
	s.check(ctx, "and in IAM", s.members(managerGroup), "carol")
	s.check(ctx, "everybody is told by an event",
		s.kubectl("", "get", "events", "--field-selector", "reason=Opened", "--no-headers"), "Warning", "emergency INC-9")
	s.check(ctx, "and by the audit trail", s.eventsOf("carol"), "opened: emergency INC-9", "granted: ")
	s.refused(ctx, "it cannot be hidden", s.kubectl("carol", "delete", "bg", glass), "a BreakGlass is not ended by deleting it")
	if until, ok := s.until(ctx, "there is a deadline", s.kubectl("", "get", "bg", glass, "-o", "jsonpath={.status.expiresAt}"), "Z"); ok {
		deadline, err := time.Parse(time.RFC3339, until)
		if err != nil {
			s.fail(ctx, err.Error())
		}
		s.ends[glass] = deadline.Local()
	}
	s.note(ctx, "it ends by itself, at "+s.ends[glass].Format(time.TimeOnly)+". More of it later")
}

func (s *story) loss(ctx context.Context) {
	s.ask(ctx, audited, "grant-infra-member.yaml", func(spec map[string]any) {
		for _, field := range []string{"notBefore", "changeTicket", "stagingEvidence"} {
			delete(spec, field)
		}
		spec["subject"] = map[string]any{"iamUser": "heidi", "kubernetesUser": username("heidi")}
		spec["role"], spec["reason"] = "security-engineer", "Quarterly audit of who may reach the payments namespace."
	})
	s.approve(ctx, "bob", audited)
	s.approve(ctx, "carol", audited)
	s.check(ctx, "access is granted", s.grants(audited), "Granted")
	s.check(ctx, "in Kubernetes", s.canI("heidi", looks), "yes")
	s.check(ctx, "and in IAM", s.groupsOf("heidi"), securityGroup)
	if device, ok := s.until(ctx, "Heidi has an MFA device", s.device("heidi"), "arn:"); ok {
		s.act(ctx, s.deactivate("heidi", device))
	}
	s.note(ctx, "the operator learns of it by AWS's credential report: AWS makes one every 4 hours at most, this IAM every few seconds. More of Heidi later")
}

func (s *story) overlap(ctx context.Context) {
	s.ask(ctx, overlapping, "grant-infra-member.yaml", func(spec map[string]any) {
		delete(spec, "notBefore")
		spec["changeTicket"] = "CHG-1043"
	})
	s.approve(ctx, "bob", overlapping)
	s.approve(ctx, "carol", overlapping)
	s.check(ctx, "both grants are live", s.grants(planned, overlapping), "Granted", "Granted")
}

func (s *story) incident(ctx context.Context) {
	s.ask(ctx, emergency, "grant-developer.yaml", func(spec map[string]any) {
		spec["namespaces"] = []any{"payments"}
	})
	s.approve(ctx, "bob", emergency)
	s.approve(ctx, "carol", emergency)
	s.check(ctx, "access is granted", s.grants(emergency), "Granted")
	s.check(ctx, "Eve may list pods", s.canI("eve", looks), "yes")
	s.check(ctx, "but not in another namespace", s.canI("eve", elsewhere), "no")
	s.check(ctx, "she may not read a secret", s.canI("eve", secrets), "no")
	s.check(ctx, "nor get into a pod", s.canI("eve", enters), "no")
}

func (s *story) revocation(ctx context.Context) {
	file := s.manifest(ctx, "eve-laptop", "revocation-person.yaml", func(spec map[string]any) {
		delete(spec, "credentials") // a developer has none for production
		spec["person"], spec["revokedBy"] = "eve", username("frank")
	})
	s.act(ctx, s.kubectl("frank", "create", "-f", file))
	s.check(ctx, "her grant is over", s.grants(emergency), "Revoked")
	s.check(ctx, "Eve may not list pods", s.canI("eve", looks), "no")
	s.refused(ctx, "she cannot lift it herself", s.kubectl("eve", "delete", "arev", "eve-laptop"), `User "eve@hera.example" cannot delete resource "accessrevocations"`)
}

func (s *story) removal(ctx context.Context) {
	s.ask(ctx, byHand, "grant-infra-member.yaml", func(spec map[string]any) {
		delete(spec, "notBefore")
		spec["subject"] = map[string]any{"iamUser": "grace", "kubernetesUser": username("grace")}
		spec["changeTicket"] = "CHG-1050"
	})
	s.approve(ctx, "bob", byHand)
	s.approve(ctx, "carol", byHand)
	s.check(ctx, "access is granted", s.grants(byHand), "Granted")
	s.check(ctx, "in Kubernetes", s.canI("grace", works), "yes")
	s.check(ctx, "and in IAM", s.groupsOf("grace"), memberGroup)
	binding, ok := s.until(ctx, "the grant names its binding", s.grants(byHand, "-o", "jsonpath={.status.kubernetes.bindings[0].name}"), "prod-access-")
	if !ok {
		return
	}
	s.act(ctx, s.kubectl("", "delete", "clusterrolebinding", binding))
	s.check(ctx, "the operator waits 3 s to see whether it is an accident that takes much else, then ends the whole grant", s.grants(byHand), "Revoked")
	s.check(ctx, "Grace has no access to Kubernetes", s.canI("grace", works), "no")
	s.check(ctx, "nor in IAM", s.groupsOf("grace"), "")
}

func (s *story) recreation(ctx context.Context) {
	s.act(ctx, s.kubectl("dana", "delete", "pag", emergency, byHand))
	s.act(ctx, s.kubectl("dana", "apply", "-f", s.path(emergency+".yaml"), "-f", s.path(byHand+".yaml")))
	s.check(ctx, "made anew, both are over at once", s.grants(emergency, byHand), "Revoked", "Revoked")
	s.check(ctx, "the revocations are remembered, Frank's and the operator's own", s.kubectl("frank", "get", "arev"),
		"ended-"+emergency, "InForce", "ended-"+byHand, "InForce", "eve-laptop", "InForce", username("frank"))
	s.check(ctx, "no binding of Eve's is left or made", s.bindings("eve"), "")
	s.check(ctx, "nor of Grace's", s.bindings("grace"), "")
	s.check(ctx, "Eve may not list pods", s.canI("eve", looks), "no")
	s.check(ctx, "Grace has no access to Kubernetes", s.canI("grace", works), "no")
}

func (s *story) suspension(ctx context.Context) {
	s.check(ctx, "the operator has noticed", s.grants(audited), "Suspended")
	s.check(ctx, "and says why", s.kubectl("", "get", "pag", audited, "-o", `jsonpath={.status.conditions[?(@.type=="Eligible")].message}`), "MFA")
	s.check(ctx, "Heidi has no access to Kubernetes", s.canI("heidi", looks), "no")
	s.check(ctx, "nor in IAM", s.groupsOf("heidi"), "")
	s.register(ctx, "heidi", "heidi-new-phone")
	s.note(ctx, "a suspended grant is looked at once a minute, and when an operator starts. More of Heidi later")
}

func (s *story) expiry(ctx context.Context) {
	s.check(ctx, "both grants are live", s.grants(planned, overlapping), "Granted", "Granted")
	s.watch(ctx, planned, []trace{s.binding(planned)}, []trace{s.binding(overlapping), s.membership(memberGroup, "alice")})
	s.check(ctx, "the first grant is over", s.grants(planned), "Expired")
	s.check(ctx, "Alice keeps what the second covers, in Kubernetes", s.canI("alice", works), "yes")
	s.check(ctx, "and in IAM", s.members(memberGroup), "alice")
	s.watch(ctx, overlapping, []trace{s.binding(overlapping), s.membership(memberGroup, "alice")}, nil)
	s.check(ctx, "all four are over", s.grants(planned, overlapping, emergency, byHand), planned, "Expired", overlapping, "Expired", emergency, "Revoked", byHand, "Revoked")
	s.check(ctx, "Alice has no access to Kubernetes", s.canI("alice", works), "no")
	s.check(ctx, "nobody is in the IAM group", s.members(memberGroup), "")
}

func (s *story) again(ctx context.Context) {
	apply := s.kubectl("dana", "apply", "-f", s.path(overlapping+".yaml"))
	s.act(ctx, apply)
	s.check(ctx, "applied again, it is over as before", s.grants(overlapping), "Expired")
	s.act(ctx, s.kubectl("dana", "delete", "pag", overlapping))
	s.act(ctx, apply)
	s.check(ctx, "made anew, it is over at once", s.grants(overlapping), "Expired")
	s.check(ctx, "no binding of hers is left or made", s.bindings("alice"), "")
	s.check(ctx, "Alice has no access to Kubernetes", s.canI("alice", works), "no")
	s.check(ctx, "nobody is in the IAM group", s.members(memberGroup), "")
}

func (s *story) report(ctx context.Context) {
	if time.Now().Before(s.ends[glass]) { // otherwise it is too late to measure
		s.watch(ctx, glass, []trace{s.binding(glass), s.membership(managerGroup, "carol")}, nil)
	}
	s.check(ctx, "it is over, and its report is due", s.emergencies(glass), "Expired", "Pending")
	s.check(ctx, "Carol has no access to Kubernetes", s.canI("carol", destroys), "no")
	s.check(ctx, "nor in IAM", s.groupsOf("carol"), "")
	s.check(ctx, "the operator says until when, and what to do", s.reported(glass), "due by", "nobody has written the report")
	s.refused(ctx, "until somebody has approved it, it is kept", s.kubectl("carol", "delete", "bg", glass), "it is kept until its report is approved")
	s.act(ctx, s.write("carol", glass, "The database of payments was full; its volume is larger now."))
	s.judge(ctx, "carol", glass)
	s.check(ctx, "nobody approves the report on what they did themselves", s.reported(glass), "not counted: "+glass+"-carol: ", username("carol"))
	s.judge(ctx, "bob", glass)
	s.check(ctx, "Bob was neither who opened it nor whose access it was", s.emergencies(glass), "Expired", "Approved")
	s.refused(ctx, "what is approved is not changed", s.write("carol", glass, "Nothing happened, and nobody did anything."), "an approved report is never changed")
	s.check(ctx, "the audit trail has all of it", s.eventsOf("carol"), "opened: ", "granted: ", "expired: ", "report-written: ", "report-approved: ")
	s.act(ctx, s.kubectl("carol", "delete", "bg", glass))
	s.check(ctx, "now it may go", s.emergencies(), "")
}

// write writes the report on an emergency.
func (s *story) write(who, name, summary string) command {
	return s.kubectl(who, "patch", "bg", name, "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{"report":{"summary":"%s","writtenBy":"%s"}}}`, summary, username(who)))
}

// judge lets a person approve the report on an emergency.
func (s *story) judge(ctx context.Context, who, name string) {
	answer, ok := s.until(ctx, "there is a report to approve",
		s.kubectl(who, "get", "bg", name, "-o", "jsonpath={.spec.role} {.metadata.uid} {.status.reportDigest}"), "sha256:")
	if !ok {
		return
	}
	found := strings.Fields(answer)
	file := s.manifest(ctx, name+"-"+who, "breakglass-approval.yaml", func(spec map[string]any) {
		spec["target"] = map[string]any{"kind": string(v1alpha1.TargetBreakGlass), "name": name, "uid": found[1]}
		spec["role"], spec["digest"], spec["approver"] = found[0], found[2], username(who)
	})
	s.act(ctx, s.kubectl(who, "create", "-f", file))
}

func (s *story) emergencies(args ...string) command {
	return s.kubectl("", append([]string{"get", "bg", "--no-headers"}, args...)...)
}

// reported is what the operator says about the report on an emergency.
func (s *story) reported(name string) command {
	return s.kubectl("", "get", "bg", name, "-o", `jsonpath={.status.conditions[?(@.type=="Reported")].message}`)
}

func (s *story) fence(ctx context.Context) {
	s.ends[fenced] = time.Now().Add(fencedFor).Truncate(time.Second)
	deadline := s.ends[fenced].UTC()
	s.ask(ctx, fenced, "grant-infra-member.yaml", func(spec map[string]any) {
		delete(spec, "notBefore")
		spec["subject"] = map[string]any{"iamUser": "ivan", "kubernetesUser": username("ivan")}
		spec["changeTicket"] = "CHG-1061"
	})
	s.approve(ctx, "bob", fenced)
	s.approve(ctx, "carol", fenced)
	s.check(ctx, "access is granted", s.grants(fenced), "Granted")
	s.check(ctx, "AWS ends it at the deadline, whatever becomes of the operator",
		s.kubectl("", "get", "pag", fenced, "-o", "jsonpath={.status.accessEndsNoLaterThan.aws}"), deadline.Format(time.RFC3339))
	s.check(ctx, "because Ivan is fenced", s.kubectl("", "get", "pag", fenced, "-o", `jsonpath={.status.conditions[?(@.type=="Fenced")].message}`), "denies")
	s.act(ctx, command{fmt.Sprintf("kill -KILL %d", s.operator.PID()), func(context.Context) (string, error) {
		s.kill()
		return "", nil
	}})
	s.pass(ctx, fenced)
	name, ok := s.until(ctx, "the fence is there", s.policiesOf("ivan"), "prod-access-fence-"+cluster)
	if !ok {
		return
	}
	s.check(ctx, "nobody has ended anything: in IAM Ivan is still a member", s.groupsOf("ivan"), memberGroup)
	s.check(ctx, "but there is the fence, which the operator wrote before it made him one", s.policiesOf("ivan"), name)
	s.check(ctx, "it denies him everything from the deadline on, by the clock of AWS", s.policy("ivan", name), "Deny", deadline.Format(time.RFC3339))
	s.check(ctx, "Kubernetes has no such fence: there it takes an operator to end it", s.canI("ivan", works), "yes")
	s.restart(ctx)
	s.check(ctx, "once the lease of the killed one has run out, it ends what is overdue", s.grants(fenced), "Expired")
	s.check(ctx, "Ivan has no access to Kubernetes", s.canI("ivan", works), "no")
	s.check(ctx, "nor in IAM", s.groupsOf("ivan"), "")
	s.check(ctx, "and the fence is gone, so that it denies him nothing that comes later", s.policiesOf("ivan"), "")
}

func (s *story) comeback(ctx context.Context) {
	s.check(ctx, "nobody had to ask again", s.grants(audited), "Granted")
	s.check(ctx, "in Kubernetes", s.canI("heidi", looks), "yes")
	s.check(ctx, "and in IAM", s.groupsOf("heidi"), securityGroup)
}

// ask writes a request after a sample, and lets Dana apply it.
func (s *story) ask(ctx context.Context, grant, sample string, change func(spec map[string]any)) {
	file := s.manifest(ctx, grant, sample, func(spec map[string]any) {
		spec["requestedBy"], spec["expiresAt"] = username("dana"), s.ends[grant].UTC().Format(time.RFC3339)
		change(spec)
	})
	s.act(ctx, s.kubectl("dana", "apply", "-f", file))
}

// approve lets a person create an approval.
func (s *story) approve(ctx context.Context, who, grant string) {
	s.act(ctx, s.kubectl(who, "create", "-f", s.answer(ctx, who, grant)))
}

// answer copies what identifies the request into an approval in a person's name.
func (s *story) answer(ctx context.Context, who, grant string) (file string) {
	answer, ok := s.until(ctx, "there is something to approve", s.identity(who, grant), "sha256:")
	if !ok {
		return ""
	}
	found := strings.Fields(answer)
	return s.manifest(ctx, grant+"-"+who, "approval.yaml", func(spec map[string]any) {
		spec["target"] = map[string]any{"kind": string(v1alpha1.TargetGrant), "name": grant, "uid": found[1]}
		spec["role"], spec["digest"], spec["approver"] = found[0], found[2], username(who)
	})
}

func (s *story) identity(who, grant string) command {
	return s.kubectl(who, "get", "pag", grant, "-o", "jsonpath={.spec.role} {.metadata.uid} {.status.approvalDigest}")
}
