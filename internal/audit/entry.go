// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package audit keeps the trail of every change of access: lines of JSON, chained by hash.
package audit

import "time"

// Events of the trail. They are part of its format and are never renamed.
const (
	// EventSegment begins a segment: the trail itself writes it, nobody else.
	EventSegment     = "segment"
	EventRequested   = "requested"
	EventApproved    = "approved"
	EventRejected    = "rejected"
	EventGranted     = "granted"
	EventSuspended   = "suspended"
	EventRevoked     = "revoked"
	EventExpired     = "expired"
	EventDrift       = "drift"
	EventCredentials = "credentials"
	EventStranger    = "stranger"
	EventRevocation  = "revocation"
	EventExecuted    = "executed"
	EventLifted      = "lifted"
	EventRoleChanged = "role-changed"
	EventGuardBroken = "guard-broken"
	EventGuardWhole  = "guard-whole"

	EventOpened         = "opened"
	EventReportWritten  = "report-written"
	EventReportDue      = "report-due"
	EventReportOverdue  = "report-overdue"
	EventReportApproved = "report-approved"
)

// Entry is one change of access.
type Entry struct {
	// Event is what happened, and Time when; without a Time it is the time of writing.
	Event string
	Time  time.Time
	// Kind and UID are of the object that it happened to.
	Kind, UID string
	// Digest identifies what was asked for: status.specDigest of a grant, status.meaningDigest of a role.
	Digest string
	// Role, Ticket and Incident are those of the request.
	Role, Ticket, Incident string

	// Personal fields: they can be erased from the trail without breaking its chain.

	// Name is of the object that it happened to. People name their requests after themselves.
	Name string
	// Change says in words what changed.
	Change string
	// Subject is the person whose access it is.
	Subject string
	// RequestedBy asked; AppliedBy made the change: the operator, or whoever revoked or lifted.
	RequestedBy, AppliedBy string
	// Approvers are those whose approvals count.
	Approvers []string
	// Reason is why, in people's words.
	Reason string
}
