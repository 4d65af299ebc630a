// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// The requests that the policies are judged on. Each refusal names the statement that refuses, and has a twin that differs
// only in what is forbidden.
export const ACCOUNT = '111122223333'
const iam = (resource) => `arn:aws:iam::${ACCOUNT}:${resource}`
const boundary = iam('policy/prod-access/prod-access-boundary')

// A person at the desk, with MFA.
const desk = {
  'aws:username': 'alice',
  'aws:PrincipalType': 'User',
  'aws:MultiFactorAuthPresent': 'true',
  'aws:ViaAWSService': 'false',
  'aws:SourceIp': '203.0.113.7',
}
const without = (key, context = desk) => Object.fromEntries(Object.entries(context).filter(([k]) => k !== key))
const mfaFalse = { ...desk, 'aws:MultiFactorAuthPresent': 'false' } // signed in, or GetSessionToken without a code
const longTermKey = without('aws:MultiFactorAuthPresent')
const elsewhere = { ...desk, 'aws:SourceIp': '198.51.100.9' }
const elsewhere6 = { ...desk, 'aws:SourceIp': '2001:db8::9' }
const desk6 = { ...desk, 'aws:SourceIp': '2a00:1450::9' }
const endpoint = { ...without('aws:SourceIp'), 'aws:SourceVpce': 'vpce-0123456789abcdef0' }
// What a service does on the person's behalf: its own address or none, and it may not say that there was MFA.
const service = { ...without('aws:SourceIp', mfaFalse), 'aws:ViaAWSService': 'true' }
const serviceElsewhere = { ...elsewhere, 'aws:ViaAWSService': 'true' }

const row = (want, context, action, resource, more = {}) => ({ want, context, action, resource, ...more })
const rows = (want, context, actions, more = {}) =>
  actions.map((a) => (Array.isArray(a) ? row(want, context, a[0], a[1], more) : row(want, context, a, undefined, more)))
const allowed = (context, actions, more) => rows('allowed', context, actions, more)

const self = iam('user/alice')
const selfOnPath = iam('user/hera/alice')
const other = iam('user/malice') // ends like alice
const otherOnPath = iam('user/hera/bob')
const plain = ['ec2:DescribeInstances', 's3:ListAllMyBuckets', 'rds:ModifyDBInstance', 'iam:ListUsers']
const enrolment = [
  ['iam:CreateVirtualMFADevice', iam('mfa/alice')], ['iam:EnableMFADevice', self], ['iam:EnableMFADevice', selfOnPath],
  ['iam:ResyncMFADevice', self], ['iam:GetUser', self], ['iam:GetMFADevice', self], ['iam:ListMFADevices', self],
  'iam:ListVirtualMFADevices', 'sts:GetSessionToken',
]

const mfa = [
  ...allowed(desk, plain),
  ...rows('NoMFA', mfaFalse, plain, { only: true }),
  ...rows('NoMFA', longTermKey, plain, { only: true }),
  ...rows('NoMFA', without('aws:ViaAWSService', mfaFalse), plain.slice(0, 1)),
  ...allowed(service, plain),
  ...allowed(mfaFalse, enrolment),
  ...allowed(desk, enrolment),
  // A stolen long-term key: it may do its part of getting a session with MFA, but not enrol a device for that.
  ...allowed(longTermKey, ['sts:GetSessionToken', ['iam:GetUser', self], ['iam:ListMFADevices', self]]),
  ...rows('EnrolByKey', longTermKey, [['iam:EnableMFADevice', self], ['iam:EnableMFADevice', selfOnPath]], { only: true }),
  ...rows('NoMFA', mfaFalse, [['iam:ChangePassword', self], ['iam:DeleteAccessKey', self]], { only: true }),
  ...rows('NoMFA', mfaFalse, [['iam:DeactivateMFADevice', self]]),
]

const network = [
  ...allowed(desk6, plain),
  ...rows('OffNetwork', elsewhere, plain, { only: true }),
  ...rows('OffNetwork', elsewhere6, plain.slice(0, 2), { only: true }),
  ...rows('OffNetwork', endpoint, plain, { only: true }),
  ...rows('OffNetwork', without('aws:ViaAWSService', elsewhere), plain.slice(0, 1), { only: true }),
  // Not GetSessionToken: AWS answers that whatever a policy says.
  ...rows('OffNetwork', elsewhere, enrolment.filter((e) => e !== 'sts:GetSessionToken'), { only: true }),
  ...allowed(serviceElsewhere, plain),
  // Nothing denies this one, so nothing of this stops kubectl, which logs in with it.
  ...allowed({ ...elsewhere, 'aws:MultiFactorAuthPresent': 'false' }, ['sts:GetCallerIdentity']),
  // A role without networks may be used from anywhere; the rest of its guard holds.
  ...allowed(elsewhere, plain, { networks: false }),
  ...allowed(endpoint, plain, { networks: false }),
  ...rows('NoMFA', { ...mfaFalse, 'aws:SourceIp': '198.51.100.9' }, plain, { networks: false, only: true }),
]

