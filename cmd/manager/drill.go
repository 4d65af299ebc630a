// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	realclock "k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/controller"
)

// drillEvery is how often a drill looks again.
const drillEvery = 100 * time.Millisecond

func drillCommand() *cobra.Command {
	var file, kubeconfig string
	d := &drill{clock: realclock.RealClock{}}
	cmd := &cobra.Command{
		Use:   "drill [-f FILE]",
		Short: "Try out an emergency: open a harmless role, and check and measure each step",
		Long: "Try out an emergency with your own rights: open a harmless role under a fresh name, check and measure each step until\n" +
			"the access has ended by itself, and write what was found as the report, which the operator puts on the audit trail.\n" +
			"A step that your rights do not allow to check says so (SKIP). A step that failed makes the command fail.\n" +
			"Times after the deadline are by the clock of this machine.",
		Example: "  manager drill -f config/samples/drill.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			content, err := os.ReadFile(file) //nolint:gosec // the caller's own file
			if err != nil {
				return err
			}
			if err := d.read(content); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			cfg, err := restConfig(kubeconfig)
			if err != nil {
				return err
			}
			if d.kube, err = client.New(cfg, client.Options{Scheme: controller.NewScheme()}); err != nil {
				return err
			}
			d.out = cmd.OutOrStdout()
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "file", "f", "config/samples/drill.yaml", "a YAML file with the BreakGlass to open, its AccessRole and what that takes")
	f.StringVar(&kubeconfig, "kubeconfig", "", "path of a kubeconfig; empty: $KUBECONFIG")
	f.DurationVar(&d.timeout, "timeout", 30*time.Second, "how long each step may take, beside the emergency itself")
	return cmd
}

// unchecked is the answer of a check that could not be made.
type unchecked string

func (u unchecked) Error() string { return string(u) }

// drill opens a role as a person would, and looks at what comes of it.
type drill struct {
	kube    client.Client
	clock   realclock.Clock
	out     io.Writer
	timeout time.Duration

	me    string
	setUp []*unstructured.Unstructured // everything in the file but the emergency
	gives authorizationv1.ResourceAttributes
	had   error // why it cannot be told by the subject's rights whether the access is there
	glass *v1alpha1.BreakGlass

	opened, deadline       time.Time
	figures                []string
	passed, failed, missed int
}

// read takes in the file, and what the role gives.
func (d *drill) read(content []byte) error {
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		obj := &unstructured.Unstructured{}
		if err = errors.Join(err, yaml.UnmarshalStrict(document, &obj.Object)); err != nil {
			return err
		}
		d.setUp = append(d.setUp, obj)
	}
	d.glass = &v1alpha1.BreakGlass{}
	var role v1alpha1.AccessRole
	var clusterRole rbacv1.ClusterRole
	if err := d.find("BreakGlass", "", d.glass); err != nil {
		return err
	}
	if err := d.find("AccessRole", d.glass.Spec.Role, &role); err != nil {
		return err
	}
	if role.Spec.Kubernetes == nil || d.glass.Spec.Subject.KubernetesUser == "" {
		return errors.New("the AccessRole must give something in Kubernetes, and the BreakGlass name spec.subject.kubernetesUser, whose rights are looked at")
	}
	if err := d.find("ClusterRole", role.Spec.Kubernetes.ClusterRole, &clusterRole); err != nil {
		return err
	}
	for _, r := range clusterRole.Rules {
		if len(r.Verbs) > 0 && len(r.APIGroups) > 0 && len(r.Resources) > 0 {
			d.gives = authorizationv1.ResourceAttributes{Verb: r.Verbs[0], Group: r.APIGroups[0], Resource: r.Resources[0]}
			if in := d.glass.Spec.Namespaces; len(in) > 0 {
				d.gives.Namespace = string(in[0])
			}
			return nil
		}
	}
	return fmt.Errorf("the ClusterRole %s gives nothing that could be tried", clusterRole.Name)
}

// find takes an object out of the file; without a name, the one of its kind. The emergency is no part of what is set up.
func (d *drill) find(kind, name string, into any) error {
	i := slices.IndexFunc(d.setUp, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == kind && (name == "" || o.GetName() == name)
	})
	if i < 0 {
		return fmt.Errorf("it takes a BreakGlass, its AccessRole and the ClusterRole of that, and there is no %s %s: see config/samples/drill.yaml", kind, name)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(d.setUp[i].Object, into, true); err != nil {
		return fmt.Errorf("the %s %.80q: %w", kind, d.setUp[i].GetName(), err)
	}
	if name == "" {
		d.setUp = slices.Delete(d.setUp, i, i+1)
	}
	return nil
}

