// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IncidentRequirement says whether a request must name an incident.
// +kubebuilder:validation:Enum=Optional;Required
type IncidentRequirement string

// EvidenceRequirement says whether a request must link evidence that the change was tested in staging.
// +kubebuilder:validation:Enum=Optional;Required
type EvidenceRequirement string

// Whether a field of the request is required.
const (
	IncidentOptional IncidentRequirement = "Optional"
	IncidentRequired IncidentRequirement = "Required"
	EvidenceOptional EvidenceRequirement = "Optional"
	EvidenceRequired EvidenceRequirement = "Required"
)

// StalePolicy says what happens to access when credentials are older than the role allows.
// +kubebuilder:validation:Enum=Warn;Suspend;Deactivate
type StalePolicy string

// What happens when credentials are too old.
const (
	StaleWarn       StalePolicy = "Warn"
	StaleSuspend    StalePolicy = "Suspend"
	StaleDeactivate StalePolicy = "Deactivate"
)

// Scope says how far a role reaches in Kubernetes.
// +kubebuilder:validation:Enum=Cluster;Namespaces
type Scope string

// How far a role reaches.
const (
	// ScopeCluster binds with one ClusterRoleBinding.
	ScopeCluster Scope = "Cluster"
	// ScopeNamespaces binds with a RoleBinding in each namespace that the grant names.
	ScopeNamespaces Scope = "Namespaces"
)

// AccessLevel says whether a role may change anything in Kubernetes.
// +kubebuilder:validation:Enum=ReadWrite;ReadOnly
type AccessLevel string

// Whether a role may change anything.
const (
	AccessReadWrite AccessLevel = "ReadWrite"
	// AccessReadOnly allows get, list and watch, and nothing that reaches secrets or into a pod.
	AccessReadOnly AccessLevel = "ReadOnly"
)

// IAMGroupName is the name of an IAM group.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateGroup.html
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+=,.@-]+$`
type IAMGroupName string

// Username is a Kubernetes username as the API server sees it.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\s\\\\pZ\\\\pC]')",message="a username holds no white space and no invisible characters: write it as kubectl auth whoami shows it"
type Username string

// CIDR is a network in CIDR notation.
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="must be a network in CIDR notation, written with its first address, such as 203.0.113.0/24, or 203.0.113.7/32 for a single address"
type CIDR string

// ApprovalPolicy says how many people must approve, and who may carry reviews in from Git.
type ApprovalPolicy struct {
	// required is how many distinct people must approve.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Required int32 `json:"required,omitempty"`
	// attesters are usernames that may carry reviewedBy from Git.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	Attesters []Username `json:"attesters,omitempty"`
}

// ChangePolicy says what change management demands of a request.
type ChangePolicy struct {
	// ticketPattern is the RE2 expression that changeTicket must match as a whole; empty means that no ticket is needed.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="[''.matches(self), ''.matches('^(?:' + self + ')$')].size() == 2",message="ticketPattern must be a regular expression in RE2 syntax, such as CHG-[0-9]+"
	TicketPattern string `json:"ticketPattern,omitempty"`
	// stagingEvidence says whether the request must link evidence of a test in staging.
	// +optional
	// +kubebuilder:default=Optional
	StagingEvidence EvidenceRequirement `json:"stagingEvidence,omitempty"`
}

// Requirements are demands on the person, checked when access is due and while it lives.
type Requirements struct {
	// maxCredentialAge is how old the console password and active access keys may be.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('1h') && duration(self) <= duration('8760h')",message="maxCredentialAge must be from 1h to 8760h, in hours, minutes and seconds, such as 1440h"
	MaxCredentialAge *metav1.Duration `json:"maxCredentialAge,omitempty"`
	// onStale says what happens when they are older.
	// +optional
	// +kubebuilder:default=Suspend
	OnStale StalePolicy `json:"onStale,omitempty"`
}

// BreakGlassPolicy allows a role to be taken in an emergency, without prior approval.
type BreakGlassPolicy struct {
	// maxDuration bounds how long an emergency may last.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="breakGlass.maxDuration must be from 1m to 168h, in hours, minutes and seconds, such as 4h or 1h30m"
	MaxDuration metav1.Duration `json:"maxDuration"`
	// reportWithin is how long after the end the report may take.
	// +optional
	// +kubebuilder:default="72h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('1h') && duration(self) <= duration('720h')",message="breakGlass.reportWithin must be from 1h to 720h, in hours, minutes and seconds, such as 72h"
	ReportWithin metav1.Duration `json:"reportWithin,omitzero"`
}

// KubernetesRole is what a role means in Kubernetes.
type KubernetesRole struct {
	// scope says whether the role is bound in the whole cluster or in the namespaces that the grant names.
	// +required
	Scope Scope `json:"scope"`
	// clusterRole is the ClusterRole that is bound. By the beginning of its name, prod-access-, admission knows which
	// ClusterRoles to guard, without having to look anything up.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9:._-]*$`
	// +kubebuilder:validation:XValidation:rule="self.startsWith('prod-access-')",message="clusterRole must begin with prod-access-: admission guards the ClusterRoles of that name and no others"
	ClusterRole string `json:"clusterRole"`
	// access says whether the ClusterRole may change anything; a ReadOnly role whose ClusterRole does is not Ready.
	// +required
	Access AccessLevel `json:"access"`
}