const onGroups = [
  'AddUserToGroup', 'AttachGroupPolicy', 'CreateGroup', 'DeleteGroup', 'DeleteGroupPolicy', 'DetachGroupPolicy', 'PutGroupPolicy',
  'RemoveUserFromGroup', 'UpdateGroup',
].flatMap((a) => [[`iam:${a}`, iam('group/hera-prod-infra-manager')], [`iam:${a}`, iam('group/team/foreign')]])
// Whatever changes a user: the own one as little as another's.
const onUsers = [
  'AttachUserPolicy', 'CreateAccessKey', 'CreateLoginProfile', 'CreateServiceSpecificCredential', 'CreateUser', 'DeactivateMFADevice',
  'DeleteLoginProfile', 'DeleteUser', 'DeleteUserPermissionsBoundary', 'DeleteUserPolicy', 'DetachUserPolicy',
  'PutUserPermissionsBoundary', 'PutUserPolicy', 'TagUser', 'UntagUser', 'UpdateAccessKey', 'UpdateLoginProfile', 'UpdateUser',
  'UploadSigningCertificate', 'UploadSSHPublicKey', 'UpdateServiceSpecificCredential', 'ResetServiceSpecificCredential',
].flatMap((a) => [self, selfOnPath, other, otherOnPath].map((u) => [`iam:${a}`, u]))
const onOurs = [
  ...['CreatePolicy', 'CreatePolicyVersion', 'DeletePolicy', 'DeletePolicyVersion', 'SetDefaultPolicyVersion', 'TagPolicy']
    .flatMap((a) => [[`iam:${a}`, boundary], [`iam:${a}`, iam('policy/prod-access/prod-access-infra-member')]]),
  ...['AttachRolePolicy', 'CreateRole', 'DeleteRole', 'DeleteRolePolicy', 'DetachRolePolicy', 'PassRole', 'PutRolePolicy', 'TagRole',
    'UpdateAssumeRolePolicy', 'UpdateRole']
    .map((a) => [`iam:${a}`, iam('role/prod-access/prod-access-grantor')]),
]
const onProviders = [
  ...['AddClientIDToOpenIDConnectProvider', 'CreateOpenIDConnectProvider', 'DeleteOpenIDConnectProvider',
    'RemoveClientIDFromOpenIDConnectProvider', 'UpdateOpenIDConnectProviderThumbprint']
    .map((a) => [`iam:${a}`, iam('oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABC')]),
  ...['CreateSAMLProvider', 'DeleteSAMLProvider', 'UpdateSAMLProvider'].map((a) => [`iam:${a}`, iam('saml-provider/idp')]),
]
const tampers = [...onGroups, ...onUsers, ...onOurs, ...onProviders, 'iam:AcceptDelegationRequest', 'iam:AssociateDelegationRequest']
const tamper = [
  ...rows('Tamper', desk, tampers),
  // CloudFormation and the like do it with the person's rights.
  ...rows('Tamper', service, [tampers[0], ['iam:CreateUser', other], ['iam:PutGroupPolicy', iam('group/hera-prod-infra-manager')]]),
  ...rows('Others', desk, ['EnableMFADevice', 'ResyncMFADevice', 'DeleteAccessKey']
    .flatMap((a) => [[`iam:${a}`, other], [`iam:${a}`, otherOnPath]]), { only: true }),
  ...allowed(desk, ['EnableMFADevice', 'ResyncMFADevice', 'DeleteAccessKey', 'ChangePassword', 'ListAccessKeys', 'GetLoginProfile']
    .flatMap((a) => [[`iam:${a}`, self], [`iam:${a}`, selfOnPath]])),
  ...allowed(desk, [
    ['iam:GetGroup', iam('group/hera-prod-infra-manager')], ['iam:ListGroupsForUser', other], ['iam:GetUserPolicy', other],
    ['iam:GetPolicyVersion', boundary], ['iam:GetRole', iam('role/prod-access/prod-access-grantor')],
    ['iam:SimulatePrincipalPolicy', self], 'iam:GenerateCredentialReport',
    ['iam:GetOpenIDConnectProvider', iam('oidc-provider/x')],
    // Elsewhere than below /prod-access/, IAM is not ours.
    ['iam:CreatePolicy', iam('policy/team/app')], ['iam:DeleteRole', iam('role/app')], ['iam:DetachRolePolicy', iam('role/app')],
    ['iam:CreateInstanceProfile', iam('instance-profile/app')], ['iam:TagRole', iam('role/app')],
  ]),
]

