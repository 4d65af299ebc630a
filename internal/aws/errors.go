// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Error codes of IAM that are acted upon.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddUserToGroup.html
const (
	codeNoSuchEntity            = "NoSuchEntity"
	codeLimitExceeded           = "LimitExceeded"
	codeConcurrentModification  = "ConcurrentModification"
	codeTemporarilyUnmodifiable = "EntityTemporarilyUnmodifiable"
	codeReportNotPresent        = "ReportNotPresent"
	codeReportExpired           = "ReportExpired"
	codeReportInProgress        = "ReportInProgress"
	codeExists                  = "EntityAlreadyExists"
	codeDeleteConflict          = "DeleteConflict"
	codeInvalidCode             = "InvalidAuthenticationCode"
	codePasswordPolicy          = "PasswordPolicyViolation"
)

func hasCode(err error, codes ...string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode())
}

// IsNotFound says that AWS has no such user, group or membership.
func IsNotFound(err error) bool { return hasCode(err, codeNoSuchEntity) }

// IsQuota says that AWS allows no more of something. Waiting does not help.
func IsQuota(err error) bool { return hasCode(err, codeLimitExceeded) }

// IsExists says that something of that name is there already.
func IsExists(err error) bool { return hasCode(err, codeExists) }

// IsConflict says that something else must be removed first, or that AWS is still busy with the same thing.
func IsConflict(err error) bool {
	return hasCode(err, codeDeleteConflict, codeConcurrentModification, codeTemporarilyUnmodifiable)
}

// IsInvalidCode says that the codes of an MFA device are not those that AWS expects now.
func IsInvalidCode(err error) bool { return hasCode(err, codeInvalidCode) }

// IsThrottled says that AWS was asked more than it answers. Waiting helps.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
func IsThrottled(err error) bool {
	return hasCode(err, "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown")
}

// IsDenied says that AWS knows the caller and does not allow the call.
func IsDenied(err error) bool {
	return hasCode(err, "AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
}

// IsReportMissing says that there is no credential report yet, or none that is young enough: one must be generated.
func IsReportMissing(err error) bool { return hasCode(err, codeReportNotPresent, codeReportExpired) }

// IsReportInProgress says that the credential report is being generated.
func IsReportInProgress(err error) bool { return hasCode(err, codeReportInProgress) }

// IsUnreachable says that AWS gave no answer at all: no connection, none in time, or one that broke before the answer began.
// An error that AWS answered is none, and neither is a call that was not made or not waited for.
func IsUnreachable(err error) bool {
	switch {
	case err == nil, Answered(err):
		return false
	case is[*unanswered](err):
		return true
	}
	// What gives credentials within the cluster or the machine is not AWS.
	if op := operation(err); op != nil && op.Service() != iam.ServiceID && op.Service() != sts.ServiceID {
		return false
	}
	return is[*smithyhttp.RequestSendError](err)
}

// unasked is a call that was not made: its context ended before its turn at the limiter came.
type unasked struct{ error }

// unsigned is a call that was not made for want of credentials.
type unsigned struct{ error }

// abandoned is a call that was made and not waited for: its context ended.
type abandoned struct{ error }

// unanswered is a call that AWS did not answer in the time that calls are given.
type unanswered struct{ error }

func (e *unasked) Unwrap() error    { return e.error }
func (e *unsigned) Unwrap() error   { return e.error }
func (e *abandoned) Unwrap() error  { return e.error }
func (e *unanswered) Unwrap() error { return e.error }

// unassumed is a call that was not made because nobody but one role may sign it, and that cannot be assumed.
type unassumed struct {
	error
	role string
}

func (e *unassumed) Unwrap() error { return e.error }

// withheld is what is told instead of what AWS says where that may repeat a secret.
const withheld = "what it says is withheld, because it may repeat a secret"

// discreet is an error without what a secret of the call may be in: AWS repeats values that it does not take, and an answer
// that was cut short may be quoted where it could not be read.
func discreet(err error) error {
	status := httpStatus(err)
	var told error
	switch api, ok := errors.AsType[smithy.APIError](err); {
	case ok && (hasCode(err, codeNoSuchEntity, codeLimitExceeded, codeExists, codeConcurrentModification, codeTemporarilyUnmodifiable) ||
		IsDenied(err) || IsThrottled(err)):
		return err // these name the call and what it is on
	case ok:
		told = &smithy.GenericAPIError{Code: api.ErrorCode(), Message: withheld, Fault: api.ErrorFault()}
	case status == http.StatusOK:
		told = io.ErrUnexpectedEOF
	default:
		return err
	}
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return &smithyhttp.ResponseError{Response: resp.Response, Err: told}
	}
	return told
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// Answered says that AWS gave an answer, though an error.
func Answered(err error) bool { return is[smithy.APIError](err) || httpStatus(err) != 0 }

// httpStatus is the status of the answer that an error was made of, 0 if there was none.
func httpStatus(err error) int {
	// The SDK makes an answer with status 0 of a connection that gave none.
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return resp.HTTPStatusCode()
	}
	return 0
}

