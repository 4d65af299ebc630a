// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// node is a part of the schema in a CRD, as much of it as matters here.
type node struct {
	Type        string           `json:"type"`
	Format      string           `json:"format"`
	Description string           `json:"description"`
	Default     any              `json:"default"`
	Enum        []string         `json:"enum"`
	MaxLength   *int64           `json:"maxLength"`
	MaxItems    *int64           `json:"maxItems"`
	MinItems    *int64           `json:"minItems"`
	Minimum     *float64         `json:"minimum"`
	Maximum     *float64         `json:"maximum"`
	Pattern     string           `json:"pattern"`
	Required    []string         `json:"required"`
	Properties  map[string]*node `json:"properties"`
	Items       *node            `json:"items"`
	Additional  any              `json:"additionalProperties"`
	ListType    string           `json:"x-kubernetes-list-type"`
	ListMapKeys []string         `json:"x-kubernetes-list-map-keys"`
	Preserve    *bool            `json:"x-kubernetes-preserve-unknown-fields"`
	IntOrString *bool            `json:"x-kubernetes-int-or-string"`
	Rules       []rule           `json:"x-kubernetes-validations"`
}

type rule struct {
	Rule              string `json:"rule"`
	Message           string `json:"message"`
	MessageExpression string `json:"messageExpression"`
}

// schemas reads the schema of every kind from the generated CRDs.
func schemas(t *testing.T) map[string]*node {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(crdDir, "*.yaml"))
	if err != nil || len(files) != len(kinds) {
		t.Fatalf("want %d CRDs, found %v (%v)", len(kinds), files, err)
	}
	all := map[string]*node{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Names struct {
					Kind string `json:"kind"`
				} `json:"names"`
				Versions []struct {
					Schema struct {
						OpenAPI *node `json:"openAPIV3Schema"`
					} `json:"schema"`
				} `json:"versions"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(content, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(crd.Spec.Versions) != 1 {
			t.Fatalf("%s: want one version", file)
		}
		all[crd.Spec.Names.Kind] = crd.Spec.Versions[0].Schema.OpenAPI
	}
	return all
}

// walk visits a node and all below it, fields in alphabetical order; an element of a list has the path of the list
// and "[]".
func (n *node) walk(path string, visit func(path string, n *node)) {
	visit(path, n)
	for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
		n.Properties[name].walk(strings.TrimPrefix(path+"."+name, "."), visit)
	}
	if n.Items != nil {
		n.Items.walk(path+"[]", visit)
	}
}

func TestSchemasAreBounded(t *testing.T) {
	for kind, root := range schemas(t) {
		for _, r := range root.Rules {
			checkRule(t, kind, r)
		}
		for _, part := range []string{"spec", "status"} {
			n, ok := root.Properties[part]
			if !ok {
				continue // an AccessApproval has no status
			}
			n.walk(part, func(path string, n *node) {
				path = kind + " " + path
				for _, r := range n.Rules {
					checkRule(t, path, r)
				}
				if n.Additional != nil || n.Preserve != nil || n.IntOrString != nil {
					t.Errorf("%s takes what no bound holds for: free keys, unknown fields or a choice of types", path)
				}
				if n.Description == "" && !strings.HasSuffix(path, "[]") {
					t.Errorf("%s is not described", path)
				}
				switch n.Type {
				case "string":
					if n.MaxLength == nil && len(n.Enum) == 0 && n.Format != "date-time" {
						t.Errorf("%s has neither a greatest length, nor values to choose from, nor the format of a time", path)
					}
				case "array":
					if n.MaxItems == nil {
						t.Errorf("%s has no greatest number of items", path)
					}
					// What one alone writes may be atomic. Recipients are never changed, and what is twice in a set comes back in the
					// refusal: it could be a private key.
					alone := part == "status" || strings.HasSuffix(path, " "+recipientAt)
					if n.ListType != "set" && n.ListType != "map" && (!alone || n.ListType != "atomic") {
						t.Errorf("%s has the list type %q: nobody could own one of its items", path, n.ListType)
					}
					if n.ListType == "map" && len(n.ListMapKeys) == 0 {
						t.Errorf("%s is a map without keys", path)
					}
				case "object", "boolean":
				case "integer":
					if part == "spec" && (n.Minimum == nil || n.Maximum == nil) {
						t.Errorf("%s is not bounded", path)
					}
				default:
					t.Errorf("%s has the type %q, which nobody thought of here", path, n.Type)
				}
			})
		}
	}
}

func checkRule(t *testing.T, where string, r rule) {
	t.Helper()
	if r.Message == "" || r.MessageExpression != "" {
		t.Errorf("%s: the rule %s has no message of its own", where, r.Rule)
	}
	if strings.Contains(r.Message, "\n") || len(r.Message) > 200 {
		t.Errorf("%s: a message must be one short line: %s", where, r.Message)
	}
}
