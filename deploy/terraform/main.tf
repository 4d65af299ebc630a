locals {
  attachments = {
    for pair in setproduct(var.groups, var.attach) : "${pair[0]} ${pair[1]}" => { group = pair[0], arn = pair[1] }
  }
}

# Who is a member is the operator's business alone: memberships are not managed here.
resource "aws_iam_group" "role" {
  for_each = var.create_groups ? var.groups : []

  name = each.value
  path = var.group_path
}

resource "aws_iam_group_policy" "guard" {
  for_each = var.groups

  name   = "prod-access-guard"
  group  = each.value
  policy = var.guard

  depends_on = [aws_iam_group.role]
}

resource "aws_iam_policy" "role" {
  count = var.policy == "" ? 0 : 1

  name        = "prod-access-${var.role}"
  path        = "/prod-access/"
  description = "What members of the groups of ${var.role} may do"
  policy      = var.policy
}

# A group never has its powers without its guard.
resource "aws_iam_group_policy_attachment" "role" {
  for_each = var.policy == "" ? [] : var.groups

  group      = each.value
  policy_arn = aws_iam_policy.role[0].arn

  depends_on = [aws_iam_group_policy.guard]
}

resource "aws_iam_group_policy_attachment" "attach" {
  for_each = local.attachments

  group      = each.value.group
  policy_arn = each.value.arn

  depends_on = [aws_iam_group_policy.guard]
}
