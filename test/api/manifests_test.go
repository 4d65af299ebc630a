// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

// Objects in which every field of the spec is set, or all that go together.
const (
	roleManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: AccessRole
metadata:
  name: infra-member
spec:
  description: Day-to-day changes in production.
  maxDuration: 8h
  maxLeadTime: 72h
  incident: Optional
  approval:
    required: 2
    attesters: ["system:serviceaccount:argocd:argocd-application-controller"]
  change:
    ticketPattern: CHG-[0-9]+
    stagingEvidence: Required
  requirements:
    maxCredentialAge: 1440h
    onStale: Suspend
  breakGlass:
    maxDuration: 4h
    reportWithin: 48h
  kubernetes:
    scope: Namespaces
    clusterRole: prod-access-infra-member
    access: ReadWrite
  aws:
    groups: [hera-prod-infra-member]
    allowedSourceCIDRs: [203.0.113.0/24]
`

	grantManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: ProdAccessGrant
metadata:
  name: payments-db-disk
spec:
  subject:
    iamUser: alice
    kubernetesUser: alice@hera.example
  role: infra-member
  namespaces: [payments, ledger]
  reason: Replace the failing disk of the payments database.
  changeTicket: CHG-1042
  stagingEvidence: https://ci.hera.example/runs/881
  incident: INC-7
  requestedBy: dana@hera.example
  reviewedBy: [bob@hera.example, carol@hera.example]
  notBefore: "2026-11-23T09:00:00Z"
  expiresAt: "2026-11-23T13:00:00Z"
`

	emergencyManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: BreakGlass
metadata:
  name: alice-inc-7
spec:
  subject:
    iamUser: alice
    kubernetesUser: alice@hera.example
  role: infra-member
  namespaces: [payments, ledger]
  incident: INC-7
  reason: Payments are down, and nobody who may approve answers.
  duration: 1h
  openedBy: alice@hera.example
  report:
    summary: The payments pods were restarted one after the other.
    rootCause: A certificate had expired.
    actions: Alarm two weeks before a certificate expires.
    url: https://wiki.hera.example/incidents/7
    writtenBy: alice@hera.example
`

	temporaryManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: BreakGlass
metadata:
  name: alice-inc-9
spec:
  temporaryUser:
    recipients:
    - age1ytmy5yhs92f9g6j3kmuq7mrzk2c97vryeh59la7ka67vq4qwefnqg4zn4e
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOTLWEroHGMHThdkLXbbJ9UzRaLUMv/O39W6mlUifBWn alice@laptop
    accessKey: Create
  role: infra-member
  incident: INC-9
  reason: Payments are down, and nobody who is on call can log in to AWS.
  duration: 1h
  openedBy: alice@hera.example
  report:
    summary: The payments pods were restarted one after the other.
    writtenBy: alice@hera.example
`

	approvalManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: AccessApproval
metadata:
  name: payments-db-disk-bob
spec:
  target:
    kind: ProdAccessGrant
    name: payments-db-disk
    uid: 6a2f41a3-c54c-4b6e-8b2f-5c1d2f0f9a10
  role: infra-member
  digest: sha256:0f343b0931126a20f133d67c2b018a3b5f4d8e7c9a6b1c2d3e4f5a6b7c8d9e0f
  decision: Approve
  approver: bob@hera.example
  approverGroups: [prod-approvers]
  comment: The disk is failing; the plan is sound.
`

	personManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: AccessRevocation
metadata:
  name: alice-laptop
spec:
  person: alice
  reason: Her laptop was stolen on the train.
  revokedBy: eve@hera.example
  credentials: Keep
`

	requestManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: AccessRevocation
metadata:
  name: payments-db-disk-off
spec:
  grant:
    kind: ProdAccessGrant
    name: payments-db-disk
    specDigest: sha256:0f343b0931126a20f133d67c2b018a3b5f4d8e7c9a6b1c2d3e4f5a6b7c8d9e0f
  reason: The change was called off.
  revokedBy: eve@hera.example
`

	strangerManifest = `
apiVersion: access.hera.dev/v1alpha1
kind: AccessRevocation
metadata:
  name: mallory-infra-member
spec:
  membership:
    group: hera-prod-infra-member
    iamUser: mallory
  reason: Nobody knows who put mallory into the group.
  revokedBy: eve@hera.example
`
)
