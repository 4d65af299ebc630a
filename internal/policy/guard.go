// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

const (
	// GuardName is the name of the inline policy that every group of a role carries.
	GuardName = "prod-access-guard"
	// FencePrefix begins the names of fence policies (prod-access-fence-<cluster>-<timestamp>).
	FencePrefix = "prod-access-fence-"
)

// The roles that have more than the common part. They are known by name, because a name is what people apply for.
const (
	infraManager     = "infra-manager"
	infraMember      = "infra-member"
	securityEngineer = "security-engineer"
)

// Guard renders the guard document of a role's groups: compact JSON that denies and allows nothing. It depends on the
// account, the role's name and its networks only. An error says that it is over IAM's limit, with the sizes.
func Guard(role string, spec *v1alpha1.AccessRoleSpec, in Account) (string, error) {
	statements := common(in)
	var networks list
	if spec.AWS != nil {
		for _, c := range spec.AWS.AllowedSourceCIDRs {
			networks = append(networks, string(c))
		}
	}
	if len(networks) > 0 {
		slices.Sort(networks)
		statements = append(statements, offNetwork(networks))
	}
	document := render(append(statements, safety(role)...)...)
	if n := size(document); n > GuardLimit {
		return "", fmt.Errorf("the guard of %s has %d characters, and IAM allows %d for all inline policies of a group together; "+
			"its %d networks take %d of them: name fewer, wider networks",
			role, n, GuardLimit, len(networks), size(render(offNetwork(networks)))-size(render(statement{})))
	}
	return document, nil
}

// common is what no role may do.
func common(in Account) []statement {
	return []statement{
		noMFA(),
		{
			// A long-term access key (the only credential without this key) that was stolen must not enrol a second device:
			// it would have MFA then.
			Sid: "EnrolByKey", Effect: deny,
			Action:    list{"iam:EnableMFADevice"},
			Resource:  list{"*"},
			Condition: conditions{"Null": {"aws:MultiFactorAuthPresent": {"true"}}},
		},
		tamper(in, "iam:ChangePassword", "iam:DeleteAccessKey", "iam:EnableMFADevice", "iam:ResyncMFADevice"),
		{
			Sid: "Others", Effect: deny,
			Action:      list{"iam:DeleteAccessKey", "iam:EnableMFADevice", "iam:ResyncMFADevice"},
			NotResource: self(in),
		},
		blind(),
		outlast("sts:Assume*"),
		unbounded(in),
	}
}

// noMFA denies everything but enrolling without MFA. What an AWS service does on the person's behalf began with a request that
// had MFA, but does not always say so.
func noMFA() statement {
	return statement{
		Sid: "NoMFA", Effect: deny,
		NotAction: list{
			"iam:CreateVirtualMFADevice", "iam:EnableMFADevice", "iam:GetMFADevice", "iam:GetUser", "iam:ListMFADevices",
			"iam:ListVirtualMFADevices", "iam:ResyncMFADevice", "sts:GetSessionToken",
		},
		Resource:  list{"*"},
		Condition: conditions{"BoolIfExists": {"aws:MultiFactorAuthPresent": {"false"}, "aws:ViaAWSService": {"false"}}},
	}
}

// self is the user who asks, with a path or without.
func self(in Account) list {
	return list{in.arn("user/${aws:username}"), in.arn("user/*/${aws:username}")}
}

// tamper denies everything but reading, so that operations that IAM gets tomorrow are denied too.
func tamper(in Account, but ...string) statement {
	may := append(list{"iam:Generate*", "iam:Get*", "iam:List*", "iam:Simulate*"}, but...)
	slices.Sort(may)
	return statement{
		Sid: "Tamper", Effect: deny,
		NotAction: may,
		Resource: list{
			in.arn("delegation-request/*"), in.arn("group/*"), in.arn("oidc-provider/*"), in.arn("policy" + Path + "*"),
			in.arn("role" + Path + "*"), in.arn("saml-provider/*"), in.arn("user/*"),
		},
	}
}