const blindings = [
  'cloudtrail:DeleteTrail', 'cloudtrail:StopLogging', 'cloudtrail:UpdateTrail', 'cloudtrail:PutEventSelectors',
  'cloudtrail:PutInsightSelectors', 'cloudtrail:DeleteEventDataStore', 'cloudtrail:UpdateEventDataStore',
  'cloudtrail:StopEventDataStoreIngestion', 'cloudtrail:DeregisterOrganizationDelegatedAdmin',
  'config:DeleteConfigurationRecorder', 'config:DeleteDeliveryChannel', 'config:StopConfigurationRecorder',
  'config:PutConfigurationRecorder', 'config:PutDeliveryChannel', 'config:DeleteConfigRule', 'config:DisassociateResourceTypes',
  'config:PutRetentionConfiguration', 'config:DeleteRetentionConfiguration',
  'guardduty:DeleteDetector', 'guardduty:UpdateDetector', 'guardduty:StopMonitoringMembers', 'guardduty:DisassociateMembers',
  'guardduty:DisassociateFromAdministratorAccount', 'guardduty:CreateFilter', 'guardduty:UpdateFilter', 'guardduty:CreateIPSet',
  'guardduty:CreateTrustedEntitySet',
  'guardduty:ArchiveFindings', 'guardduty:DeletePublishingDestination',
  'securityhub:DisableSecurityHub', 'securityhub:BatchDisableStandards', 'securityhub:UpdateStandardsControl',
  'securityhub:BatchUpdateStandardsControlAssociations', 'securityhub:DisassociateFromAdministratorAccount',
  'securityhub:DeleteMembers', 'securityhub:CreateAutomationRule',
  'access-analyzer:DeleteAnalyzer', 'access-analyzer:UpdateAnalyzer', 'access-analyzer:CreateArchiveRule',
  'access-analyzer:UpdateArchiveRule', 'access-analyzer:ApplyArchiveRule', 'inspector2:Disable', 'logs:DeleteLogGroup',
  'logs:DeleteLogStream',
  'organizations:LeaveOrganization', 'organizations:DetachPolicy', 'organizations:DeletePolicy', 'organizations:UpdatePolicy',
  'organizations:DisablePolicyType', 'organizations:RemoveAccountFromOrganization',
  'organizations:CloseAccount', 'account:CloseAccount',
]
const blind = [
  ...rows('Blind', desk, blindings, { only: true }),
  ...rows('Blind', service, blindings.slice(0, 2), { only: true }),
  ...allowed(desk, [
    'cloudtrail:StartLogging', 'cloudtrail:DescribeTrails', 'cloudtrail:LookupEvents', 'cloudtrail:GetTrailStatus',
    'config:StartConfigurationRecorder', 'config:DescribeConfigurationRecorders', 'config:PutConfigRule',
    'guardduty:GetFindings', 'guardduty:CreateDetector', 'guardduty:ListDetectors', 'securityhub:GetFindings',
    'securityhub:EnableSecurityHub', 'securityhub:BatchUpdateFindings', 'access-analyzer:CreateAnalyzer',
    'access-analyzer:ListFindings', 'access-analyzer:GetArchiveRule', 'inspector2:Enable', 'organizations:DescribeOrganization',
    'logs:CreateLogGroup', 'logs:DescribeLogGroups',
  ]),
]

const app = iam('role/app')
const unbounded = ['CreateRole', 'PutRolePolicy', 'AttachRolePolicy', 'PutRolePermissionsBoundary']
const outlast = [
  ...rows('Outlast', desk, [
    ['sts:AssumeRole', app], ['sts:AssumeRole', 'arn:aws:iam::999999999999:role/elsewhere'], ['sts:AssumeRoot',
    'arn:aws:iam::999999999999:root'],
    ['iam:UpdateAssumeRolePolicy', app], ['iam:DeleteRolePermissionsBoundary', app],
    ['iam:CreatePolicyVersion', iam('policy/team/app')], ['iam:SetDefaultPolicyVersion', iam('policy/team/app')],
    'iam:EnableOrganizationsRootSessions', 'eks:CreateAccessEntry', 'eks:UpdateAccessEntry', 'eks:AssociateAccessPolicy',
    'eks:AssociateIdentityProviderConfig', 'rolesanywhere:CreateTrustAnchor', 'rolesanywhere:CreateProfile',
    'rolesanywhere:UpdateTrustAnchor', 'rolesanywhere:EnableTrustAnchor', 'rolesanywhere:PutAttributeMapping',
    'sso:CreateAccountAssignment', 'sso:CreatePermissionSet', 'sso:AttachManagedPolicyToPermissionSet',
    'sso:PutInlinePolicyToPermissionSet', 'identitystore:CreateUser',
    'identitystore:CreateGroupMembership', 'sso-directory:CreateUser', 'sso-directory:AddMemberToGroup',
  ], { only: true }),
  ...rows('Outlast', service, [['sts:AssumeRole', app], 'eks:CreateAccessEntry'], { only: true }),
  ...rows('Unbounded', desk, unbounded.map((a) => [`iam:${a}`, app]), { only: true }),
  ...rows('Unbounded', service, [['iam:CreateRole', app]], { only: true }),
  ...rows('Unbounded', { ...desk, 'iam:PermissionsBoundary': iam('policy/other') }, unbounded.map((a) => [`iam:${a}`, app]), { only: true }),
  ...allowed({ ...desk, 'iam:PermissionsBoundary': boundary }, unbounded.map((a) => [`iam:${a}`, app])),
  ...allowed(desk, [
    'sts:GetSessionToken', 'sts:GetCallerIdentity', ['iam:DeletePolicyVersion', iam('policy/team/app')], 'eks:ListAccessEntries',
    'eks:DescribeAccessEntry', 'eks:DescribeCluster', 'eks:AccessKubernetesApi', 'rolesanywhere:ListProfiles', 'sso:ListInstances',
    ['iam:CreateServiceLinkedRole', iam('role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS')],
  ]),
]