// step is one thing that must be so.
type step struct {
	short, what string
	// since is what its time counts from; nil: from its own beginning.
	since *time.Time
	after string
	check func(context.Context) error
	// vital: nothing that follows makes sense without it.
	vital bool
}

func (d *drill) steps() []step {
	const opening, deadline = " after it was opened", " after its deadline"
	return []step{
		{"ready", "the role is there, and Ready", nil, "", d.prepare, true},
		{"none before", "the subject has no such access yet", nil, "", d.before, false},
		{"accepted", "admission lets you open it", nil, "", d.open, true},
		{"seen", "the operator has seen it", &d.opened, opening, d.seen, true},
		{"granted", "it is Granted, without anybody's approval", &d.opened, opening, d.granted, true},
		{"works", "the access works", &d.opened, opening, func(ctx context.Context) error { return d.gets(ctx, true) }, false},
		{"event", "an event Opened tells everybody", &d.opened, opening, d.told, false},
		{"kept", "nobody hides it by deleting it", nil, "", d.kept, false},
		{"ended", "it ends by itself", &d.deadline, deadline, d.ended, true},
		{"gone", "the access is gone", &d.deadline, deadline, func(ctx context.Context) error { return d.gets(ctx, false) }, false},
		{"due", "a report is due", &d.deadline, deadline, d.due, false},
	}
}

func (d *drill) run(ctx context.Context) error {
	var who authenticationv1.SelfSubjectReview
	if err := d.kube.Create(ctx, &who); err != nil {
		return fmt.Errorf("asking the API server who you are: %w", err)
	}
	d.me = who.Status.UserInfo.Username
	d.say("%s opens the role %s for %s, for %s", d.me, d.glass.Spec.Role, d.glass.Spec.Subject.KubernetesUser, d.glass.Spec.Duration.Duration)
	for _, s := range d.steps() {
		if !d.take(ctx, s) && s.vital {
			break
		}
	}
	if !d.opened.IsZero() {
		d.take(ctx, step{"reported", "these findings are its report, and on the audit trail", nil, "", d.report, false})
		d.say("%s waits for somebody else to approve its report; until then it is kept", d.glass.Name)
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	case d.failed > 0:
		return fmt.Errorf("the drill failed: %d passed, %d failed, %d could not be checked", d.passed, d.failed, d.missed)
	}
	d.say("The drill went well: %d passed, %d could not be checked", d.passed, d.missed)
	return nil
}

// take makes one check and tells of it; it says whether to go on.
func (d *drill) take(ctx context.Context, s step) bool {
	began := d.clock.Now()
	err := s.check(ctx)
	if s.since != nil && !s.since.IsZero() {
		began = *s.since
	}
	took, after := d.clock.Since(began).Round(time.Millisecond), s.after
	if took < 0 {
		took, after = -took, strings.Replace(after, " after ", " before ", 1)
	}
	var missed unchecked
	switch {
	case err == nil:
		d.passed++
		d.figures = append(d.figures, fmt.Sprint(s.short, " ", took))
		d.say("PASS  %s (%s%s)", s.what, took, after)
	case errors.As(err, &missed):
		d.missed++
		d.say("SKIP  %s: not checked, because %v", s.what, err)
	default:
		d.failed++
		d.figures = append(d.figures, fmt.Sprintf("FAILED %s (%v)", s.short, err))
		d.say("FAIL  %s (%s%s): %v", s.what, took, after, err)
		return false
	}
	return true
}

func (d *drill) say(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", args...) }

// until looks until something holds, at most until the limit; otherwise the last trouble is the answer.
func (d *drill) until(ctx context.Context, limit time.Time, trouble func() error) error {
	for {
		err := trouble()
		var missed unchecked
		if err == nil || errors.As(err, &missed) || !d.clock.Now().Before(limit) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-d.clock.After(drillEvery):
		}
	}
}

// soon is the limit of a step that begins now.
func (d *drill) soon() time.Time { return d.clock.Now().Add(d.timeout) }

// look reads the emergency; it returns its state.
func (d *drill) look(ctx context.Context) (state string, err error) {
	var now v1alpha1.BreakGlass // what is absent now must not be taken from before
	if err = d.kube.Get(ctx, client.ObjectKeyFromObject(d.glass), &now); err == nil {
		d.glass = &now
	}
	return access.StateOf(access.FromBreakGlass(d.glass)), err
}