// operation is the innermost operation that failed: getting credentials for a call is another.
func operation(err error) *smithy.OperationError {
	op, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return nil
	}
	if inner := operation(op.Err); inner != nil {
		return inner
	}
	return op
}

// outcome is an error as metrics count it.
func outcome(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	switch {
	case err == nil:
		return "OK"
	case ok:
		return api.ErrorCode()
	case httpStatus(err) == http.StatusOK:
		return "Incomplete"
	case httpStatus(err) != 0:
		return fmt.Sprintf("HTTP%d", httpStatus(err))
	case is[*unasked](err):
		return "Unasked"
	case is[*unsigned](err):
		return "Unsigned"
	case IsUnreachable(err):
		return "Unreachable"
	default:
		return "Abandoned"
	}
}

// What AWS says of these differs from one time to the next, or says nothing of what to do.
var remedies = map[string]string{
	"ExpiredToken":                "the credentials that the call was signed with have expired; " + clockRemedy,
	"ExpiredTokenException":       "the token of the operator's service account has expired; " + clockRemedy,
	"InvalidClientTokenId":        keyRemedy,
	"UnrecognizedClientException": keyRemedy,
	"RequestExpired":              "the call was signed too long ago; " + clockRemedy,
	"RequestTimeTooSkewed":        clockRemedy,
	codePasswordPolicy:            "the account's password policy asks for what generated passwords do not have; look at it (aws iam get-account-password-policy)",
	"SignatureDoesNotMatch":       "the signature is wrong or too old; look at the operator's own credentials and at the clock of the node",
}

const (
	clockRemedy = "look at the clock of the node that the operator runs on"
	keyRemedy   = "AWS does not know the operator's own credentials; look at the role of its service account"
)

// maxExplanation bounds what is told about one error, in bytes.
const maxExplanation = 300

// Explain tells people what an AWS error means: code and message of AWS, or the nature of the failure when AWS did not
// answer. It holds no request id, address or credential, so the same trouble always has the same text.
func Explain(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	call := "AWS"
	if op := operation(err); op != nil {
		call = "AWS " + op.Service() + " " + op.Operation()
	}
	status := httpStatus(err)
	if not, is := errors.AsType[*unassumed](err); is {
		return fmt.Sprintf("the role %s (--break-glass-role-arn) cannot be assumed: %s", not.role, Explain(not.error))
	}
	switch {
	case ok && remedies[api.ErrorCode()] != "":
		return fmt.Sprintf("%s answered %s: %s", call, api.ErrorCode(), remedies[api.ErrorCode()])
	case ok:
		return cut(fmt.Sprintf("%s answered %s: %s", call, api.ErrorCode(), strings.TrimSuffix(api.ErrorMessage(), ".")))
	case status != 0 && status != http.StatusOK:
		return fmt.Sprintf("%s answered with HTTP status %d (%s)", call, status, http.StatusText(status))
	case is[*unasked](err):
		return call + " was not called: too many other calls were before it (--aws-rate limits them)"
	case is[*unsigned](err) && !IsUnreachable(err):
		return "AWS cannot be called: the operator has no credentials; look at the role of its service account"
	case is[*abandoned](err):
		return call + " was given up before AWS answered"
	case status == http.StatusOK, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return call + " cut the answer short"
	default:
		return call + " cannot be reached"
	}
}

func cut(s string) string {
	if len(s) <= maxExplanation {
		return s
	}
	s = s[:maxExplanation]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