// AWSRole is what a role means in AWS.
// +kubebuilder:validation:XValidation:rule="!has(self.allowedSourceCIDRs) || size(self.allowedSourceCIDRs) == 0 || (has(self.groups) && size(self.groups) > 0)",message="allowedSourceCIDRs guards IAM groups only: name the groups, or leave it out"
type AWSRole struct {
	// groups are the IAM groups whose members hold the role.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:XValidation:rule="!self.exists(g, self.exists(h, g != h && g.lowerAscii() == h.lowerAscii()))",message="groups names one group twice: to IAM, upper and lower case are the same"
	Groups []IAMGroupName `json:"groups,omitempty"`
	// allowedSourceCIDRs are the networks from which the role may be used; they are part of the groups' guard document.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=50
	AllowedSourceCIDRs []CIDR `json:"allowedSourceCIDRs,omitempty"`
}

// AccessRoleSpec says what a role means and what asking for it demands.
// +kubebuilder:validation:XValidation:rule="has(self.kubernetes) || (has(self.aws) && has(self.aws.groups) && size(self.aws.groups) > 0)",message="a role must mean something: set kubernetes, aws.groups, or both"
type AccessRoleSpec struct {
	// description tells people what the role is for.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Description string `json:"description,omitempty"`
	// maxDuration bounds the window of a grant: from notBefore, or creation if later, to expiresAt.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="maxDuration must be from 1m to 168h, in hours, minutes and seconds, such as 8h or 1h30m"
	MaxDuration metav1.Duration `json:"maxDuration"`
	// maxLeadTime bounds how far ahead notBefore may lie.
	// +optional
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('0s') && duration(self) <= duration('8760h')",message="maxLeadTime must be from 0s to 8760h, in hours, minutes and seconds, such as 168h"
	MaxLeadTime metav1.Duration `json:"maxLeadTime,omitzero"`
	// incident says whether a request must name an incident.
	// +optional
	// +kubebuilder:default=Optional
	Incident IncidentRequirement `json:"incident,omitempty"`
	// approval says how many people must approve.
	// +optional
	// +kubebuilder:default={}
	Approval ApprovalPolicy `json:"approval,omitzero"`
	// change says what change management demands.
	// +optional
	// +kubebuilder:default={}
	Change ChangePolicy `json:"change,omitzero"`
	// requirements are demands on the person.
	// +optional
	// +kubebuilder:default={}
	Requirements Requirements `json:"requirements,omitzero"`
	// breakGlass allows emergencies; absent means that the role cannot be taken that way.
	// +optional
	BreakGlass *BreakGlassPolicy `json:"breakGlass,omitempty"`
	// kubernetes is what the role means in Kubernetes; absent means nothing.
	// +optional
	Kubernetes *KubernetesRole `json:"kubernetes,omitempty"`
	// aws is what the role means in AWS; absent means nothing.
	// +optional
	AWS *AWSRole `json:"aws,omitempty"`
}

