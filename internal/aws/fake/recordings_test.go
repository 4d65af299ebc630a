// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

type recording struct {
	Name  string `json:"name"`
	Steps []step `json:"steps"`
}

type step struct {
	Op       string            `json:"op"`
	As       string            `json:"as"`
	Leftover fake.Leftover     `json:"leftover"` // what to give to the user, instead of op
	In       in                `json:"in"`
	Code     string            `json:"code"`
	Status   int               `json:"status"`
	Message  string            `json:"message"`
	Want     map[string]any    `json:"want"`
	Present  []string          `json:"present"`
	Absent   []string          `json:"absent"`
	Save     map[string]string `json:"save"`
}

// TestRecordings holds the fake to what real AWS answered; see testdata/README.md.
func TestRecordings(t *testing.T) {
	data, err := os.ReadFile("testdata/recordings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var recordings []recording
	if err := yaml.UnmarshalStrict(data, &recordings); err != nil {
		t.Fatal(err)
	}
	for _, recording := range recordings {
		t.Run(recording.Name, func(t *testing.T) {
			r := newRig(t)
			saved := map[string]any{"POLICY": policy}
			for i, s := range recording.Steps {
				r.t = t
				if !r.replay(s, saved) {
					t.Fatalf("in step %d, %s", i+1, s.Op)
				}
			}
		})
	}
}

// replay makes the request of a step and reports whether the answer is as recorded.
func (r *rig) replay(s step, saved map[string]any) bool {
	input, _ := fill(s.In, saved).(in)
	if s.Leftover != "" {
		r.fake.AddLeftover(input["UserName"].(string), s.Leftover)
		return true
	}
	signer := r.iam
	if s.As != "" {
		signer = r.as(fill(s.As, saved).(string))
	}
	client := any(signer)
	if s.Op == "GetCallerIdentity" {
		client = r.sts(signer)
	}
	got, err := call(r.t, client, s.Op, input)
	if s.Op == "GetCredentialReport" && err == nil {
		got["Content"] = r.cells(got["Content"].(string))
	}
	code, status, message := failure(err)
	if code != s.Code || status != s.Status || (s.Message != "" && message != s.Message) {
		r.t.Errorf("got %v", err)
	}
	if s.Want != nil && !contains(got, fill(s.Want, saved)) {
		r.t.Errorf("got %v, want %v", got, s.Want)
	}
	for _, path := range s.Present {
		if at(got, path) == nil {
			r.t.Errorf("%s is absent from %v", path, got)
		}
	}
	for _, path := range s.Absent {
		if at(got, path) != nil {
			r.t.Errorf("%s is present in %v", path, got)
		}
	}
	for name, path := range s.Save {
		saved[name] = at(got, path)
	}
	if encoded, ok := at(got, "VirtualMFADevice.Base32StringSeed").(string); ok {
		seed, err := base64.StdEncoding.DecodeString(encoded)
		for i, name := range []string{"CODE1", "CODE2"} {
			if err == nil {
				saved[name], err = fake.TOTP(string(seed), start.Add(time.Duration(i)*30*time.Second))
			}
		}
		if err != nil {
			r.t.Error(err)
		}
	}
	return !r.t.Failed()
}

// cells returns a credential report as a table, times as <time>, without the line of the root user, which is not recorded.
func (r *rig) cells(content string) []any {
	text, err := base64.StdEncoding.DecodeString(content)
	if err != nil {
		r.t.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		r.t.Fatal(err)
	}
	var table []any
	for _, line := range lines {
		var row []any
		for _, cell := range line {
			if _, err := time.Parse(time.RFC3339, cell); err == nil {
				cell = "<time>"
			}
			row = append(row, cell)
		}
		if line[0] != "<root_account>" {
			table = append(table, row)
		}
	}
	return table
}

// fill replaces ${NAME} in the strings of a value.
func fill(value any, saved map[string]any) any {
	switch value := value.(type) {
	case string:
		if name, ok := strings.CutPrefix(value, "${"); ok {
			return saved[strings.TrimSuffix(name, "}")]
		}
	case map[string]any:
		filled := in{}
		for key, v := range value {
			filled[key] = fill(v, saved)
		}
		return filled
	case []any:
		filled := make([]any, len(value))
		for i, v := range value {
			filled[i] = fill(v, saved)
		}
		return filled
	}
	return value
}

// contains reports whether got has all that want has; lists must have the same length.
func contains(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		for key, v := range want {
			ok = ok && contains(got[key], v)
		}
		return ok
	case []any:
		got, ok := got.([]any)
		ok = ok && len(got) == len(want)
		for i := 0; ok && i < len(want); i++ {
			ok = contains(got[i], want[i])
		}
		return ok
	default:
		return reflect.DeepEqual(got, want)
	}
}

// at returns what is at a dotted path in an answer, or nil.
func at(value any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}
