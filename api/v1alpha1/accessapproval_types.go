// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TargetKind is a kind that can be approved.
// +kubebuilder:validation:Enum=ProdAccessGrant;BreakGlass
type TargetKind string

// Kinds of access.
const (
	// TargetGrant is the kind ProdAccessGrant.
	TargetGrant TargetKind = "ProdAccessGrant"
	// TargetBreakGlass is the kind BreakGlass.
	TargetBreakGlass TargetKind = "BreakGlass"
)

// ApprovalTarget is the object that is approved or rejected.
type ApprovalTarget struct {
	// kind of the object.
	// +required
	Kind TargetKind `json:"kind"`
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
	// uid of the object, so that an approval is never used for another one of the same name.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')",message="uid must be copied from the target's metadata.uid"
	UID string `json:"uid"`
}

// ApprovalDecision is a person's answer.
// +kubebuilder:validation:Enum=Approve;Reject
type ApprovalDecision string

// A person's answer.
const (
	DecisionApprove ApprovalDecision = "Approve"
	DecisionReject  ApprovalDecision = "Reject"
)

// AccessApprovalSpec is one person's yes or no. It never changes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec cannot be changed: to take an approval back before access begins, create another AccessApproval with decision Reject"
// +kubebuilder:validation:XValidation:rule="!has(self.approverGroups) || !has(oldSelf.approverGroups) || self.approverGroups != oldSelf.approverGroups || self.approverGroups.map(g, g) == oldSelf.approverGroups.map(g, g)",fieldPath=".approverGroups",message="spec cannot be changed, not even the order of approverGroups"
type AccessApprovalSpec struct {
	// target is what the decision is about.
	// +required
	Target ApprovalTarget `json:"target"`
	// role is the target's role.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Role string `json:"role"`
	// digest repeats the target's status.approvalDigest, or of a BreakGlass its status.reportDigest, so that exactly what was
	// read is what is approved.
	// +required
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self.matches('^sha256:[0-9a-f]{64}$')",message="digest must be copied from the target's status.approvalDigest, or status.reportDigest of a BreakGlass: sha256: followed by 64 digits and letters a to f"
	Digest string `json:"digest"`
	// decision is the answer.
	// +required
	Decision ApprovalDecision `json:"decision"`
	// approver is the username of the person who decides.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('eks:') && !self.startsWith('aws:')",message="approver must be a person: names beginning with system:, eks: or aws: are reserved"
	Approver Username `json:"approver"`
	// approverGroups are those of the approver's groups that carry the right to approve.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	ApproverGroups []string `json:"approverGroups,omitempty"`
	// comment is for the audit trail.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Comment string `json:"comment,omitempty"`
}

// AccessApproval is one person's yes or no to a request.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=aa,categories=access
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target.name`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="Approver",type=string,JSONPath=`.spec.approver`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Comment",type=string,priority=1,JSONPath=`.spec.comment`
type AccessApproval struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the decision.
	// +required
	Spec AccessApprovalSpec `json:"spec"`
}

// AccessApprovalList is a list of AccessApproval.
// +kubebuilder:object:root=true
type AccessApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AccessApproval `json:"items"`
}