const passing = (to) => ({ ...desk, 'iam:PassedToService': to })
const manager = { roles: ['infra-manager'] }
const member = { roles: ['infra-member'] }
const security = { roles: ['security-engineer'] }
const managerDenies = [
  'kms:ScheduleKeyDeletion', 'kms:DisableKey', 'kms:DeleteImportedKeyMaterial', 'backup:DeleteBackupVault', 'backup:DeleteRecoveryPoint',
  'backup:DeleteBackupVaultAccessPolicy', 'backup:DeleteBackupVaultLockConfiguration', 'backup:UpdateRecoveryPointLifecycle',
  'eks:DeleteCluster', 'rds:DeleteDBSnapshot', 'rds:DeleteDBClusterSnapshot', 'rds:DeleteDBInstanceAutomatedBackup',
  'dynamodb:DeleteBackup',
]
const memberDenies = [
  'eks:DeleteCluster', 'eks:DeleteNodegroup', 'eks:DeleteFargateProfile', 'eks:DeleteAddon', 'eks:DeleteAccessEntry',
  'eks:DeletePodIdentityAssociation', 'eks:DisassociateAccessPolicy', 'eks:UpdateClusterConfig',
  'cloudformation:DeleteStack', 'cloudformation:DeleteStackInstances', 'cloudformation:UpdateStack',
  'cloudformation:ExecuteChangeSet', 'autoscaling:DeleteAutoScalingGroup',
  'ec2:DeleteVpc', 'ec2:DeleteSubnet', 'ec2:DeleteRouteTable', 'ec2:DeleteRoute', 'ec2:DeleteNatGateway', 'ec2:DeleteInternetGateway',
  'ec2:DetachInternetGateway', 'ec2:DeleteVpcEndpoints', 'kms:ScheduleKeyDeletion', 'kms:DisableKey', 'kms:PutKeyPolicy',
  'kms:RevokeGrant', 'kms:DeleteAlias', 'backup:DeleteBackupVault', 'backup:DeleteRecoveryPoint',
]
const securityDenies = [
  's3:GetObject', 's3:GetObjectVersion', 's3express:CreateSession', 's3-object-lambda:GetObject',
  's3-object-lambda:GetObjectVersion', 'dynamodb:GetItem',
  'dynamodb:BatchGetItem', 'dynamodb:Query', 'dynamodb:Scan', 'dynamodb:PartiQLSelect', 'dynamodb:GetRecords',
  'dynamodb:ExportTableToPointInTime', 'sqs:ReceiveMessage', 'kinesis:GetRecords', 'kinesis:SubscribeToShard', 'kms:Decrypt',
  'kms:ReEncryptFrom', 'secretsmanager:GetSecretValue', 'ssm:GetParameter',
  'ssm:GetParameters', 'ssm:GetParametersByPath', 'ssm:GetParameterHistory', 'athena:GetQueryResults',
  'rds-data:ExecuteStatement', 'redshift-data:GetStatementResult', 'ebs:GetSnapshotBlock',
  'ec2:GetConsoleOutput', 'ec2:GetConsoleScreenshot', 'ec2:GetPasswordData', 'ecr:GetDownloadUrlForLayer',
  'lambda:GetFunction', 'logs:GetLogEvents', 'logs:FilterLogEvents', 'logs:StartQuery',
  'logs:GetQueryResults', 'logs:StartLiveTail', 'es:ESHttpGet', 'es:ESHttpPost', 'cassandra:Select',
]
const perRole = [
  ...rows('Safety', desk, managerDenies, { ...manager, only: true }),
  ...rows('Safety', desk, memberDenies, { ...member, only: true }),
  ...rows('Safety', desk, securityDenies, { ...security, only: true }),
  // On the person's behalf is no way around.
  ...rows('Safety', service, ['eks:DeleteCluster'], { roles: ['infra-manager', 'infra-member'], only: true }),
  ...rows('Safety', service, ['kms:Decrypt', 's3:GetObject'], { ...security, only: true }),

  // What the documents of a role come to together.
  ...allowed(desk, [
    ...plain, 'eks:CreateCluster', 'eks:UpdateClusterConfig', 'eks:DeleteNodegroup', 'kms:CreateKey', 'kms:EnableKey',
    'kms:CancelKeyDeletion',
    'backup:StartBackupJob', 'rds:CreateDBSnapshot', 'rds:DeleteDBInstance', 'cloudformation:CreateStack', 'cloudformation:DeleteStack',
    'ec2:DeleteVpc', 's3:DeleteObject', 'dynamodb:DeleteTable', ['iam:PassRole', app],
  ], { ...manager, real: true }),
  ...rows('Safety', desk, managerDenies, { ...manager, real: true }),
  ...allowed(desk, [
    ...plain, 'ec2:RunInstances', 'ec2:TerminateInstances', 'ec2:AuthorizeSecurityGroupIngress', 'eks:DescribeCluster',
    'eks:UpdateNodegroupConfig', 'eks:UpdateNodegroupVersion', 'eks:UpdateClusterVersion', 'eks:CreateNodegroup', 'eks:UpdateAddon',
    'autoscaling:UpdateAutoScalingGroup', 's3:PutObject', 'rds:CreateDBSnapshot', 'lambda:UpdateFunctionCode', 'logs:FilterLogEvents',
    'kms:Decrypt', 'cloudformation:DescribeStacks', 'secretsmanager:GetSecretValue', 'backup:StartRestoreJob',
    'route53:ChangeResourceRecordSets',
  ], { ...member, real: true }),
  ...['autoscaling', 'ec2', 'ecs-tasks', 'lambda', 'monitoring.rds'].map((s) =>
    row('allowed', passing(`${s}.amazonaws.com`), 'iam:PassRole', app, { ...member, real: true })),
  ...['cloudformation', 'eks', 'glue', 'pods.eks', 'ssm'].map((s) =>
    row('PassRole', passing(`${s}.amazonaws.com`), 'iam:PassRole', app, { ...member, only: true, real: true })),
  row('PassRole', desk, 'iam:PassRole', app, { ...member, only: true, real: true }),
  ...rows('Safety', desk, memberDenies, { ...member, real: true }),
  ...rows('not allowed', desk, [
    'cloudformation:CreateStack', 'eks:CreateCluster', 'eks:CreatePodIdentityAssociation', 'kms:CreateKey', 'sso:ListInstances',
    ['iam:DeleteRole', app], ['iam:CreatePolicy', iam('policy/team/app')], ['iam:CreateInstanceProfile', iam('instance-profile/app')],
    'organizations:DescribeOrganization',
  ], { ...member, real: true }),
  ...rows('not allowed', { ...desk, 'iam:PermissionsBoundary': boundary }, [['iam:CreateRole', app]], { ...member, real: true }),
  ...allowed(desk, [
    'guardduty:GetFindings', 'guardduty:ListDetectors', 'securityhub:GetFindings', 'securityhub:BatchGetSecurityControls',
    'inspector2:ListFindings', 'access-analyzer:ListFindings', 'cloudtrail:LookupEvents', 'macie2:GetFindings', 'detective:ListGraphs',
  ], { ...security, real: true }),
  ...rows('not allowed', desk, [
    'ec2:RunInstances', 's3:PutObject', 's3:DeleteObject', 'guardduty:CreateDetector', 'securityhub:BatchUpdateFindings',
    'dynamodb:PutItem', 'lambda:UpdateFunctionCode', ['iam:PassRole', app],
  ], { ...security, real: true }),
  // What SecurityAudit, attached beside, reads: the guard must let it.
  ...allowed(desk, [
    's3:GetBucketPolicy', 's3:GetEncryptionConfiguration', 's3:GetObjectAcl', 's3:GetObjectTagging', 'dynamodb:DescribeTable',
    'sqs:GetQueueAttributes', 'kms:DescribeKey',
    'kms:GetKeyPolicy', 'secretsmanager:DescribeSecret', 'ssm:DescribeParameters', 'lambda:GetFunctionConfiguration', 'lambda:GetPolicy',
    'logs:DescribeLogGroups', 'ecr:DescribeImages', 'eks:DescribeCluster', 'ec2:DescribeInstances', 'rds:DescribeDBInstances',
  ], security),
  ...rows('NoMFA', mfaFalse, ['guardduty:GetFindings', 'cloudtrail:LookupEvents'], { ...security, real: true }),
  ...rows('OffNetwork', elsewhere, ['ec2:DescribeInstances'], { roles: ['infra-manager', 'infra-member'], real: true }),
]

