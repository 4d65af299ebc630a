// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

const (
	// bound is how long anything may take that follows from what somebody did.
	bound = 20 * time.Second
	// latest is how long after a deadline access must be gone.
	latest = 5 * time.Second
	// ours selects the operator's bindings.
	ours = v1alpha1.ManagedByLabel + "=" + v1alpha1.ManagedByValue
)

type step struct {
	title string
	tell  func(context.Context)
}

// story tells and verifies. Once something has failed, nothing more is done.
type story struct {
	*stage
	ends     map[string]time.Time // when each grant ends
	failures []string
}

func tell(ctx context.Context, st *stage) error {
	s := &story{stage: st, ends: map[string]time.Time{}}
	for grant, lasts := range lasts {
		s.ends[grant] = time.Now().Add(lasts).Truncate(time.Second)
	}
	for i, step := range s.steps() {
		if !s.over(ctx) {
			s.out.title(fmt.Sprintf("%d. %s", i+1, step.title))
			step.tell(ctx)
		}
	}
	switch {
	case len(s.failures) > 0:
		return fmt.Errorf("not as told:\n  %s\n%s", strings.Join(s.failures, "\n  "), s.logTail())
	case s.over(ctx):
		return fmt.Errorf("the operator has ended. %s", s.logTail())
	}
	return nil
}

func (s *story) over(ctx context.Context) bool {
	return ctx.Err() != nil || len(s.failures) > 0 || s.crashed()
}

func (s *story) fail(ctx context.Context, what string) {
	s.out.progress("")
	if ctx.Err() == nil { // otherwise it is an end, not a failure
		s.failures = append(s.failures, what)
		s.out.failed(what)
	}
}

// command is something that the audience can type.
type command struct {
	text string
	run  func(context.Context) (string, error)
}

// kubectl is run by a person, or by the administrator.
func (s *story) kubectl(who string, args ...string) command {
	kubeconfig, typed := s.cp.Kubeconfig, []string{"kubectl"}
	if who != "" {
		kubeconfig = s.path(who)
		typed = append(typed, "--kubeconfig", kubeconfig)
	}
	for _, a := range args {
		if strings.ContainsAny(a, "{ ") {
			a = "'" + a + "'"
		}
		typed = append(typed, a)
	}
	return command{strings.ReplaceAll(strings.Join(typed, " "), s.dir, "$DEMO"), func(ctx context.Context) (string, error) {
		answer, err := s.cp.Kubectl(ctx, kubeconfig, args...)
		if answer = strings.TrimSpace(answer); answer == "no" { // the exit code of auth can-i says the same
			err = nil
		}
		return answer, err
	}}
}

func (s *story) grants(args ...string) command {
	return s.kubectl("", append([]string{"get", "pag", "--no-headers"}, args...)...)
}

func (s *story) canI(who, what string) command {
	return s.kubectl(who, append([]string{"auth", "can-i"}, strings.Fields(what)...)...)
}

// bindings are those that the operator made for a person, cluster-wide or in a namespace.
func (s *story) bindings(person string) command {
	return s.kubectl("", "get", "clusterrolebindings,rolebindings", "-A", "-l", ours, "-o",
		fmt.Sprintf(`jsonpath={.items[?(@.subjects[0].name=="%s")].metadata.name}`, username(person)))
}

// note tells what the audience cannot see.
func (s *story) note(ctx context.Context, what string) {
	if !s.over(ctx) {
		s.out.printf("   … %s\n", what)
	}
}

// act carries out a command, which must succeed.
func (s *story) act(ctx context.Context, c command) {
	if s.over(ctx) {
		return
	}
	answer, err := c.run(ctx)
	if err != nil {
		s.fail(ctx, err.Error())
		return
	}
	s.out.command(c.text, answer)
}

// refused carries out a command, which must fail and say what is wanted.
func (s *story) refused(ctx context.Context, claim string, c command, want string) {
	if s.over(ctx) {
		return
	}
	answer, err := c.run(ctx)
	if err != nil {
		_, said, _ := strings.Cut(err.Error(), "exit status ")
		_, said, _ = strings.Cut(said, ": ") // after its number
		answer = strings.ReplaceAll(said, s.dir, "$DEMO")
	}
	if err == nil || !strings.Contains(answer, want) {
		s.fail(ctx, fmt.Sprintf("%s: `%s` was not refused with %q, but answered %q (%v)", claim, c.text, want, answer, err))
		return
	}
	s.out.passed(claim, "as it must be")
	s.out.command(c.text, answer)
}

// check verifies a claim: the command must come to answer what is wanted, see until.
func (s *story) check(ctx context.Context, claim string, c command, want ...string) {
	begin := time.Now()
	if answer, ok := s.until(ctx, claim, c, want...); ok {
		s.out.passed(claim, brief(time.Since(begin)))
		s.out.command(c.text, answer)
	}
}

// until repeats a command until its answer holds all that is wanted, in this order; "" wants an empty answer.
func (s *story) until(ctx context.Context, claim string, c command, want ...string) (answer string, ok bool) {
	for begin := time.Now(); !s.over(ctx); pause(ctx, 100*time.Millisecond) {
		s.out.progress(claim)
		answer, err := c.run(ctx)
		switch {
		case err == nil && holds(answer, want):
			s.out.progress("")
			return answer, true
		case err != nil:
			answer = err.Error()
		}
		if time.Since(begin) > bound {
			s.fail(ctx, fmt.Sprintf("%s: `%s` did not answer %q within %s, but %q", claim, c.text, want, bound, answer))
		}
	}
	return "", false
}

