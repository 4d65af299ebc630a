// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// apiFailure is an error answer of the API.
type apiFailure struct {
	status        int
	code, message string
}

func (e *apiFailure) Error() string { return e.code + ": " + e.message }

// errCut stands for a request whose connection is cut instead of answered.
var errCut = errors.New("connection cut by a hook")

// codeOf returns the code of an error of the API, or empty for nil.
func codeOf(err error) string {
	var failure *apiFailure
	switch {
	case err == nil:
		return ""
	case errors.As(err, &failure):
		return failure.code
	default:
		return ConnectionReset.code
	}
}

// requestID returns a new identifier in the form of a version 4 UUID.
func (f *IAM) requestID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, b := f.rand.Uint64(), f.rand.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

// respond sends what the client is to see.
func (f *IAM) respond(w http.ResponseWriter, r *http.Request, entry Call, fault *Fault, result any, err error) {
	status, contentType := http.StatusOK, "text/xml"
	var body []byte
	if errors.Is(err, errCut) {
		fault = &ConnectionReset
	}
	switch {
	case fault != nil && fault.kind == reset:
		cut(w)
		return
	case fault != nil && fault.kind == hang:
		<-r.Context().Done()
		return
	case fault != nil && fault.kind == empty:
	case fault != nil && fault.kind == htmlPage:
		status, contentType = http.StatusBadGateway, "text/html"
		body = []byte("<html>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>proxy</center>\r\n</body>\r\n</html>\r\n")
	case fault != nil && fault.kind == apiError:
		status = fault.status
		body = encodeError(entry, &apiFailure{status: fault.status, code: fault.code, message: fault.message})
	case err != nil:
		var failure *apiFailure
		errors.As(err, &failure)
		status = failure.status
		body = encodeError(entry, failure)
	default:
		body = encodeResult(entry, result)
		if fault != nil && fault.kind == truncated {
			body = body[:len(body)/2]
		}
	}
	w.Header().Set("Date", f.awsNow().UTC().Format(http.TimeFormat))
	w.Header().Set("X-Amzn-RequestId", entry.RequestID)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that has gone away is its own affair.
	_, _ = w.Write(body)
}

// cut drops the connection with a TCP reset where that can be done.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message,omitempty"`
	RequestID string   `xml:"RequestId"`
}

func encodeError(entry Call, failure *apiFailure) []byte {
	kind := "Sender"
	if failure.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	body, err := xml.Marshal(errorResponse{
		Namespace: operations[entry.Op].namespace(), Type: kind,
		Code: failure.code, Message: failure.message, RequestID: entry.RequestID,
	})
	if err != nil {
		panic(err) // strings only: cannot fail
	}
	return body
}

// encodeResult wraps result as <OpResponse><OpResult>…, or without OpResult where the operation has none.
func encodeResult(entry Call, result any) []byte {
	var body bytes.Buffer
	fmt.Fprintf(&body, `<%sResponse xmlns="%s">`, entry.Op, operations[entry.Op].namespace())
	if result != nil {
		start := xml.StartElement{Name: xml.Name{Local: entry.Op + "Result"}}
		if err := xml.NewEncoder(&body).EncodeElement(result, start); err != nil {
			panic(err) // a result type of this package that cannot be encoded is a bug in it
		}
	}
	fmt.Fprintf(&body, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>",
		entry.RequestID, entry.Op)
	return body.Bytes()
}

// stamp formats t as AWS does: UTC, to the second; empty for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
