// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BreakGlassSpec opens a role in an emergency. Nothing in it changes but the report.
// +kubebuilder:validation:XValidation:rule="has(self.subject) == has(oldSelf.subject) && (!has(self.subject) || self.subject == oldSelf.subject) && has(self.temporaryUser) == has(oldSelf.temporaryUser) && self.role == oldSelf.role && self.incident == oldSelf.incident && self.reason == oldSelf.reason && duration(self.duration) == duration(oldSelf.duration) && self.openedBy == oldSelf.openedBy && has(self.namespaces) == has(oldSelf.namespaces)",message="nothing in spec can be changed but report: to end it early, create an AccessRevocation; for something else, create another BreakGlass"
// +kubebuilder:validation:XValidation:rule="!has(self.namespaces) || !has(oldSelf.namespaces) || (self.namespaces == oldSelf.namespaces && self.namespaces.map(n, n) == oldSelf.namespaces.map(n, n))",fieldPath=".namespaces",message="nothing in spec can be changed but report, not even the order of namespaces: create another BreakGlass instead"
// +kubebuilder:validation:XValidation:rule="!has(self.temporaryUser) || !has(oldSelf.temporaryUser) || (self.temporaryUser.accessKey == oldSelf.temporaryUser.accessKey && self.temporaryUser.recipients.map(r, r) == oldSelf.temporaryUser.recipients.map(r, r))",fieldPath=".temporaryUser",message="nothing in spec can be changed but report, not even the order of recipients: create another BreakGlass instead"
// +kubebuilder:validation:XValidation:rule="has(self.subject) != has(self.temporaryUser)",message="name either subject, the person who gets access, or temporaryUser, for an IAM user that is made for this emergency"
// +kubebuilder:validation:XValidation:rule="!has(self.temporaryUser) || !has(self.namespaces)",fieldPath=".namespaces",message="a temporary user has access to AWS alone: leave namespaces out"
type BreakGlassSpec struct {
	// subject is the person who gets access.
	// +optional
	Subject Subject `json:"subject,omitzero"`
	// temporaryUser asks for an IAM user that is made for this emergency and deleted at its end, for when the person's own
	// login is what broke. It has the role's IAM groups, and nothing in Kubernetes.
	// +optional
	TemporaryUser *TemporaryUser `json:"temporaryUser,omitempty"`
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
	// incident is the incident that the access is for.
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.trim() != ''",message="incident must not be blank: name the incident"
	Incident string `json:"incident"`
	// reason says why, for everybody who is told, and for auditors.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.trim().size() >= 10 && self.matches('\\\\pL')",message="reason must say why, in words: at least 10 characters, white space at the ends not counted"
	Reason string `json:"reason"`
	// duration is how long the access lasts, counted from the creation of the object.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$') && self != '' && duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="duration must be from 1m to 168h, in hours, minutes and seconds, such as 1h or 1h30m"
	Duration metav1.Duration `json:"duration"`
	// openedBy is the username of the person who opens it.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('eks:') && !self.startsWith('aws:')",message="openedBy must be a person: names beginning with system:, eks: or aws: are reserved"
	OpenedBy Username `json:"openedBy"`
	// report is the write-up. It is due after the end, may be edited until it is approved, and never after.
	// +optional
	Report *EmergencyReport `json:"report,omitempty"`
}