export const roleRows = [...mfa, ...network, ...tamper, ...blind, ...outlast, ...perRole]

// Patterns that deny a few reads on purpose, because customers' data are read that way.
export const actionsDeniedInPart = [
  'athena:GetQueryResults*', 'dynamodb:BatchGetItem', 'dynamodb:GetItem', 'dynamodb:GetRecords', 'ebs:GetSnapshotBlock', 'ec2:GetConsole*',
  'ec2:GetPasswordData', 'ecr:GetDownloadUrlForLayer', 'kinesis:GetRecords', 'lambda:GetFunction',
  'logs:GetLogEvents', 'logs:GetQueryResults', 'redshift-data:*', 's3-object-lambda:GetObject',
  's3-object-lambda:GetObjectVersion', 's3:GetObject', 's3:GetObjectVersion',
  'secretsmanager:GetSecretValue', 'ssm:GetParameter*', 'iam:*OrganizationsRoot*',
]

const robot = { 'aws:PrincipalType': 'AssumedRole' }
const bounded = { ...robot, 'iam:PermissionsBoundary': boundary }
const person = iam('user/hera/alice')
const group = iam('group/hera-prod-infra-member')
const grants = { who: ['grantor', 'both'] }
const takes = { who: ['revoker', 'both'] }
const all = { who: ['grantor', 'revoker', 'both'] }
const ownRole = iam('role/prod-access/prod-access-grantor')
const readings = [
  ['iam:GetUser', person], ['iam:ListGroupsForUser', person], ['iam:ListAccessKeys', person], ['iam:GetLoginProfile', person],
  ['iam:GetGroup', group], 'iam:GetAccountAuthorizationDetails',
]

