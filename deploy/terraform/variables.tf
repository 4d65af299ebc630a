variable "role" {
  description = "Name of the AccessRole. The managed policy is named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?$", var.role))
    error_message = "role must be the name of an AccessRole, at most 100 characters long."
  }
}

variable "groups" {
  description = "IAM groups of the role: spec.aws.groups of the AccessRole."
  type        = set(string)

  validation {
    condition     = length(var.groups) >= 1 && length(var.groups) <= 5
    error_message = "A role has one to five groups."
  }

  validation {
    condition     = alltrue([for g in var.groups : can(regex("^[A-Za-z0-9_+=,.@-]{1,128}$", g))])
    error_message = "groups must be names of IAM groups, without path."
  }
}

variable "create_groups" {
  description = "Whether the groups are made here. False where they exist already."
  type        = bool
  default     = true
}

variable "group_path" {
  description = "IAM path of the groups that are made here."
  type        = string
  default     = "/"

  validation {
    condition     = can(regex("^/([^*?$ ]+/)?$", var.group_path))
    error_message = "group_path must begin and end with a slash."
  }
}

variable "guard" {
  description = "The guard document, as `manager aws render` prints it. The operator compares it with what it renders itself."
  type        = string

  validation {
    condition     = can(jsondecode(var.guard).Statement)
    error_message = "guard must be a policy document in JSON."
  }

  validation {
    condition     = try(alltrue([for s in jsondecode(var.guard).Statement : s.Effect == "Deny"]), false)
    error_message = "A guard only denies: every Effect must be Deny."
  }

  validation {
    condition     = length(replace(var.guard, "/\\s/", "")) <= 5120
    error_message = "IAM allows 5120 characters for all inline policies of a group together: name fewer, wider networks."
  }
}

variable "policy" {
  description = "The document of the role's managed policy, as `manager aws render` prints it; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = var.policy == "" || can(jsondecode(var.policy).Statement)
    error_message = "policy must be a policy document in JSON, or empty."
  }

  validation {
    condition     = length(replace(var.policy, "/\\s/", "")) <= 6144
    error_message = "IAM allows 6144 characters for a managed policy."
  }
}

variable "attach" {
  description = "ARNs of managed policies that exist, to attach to the groups."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.attach : can(regex("^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/", a))])
    error_message = "attach must be ARNs of managed policies."
  }
}