// TemporaryUser is an IAM user that exists for one emergency.
type TemporaryUser struct {
	// recipients are the public keys that its credentials are encrypted to: native age keys (age1…) or SSH keys (ssh-ed25519 or
	// ssh-rsa, as in an authorized_keys file). Whoever has the private key of one of them can use the user.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:XValidation:rule="!self.exists(r, r.matches('(?i)BEGIN [A-Z ]*PRIVATE KEY|AGE-SECRET-KEY-|PuTTY-User-Key-File'))",message="one of these is a private key: it is in other hands now, so make a new one, and name its public key, as age-keygen -y or ssh-keygen -y shows it"
	// +kubebuilder:validation:XValidation:rule="self.all(r, r.matches('(?i)BEGIN [A-Z ]*PRIVATE KEY|AGE-SECRET-KEY-|PuTTY-User-Key-File') || r.size() <= 2048 && r.matches('^(age1(pq1)?[02-9ac-hj-np-z]+|ssh-(ed25519|rsa) AAAA[A-Za-z0-9+/]+=*( [^\\r\\n]*)?)$'))",message="a recipient is a public key of age (age1…) or of SSH (ssh-ed25519 … or ssh-rsa …) on one line; plugins and other types of keys are not supported"
	// +kubebuilder:validation:XValidation:rule="self.all(r, self.exists_one(s, s.find('^[^ ]+( [^ ]+)?') == r.find('^[^ ]+( [^ ]+)?')))",message="each public key is named once, whatever the comment behind it"
	// +kubebuilder:validation:XValidation:rule="self.all(r, !r.startsWith('ssh-rsa ') || r.find('^[^ ]+ [^ ]+').size() <= 740)",message="an RSA key has 4096 bits at most, so that there is room for what is encrypted to it"
	// +kubebuilder:validation:XValidation:rule="!self.exists(r, r.startsWith('age1pq1')) || (self.size() <= 3 && self.all(r, r.startsWith('age1pq1')))",message="post-quantum keys (age1pq1…) are not mixed with others, which would undo what they are for, and there are 3 of them at most"
	Recipients []Recipient `json:"recipients"`
	// accessKey says whether it gets an access key, for the command line, beside its console password.
	// +optional
	// +kubebuilder:default=None
	AccessKey AccessKeyDemand `json:"accessKey,omitempty"`
}

// Recipient is a public key: of age (https://age-encryption.org/v1) or of SSH.
// +kubebuilder:validation:MaxLength=4096
type Recipient string

// AccessKeyDemand says whether a temporary user gets an access key.
// +kubebuilder:validation:Enum=None;Create
type AccessKeyDemand string

// Demands for an access key.
const (
	// AccessKeyNone makes none.
	AccessKeyNone AccessKeyDemand = "None"
	// AccessKeyCreate makes one.
	AccessKeyCreate AccessKeyDemand = "Create"
)

// EmergencyReport is what a person writes about an emergency.
type EmergencyReport struct {
	// summary says what happened and what was done with the access.
	// +required
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.trim().size() >= 10 && self.matches('\\\\pL')",message="summary must say what happened, in words: at least 10 characters, white space at the ends not counted"
	Summary string `json:"summary"`
	// rootCause says why it happened.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	RootCause string `json:"rootCause,omitempty"`
	// actions say what is done so that it does not happen again.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Actions string `json:"actions,omitempty"`
	// url links the full write-up.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="url must be a link that begins with https:// or http://"
	URL string `json:"url,omitempty"`
	// writtenBy is the username of whoever wrote this text.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('eks:') && !self.startsWith('aws:')",message="writtenBy must be a person: names beginning with system:, eks: or aws: are reserved"
	WrittenBy Username `json:"writtenBy"`
}

// HeldAccess is access that the person held beside an emergency.
type HeldAccess struct {
	// kind of the object that gave it.
	// +required
	Kind TargetKind `json:"kind"`
	// name of the object that gave it.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// role that it gave.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Role string `json:"role"`
	// until is its deadline.
	// +required
	Until metav1.Time `json:"until"`
}

// EmergencyFacts are what the writer of the report needs to know, beside what the rest of the status tells.
type EmergencyFacts struct {
	// openedAt is when the object was created.
	// +optional
	OpenedAt *metav1.Time `json:"openedAt,omitempty"`
	// openedBy is who created it.
	// +optional
	OpenedBy Username `json:"openedBy,omitempty"`
	// lasted is the time from the activation to the end.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	Lasted *metav1.Duration `json:"lasted,omitempty"`
	// mfaUnverified says that Kubernetes was opened before anybody could tell whether the person has an MFA device.
	// +optional
	MFAUnverified bool `json:"mfaUnverified,omitempty"`
	// bound names what was given.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=512
	Bound []string `json:"bound,omitempty"`
	// otherAccess is what else the person held while it lasted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	OtherAccess []HeldAccess `json:"otherAccess,omitempty"`
	// changes are what others did to the access while it lasted, as far as it was seen.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=1200
	Changes []string `json:"changes,omitempty"`
}