export const operatorRows = [
  ...allowed(robot, readings, all),
  ...allowed(robot, [
    ['iam:GetRole', ownRole], ['iam:SimulatePrincipalPolicy', ownRole],
    ['iam:SimulatePrincipalPolicy', iam('role/prod-access/prod-access-revoker')],
  ], grants),
  ...rows('not allowed', robot, [['iam:SimulatePrincipalPolicy', person], ['iam:GetRole', app]], grants),
  ...rows('NothingElse', robot, [['iam:SimulatePrincipalPolicy', ownRole],
    ['iam:ListUserPolicies', person]], { who: ['revoker'], only: true }),
  ...allowed(robot, [
    'iam:GenerateCredentialReport', 'iam:GetCredentialReport', ['iam:ListMFADevices', person], ['iam:ListUserPolicies', person],
  ], grants),
  ...['hera-prod-infra-manager', 'hera-prod-infra-member', 'hera-prod-security-engineer'].map((g) =>
    row('allowed', robot, 'iam:AddUserToGroup', iam(`group/${g}`), grants)),
  ...['hera-prod-infra-manager2', 'hera-prod-x', 'administrators', 'other/hera-prod-infra-manager'].map((g) =>
    row('OtherGroups', robot, 'iam:AddUserToGroup', iam(`group/${g}`), { ...grants, only: true })),
  row('NothingElse', robot, 'iam:AddUserToGroup', group, { who: ['revoker'], only: true }),
  ...allowed(robot, [['iam:RemoveUserFromGroup', group], ['iam:RemoveUserFromGroup', iam('group/administrators')]], takes),
  row('NothingElse', robot, 'iam:RemoveUserFromGroup', group, { who: ['grantor'], only: true }),
  ...allowed(robot, [['iam:UpdateAccessKey', person], ['iam:DeleteLoginProfile', person]], takes),
  ...rows('not allowed', robot, [['iam:UpdateAccessKey', iam('user/robot')], ['iam:DeleteLoginProfile', iam('user/robot')]], takes),
  ...rows('NothingElse', robot, [['iam:UpdateAccessKey', person], ['iam:DeleteLoginProfile', person]], { who: ['grantor'], only: true }),
  ...allowed(bounded, [['iam:PutUserPolicy', person], ['iam:DeleteUserPolicy', person]], grants),
  ...rows('Unbounded', robot, [['iam:PutUserPolicy', person], ['iam:DeleteUserPolicy', person]], { ...grants, only: true }),
  ...rows('Unbounded', { ...robot, 'iam:PermissionsBoundary': iam('policy/other') }, [['iam:PutUserPolicy', person],
    ['iam:DeleteUserPolicy', person]], { ...grants, only: true }),
  ...rows('not allowed', bounded, [['iam:PutUserPolicy', iam('user/robot')], ['iam:DeleteUserPolicy', iam('user/robot')]], grants),
  ...rows('NothingElse', bounded, [['iam:PutUserPolicy', person], ['iam:DeleteUserPolicy', person]], { who: ['revoker'], only: true }),
  row('allowed', robot, 'sts:AssumeRole', iam('role/prod-access/prod-access-revoker'), { who: ['grantor'] }),
  row('OtherRoles', robot, 'sts:AssumeRole', iam('role/admin'), { who: ['grantor'], only: true }),
  row('OtherRoles', robot, 'sts:AssumeRole', iam('role/prod-access/prod-access-grantor'), { who: ['grantor'], only: true }),
  row('NothingElse', robot, 'sts:AssumeRole', iam('role/prod-access/prod-access-revoker'), { who: ['revoker', 'both'], only: true }),
  ...rows('NothingElse', bounded, [
    ['iam:CreateAccessKey', person], ['iam:CreateLoginProfile', person], ['iam:UpdateLoginProfile', person], ['iam:CreateUser', person],
    ['iam:DeleteUser', person], ['iam:AttachUserPolicy', person], ['iam:DetachUserPolicy', person], ['iam:TagUser', person],
    ['iam:PutUserPermissionsBoundary', person], ['iam:DeleteUserPermissionsBoundary', person], ['iam:DeactivateMFADevice', person],
    ['iam:PutGroupPolicy', group], ['iam:AttachGroupPolicy', group], ['iam:DeleteGroupPolicy', group], ['iam:CreateGroup', group],
    ['iam:DeleteGroup', group], ['iam:CreatePolicyVersion', boundary], ['iam:SetDefaultPolicyVersion', boundary],
    ['iam:CreatePolicy', iam('policy/x')], ['iam:PutRolePolicy', ownRole], ['iam:AttachRolePolicy', ownRole],
    ['iam:UpdateAssumeRolePolicy', ownRole], ['iam:DeleteRolePermissionsBoundary', ownRole], ['iam:CreateRole', app],
    ['iam:PassRole', app], ['iam:UpdateOpenIDConnectProviderThumbprint', iam('oidc-provider/x')], 'ec2:DescribeInstances', 's3:GetObject',
  ], { ...all, only: true }),
]

