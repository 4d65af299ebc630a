// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Error codes of IAM that are acted upon.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddUserToGroup.html
const (
	codeNoSuchEntity  = "NoSuchEntity"
	codeLimitExceeded = "LimitExceeded"
)

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// IsNotFound says that AWS has no such user, group or membership.
func IsNotFound(err error) bool { return hasCode(err, codeNoSuchEntity) }

// IsQuota says that AWS allows no more of something. Waiting does not help.
func IsQuota(err error) bool { return hasCode(err, codeLimitExceeded) }

// maxExplanation bounds what is told about one error, in bytes.
const maxExplanation = 300

// Explain tells people what an AWS error means: code and message of AWS, or the nature of the failure when AWS did not
// answer. It holds no request id, address or credential, so the same trouble always has the same text.
func Explain(err error) string {
	var api smithy.APIError
	var resp *smithyhttp.ResponseError
	call := "AWS"
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		call = "AWS " + op.Service() + " " + op.Operation()
	}
	switch {
	case errors.As(err, &api):
		return cut(fmt.Sprintf("%s answered %s: %s", call, api.ErrorCode(), strings.TrimSuffix(api.ErrorMessage(), ".")))
	// The SDK makes an answer with status 0 of a connection that gave none.
	case errors.As(err, &resp) && resp.HTTPStatusCode() != 0:
		return fmt.Sprintf("%s answered with HTTP status %d (%s)", call, resp.HTTPStatusCode(), http.StatusText(resp.HTTPStatusCode()))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
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