// BreakGlassStatus is what became of an emergency.
type BreakGlassStatus struct {
	// conditions of the emergency: those of a grant but Approved, and Reported.
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
	// specDigest identifies what was opened, without the report.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	SpecDigest string `json:"specDigest,omitempty"`
	// reportDigest identifies this very object and the text of its report; an approval repeats it. There is none before
	// the end and without a report.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	ReportDigest string `json:"reportDigest,omitempty"`
	// reportDueAt is when the report is overdue; it is there once the access that was given has ended.
	// +optional
	ReportDueAt *metav1.Time `json:"reportDueAt,omitempty"`
	// reportRemindedAt is when people were told that the report is due within a day.
	// +optional
	ReportRemindedAt *metav1.Time `json:"reportRemindedAt,omitempty"`
	// reportApprovedBy is who approved the report.
	// +optional
	ReportApprovedBy Username `json:"reportApprovedBy,omitempty"`
	// expiresAt is the deadline, stored before anything is granted. An emergency of the same subject, role and incident
	// shares the deadline of the first.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// activatedAt is when access was first seen to exist.
	// +optional
	ActivatedAt *metav1.Time `json:"activatedAt,omitempty"`
	// endedAt is when it ended for good.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
	// accessEndsNoLaterThan is when access ends even if the operator stops now.
	// +optional
	AccessEndsNoLaterThan AccessEnds `json:"accessEndsNoLaterThan,omitzero"`
	// aws is the AWS side.
	// +optional
	AWS GrantAWSStatus `json:"aws,omitzero"`
	// kubernetes is the Kubernetes side.
	// +optional
	Kubernetes GrantKubernetesStatus `json:"kubernetes,omitzero"`
	// temporaryUser is the IAM user that was made for the emergency.
	// +optional
	TemporaryUser TemporaryUserStatus `json:"temporaryUser,omitzero"`
	// facts are collected for whoever writes the report.
	// +optional
	Facts EmergencyFacts `json:"facts,omitzero"`
	// outbox holds what is still to be written to the audit trail.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Outbox []OutboxEntry `json:"outbox,omitempty"`
}

// TemporaryUserStatus is what became of the temporary user.
type TemporaryUserStatus struct {
	// iamUser is its name, stored before it is made.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	IAMUser string `json:"iamUser,omitempty"`
	// madeAt is when its credentials were made.
	// +optional
	MadeAt *metav1.Time `json:"madeAt,omitempty"`
	// credentials are encrypted to the recipients, as an armored age file: `manager decrypt` shows them to whoever has the
	// private key of a recipient. They are here as long as the user exists, and nowhere else.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Credentials string `json:"credentials,omitempty"`
}

// BreakGlass is emergency access without prior approval: it opens at once, everybody is told, it ends by itself, and it is
// not over before its report is approved.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,path=breakglasses,shortName=bg,categories=access
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`..['spec.subject.iamUser','spec.subject.kubernetesUser','status.temporaryUser.iamUser']`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Active")].reason`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="Report",type=string,JSONPath=`.status.conditions[?(@.type=="Reported")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Incident",type=string,priority=1,JSONPath=`.spec.incident`
// +kubebuilder:printcolumn:name="Opened By",type=string,priority=1,JSONPath=`.spec.openedBy`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Active")].message`
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.conditions) || !oldSelf.status.conditions.exists(c, c.type == 'Reported' && c.status == 'True') || (has(self.spec.report) == has(oldSelf.spec.report) && (!has(self.spec.report) || self.spec.report == oldSelf.spec.report))",fieldPath=".spec.report",message="the report is approved, and an approved report is never changed"
type BreakGlass struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is opened, and carries the report.
	// +required
	Spec BreakGlassSpec `json:"spec"`
	// status is what became of it.
	// +optional
	// +kubebuilder:default={}
	Status BreakGlassStatus `json:"status,omitzero"`
}

// BreakGlassList is a list of BreakGlass.
// +kubebuilder:object:root=true
type BreakGlassList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []BreakGlass `json:"items"`
}