func holds(answer string, want []string) bool {
	rest := answer
	for _, w := range want {
		_, after, found := strings.Cut(rest, w)
		if !found || w == "" && rest != "" {
			return false
		}
		rest = after
	}
	return true
}

// manifest writes what a sample says, with changes, to a file.
func (s *story) manifest(ctx context.Context, name, sample string, change func(spec map[string]any)) (file string) {
	var obj unstructured.Unstructured
	content, err := os.ReadFile(filepath.Join(config, "samples", sample))
	if err == nil {
		err = yaml.UnmarshalStrict(content, &obj.Object)
	}
	spec, ok := obj.Object["spec"].(map[string]any)
	if err != nil || !ok {
		s.fail(ctx, fmt.Sprintf("the sample %s cannot be used: %v", sample, err))
		return ""
	}
	obj.SetName(name)
	change(spec)
	file = s.path(name + ".yaml")
	if content, err = yaml.Marshal(obj.Object); err == nil {
		err = os.WriteFile(file, content, 0o600)
	}
	if err != nil {
		s.fail(ctx, err.Error())
	}
	return file
}

// trace is a part of somebody's access, as the API server or IAM has it.
type trace struct {
	what   string
	exists func(context.Context) (bool, error)
}

// binding is any that says it was made for the grant.
func (s *story) binding(grant string) trace {
	return trace{"the binding of " + grant, func(ctx context.Context) (bool, error) {
		for _, kind := range []string{"ClusterRoleBindingList", "RoleBindingList"} {
			var list metav1.PartialObjectMetadataList
			list.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind(kind))
			if err := s.kube.List(ctx, &list, client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}); err != nil {
				return false, err
			}
			for _, b := range list.Items {
				if b.Annotations[v1alpha1.GrantAnnotation] == grant {
					return true, nil
				}
			}
		}
		return false, nil
	}}
}

func (s *story) membership(group, user string) trace {
	return trace{user + "'s membership in " + group, func(ctx context.Context) (bool, error) {
		names, err := s.members(group).run(ctx)
		return slices.Contains(strings.Fields(names), user), err
	}}
}

// watch waits for the deadline of a grant and measures how long after it, and never before, each trace of it is gone.
// What stays must be there all the time, and for a second longer.
func (s *story) watch(ctx context.Context, grant string, goes, stays []trace) {
	deadline := s.ends[grant]
	if !s.out.lively && !s.over(ctx) {
		s.out.printf("   … %s ends at %s\n", grant, deadline.Format(time.TimeOnly))
	}
	for !s.over(ctx) {
		goes = slices.DeleteFunc(goes, func(t trace) bool { return s.gone(ctx, t, deadline) })
		for _, t := range stays {
			if exists, err := t.exists(ctx); err != nil || !exists {
				s.fail(ctx, fmt.Sprintf("%s was not seen all the time (%v)", t.what, err))
			}
		}
		left := time.Until(deadline)
		if len(goes) == 0 && left < -time.Second {
			break
		}
		s.out.progress(fmt.Sprintf("%s ends in %.0f s", grant, max(0, left.Seconds())))
		pause(ctx, min(100*time.Millisecond, max(left-time.Second, time.Millisecond)))
	}
	s.out.progress("")
	for _, t := range stays {
		if !s.over(ctx) {
			s.out.passed(t.what+" stays", "looked at all the time")
		}
	}
}

// pass waits until the deadline of a grant has passed.
func (s *story) pass(ctx context.Context, grant string) {
	deadline := s.ends[grant]
	for left := time.Until(deadline); left > 0 && !s.over(ctx); left = time.Until(deadline) {
		s.out.progress(fmt.Sprintf("%s ends in %.0f s", grant, left.Seconds()))
		pause(ctx, min(100*time.Millisecond, left))
	}
	if s.out.progress(""); !s.over(ctx) {
		s.out.passed("the deadline passes, and no operator runs", deadline.Format(time.TimeOnly))
	}
}

// restart starts another operator, as Kubernetes does for a pod that is gone.
func (s *story) restart(ctx context.Context) {
	if s.over(ctx) {
		return
	}
	const what = "another operator starts"
	s.out.progress(what)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.startOperator(ctx); err != nil {
		s.fail(ctx, err.Error())
		return
	}
	s.out.progress("")
	s.out.passed(what, brief(time.Since(begin)))
}

func (s *story) gone(ctx context.Context, t trace, deadline time.Time) bool {
	exists, err := t.exists(ctx)
	late := time.Since(deadline)
	switch {
	case err != nil:
		s.fail(ctx, fmt.Sprintf("%s cannot be looked for: %v", t.what, err))
	case !exists && late < 0:
		s.fail(ctx, fmt.Sprintf("%s was gone %s before the deadline", t.what, brief(-late)))
	case exists && late > latest:
		s.fail(ctx, fmt.Sprintf("%s was still there %s after the deadline", t.what, brief(late)))
	case !exists:
		s.out.progress("")
		s.out.passed(t.what+" is gone", brief(late)+" after the deadline")
	}
	return err == nil && !exists
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
