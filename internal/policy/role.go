// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import "fmt"

// Role renders what else the role's groups carry: the document of a managed policy ("" if there is none) and the ARNs of
// AWS's own policies to attach. A role that is not known by its name has neither.
func Role(role string, in Account) (document string, attach []string, err error) {
	switch role {
	case infraManager:
		document = render(statement{Sid: "Everything", Effect: allow, Action: list{"*"}, Resource: list{"*"}})
	case infraMember:
		document = render(memberPolicy()...)
	case securityEngineer:
		document = render(statement{
			Sid: "SecurityServices", Effect: allow,
			Action: list{
				"access-analyzer:Get*", "access-analyzer:List*", "cloudtrail:LookupEvents", "detective:Get*", "detective:List*",
				"guardduty:Get*", "guardduty:List*", "inspector2:BatchGet*", "inspector2:Get*", "inspector2:List*",
				"macie2:Get*", "macie2:List*", "securityhub:BatchGet*", "securityhub:Describe*", "securityhub:Get*", "securityhub:List*",
			},
			Resource: list{"*"},
		})
		attach = []string{"arn:" + in.Partition + ":iam::aws:policy/SecurityAudit"}
	}
	if n := size(document); n > ManagedLimit {
		return "", nil, fmt.Errorf("the policy of %s has %d characters, and IAM allows %d for a managed policy", role, n, ManagedLimit)
	}
	return document, attach, nil
}

// memberPolicy reads and edits the services that infrastructure is made of. What it lacks is as deliberate as what it has:
// nothing of identities (IAM, Identity Center, Organizations), and no deletion of what a cluster stands on.
func memberPolicy() []statement {
	return []statement{
		{
			Sid: "ReadAndEdit", Effect: allow,
			Action: list{
				"acm:*", "application-autoscaling:*", "autoscaling:*", "cloudfront:*", "cloudwatch:*", "dynamodb:*", "ec2:*", "ecr:*",
				"ecs:*", "elasticache:*", "elasticfilesystem:*", "elasticloadbalancing:*", "es:*", "events:*", "kafka:*", "kinesis:*",
				"lambda:*", "logs:*", "rds:*", "resource-groups:*", "route53:*", "s3:*", "scheduler:*", "secretsmanager:*",
				"servicequotas:*", "sns:*", "sqs:*", "ssm:*", "states:*", "tag:*", "wafv2:*",
			},
			Resource: list{"*"},
		},
		{
			Sid: "Clusters", Effect: allow,
			Action: list{
				"eks:AccessKubernetesApi", "eks:CreateAddon", "eks:CreateNodegroup", "eks:Describe*", "eks:List*", "eks:TagResource",
				"eks:UntagResource", "eks:UpdateAddon", "eks:UpdateClusterVersion", "eks:UpdateNodegroup*",
			},
			Resource: list{"*"},
		},
		{
			Sid: "Look", Effect: allow,
			Action: list{
				"backup:Describe*", "backup:Get*", "backup:List*", "backup:Start*", "ce:Get*",
				"cloudformation:DetectStack*", "cloudformation:Describe*", "cloudformation:Get*", "cloudformation:List*",
				"cloudtrail:Describe*", "cloudtrail:Get*", "cloudtrail:LookupEvents", "config:Describe*", "config:Get*",
				"health:Describe*", "iam:Get*", "iam:List*", "iam:Simulate*",
			},
			Resource: list{"*"},
		},
		{
			Sid: "UseKeys", Effect: allow,
			Action: list{
				"kms:CreateGrant", "kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:Get*", "kms:List*",
				"kms:ReEncrypt*",
			},
			Resource: list{"*"},
		},
		{
			Sid: "PassRole", Effect: allow,
			Action:    list{"iam:PassRole"},
			Resource:  list{"*"},
			Condition: conditions{"StringEquals": {"iam:PassedToService": passedTo}},
		},
		{
			Sid: "ServiceLinkedRoles", Effect: allow,
			Action:   list{"iam:CreateServiceLinkedRole"},
			Resource: list{"*"},
		},
	}
}