// PolicyState says whether the guard document of a group was verified.
// +kubebuilder:validation:Enum=Unknown;Verified;Different
type PolicyState string

// Whether a group carries its guard document.
const (
	// PolicyUnknown says that the group's policy was not compared with the rendered one.
	PolicyUnknown PolicyState = "Unknown"
	// PolicyVerified says that it was, and is the same.
	PolicyVerified PolicyState = "Verified"
	// PolicyDifferent says that it was, and is not.
	PolicyDifferent PolicyState = "Different"
)

// Stranger is a member of a managed group whom no grant put there.
type Stranger struct {
	// iamUser is the name of the IAM user.
	// +required
	// +kubebuilder:validation:MaxLength=64
	IAMUser string `json:"iamUser"`
	// since is when the operator first saw the membership.
	// +required
	Since metav1.Time `json:"since"`
}

// RoleGroupStatus is what AWS says about a group of the role.
type RoleGroupStatus struct {
	// name is the group's name.
	// +required
	Name IAMGroupName `json:"name"`
	// arn is the group's ARN; empty while AWS has not confirmed that the group exists.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	ARN string `json:"arn,omitempty"`
	// members is how many members the group has.
	// +optional
	Members int32 `json:"members"`
	// strangers are members without a grant, at most 100 of them by name.
	// +optional
	// +listType=map
	// +listMapKey=iamUser
	// +kubebuilder:validation:MaxItems=100
	Strangers []Stranger `json:"strangers,omitempty"`
	// policyVerified says whether the group carries the guard document as rendered.
	// +optional
	PolicyVerified PolicyState `json:"policyVerified,omitempty"`
}

// RoleKubernetesStatus is what the ClusterRole comes to.
type RoleKubernetesStatus struct {
	// rulesHash is the hash of the ClusterRole's effective rules.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	RulesHash string `json:"rulesHash,omitempty"`
}

// RoleAWSStatus is what AWS says about the role.
type RoleAWSStatus struct {
	// groups are the role's groups as AWS has them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=5
	Groups []RoleGroupStatus `json:"groups,omitempty"`
}

// AccessRoleStatus is what the role comes to at the moment.
type AccessRoleStatus struct {
	// conditions of the role: Ready.
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
	// meaningDigest changes whenever what the role gives changes; approvals are bound to it.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	MeaningDigest string `json:"meaningDigest,omitempty"`
	// kubernetes is what the ClusterRole comes to.
	// +optional
	Kubernetes RoleKubernetesStatus `json:"kubernetes,omitzero"`
	// aws is what AWS says about the groups.
	// +optional
	AWS RoleAWSStatus `json:"aws,omitzero"`
}

// AccessRole says what a role means in Kubernetes and AWS, and what asking for it demands. It belongs to the platform
// team; changing what it gives voids approvals that are not yet used.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=arole,categories=access
// +kubebuilder:printcolumn:name="Access",type=string,JSONPath=`.spec.kubernetes.access`
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.kubernetes.scope`
// +kubebuilder:printcolumn:name="Groups",type=string,JSONPath=`.spec.aws.groups`
// +kubebuilder:printcolumn:name="Max",type=string,JSONPath=`.spec.maxDuration`
// +kubebuilder:printcolumn:name="Approvals",type=integer,JSONPath=`.spec.approval.required`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name of a role has at most 63 characters: choose a shorter one"
type AccessRole struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what the role means.
	// +required
	Spec AccessRoleSpec `json:"spec"`
	// status says what it comes to at the moment.
	// +optional
	// +kubebuilder:default={}
	Status AccessRoleStatus `json:"status,omitzero"`
}

// AccessRoleList is a list of AccessRole.
// +kubebuilder:object:root=true
type AccessRoleList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AccessRole `json:"items"`
}
