// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Names that other tools see: they are part of the API and are never renamed.
const (
	// Finalizer keeps a grant until its access is verified gone.
	Finalizer = "access.hera.dev/revoke"
	// ManagedByLabel marks every binding that the operator made, with ManagedByValue.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// ManagedByValue is the value of ManagedByLabel.
	ManagedByValue = "prod-access-operator"
	// GrantAnnotation names, on a binding, the grant that it was made for.
	GrantAnnotation = "access.hera.dev/grant"
	// ConfirmRemovalAnnotation, on a grant, says that its removal by others was meant, whatever else was removed with it.
	ConfirmRemovalAnnotation = "access.hera.dev/confirm-removal"
	// KubernetesUsersTag is the tag of an IAM user that lists the person's Kubernetes usernames, separated by spaces.
	KubernetesUsersTag = "prod-access/kubernetes-users"
	// ClusterTag is the tag, of an IAM user or MFA device that the operator made, with the name of its cluster.
	ClusterTag = "prod-access/cluster"
	// EmergencyTag is the tag with the UID of the BreakGlass that it was made for.
	EmergencyTag = "prod-access/break-glass-uid"
)

// Condition types. Every condition carries the generation that it was computed for.
const (
	// ConditionReady is True when there is nothing left to do or to wait for: access is as the object wants it, or
	// it is over and verified gone. Its reason is the state.
	ConditionReady = "Ready"
	// ConditionActive is True while access exists. Its reason is the state, the column people see.
	ConditionActive = "Active"
	// ConditionApproved is True when enough people have approved exactly what would be granted.
	ConditionApproved = "Approved"
	// ConditionEligible is True when the person is known, has the claimed identity and an MFA device.
	ConditionEligible = "Eligible"
	// ConditionMembershipsSynced is True when every IAM group membership is as intended.
	ConditionMembershipsSynced = "MembershipsSynced"
	// ConditionFenced is True while AWS itself denies the person everything from the last deadline of their grants on. It is
	// there only for grants of roles with IAM groups.
	ConditionFenced = "Fenced"
	// ConditionBindingsSynced is True when every Kubernetes binding is as intended.
	ConditionBindingsSynced = "BindingsSynced"
	// ConditionReconciling is present, and True, only while the operator is changing access.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, only when nothing moves until somebody mends what the message names.
	ConditionStalled = "Stalled"
	// ConditionGuardIntact is True on a role while the admission guard is known to be whole.
	ConditionGuardIntact = "GuardIntact"
	// ConditionAttesterShared is present, and True, only on a role of which an attester may carry reviews from more places
	// than one AppProject of Argo CD.
	ConditionAttesterShared = "AttesterShared"
	// ConditionReported is True on an emergency whose report was approved.
	ConditionReported = "Reported"
	// ConditionLifted is True on a revocation that was lifted by somebody who may.
	ConditionLifted = "Lifted"
)

// States of a grant: the reason of ConditionActive.
const (
	// StatePendingApproval says that approvals are missing.
	StatePendingApproval = "PendingApproval"
	// StateScheduled says that the grant is approved and its window has not begun.
	StateScheduled = "Scheduled"
	// StateBlocked says that something is missing; the message says what, and who can mend it.
	StateBlocked = "Blocked"
	// StateGranting says that access is being written.
	StateGranting = "Granting"
	// StateGranted says that access exists.
	StateGranted = "Granted"
	// StateSuspended says that access was taken away for now.
	StateSuspended = "Suspended"
	// StateRevoking says that access is being taken away for good, and its absence is not yet verified.
	StateRevoking = "Revoking"
	// StateExpired says that the deadline has passed and the access is verified gone.
	StateExpired = "Expired"
	// StateRevoked says that access was ended before its deadline and is verified gone.
	StateRevoked = "Revoked"
	// StateRejected says that an approver refused before activation.
	StateRejected = "Rejected"
)