// blind denies to hide what was done.
func blind() statement {
	return statement{
		Sid: "Blind", Effect: deny,
		Action: list{
			"access-analyzer:ApplyArchiveRule", "access-analyzer:CreateArchiveRule", "access-analyzer:Delete*", "access-analyzer:Update*",
			"account:CloseAccount",
			"cloudtrail:Delete*", "cloudtrail:Deregister*", "cloudtrail:PutEvent*", "cloudtrail:PutInsight*", "cloudtrail:Stop*",
			"cloudtrail:Update*",
			"config:Delete*", "config:Disassociate*", "config:PutConfigurationRecorder", "config:PutDeliveryChannel",
			"config:PutRetention*", "config:Stop*",
			"guardduty:Archive*", "guardduty:CreateFilter", "guardduty:CreateIPSet", "guardduty:CreateTrusted*", "guardduty:Delete*",
			"guardduty:Dis*", "guardduty:Stop*", "guardduty:Update*",
			"inspector2:Dis*", "logs:DeleteLog*",
			"organizations:CloseAccount", "organizations:Delete*", "organizations:Detach*", "organizations:Disable*",
			"organizations:Leave*", "organizations:Remove*", "organizations:UpdatePolicy",
			"securityhub:BatchDisable*", "securityhub:BatchUpdateStandards*", "securityhub:CreateAutomation*", "securityhub:Delete*",
			"securityhub:Dis*", "securityhub:Update*",
		},
		Resource: list{"*"},
	}
}

// outlast denies what would be left when the membership has gone. A role's session outlives it by up to 12 hours.
func outlast(more ...string) statement {
	return statement{
		Sid: "Outlast", Effect: deny,
		Action: append(list{
			"eks:AssociateAccessPolicy", "eks:AssociateIdentityProviderConfig", "eks:CreateAccessEntry", "eks:UpdateAccessEntry",
			"iam:*OrganizationsRoot*", "iam:CreatePolicyVersion", "iam:DeleteRolePermissionsBoundary", "iam:SetDefaultPolicyVersion",
			"iam:UpdateAssumeRolePolicy",
			"identitystore:Create*", "rolesanywhere:Create*", "rolesanywhere:Enable*", "rolesanywhere:Put*", "rolesanywhere:Update*",
			"sso-directory:Add*", "sso-directory:Create*",
			"sso:Attach*", "sso:Create*", "sso:Put*",
		}, more...),
		Resource: list{"*"},
	}
}

// unbounded denies to give a role powers that no boundary limits.
func unbounded(in Account) statement {
	return statement{
		Sid: "Unbounded", Effect: deny,
		Action:    list{"iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"},
		Resource:  list{"*"},
		Condition: conditions{"StringNotEquals": {"iam:PermissionsBoundary": {in.Boundary()}}},
	}
}

// Boundary renders a permissions boundary for people, and for the roles that people make: everything but what would let
// them, or an operator that was taken over, make more of it. It is for good, so it leaves people the care of their own
// credentials.
func Boundary(in Account) string {
	care := list{
		"iam:ChangePassword", "iam:CreateAccessKey", "iam:DeactivateMFADevice", "iam:DeleteAccessKey", "iam:EnableMFADevice",
		"iam:ResyncMFADevice", "iam:UpdateAccessKey",
	}
	return render(
		may("Everything", list{"*"}, list{"*"}),
		tamper(in, care...),
		statement{Sid: "Others", Effect: deny, Action: care, NotResource: self(in)},
		// A role has no user name, and IAM does not say what a NotResource is worth without.
		statement{
			Sid: "NotByRoles", Effect: deny,
			Action:    care,
			Resource:  list{"*"},
			Condition: conditions{"StringNotEquals": {"aws:PrincipalType": {"User"}}},
		},
		blind(), outlast(), unbounded(in))
}