// message is what the emergency says about itself.
func (d *drill) message(condition string) string {
	c := meta.FindStatusCondition(d.glass.Status.Conditions, condition)
	if c == nil {
		return "the operator has said nothing about it: does it run?"
	}
	return fmt.Sprintf("it is %s: %s", c.Reason, c.Message)
}

// prepare applies the role, if it is missing, and waits until it can be opened.
func (d *drill) prepare(ctx context.Context) error {
	key := client.ObjectKey{Name: d.glass.Spec.Role}
	if err := d.kube.Get(ctx, key, &v1alpha1.AccessRole{}); apierrors.IsNotFound(err) {
		for _, o := range d.setUp {
			if err := d.kube.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("there is no AccessRole %s, and what it takes cannot be made, so let a cluster administrator apply the file: %w", key.Name, err)
			}
		}
	}
	return d.until(ctx, d.soon(), func() error {
		var role v1alpha1.AccessRole
		err := d.kube.Get(ctx, key, &role)
		c := meta.FindStatusCondition(role.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case err != nil:
			return err
		case c == nil:
			return fmt.Errorf("the operator has not looked at the role %s: does it run?", key.Name)
		case c.Status != metav1.ConditionTrue:
			return fmt.Errorf("the role %s is not ready: %s", key.Name, c.Message)
		}
		return nil
	})
}

// before sees to it that what the subject may do by other means is not taken for the emergency's.
func (d *drill) before(ctx context.Context) error {
	may, err := d.may(ctx)
	if err == nil && may {
		err = unchecked(fmt.Sprintf("%s may do what the role gives by other means", d.glass.Spec.Subject.KubernetesUser))
	}
	d.had = err
	return err
}

// may asks whether the subject may do what the role gives: as people with more rights can, or as the subject itself.
func (d *drill) may(ctx context.Context) (bool, error) {
	user := string(d.glass.Spec.Subject.KubernetesUser)
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &d.gives}}
	err := d.kube.Create(ctx, review)
	if !apierrors.IsForbidden(err) {
		return review.Status.Allowed, err
	}
	if user != d.me {
		return false, unchecked(fmt.Sprintf("to ask what %s may do takes the right to create subjectaccessreviews, or to be %s", user, user))
	}
	return d.mine(ctx, d.gives)
}

// mine asks whether the caller may do something.
func (d *drill) mine(ctx context.Context, what authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	err := d.kube.Create(ctx, review)
	return review.Status.Allowed, err
}

// gets waits until the subject may do what the role gives, or may not any more.
func (d *drill) gets(ctx context.Context, want bool) error {
	if d.had != nil {
		return unchecked(d.had.Error())
	}
	return d.until(ctx, d.soon(), func() error {
		may, err := d.may(ctx)
		if err == nil && may != want {
			err = fmt.Errorf("whether %s may %s %s in %q: the API server says %t", d.glass.Spec.Subject.KubernetesUser,
				d.gives.Verb, d.gives.Resource, d.gives.Namespace, may)
		}
		return err
	})
}

func (d *drill) open(ctx context.Context) error {
	now := d.clock.Now()
	id := now.UTC().Format("20060102-150405") + "-" + utilrand.String(5)
	d.glass.Name, d.glass.Spec.Incident = "drill-"+id, "DRILL-"+id
	d.glass.Spec.OpenedBy, d.glass.Spec.Report = v1alpha1.Username(d.me), nil
	if err := d.kube.Create(ctx, d.glass); err != nil {
		return err
	}
	d.opened, d.deadline = now, d.glass.CreationTimestamp.Add(d.glass.Spec.Duration.Duration)
	return nil
}

func (d *drill) seen(ctx context.Context) error {
	return d.until(ctx, d.soon(), func() error {
		state, err := d.look(ctx)
		if err == nil && state == "" {
			err = errors.New(d.message(v1alpha1.ConditionActive))
		}
		return err
	})
}

func (d *drill) granted(ctx context.Context) error {
	err := d.until(ctx, d.soon(), func() error {
		state, err := d.look(ctx)
		if err == nil && state != v1alpha1.StateGranted && !access.Terminal(state) {
			err = errors.New(d.message(v1alpha1.ConditionActive))
		}
		return err
	})
	if state := access.StateOf(access.FromBreakGlass(d.glass)); err == nil && state != v1alpha1.StateGranted {
		return errors.New(d.message(v1alpha1.ConditionActive))
	}
	if until := d.glass.Status.ExpiresAt; err == nil && (until == nil || !until.Time.Equal(d.deadline)) {
		return fmt.Errorf("its deadline is %v, want %s", until, d.deadline.UTC().Format(time.RFC3339))
	}
	return err
}

