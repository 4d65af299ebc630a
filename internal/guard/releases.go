// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// The kinds that the guard is made of.
const (
	policyKind  = "ValidatingAdmissionPolicy"
	bindingKind = "ValidatingAdmissionPolicyBinding"
)

// What the manifests call the operator, whatever it is called where it runs.
const (
	releasedNamespace = "prod-access-system"
	releasedUsername  = "system:serviceaccount:prod-access-system:prod-access-controller-manager"
)

// object names a policy or a binding.
type object struct{ kind, name string }

func (o object) String() string { return o.kind + " " + o.name }

// specs are the policies and bindings of a release, as an API server stores them:
// *admissionv1.ValidatingAdmissionPolicySpec or *admissionv1.ValidatingAdmissionPolicyBindingSpec.
type specs map[object]any

// observed is a policy or binding as it is in the cluster.
type observed struct {
	uid        types.UID
	generation int64
	spec       any
}

// releases are what may be installed.
type releases struct{ current, previous specs }

// parse reads the policies and bindings of a release from the *.yaml files of a folder; kustomization.yaml is none.
func parse(files fs.FS, username, namespace string) (specs, error) {
	rename := strings.NewReplacer(releasedUsername, username, releasedNamespace, namespace)
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	s := specs{}
	for _, name := range names {
		if path.Base(name) == "kustomization.yaml" {
			continue
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if err := s.add([]byte(rename.Replace(string(content)))); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// add reads one file.
func (s specs) add(content []byte) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var meta metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(document, &meta); err != nil {
			return err
		}
		o := object{kind: meta.Kind, name: meta.Name}
		var spec any
		switch {
		case meta.Kind == "" && meta.Name == "": // nothing but comments
			continue
		case meta.APIVersion != admissionv1.SchemeGroupVersion.String():
			return fmt.Errorf("%s is of %q, only %s can be guarded", o, meta.APIVersion, admissionv1.SchemeGroupVersion)
		case meta.Kind == policyKind:
			var p admissionv1.ValidatingAdmissionPolicy
			err = yaml.UnmarshalStrict(document, &p)
			defaultPolicy(&p.Spec)
			spec = &p.Spec
		case meta.Kind == bindingKind:
			var b admissionv1.ValidatingAdmissionPolicyBinding
			err = yaml.UnmarshalStrict(document, &b)
			defaultMatch(b.Spec.MatchResources)
			spec = &b.Spec
		default:
			return fmt.Errorf("%s is neither a %s nor a %s", o, policyKind, bindingKind)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o, err)
		}
		if _, ok := s[o]; ok {
			return fmt.Errorf("%s exists twice", o)
		}
		s[o] = spec
	}
}

// defaultPolicy fills in what an API server fills in (k8s.io/kubernetes/pkg/apis/admissionregistration/v1, defaults.go).
func defaultPolicy(s *admissionv1.ValidatingAdmissionPolicySpec) {
	if s.FailurePolicy == nil {
		s.FailurePolicy = new(admissionv1.Fail)
	}
	defaultMatch(s.MatchConstraints)
}

func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	if m.MatchPolicy == nil {
		m.MatchPolicy = new(admissionv1.Equivalent)
	}
	if m.NamespaceSelector == nil {
		m.NamespaceSelector = &metav1.LabelSelector{}
	}
	if m.ObjectSelector == nil {
		m.ObjectSelector = &metav1.LabelSelector{}
	}
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			if rules[i].Scope == nil {
				rules[i].Scope = new(admissionv1.AllScopes)
			}
		}
	}
}

// has says whether a name is one that some release uses.
func (r releases) has(o object) bool {
	_, current := r.current[o]
	_, previous := r.previous[o]
	return current || previous
}

// know says whether a spec is one that some release has for the object.
func (r releases) know(o object, spec any) bool {
	return matches(r.current, o, spec) || matches(r.previous, o, spec)
}

func matches(release specs, o object, spec any) bool {
	want, ok := release[o]
	return ok && equality.Semantic.DeepEqual(want, spec)
}

// complete says whether a release is installed with nothing of another in its place.
func complete(release specs, seen map[object]observed) bool {
	for o, want := range release {
		got, ok := seen[o]
		if !ok || !equality.Semantic.DeepEqual(want, got.spec) {
			return false
		}
	}
	return len(release) > 0
}

// mayMiss says whether an object may be missing: one that a release lacks may, if that release is installed completely.
// What this release has added may not go again once it was there: whoever goes back to the previous release also goes
// back to its operator, which does not look for it.
func (r releases) mayMiss(o object, seen map[object]observed, pins map[string]pin) bool {
	if _, current := r.current[o]; !current {
		return complete(r.current, seen)
	}
	_, previous := r.previous[o]
	_, before := pins[o.String()]
	return !previous && !before && complete(r.previous, seen)
}

// judge finds what is wrong with the policies and bindings of a cluster, in a fixed order; pins are those of the last
// time when nothing was. What is left of the previous release does no harm, whatever it says, where this one is complete:
// a policy can only refuse.
func (r releases) judge(seen map[object]observed, pins map[string]pin) (missing, foreign []object) {
	done := complete(r.current, seen)
	for _, release := range []specs{r.current, r.previous} {
		for o := range release {
			got, ok := seen[o]
			_, current := r.current[o]
			switch {
			case !ok && !slices.Contains(missing, o) && !r.mayMiss(o, seen, pins):
				missing = append(missing, o)
			case ok && !slices.Contains(foreign, o) && !r.know(o, got.spec) && (current || !done):
				foreign = append(foreign, o)
			}
		}
	}
	order := func(a, b object) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(missing, order)
	slices.SortFunc(foreign, order)
	return missing, foreign
}

// refusals are the texts with which a policy refuses, in any release, where it does not compute another.
func (r releases) refusals(policy string) []string {
	var texts []string
	for _, release := range []specs{r.current, r.previous} {
		spec, ok := release[object{policyKind, policy}].(*admissionv1.ValidatingAdmissionPolicySpec)
		if !ok {
			continue
		}
		for _, v := range spec.Validations {
			if v.Message == "" {
				texts = append(texts, "failed expression: "+strings.TrimSpace(v.Expression))
			} else {
				texts = append(texts, strings.TrimSpace(v.Message))
			}
		}
	}
	return texts
}
