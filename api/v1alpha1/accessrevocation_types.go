// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GrantReference is a request, whatever object carries it: a kind, a name and what is asked for.
type GrantReference struct {
	// kind of the object.
	// +required
	Kind TargetKind `json:"kind"`
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
	// specDigest repeats the object's status.specDigest: the same manifest, applied again, is the same request.
	// +required
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self.matches('^sha256:[0-9a-f]{64}$')",message="specDigest must be copied from the grant's status.specDigest: sha256: followed by 64 digits and letters a to f"
	SpecDigest string `json:"specDigest"`
}

// MembershipReference is the membership of an IAM user in an IAM group.
type MembershipReference struct {
	// group is an IAM group that some AccessRole names.
	// +required
	Group IAMGroupName `json:"group"`
	// iamUser is the name of the IAM user.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+=,.@-]+$`
	IAMUser string `json:"iamUser"`
}

// CredentialsAction says what becomes of a revoked person's own credentials.
// +kubebuilder:validation:Enum=Keep;Deactivate
type CredentialsAction string

// What becomes of a revoked person's own credentials.
const (
	// CredentialsKeep leaves them alone.
	CredentialsKeep CredentialsAction = "Keep"
	// CredentialsDeactivate sets every access key Inactive and removes the console password. A lift does not undo it.
	CredentialsDeactivate CredentialsAction = "Deactivate"
)

// Lift ends a revocation.
type Lift struct {
	// by is the username of the person who lifts it.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('eks:') && !self.startsWith('aws:')",message="lift.by must be a person: names beginning with system:, eks: or aws: are reserved"
	By Username `json:"by"`
	// reason says why, for auditors.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.trim().size() >= 10 && self.matches('\\\\pL')",message="lift.reason must say why, in words: at least 10 characters, white space at the ends not counted"
	Reason string `json:"reason"`
}

// AccessRevocationSpec says what is revoked. It never changes, but that it is lifted once.
// +kubebuilder:validation:XValidation:rule="[has(self.person), has(self.grant), has(self.membership)].filter(x, x).size() == 1",message="exactly one of person, grant and membership says what is revoked"
// +kubebuilder:validation:XValidation:rule="self.credentials != 'Deactivate' || has(self.person)",fieldPath=".credentials",message="credentials: Deactivate is for a person: name one in person, or leave it out"
// +kubebuilder:validation:XValidation:rule="has(self.person) == has(oldSelf.person) && (!has(self.person) || self.person == oldSelf.person) && has(self.grant) == has(oldSelf.grant) && (!has(self.grant) || self.grant == oldSelf.grant) && has(self.membership) == has(oldSelf.membership) && (!has(self.membership) || self.membership == oldSelf.membership) && self.reason == oldSelf.reason && self.revokedBy == oldSelf.revokedBy && self.credentials == oldSelf.credentials",message="spec cannot be changed, except that lift is added: create another AccessRevocation instead"
// +kubebuilder:validation:XValidation:rule="!has(self.lift) || !has(self.person) || self.lift.by.lowerAscii() != self.person.lowerAscii()",fieldPath=".lift.by",message="nobody lifts their own revocation"
type AccessRevocationSpec struct {
	// person is any name of a person: every access of theirs ends, and none begins until this is lifted.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('eks:') && !self.startsWith('aws:')",message="person must be a person: names beginning with system:, eks: or aws: are reserved"
	Person Username `json:"person,omitempty"`
	// grant is a request that is revoked, in every object that carries it.
	// +optional
	Grant *GrantReference `json:"grant,omitempty"`
	// membership is that of a stranger in a managed IAM group.
	// +optional
	Membership *MembershipReference `json:"membership,omitempty"`
	// reason says why, for auditors.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.trim().size() >= 10 && self.matches('\\\\pL')",message="reason must say why, in words: at least 10 characters, white space at the ends not counted"
	Reason string `json:"reason"`
	// revokedBy is the username of whoever creates the object.
	// +required
	RevokedBy Username `json:"revokedBy"`
	// credentials says what becomes of the person's access keys and console password.
	// +optional
	// +kubebuilder:default=Keep
	Credentials CredentialsAction `json:"credentials,omitempty"`
	// lift ends the revocation; what it ended stays ended.
	// +optional
	Lift *Lift `json:"lift,omitempty"`
}

// AccessRevocationStatus is what became of a revocation.
type AccessRevocationStatus struct {
	// conditions of the revocation: Ready and Lifted.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation that this status was computed for; -1 until the operator has seen the object.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// names are the names of the person whose access it is, as far as they are known: of the revoked person all that AWS has
	// shown, of a grant's subject those that the grant knew. Whoever uses one of them does not lift it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=160
	// +kubebuilder:validation:items:MaxLength=1024
	Names []string `json:"names,omitempty"`
	// endsAt is when the window of the revoked grant ends, and this object with it; absent for a person, a membership, or
	// a grant that the operator has never seen.
	// +optional
	EndsAt *metav1.Time `json:"endsAt,omitempty"`
	// outbox holds what is still to be written to the audit trail.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Outbox []OutboxEntry `json:"outbox,omitempty"`
}

// OutboxEntry is a change that is still to be written to the audit trail.
type OutboxEntry struct {
	// event is what happened.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Event string `json:"event"`
	// at is when it happened.
	// +required
	At metav1.Time `json:"at"`
	// message says what there is to say about it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// AccessRevocation ends access, keeps it ended, and remembers why.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.spec.lift) || has(self.spec.lift) && (self.spec.lift == oldSelf.spec.lift || has(oldSelf.status) && has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.type == 'Lifted' && c.status == 'False' && c.reason in ['GuardMissing', 'OwnRevocation']))",fieldPath=".spec.lift",message="lift is set once, unless it did not count: create another AccessRevocation to revoke again"
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=arev,categories=access
// +kubebuilder:printcolumn:name="Person",type=string,JSONPath=`.spec.person`
// +kubebuilder:printcolumn:name="Grant",type=string,JSONPath=`.spec.grant.name`
// +kubebuilder:printcolumn:name="Stranger",type=string,JSONPath=`.spec.membership.iamUser`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="RevokedBy",type=string,JSONPath=`.spec.revokedBy`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type AccessRevocation struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is revoked.
	// +required
	Spec AccessRevocationSpec `json:"spec"`
	// status is what became of it.
	// +optional
	// +kubebuilder:default={}
	Status AccessRevocationStatus `json:"status,omitzero"`
}

// AccessRevocationList is a list of AccessRevocation.
// +kubebuilder:object:root=true
type AccessRevocationList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AccessRevocation `json:"items"`
}