// Reasons of the other conditions of a grant, and of the Stalled and Reconciling conditions.
const (
	// ReasonApproved says that enough approvals count.
	ReasonApproved = "Approved"
	// ReasonApprovalsMissing says that approvals are missing.
	ReasonApprovalsMissing = "ApprovalsMissing"
	// ReasonRejected says that somebody who may approve said no.
	ReasonRejected = "Rejected"

	// ReasonEligible says that the person was verified.
	ReasonEligible = "Eligible"
	// ReasonNotChecked says that the question has not come up yet.
	ReasonNotChecked = "NotChecked"
	// ReasonUserNotFound says that AWS has no such IAM user.
	ReasonUserNotFound = "UserNotFound"
	// ReasonIdentityMismatch says that the Kubernetes username, the spelling or the UserId is not the IAM user's.
	ReasonIdentityMismatch = "IdentityMismatch"
	// ReasonMFAMissing says that the IAM user has no MFA device.
	ReasonMFAMissing = "MFAMissing"
	// ReasonMFAUnverified says that AWS could not be asked whether the person has an MFA device, and Kubernetes was opened in an
	// emergency nevertheless.
	ReasonMFAUnverified = "MFAUnverified"
	// ReasonCredentialsStale says that the console password or an access key is older than the role allows.
	ReasonCredentialsStale = "CredentialsStale"
	// ReasonQuarantined says that AWS has quarantined the IAM user.
	ReasonQuarantined = "Quarantined"
	// ReasonAWSUnavailable says that AWS could not be asked.
	ReasonAWSUnavailable = "AWSUnavailable"
	// ReasonAWSDisabled says that the operator runs with --aws=disabled.
	ReasonAWSDisabled = "AWSDisabled"

	// ReasonSynced says that what exists is what is intended.
	ReasonSynced = "Synced"
	// ReasonNotNeeded says that the role has no such side.
	ReasonNotNeeded = "NotNeeded"
	// ReasonNotGranted says that nothing is intended, and nothing was made.
	ReasonNotGranted = "NotGranted"
	// ReasonRemoved says that what was made is verified gone.
	ReasonRemoved = "Removed"
	// ReasonWriting says that a write is not yet verified.
	ReasonWriting = "Writing"
	// ReasonRemoving says that a removal is not yet verified.
	ReasonRemoving = "Removing"
	// ReasonForeignMembership says that the person was a member before, by somebody else's doing.
	ReasonForeignMembership = "ForeignMembership"
	// ReasonQuotaExceeded says that AWS allows the person no further group.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonGroupNotFound says that AWS has no such group.
	ReasonGroupNotFound = "GroupNotFound"
	// ReasonRemovedByOthers says that somebody took a membership or binding away.
	ReasonRemovedByOthers = "RemovedByOthers"
	// ReasonFenced says that the fence was read back.
	ReasonFenced = "Fenced"
	// ReasonFenceDisabled says that the operator runs with --fence=disabled.
	ReasonFenceDisabled = "FenceDisabled"
	// ReasonNoBoundary says that the IAM user has no permissions boundary, without which the operator writes no policy of theirs.
	ReasonNoBoundary = "NoBoundary"
	// ReasonFenceTooLarge says that the IAM user's own inline policies leave no room for a fence.
	ReasonFenceTooLarge = "FenceTooLarge"
	// ReasonFenceForbidden says that AWS does not allow the operator to write the fence.
	ReasonFenceForbidden = "FenceForbidden"
	// ReasonWaitingForNamespace says that a namespace does not exist yet.
	ReasonWaitingForNamespace = "WaitingForNamespace"
	// ReasonConflict says that a binding of our name exists that the operator did not make.
	ReasonConflict = "Conflict"
	// ReasonNoTemporaryUsers says that the operator makes no temporary users: it runs without --break-glass-boundary-arn.
	ReasonNoTemporaryUsers = "NoTemporaryUsers"
	// ReasonInvalidRecipients says that nothing can be encrypted to the recipients of a temporary user.
	ReasonInvalidRecipients = "InvalidRecipients"
	// ReasonBoundaryNotFound says that AWS does not have the permissions boundary of temporary users.
	ReasonBoundaryNotFound = "BoundaryNotFound"
	// ReasonUserNameTaken says that an IAM user of the temporary user's name exists that the operator did not make for it.
	ReasonUserNameTaken = "UserNameTaken"
	// ReasonTampered says that a temporary user is not as it was made.
	ReasonTampered = "Tampered"
	// ReasonForbidden says that the operator itself lacks a right.
	ReasonForbidden = "Forbidden"
	// ReasonError says that a call failed and is being repeated.
	ReasonError = "Error"

	// ReasonRoleNotFound says that there is no AccessRole of that name.
	ReasonRoleNotFound = "RoleNotFound"
	// ReasonRoleNotReady says that the role itself grants nothing at the moment.
	ReasonRoleNotReady = "RoleNotReady"
	// ReasonRoleChanged says that the role no longer names anything that this grant holds.
	ReasonRoleChanged = "RoleChanged"
	// ReasonPolicyViolation says that the request is not what its role allows.
	ReasonPolicyViolation = "PolicyViolation"
	// ReasonDeleted says that the object was deleted.
	ReasonDeleted = "Deleted"
	// ReasonDeadline says that the deadline has passed.
	ReasonDeadline = "Deadline"
	// ReasonRevoked says that an AccessRevocation names the grant or the person.
	ReasonRevoked = "Revoked"
	// ReasonGuardMissing says that the admission guard is not known to be whole, or was not when the object was created.
	ReasonGuardMissing = "GuardMissing"
	// ReasonUnproven says that nobody has proven who asks: the guard was not known to be whole when the grant was created.
	ReasonUnproven = "Unproven"
	// ReasonAuditUnavailable says that the audit trail cannot be written.
	ReasonAuditUnavailable = "AuditUnavailable"
	// ReasonRemovalHeld says that so much was removed at once that it is not taken for a revocation until confirmed.
	ReasonRemovalHeld = "RemovalHeld"
)