// Temporary users: one role makes and deletes them, and may nothing else.
const breakGlassRole = iam('role/prod-access/prod-access-breakglass')
const breakGlassBoundary = iam('policy/prod-access/prod-access-break-glass-boundary')
const temporary = iam('user/prod-access/break-glass/bg-db-down-1f3a9c02')
const temporaryDevice = iam('mfa/prod-access/break-glass/bg-db-down-1f3a9c02')
const ours = {
  ...robot, 'aws:RequestTag/prod-access/cluster': 'prod', 'aws:RequestTag/prod-access/break-glass-uid': 'b6e1',
  'aws:TagKeys': ['prod-access/cluster', 'prod-access/break-glass-uid'],
}
const oursBounded = { ...ours, 'iam:PermissionsBoundary': breakGlassBoundary }
const maker = { who: ['breakglass'] }
const opens = ['CreateLoginProfile', 'EnableMFADevice', 'CreateAccessKey', 'PutUserPolicy']
const clears = [
  'DeactivateMFADevice', 'DeleteAccessKey', 'DeleteLoginProfile', 'DeleteServiceSpecificCredential', 'DeleteSigningCertificate',
  'DeleteSSHPublicKey', 'DeleteUser', 'DeleteUserPolicy', 'DetachUserPolicy', 'UpdateAccessKey',
]
const beside = iam('user/prod-access/bg-x') // as near to the path as can be
operatorRows.push(
  ...allowed(oursBounded, [['iam:CreateUser', temporary]], maker),
  ...rows('Unbounded', ours, [['iam:CreateUser', temporary]], { ...maker, only: true }),
  ...rows('Unbounded', { ...ours, 'iam:PermissionsBoundary': boundary }, [['iam:CreateUser', temporary]], { ...maker, only: true }),
  ...rows('OtherUsers', oursBounded, [['iam:CreateUser', person], ['iam:CreateUser', beside]], { ...maker, only: true }),
  // Tags are what sweeps go by, and what says who is who in Kubernetes.
  ...['aws:RequestTag/prod-access/cluster', 'aws:RequestTag/prod-access/break-glass-uid'].flatMap((k) => [
    ...rows('not allowed', without(k, oursBounded), [['iam:CreateUser', temporary]], maker),
    ...rows('not allowed', without(k, ours), [['iam:TagUser', temporary], ['iam:CreateVirtualMFADevice', temporaryDevice]], maker),
  ]),
  ...rows('not allowed', { ...oursBounded, 'aws:TagKeys': [...ours['aws:TagKeys'], 'prod-access/kubernetes-users'] }, [['iam:CreateUser', temporary]], maker),
  ...rows('not allowed', { ...ours, 'aws:TagKeys': [...ours['aws:TagKeys'], 'prod-access/kubernetes-users'] }, [['iam:TagUser', temporary]], maker),
  ...allowed(ours, [['iam:TagUser', temporary], ['iam:CreateVirtualMFADevice', temporaryDevice], ['iam:TagMFADevice', temporaryDevice]], maker),
  ...rows('OtherDevices', ours, [['iam:CreateVirtualMFADevice', iam('mfa/alice')], ['iam:TagMFADevice', iam('mfa/alice')]], { ...maker, only: true }),
  // A user whose boundary somebody took off is contained and deleted all the same.
  ...allowed(robot, [...opens, ...clears].map((a) => [`iam:${a}`, temporary]), maker),
  ...rows('OtherUsers', robot, [...opens, ...clears].flatMap((a) => [[`iam:${a}`, person], [`iam:${a}`, beside]]), { ...maker, only: true }),
  row('OtherUsers', ours, 'iam:TagUser', person, { ...maker, only: true }),
  ...allowed(robot, [['iam:DeleteVirtualMFADevice', temporaryDevice], ['iam:DeleteVirtualMFADevice', iam('mfa/second')]], maker),
  ...allowed(robot, [
    ['iam:GetUser', temporary], ['iam:ListMFADevices', temporary], ['iam:ListAttachedUserPolicies', temporary], 'iam:ListVirtualMFADevices',
    'iam:ListAccountAliases',
  ], maker),
  ...rows('NothingElse', oursBounded, [
    ['iam:AddUserToGroup', group], ['iam:RemoveUserFromGroup', group], ['iam:AttachUserPolicy', temporary], ['iam:UpdateLoginProfile', temporary],
    ['iam:PutUserPermissionsBoundary', temporary], ['iam:DeleteUserPermissionsBoundary', temporary], ['iam:UntagUser', temporary],
    ['iam:UpdateUser', temporary], ['iam:CreatePolicyVersion', breakGlassBoundary], ['iam:SetDefaultPolicyVersion', breakGlassBoundary],
    ['iam:PutRolePolicy', breakGlassRole], ['iam:UpdateAssumeRolePolicy', breakGlassRole], ['sts:AssumeRole', app],
    'iam:GetAccountAuthorizationDetails', 's3:GetObject',
  ], { ...maker, only: true }),
  // Nobody else makes one, and who may assume that role is who was told to.
  ...rows('NothingElse', oursBounded, [['iam:CreateUser', temporary], ['iam:DeleteUser', temporary], ['iam:CreateAccessKey', temporary]],
    { who: ['grantor', 'revoker', 'both', 'grantor, with emergencies', 'both, with emergencies'], only: true }),
  row('allowed', robot, 'sts:AssumeRole', breakGlassRole, { who: ['grantor, with emergencies', 'both, with emergencies'] }),
  row('OtherRoles', robot, 'sts:AssumeRole', breakGlassRole, { who: ['grantor'], only: true }),
  row('NothingElse', robot, 'sts:AssumeRole', breakGlassRole, { who: ['revoker', 'both', 'breakglass'], only: true }),
  row('OtherRoles', robot, 'sts:AssumeRole', iam('role/admin'), { who: ['grantor, with emergencies', 'both, with emergencies'], only: true }),
  row('allowed', robot, 'sts:AssumeRole', iam('role/prod-access/prod-access-revoker'), { who: ['grantor, with emergencies'] }),
  row('OtherRoles', robot, 'sts:AssumeRole', iam('role/prod-access/prod-access-revoker'), { who: ['both, with emergencies'], only: true }),
)