// told looks for the event, which is in the namespace default, as those of everything that is in none.
func (d *drill) told(ctx context.Context) error {
	return d.until(ctx, d.soon(), func() error {
		var events corev1.EventList
		err := d.kube.List(ctx, &events, client.InNamespace(metav1.NamespaceDefault), client.MatchingFields{"involvedObject.name": d.glass.Name})
		if apierrors.IsForbidden(err) {
			return unchecked("you may not list events in the namespace default")
		}
		for _, e := range events.Items {
			if e.Reason == "Opened" && e.InvolvedObject.UID == d.glass.UID {
				return nil
			}
		}
		return errors.Join(err, errors.New("there is no event Opened about it in the namespace default"))
	})
}

// kept tries to delete it.
func (d *drill) kept(ctx context.Context) error {
	group := v1alpha1.SchemeGroupVersion.Group
	may, err := d.mine(ctx, authorizationv1.ResourceAttributes{Group: group, Resource: "breakglasses", Verb: "delete"})
	if err != nil {
		return err
	}
	administers, err := d.mine(ctx, authorizationv1.ResourceAttributes{Group: group, Resource: "accessroles", Verb: "administer"})
	if err != nil {
		return err
	}
	if !may || administers {
		return unchecked("it takes the right to delete breakglasses, but not the verb administer, to be refused by admission")
	}
	switch err := d.kube.Delete(ctx, d.glass, client.DryRunAll); {
	case err == nil:
		return errors.New("it could have been deleted while it gives access: are the policies of config/admission in place?")
	case !strings.Contains(err.Error(), "is not ended by deleting it"):
		return err
	}
	return nil
}

func (d *drill) ended(ctx context.Context) error {
	err := d.until(ctx, d.deadline.Add(d.timeout), func() error {
		state, err := d.look(ctx)
		if err == nil && !access.Terminal(state) {
			err = errors.New(d.message(v1alpha1.ConditionActive))
		}
		return err
	})
	if state := access.StateOf(access.FromBreakGlass(d.glass)); err == nil && state != v1alpha1.StateExpired {
		return fmt.Errorf("somebody or something ended it: %s", d.message(v1alpha1.ConditionActive))
	}
	if end := d.glass.Status.EndedAt; err == nil && (end == nil || end.Time.Before(d.deadline)) {
		return fmt.Errorf("it ended at %v, want not before %s", end, d.deadline.UTC().Format(time.RFC3339))
	}
	return err
}

func (d *drill) due(ctx context.Context) error {
	return d.until(ctx, d.soon(), func() error {
		_, err := d.look(ctx)
		c := meta.FindStatusCondition(d.glass.Status.Conditions, v1alpha1.ConditionReported)
		if err == nil && (c == nil || c.Reason != v1alpha1.ReasonReportPending || d.glass.Status.ReportDueAt == nil) {
			err = errors.New(d.message(v1alpha1.ConditionReported))
		}
		return err
	})
}

// report writes down what was found; the operator puts it on the audit trail once the emergency is over.
func (d *drill) report(ctx context.Context) error {
	summary := []rune(fmt.Sprintf("drill: %d passed, %d failed, %d not checked: %s", d.passed, d.failed, d.missed, strings.Join(d.figures, ", ")))
	stored := d.glass.DeepCopy()
	d.glass.Spec.Report = &v1alpha1.EmergencyReport{Summary: string(summary[:min(len(summary), 4096)]), WrittenBy: v1alpha1.Username(d.me)}
	if err := d.kube.Patch(ctx, d.glass, client.MergeFrom(stored)); err != nil {
		return err
	}
	if s := &d.glass.Status; s.ActivatedAt == nil || s.EndedAt == nil {
		return unchecked("the report, which is written, reaches the audit trail only after the end of an access that was given")
	}
	return d.until(ctx, d.soon(), func() error {
		_, err := d.look(ctx)
		s := &d.glass.Status
		switch {
		case err != nil:
			return err
		case s.ReportDigest == "":
			return errors.New("the operator has not seen the report")
		case len(s.Outbox) > 0:
			return fmt.Errorf("%d lines have not reached the audit trail: is its disk full?", len(s.Outbox))
		}
		return nil
	})
}
