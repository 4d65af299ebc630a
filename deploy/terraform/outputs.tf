output "group_arns" {
  description = "ARNs of the groups that were made here."
  value       = { for name, group in aws_iam_group.role : name => group.arn }
}

output "policy_arn" {
  description = "ARN of the role's managed policy; null where there is none."
  value       = one(aws_iam_policy.role[*].arn)
}