// BreakGlassBoundary renders the permissions boundary of temporary users: everything but what would let one make itself, or
// anybody, last longer than its emergency. It has what the guard of a role's groups has in common, so that a guard that somebody
// spoiled is not all that stands, and no care of credentials: those that it was made with do.
func BreakGlassBoundary(in Account) string {
	fixed := tamper(in)
	fixed.Resource = append(fixed.Resource, in.arn("mfa/*"))
	return render(may("Everything", list{"*"}, list{"*"}), noMFA(), fixed, blind(), outlast("sts:Assume*"), unbounded(in))
}

// offNetwork denies what comes from elsewhere. A request without a source address came through a VPC endpoint, which may
// be anybody's, so it is from elsewhere too.
func offNetwork(networks list) statement {
	return statement{
		Sid: "OffNetwork", Effect: deny,
		Action:   list{"*"},
		Resource: list{"*"},
		Condition: conditions{
			"NotIpAddressIfExists": {"aws:SourceIp": networks},
			"BoolIfExists":         {"aws:ViaAWSService": {"false"}},
		},
	}
}

// safety is what one role may not do.
func safety(role string) []statement {
	switch role {
	case infraManager:
		return []statement{{
			Sid: "Safety", Effect: deny,
			Action: list{
				"backup:DeleteBackupVault*", "backup:DeleteRecoveryPoint", "backup:UpdateRecoveryPointLifecycle",
				"dynamodb:DeleteBackup", "eks:DeleteCluster",
				"kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:ScheduleKeyDeletion",
				"rds:DeleteDB*Backup", "rds:DeleteDB*Snapshot",
			},
			Resource: list{"*"},
		}}
	case infraMember:
		return []statement{
			{
				// No deletion of a cluster, and none of what it stands on.
				Sid: "Safety", Effect: deny,
				Action: list{
					"autoscaling:Delete*", "backup:Delete*",
					"cloudformation:Delete*", "cloudformation:ExecuteChangeSet", "cloudformation:Update*",
					"ec2:DeleteInternetGateway", "ec2:DeleteNatGateway", "ec2:DeleteRoute*", "ec2:DeleteSubnet", "ec2:DeleteVpc*",
					"ec2:DetachInternetGateway",
					"eks:Delete*", "eks:Disassociate*", "eks:UpdateClusterConfig",
					"kms:Delete*", "kms:Disable*", "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:ScheduleKeyDeletion",
				},
				Resource: list{"*"},
			},
			{
				Sid: "PassRole", Effect: deny,
				Action:    list{"iam:PassRole"},
				Resource:  list{"*"},
				Condition: conditions{"StringNotEquals": {"iam:PassedToService": passedTo}},
			},
		}
	case securityEngineer:
		return []statement{{
			// The security team sees how things are configured, and no customer's data.
			Sid: "Safety", Effect: deny,
			Action: list{
				"athena:GetQueryResults*", "cassandra:Select", "dynamodb:BatchGetItem", "dynamodb:ExportTable*", "dynamodb:GetItem",
				"dynamodb:GetRecords", "dynamodb:PartiQLSelect", "dynamodb:Query", "dynamodb:Scan", "ebs:GetSnapshotBlock",
				"ec2:GetConsole*", "ec2:GetPasswordData", "ecr:GetDownloadUrlForLayer", "es:ESHttp*", "kinesis:GetRecords",
				"kinesis:SubscribeToShard", "kms:Decrypt", "kms:ReEncryptFrom", "lambda:GetFunction", "logs:FilterLogEvents",
				"logs:GetLogEvents", "logs:GetQueryResults", "logs:StartLiveTail", "logs:StartQuery", "rds-data:*", "redshift-data:*",
				"s3-object-lambda:GetObject", "s3-object-lambda:GetObjectVersion", "s3:GetObject", "s3:GetObjectVersion",
				"s3express:CreateSession", "secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "ssm:GetParameter*",
			},
			Resource: list{"*"},
		}}
	}
	return nil
}

// passedTo are the services that infra-member may hand a role to.
var passedTo = list{
	"autoscaling.amazonaws.com", "ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "lambda.amazonaws.com", "monitoring.rds.amazonaws.com",
}