const planted = iam('role/app')
const care = [
  'CreateAccessKey', 'DeactivateMFADevice', 'DeleteAccessKey', 'EnableMFADevice', 'ResyncMFADevice', 'UpdateAccessKey', 'ChangePassword',
]
const beyondCare = tampers.filter((t) => !care.includes(String(t[0]).split(':')[1]))

export const boundaryRows = [
  ...allowed(desk, plain),
  ...allowed(longTermKey, plain),
  ...allowed(robot, [...plain, ['sts:AssumeRole', app]], { principal: planted }),
  ...allowed(desk, care.flatMap((a) => [[`iam:${a}`, self], [`iam:${a}`, selfOnPath]])),
  ...rows('Others', desk, care.flatMap((a) => [[`iam:${a}`, other], [`iam:${a}`, otherOnPath]])),
  ...rows('NotByRoles', robot, care.map((a) => [`iam:${a}`, self]), { principal: planted }),
  ...rows('Tamper', desk, beyondCare),
  ...rows('Tamper', robot, [tampers[0], ['iam:CreateUser', other], ['iam:PutUserPolicy', other]], { principal: planted }),
  ...rows('Blind', desk, blindings, { only: true }),
  ...rows('Outlast', desk, ['eks:CreateAccessEntry', ['iam:UpdateAssumeRolePolicy', app],
    ['iam:CreatePolicyVersion', iam('policy/team/app')]], { only: true }),
  ...rows('Unbounded', robot, unbounded.map((a) => [`iam:${a}`, app]), { principal: planted, only: true }),
  ...allowed({ ...robot, 'iam:PermissionsBoundary': boundary }, unbounded.map((a) => [`iam:${a}`, app]), { principal: planted }),
]

// A temporary user who signed in with its device, and who asks by its access key alone.
const signedIn = { ...desk, 'aws:username': 'bg-db-down-1f3a9c02' }
const byKey = without('aws:MultiFactorAuthPresent', signedIn)
export const temporaryRows = [
  ...allowed(signedIn, [
    ...plain, 'rds:RebootDBInstance', 'eks:DescribeCluster', ['iam:GetUser', temporary], ['iam:ListMFADevices', temporary], 'sts:GetSessionToken',
    ['iam:PassRole', app], ['iam:DetachRolePolicy', app],
  ]),
  ...rows('NoMFA', byKey, plain, { only: true }),
  ...allowed(byKey, ['sts:GetSessionToken']),
  // Neither itself nor others: no password, key, device, boundary, fence or tag but those that it was made with.
  ...rows('Tamper', signedIn, tampers),
  ...rows('Tamper', signedIn, [...care, 'DeleteUserPermissionsBoundary', 'PutUserPermissionsBoundary', 'DeleteUserPolicy', 'UntagUser', 'UpdateUser']
    .map((a) => [`iam:${a}`, temporary]), { only: true }),
  ...rows('Tamper', signedIn, [
    ['iam:CreateVirtualMFADevice', iam('mfa/second')], ['iam:DeleteVirtualMFADevice', temporaryDevice], ['iam:UntagMFADevice', temporaryDevice],
    ['iam:CreatePolicyVersion', breakGlassBoundary], ['iam:PutRolePolicy', breakGlassRole], ['iam:PassRole', breakGlassRole],
    ['sts:AssumeRole', breakGlassRole],
  ]),
  ...rows('Blind', signedIn, blindings, { only: true }),
  ...rows('Outlast', signedIn, [['sts:AssumeRole', app], 'eks:CreateAccessEntry',
    ['iam:UpdateAssumeRolePolicy', app], ['iam:CreatePolicyVersion', iam('policy/team/app')]], { only: true }),
  ...rows('Unbounded', signedIn, unbounded.map((a) => [`iam:${a}`, app]), { only: true }),
  ...allowed({ ...signedIn, 'iam:PermissionsBoundary': boundary }, unbounded.map((a) => [`iam:${a}`, app])),
]
