// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Subject is the person who gets access.
// +kubebuilder:validation:XValidation:rule="has(self.iamUser) || has(self.kubernetesUser)",message="subject names nobody: set iamUser (or, where the operator runs with --aws=disabled, kubernetesUser)"
type Subject struct {
	// iamUser is the name of the person's IAM user, spelled as AWS has it.
	// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+=,.@-]+$`
	IAMUser string `json:"iamUser,omitempty"`
	// kubernetesUser is one of the person's Kubernetes usernames; by default the first that the IAM user's tag
	// prod-access/kubernetes-users lists, or else the IAM user's name.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('eks:') && !self.startsWith('aws:')",message="kubernetesUser must be a person: names beginning with system:, eks: or aws: are reserved"
	KubernetesUser Username `json:"kubernetesUser,omitempty"`
}

// NamespaceName is the name of a namespace.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
type NamespaceName string

// ProdAccessGrantSpec is a request for access. It never changes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec cannot be changed, because approvals are for exactly this request: create another ProdAccessGrant instead"
// +kubebuilder:validation:XValidation:rule="!has(self.namespaces) || !has(oldSelf.namespaces) || self.namespaces != oldSelf.namespaces || self.namespaces.map(n, n) == oldSelf.namespaces.map(n, n)",fieldPath=".namespaces",message="spec cannot be changed, not even the order of namespaces: create another ProdAccessGrant instead"
// +kubebuilder:validation:XValidation:rule="!has(self.reviewedBy) || !has(oldSelf.reviewedBy) || self.reviewedBy != oldSelf.reviewedBy || self.reviewedBy.map(r, r) == oldSelf.reviewedBy.map(r, r)",fieldPath=".reviewedBy",message="spec cannot be changed, not even the order of reviewedBy: create another ProdAccessGrant instead"
// +kubebuilder:validation:XValidation:rule="!has(self.notBefore) || self.notBefore < self.expiresAt",fieldPath=".expiresAt",message="expiresAt must be later than notBefore"
// +kubebuilder:validation:XValidation:rule="!has(self.notBefore) || self.expiresAt <= self.notBefore + duration('168h')",fieldPath=".expiresAt",message="the window from notBefore to expiresAt is longer than 168h, the most that any role allows: end it earlier"
// +kubebuilder:validation:XValidation:rule="!has(self.reviewedBy) || !self.reviewedBy.exists(r, r.lowerAscii() == self.requestedBy.lowerAscii())",fieldPath=".reviewedBy",message="reviewedBy names requestedBy: nobody reviews their own request"
// +kubebuilder:validation:XValidation:rule="!has(self.reviewedBy) || !self.reviewedBy.exists(r, (has(self.subject.iamUser) && r.lowerAscii() == self.subject.iamUser.lowerAscii()) || (has(self.subject.kubernetesUser) && r.lowerAscii() == self.subject.kubernetesUser.lowerAscii()))",fieldPath=".reviewedBy",message="reviewedBy names the subject: nobody reviews their own access"
type ProdAccessGrantSpec struct {
	// subject is the person who gets access.
	// +required
	Subject Subject `json:"subject"`
	// role is the name of the AccessRole.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Role string `json:"role"`
	// namespaces are where a role of scope Namespaces is bound; absent for a role of scope Cluster.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=300
	Namespaces []NamespaceName `json:"namespaces,omitempty"`
	// reason says why, for approvers and auditors.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.trim().size() >= 10 && self.matches('\\\\pL')",message="reason must say why, in words: at least 10 characters, white space at the ends not counted"
	Reason string `json:"reason"`
	// changeTicket is the change ticket that the access is for.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.trim() != ''",message="changeTicket must not be blank: name the ticket, or leave the field out"
	ChangeTicket string `json:"changeTicket,omitempty"`
	// stagingEvidence links the test of the change in staging.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="stagingEvidence must be a link that begins with https:// or http://"
	StagingEvidence string `json:"stagingEvidence,omitempty"`
	// incident is the incident that the access is for.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.trim() != ''",message="incident must not be blank: name the incident, or leave the field out"
	Incident string `json:"incident,omitempty"`
	// requestedBy is the username of the person who asks.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('eks:') && !self.startsWith('aws:')",message="requestedBy must be a person: names beginning with system:, eks: or aws: are reserved"
	RequestedBy Username `json:"requestedBy"`
	// reviewedBy are the people who reviewed the request in Git; it counts only from one of the role's attesters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:XValidation:rule="!self.exists(r, r.startsWith('system:') || r.startsWith('eks:') || r.startsWith('aws:'))",message="reviewedBy must name people: names beginning with system:, eks: or aws: are reserved"
	ReviewedBy []Username `json:"reviewedBy,omitempty"`
	// notBefore is when the window begins; absent means as soon as the grant is approved.
	// +optional
	// +kubebuilder:validation:XValidation:rule="timestamp(int(self)) == self",message="notBefore must be in whole seconds, such as 2026-11-23T09:00:00Z"
	NotBefore *metav1.Time `json:"notBefore,omitempty"`
	// expiresAt is the deadline. Nothing moves it. A deadline in the past is accepted, and the grant ends as Expired.
	// +required
	// +kubebuilder:validation:XValidation:rule="timestamp(int(self)) == self",message="expiresAt must be in whole seconds, such as 2026-11-23T09:00:00Z"
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// ApprovalSource says how an approval reached the cluster.
// +kubebuilder:validation:Enum=Approval;Attested
type ApprovalSource string

// How an approval reached the cluster.
const (
	// SourceApproval is an AccessApproval.
	SourceApproval ApprovalSource = "Approval"
	// SourceAttested is a review that an attester carried from Git.
	SourceAttested ApprovalSource = "Attested"
)

// CountedApproval is an approval that counts.
type CountedApproval struct {
	// approver is who approved.
	// +required
	Approver Username `json:"approver"`
	// source says how the approval reached the cluster.
	// +required
	Source ApprovalSource `json:"source"`
	// at is when it was given.
	// +required
	At metav1.Time `json:"at"`
}

// GroupMembership is a membership that this grant calls for.
type GroupMembership struct {
	// name of the IAM group.
	// +required
	Name IAMGroupName `json:"name"`
	// intended says whether this grant calls for the membership now. It is written before the membership is.
	// +required
	Intended bool `json:"intended"`
	// observed says whether the membership may exist on this grant's account: set when AWS showed it, cleared when AWS
	// showed its absence, or when another live grant covers it.
	// +required
	Observed bool `json:"observed"`
}

// GrantAWSStatus is the AWS side of a grant.
type GrantAWSStatus struct {
	// userID is the unique id of the IAM user, so that a re-created user inherits nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	UserID string `json:"userID,omitempty"`
	// names are all names of the person, as AWS had them when access was written: whoever uses one of them is this person.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=160
	// +kubebuilder:validation:items:MaxLength=1024
	Names []string `json:"names,omitempty"`
	// groups are the memberships.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=5
	Groups []GroupMembership `json:"groups,omitempty"`
	// fencedUntil is from when on AWS denies the person everything by itself. It is written before the fence is, and absent
	// where there is none.
	// +optional
	FencedUntil *metav1.Time `json:"fencedUntil,omitempty"`
}

// GrantBinding is a binding that this grant calls for.
type GrantBinding struct {
	// namespace of the RoleBinding; empty for a ClusterRoleBinding.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the binding.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the binding, known once it was made.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
	// namespaceUID is the uid of the namespace that the binding was made in.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	NamespaceUID string `json:"namespaceUID,omitempty"`
	// intended says whether this grant calls for the binding now. It is written before the binding is.
	// +required
	Intended bool `json:"intended"`
	// observed says whether the binding may exist: set when it was seen, cleared when its absence was.
	// +required
	Observed bool `json:"observed"`
}

// GrantKubernetesStatus is the Kubernetes side of a grant.
type GrantKubernetesStatus struct {
	// user is the Kubernetes username that is bound.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	User string `json:"user,omitempty"`
	// clusterRole is the ClusterRole that is bound.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClusterRole string `json:"clusterRole,omitempty"`
	// rulesHash is the hash of the ClusterRole's effective rules as they were last seen.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	RulesHash string `json:"rulesHash,omitempty"`
	// bindings are the bindings.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +kubebuilder:validation:MaxItems=300
	Bindings []GrantBinding `json:"bindings,omitempty"`
}

// AccessEnds is when the last request on the strength of this grant can be authorised, if the operator stopped now.
type AccessEnds struct {
	// aws is that instant for AWS; absent when nothing in AWS ends the access by itself.
	// +optional
	AWS *metav1.Time `json:"aws,omitempty"`
	// kubernetes is that instant for Kubernetes; absent when nothing in Kubernetes ends the access by itself.
	// +optional
	Kubernetes *metav1.Time `json:"kubernetes,omitempty"`
}

// ProdAccessGrantStatus is what became of a request.
type ProdAccessGrantStatus struct {
	// conditions of the grant: Ready, Active, Approved, Eligible, MembershipsSynced, BindingsSynced, and Reconciling or
	// Stalled only when True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation that this status was computed for; -1 until the operator has seen the object,
	// so that tools which follow kstatus never take a new object for a finished one.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// specDigest identifies the request.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	SpecDigest string `json:"specDigest,omitempty"`
	// approvalDigest identifies the request, this very object and what the role gives; an approval repeats it.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	ApprovalDigest string `json:"approvalDigest,omitempty"`
	// attestedDigest is what approvalDigest was when spec.reviewedBy was first seen: reviews from Git are for that and no
	// more.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	AttestedDigest string `json:"attestedDigest,omitempty"`
	// expiresAt is the deadline, stored before anything is granted.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// activatedAt is when all access was first seen to exist.
	// +optional
	ActivatedAt *metav1.Time `json:"activatedAt,omitempty"`
	// endedAt is when the grant ended for good.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
	// accessEndsNoLaterThan is when access ends even if the operator stops now.
	// +optional
	AccessEndsNoLaterThan AccessEnds `json:"accessEndsNoLaterThan,omitzero"`
	// approvals are the approvals that count.
	// +optional
	// +listType=map
	// +listMapKey=approver
	// +kubebuilder:validation:MaxItems=20
	Approvals []CountedApproval `json:"approvals,omitempty"`
	// aws is the AWS side.
	// +optional
	AWS GrantAWSStatus `json:"aws,omitzero"`
	// kubernetes is the Kubernetes side.
	// +optional
	Kubernetes GrantKubernetesStatus `json:"kubernetes,omitzero"`
	// outbox holds what is still to be written to the audit trail.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Outbox []OutboxEntry `json:"outbox,omitempty"`
}

// ProdAccessGrant asks for a role for a person, until a deadline.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=pag,categories=access
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.subject['iamUser','kubernetesUser']`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Active")].reason`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Ticket",type=string,priority=1,JSONPath=`.spec.changeTicket`
// +kubebuilder:printcolumn:name="Approvers",type=string,priority=1,JSONPath=`.status.approvals`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Active")].message`
type ProdAccessGrant struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the request.
	// +required
	Spec ProdAccessGrantSpec `json:"spec"`
	// status is what became of it.
	// +optional
	// +kubebuilder:default={}
	Status ProdAccessGrantStatus `json:"status,omitzero"`
}

// ProdAccessGrantList is a list of ProdAccessGrant.
// +kubebuilder:object:root=true
type ProdAccessGrantList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ProdAccessGrant `json:"items"`
}