// Reasons of the condition Reported of an emergency; once its report is approved, that is ReasonApproved.
const (
	// ReasonReportNotDue says that the emergency has not ended, or never gave access.
	ReasonReportNotDue = "NotDue"
	// ReasonReportPending says that the report is to be written, or approved.
	ReasonReportPending = "Pending"
	// ReasonReportOverdue says that it should have been approved by now.
	ReasonReportOverdue = "Overdue"
)

// Reasons of the condition Ready of an AccessRole.
const (
	// ReasonRoleReady says that the role can be granted.
	ReasonRoleReady = "Ready"
	// ReasonForbiddenRule says that the ClusterRole reaches something that no role, or no ReadOnly role, may reach.
	ReasonForbiddenRule = "ForbiddenRule"
	// ReasonClusterRoleNotFound says that the ClusterRole does not exist.
	ReasonClusterRoleNotFound = "ClusterRoleNotFound"
	// ReasonBindNotAllowed says that the operator lacks the verb bind on the ClusterRole.
	ReasonBindNotAllowed = "BindNotAllowed"
	// ReasonPolicyDifferent says that an IAM group does not carry the guard document as rendered.
	ReasonPolicyDifferent = "PolicyDifferent"
	// ReasonGroupClaimed says that another AccessRole calls for another guard document of an IAM group.
	ReasonGroupClaimed = "GroupClaimed"
	// ReasonForeignFence says that a member of an IAM group is fenced by another cluster, whose group it is then.
	ReasonForeignFence = "ForeignFence"
	// ReasonInvalidCIDRs says that aws.allowedSourceCIDRs cannot be what is meant.
	ReasonInvalidCIDRs = "InvalidCIDRs"
	// ReasonInvalidTicketPattern says that change.ticketPattern is not a regular expression.
	ReasonInvalidTicketPattern = "InvalidTicketPattern"
)

// States of a revocation: the reason of its condition Ready.
const (
	// ReasonExecuting says that what is revoked is not yet verified gone.
	ReasonExecuting = "Executing"
	// ReasonInForce says that what is revoked is gone, and stays so.
	ReasonInForce = "InForce"
	// ReasonLifted says that the revocation was lifted: it stops nothing any more.
	ReasonLifted = "Lifted"
	// ReasonNotLifted says that nobody has lifted it.
	ReasonNotLifted = "NotLifted"
	// ReasonOwnRevocation says that the person lifted their own revocation, which does not count.
	ReasonOwnRevocation = "OwnRevocation"
	// ReasonNotManaged says that no AccessRole names the group.
	ReasonNotManaged = "NotManaged"
)

// Reasons of the condition GuardIntact of an AccessRole.
const (
	// ReasonGuardWhole says that every admission policy is as released, and was seen to refuse.
	ReasonGuardWhole = "Whole"
	// ReasonSharedAttester is the reason of ConditionAttesterShared.
	ReasonSharedAttester = "SharedAttester"
	// ReasonGuardBroken says that a policy is missing or changed, or did not refuse.
	ReasonGuardBroken = "Broken"
)
