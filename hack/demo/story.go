// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// The grants of the story, and how long each lasts from its beginning: long enough on a busy machine for all that
// comes before the first end.
const (
	planned, plannedLasts         = "alice-chg-1042", 40 * time.Second
	emergency, emergencyLasts     = "eve-inc-7", 45 * time.Second
	overlapping, overlappingLasts = "alice-chg-1043", 50 * time.Second

	memberGroup = "hera-prod-infra-member"
)

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
		{"Two people have to approve", s.approval},
		{"An incident: Eve, a developer, may look at payments until " + at(emergency) + ", and no more", s.incident},
		{"Alice needs longer: a second grant, until " + at(overlapping) + ", overlaps the first", s.overlap},
		{"Access ends by itself", s.expiry},
		{"Over is over: the same manifest gives nothing", s.again},
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
	s.approve(ctx, "carol", planned)
	s.check(ctx, "with two, access is granted", s.grants(planned), "Granted")
	s.check(ctx, "Kubernetes agrees", s.canI("alice", works), "yes")
	s.check(ctx, "IAM agrees", s.members(memberGroup), "alice")
	s.check(ctx, "infra-member deletes nothing that is the whole cluster's", s.canI("alice", destroys), "no")
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

func (s *story) overlap(ctx context.Context) {
	s.ask(ctx, overlapping, "grant-infra-member.yaml", func(spec map[string]any) {
		delete(spec, "notBefore")
		spec["changeTicket"] = "CHG-1043"
	})
	s.approve(ctx, "bob", overlapping)
	s.approve(ctx, "carol", overlapping)
	s.check(ctx, "both grants are live", s.grants(planned, overlapping), "Granted", "Granted")
	s.watch(ctx, planned, []trace{s.binding(planned)}, []trace{s.binding(overlapping), s.membership(memberGroup, "alice")})
	s.check(ctx, "the first grant is over", s.grants(planned), "Expired")
	s.check(ctx, "Alice keeps what the second covers, in Kubernetes", s.canI("alice", works), "yes")
	s.check(ctx, "and in IAM", s.members(memberGroup), "alice")
}

func (s *story) expiry(ctx context.Context) {
	s.watch(ctx, emergency, []trace{s.binding(emergency)}, nil)
	s.watch(ctx, overlapping, []trace{s.binding(overlapping), s.membership(memberGroup, "alice")}, nil)
	s.check(ctx, "all are over", s.grants(), "Expired", "Expired", "Expired")
	s.check(ctx, "Eve may not list pods", s.canI("eve", looks), "no")
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
	s.check(ctx, "no binding is left or made", s.kubectl("", "get", "clusterrolebindings,rolebindings", "-A", "-l", ours, "-o", "name"), "")
	s.check(ctx, "Alice has no access to Kubernetes", s.canI("alice", works), "no")
	s.check(ctx, "nobody is in the IAM group", s.members(memberGroup), "")
}

// ask writes a request after a sample, and lets Dana apply it.
func (s *story) ask(ctx context.Context, grant, sample string, change func(spec map[string]any)) {
	file := s.manifest(ctx, grant, sample, func(spec map[string]any) {
		spec["requestedBy"], spec["expiresAt"] = username("dana"), s.ends[grant].UTC().Format(time.RFC3339)
		change(spec)
	})
	s.act(ctx, s.kubectl("dana", "apply", "-f", file))
}

// approve copies what identifies the request into an approval, and lets a person create it.
func (s *story) approve(ctx context.Context, who, grant string) {
	answer, ok := s.until(ctx, "there is something to approve", s.identity(who, grant), "sha256:")
	if !ok {
		return
	}
	found := strings.Fields(answer)
	file := s.manifest(ctx, grant+"-"+who, "approval.yaml", func(spec map[string]any) {
		spec["target"] = map[string]any{"kind": string(v1alpha1.TargetGrant), "name": grant, "uid": found[1]}
		spec["role"], spec["digest"], spec["approver"] = found[0], found[2], username(who)
	})
	s.act(ctx, s.kubectl(who, "create", "-f", file))
}

func (s *story) identity(who, grant string) command {
	return s.kubectl(who, "get", "pag", grant, "-o", "jsonpath={.spec.role} {.metadata.uid} {.status.approvalDigest}")
}
