// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	systemNamespace = "prod-access-system"
	leaseName       = controller.Name + ".hera.dev"
	crds            = "config/crd/bases"
	auditPolicy     = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [system:serviceaccount:` + systemNamespace + `:prod-access-controller-manager]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`
)

// bareVersion holds a copy of the kind ProdAccessGrant that nobody watches, for the floor.
var bareVersion = schema.GroupVersion{Group: "bare.hera.dev", Version: v1alpha1.SchemeGroupVersion.Version}

// bench is the control plane, the running operator with its IAM, and what was measured.
type bench struct {
	scale  float64
	binary string
	began  time.Time
	fail   context.CancelCauseFunc
	table  []line

	dir        string
	cp         *controlplane.ControlPlane
	kube, bare client.WithWatch
	people     map[string]client.Client
	audit      audit
	seen       *sightings
	roles      []role
	serial     int
	stormPace  time.Duration // from the deadline until the bindings were gone, for each grant

	operator  atomic.Pointer[operator.Process]
	pid       string
	iam       *fake.IAM
	iamServer *httptest.Server
}

// setUp starts the control plane, with all that the operator needs.
func (b *bench) setUp(ctx context.Context) {
	ctrl.SetLogger(logr.Discard())
	grants, err := os.ReadFile(filepath.Join(crds, "access.hera.dev_prodaccessgrants.yaml"))
	if err != nil {
		check(fmt.Errorf("to be run in the root of the repository: %w", err))
	}
	b.dir = must(os.MkdirTemp("", "bench-"))
	bareCRD, policy := filepath.Join(b.dir, "bare.yaml"), filepath.Join(b.dir, "audit.yaml")
	b.audit.path = filepath.Join(b.dir, "audit.log")
	check(os.WriteFile(bareCRD, bytes.ReplaceAll(grants, []byte(v1alpha1.SchemeGroupVersion.Group), []byte(bareVersion.Group)), 0o600))
	check(os.WriteFile(policy, []byte(auditPolicy), 0o600))
	b.cp = must(controlplane.Start(ctx, controlplane.Options{
		CRDDirectories: []string{crds, bareCRD},
		APIServerArgs:  map[string]string{"audit-policy-file": policy, "audit-log-path": b.audit.path, "audit-log-maxsize": "1000"},
		Log:            os.Stderr,
	}))
	b.kube = must(client.NewWithWatch(b.cp.Config, client.Options{Scheme: controller.NewScheme()}))
	bare := runtime.NewScheme()
	bare.AddKnownTypeWithName(bareVersion.WithKind("ProdAccessGrant"), &v1alpha1.ProdAccessGrant{})
	metav1.AddToGroupVersion(bare, bareVersion)
	b.bare = must(client.NewWithWatch(b.cp.Config, client.Options{Scheme: bare}))

	for _, name := range []string{systemNamespace, boundNamespace} {
		check(b.kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	check(b.cp.Apply(ctx, "config/rbac"))
	b.createRoles(ctx)
	check(b.cp.Apply(ctx, "config/admission"))
	check(operator.WaitForAdmission(ctx, b.cp))
	b.givePeopleRights(ctx)
	b.watch(ctx, &rbacv1.RoleBindingList{}, boundNamespace, func(e watch.Event) {
		if o, ok := e.Object.(*rbacv1.RoleBinding); ok && e.Type == watch.Added {
			b.seen.note("bound " + o.Name)
		} else if ok && e.Type == watch.Deleted {
			b.seen.note("unbound " + o.Name)
		}
	})
	b.watch(ctx, &coordinationv1.LeaseList{}, systemNamespace, func(e watch.Event) {
		if o, ok := e.Object.(*coordinationv1.Lease); ok && e.Type == watch.Added {
			b.seen.note("lease " + o.Name)
		}
	})
}

// givePeopleRights lets people ask, approve and open in their own names, as admission demands it, and this program stand in
// for the operator.
func (b *bench) givePeopleRights(ctx context.Context) {
	b.people = map[string]client.Client{}
	join := func(user string, groups ...string) {
		cfg := rest.CopyConfig(b.cp.Config)
		cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
		b.people[user] = must(client.New(cfg, client.Options{Scheme: controller.NewScheme()}))
	}
	bind := func(user, clusterRole string) {
		join(user)
		check(b.kube.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{GenerateName: "people-"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole}}))
	}
	bind(requester, "prod-access-requester")
	bind(opener, "prod-access-break-glass")
	for _, approver := range approvers {
		bind(approver, "prod-access-approver")
	}
	join(self, "system:masters")
}

// watch reports every event until ctx ends; a watch that ends earlier ends the run.
func (b *bench) watch(ctx context.Context, list client.ObjectList, namespace string, note func(watch.Event)) {
	w := must(b.kube.Watch(ctx, list, client.InNamespace(namespace)))
	go func() {
		defer w.Stop()
		for e := range w.ResultChan() {
			note(e)
		}
		b.fail(fmt.Errorf("the watch of %T ended", list))
	}()
}

func (b *bench) tearDown() error {
	err := b.stopOperator()
	if b.cp != nil {
		err = errors.Join(err, b.cp.Stop())
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// newAccount replaces IAM by one with nothing but the groups of the roles, when no operator is running.
func (b *bench) newAccount() {
	check(b.stopOperator())
	b.iam = fake.New(fake.Config{})
	b.iam.OnWrite(nil, func(c fake.Call) error {
		switch key := c.Params.Get("GroupName") + " " + c.Params.Get("UserName"); c.Op {
		case "AddUserToGroup":
			b.seen.note("joined " + key)
		case "RemoveUserFromGroup":
			b.seen.note("left " + key)
		}
		return nil
	})
	for _, r := range b.roles {
		b.iam.AddGroup(r.group())
		check(policytest.Guard(b.iam, &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: r.Name}, Spec: r.Spec}))
	}
	b.iamServer = httptest.NewServer(b.iam)
}

// unlimited is a rate that AWS IAM would not allow: what is measured is the operator.
const unlimited = "--aws-rate=1000000"

// startOperator runs the built manager with flags and returns when its lease was seen held.
func (b *bench) startOperator(ctx context.Context, flags ...string) time.Time {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: leaseName}}
	check(client.IgnoreNotFound(b.kube.Delete(ctx, lease)))
	b.seen.forget("lease " + leaseName)
	p := must(operator.Start(ctx, b.cp, operator.Options{
		Binary: b.binary, Config: "config", Args: flags, Env: operator.AWSEnv(b.iamServer.URL), Log: filepath.Join(b.dir, "operator.log"),
	}))
	b.operator.Store(p)
	go func() {
		<-p.Done()
		if b.operator.Load() == p {
			b.fail(fmt.Errorf("the operator ended by itself:\n%s", p.LogTail(15)))
		}
	}()
	// The control plane has a record of every process beside it; this is the only operator.
	record := must(filepath.Glob(filepath.Join(b.cp.Dir, "pids", "manager-*")))
	b.pid = string(must(os.ReadFile(record[0])))
	return must(b.seen.wait(ctx, "lease "+leaseName))
}

// running makes sure that an operator is, for the parts that may share one.
func (b *bench) running(ctx context.Context) {
	if b.operator.Load() == nil {
		if b.iamServer == nil {
			b.newAccount()
		}
		b.startOperator(ctx, unlimited)
		b.rolesReady(ctx)
	}
}

// stopOperator ends the operator, if there is one, and its IAM.
func (b *bench) stopOperator() error {
	p := b.operator.Swap(nil)
	if p == nil {
		return nil
	}
	defer func() {
		b.iamServer.Close()
		b.iamServer = nil
	}()
	return p.Stop()
}

// cpu is the processor time that the operator has used.
func (b *bench) cpu() time.Duration {
	content := must(os.ReadFile("/proc/" + b.pid + "/stat"))
	// What follows the name of the program in parentheses; time is in hundredths of a second. Source: proc_pid_stat(5).
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	return time.Duration(must(strconv.Atoi(fields[11]))+must(strconv.Atoi(fields[12]))) * 10 * time.Millisecond
}

// memory is the operator's resident memory in MiB: VmRSS now, VmHWM the most it ever was. Source: proc_pid_status(5).
func (b *bench) memory(field string) int {
	for l := range strings.Lines(string(must(os.ReadFile("/proc/" + b.pid + "/status")))) {
		if rest, ok := strings.CutPrefix(l, field+":"); ok {
			return must(strconv.Atoi(strings.Fields(rest)[0])) >> 10
		}
	}
	panic(failure{errors.New("no " + field + " in the status of the operator's process")})
}

// audit follows the API server's log of the operator's requests.
type audit struct {
	path   string
	offset int64
	all    []write
}

type write struct {
	Verb           string
	RequestURI     string
	ObjectRef      struct{ Resource, Subresource, Name string }
	ResponseStatus struct{ Code int }
}

func (w write) String() string {
	return fmt.Sprintf("%s %s/%s %d", w.Verb, w.ObjectRef.Resource, w.ObjectRef.Subresource, w.ResponseStatus.Code)
}

// writes returns all writes so far but those of events and leases, and the dry runs by which the operator proves the
// admission policies: they reach no disk.
func (a *audit) writes() []write {
	f := must(os.Open(a.path))
	defer func() { _ = f.Close() }()
	must(f.Seek(a.offset, io.SeekStart))
	content := must(io.ReadAll(f))
	content = content[:bytes.LastIndexByte(content, '\n')+1] // the last line may be half written
	a.offset += int64(len(content))
	for l := range bytes.Lines(content) {
		var w write
		check(json.Unmarshal(l, &w))
		if w.ObjectRef.Resource != "events" && w.ObjectRef.Resource != "leases" && !strings.Contains(w.RequestURI, "dryRun=All") {
			a.all = append(a.all, w)
		}
	}
	return a.all
}

// settle waits until the operator has nothing left to do: two seconds without a write, an IAM call or much work.
func (b *bench) settle(ctx context.Context) {
	var still, writes, calls int
	var cpu time.Duration
	b.until(ctx, time.Second, "the operator is at work", func() bool {
		w, c, used := len(b.audit.writes()), b.iam.Count(fake.AnyOp), b.cpu()
		still++
		if w != writes || c != calls || used-cpu > 50*time.Millisecond {
			still = 0
		}
		writes, calls, cpu = w, c, used
		return still >= 2
	})
}

// sightings are the moments at which things were first seen.
type sightings struct {
	mu      sync.Mutex
	changed *sync.Cond
	at      map[string]time.Time
}

func newSightings() *sightings {
	s := &sightings{at: map[string]time.Time{}}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *sightings) note(key string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.at[key]; !ok {
		s.at[key] = now
		s.changed.Broadcast()
	}
}

func (s *sightings) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, key)
}

// wait returns when the last of the keys was seen.
func (s *sightings) wait(ctx context.Context, keys ...string) (last time.Time, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("not seen within 5 minutes"))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		for s.at[key].IsZero() {
			if ctx.Err() != nil {
				return last, fmt.Errorf("%s, %d of %d: %w", key, i+1, len(keys), context.Cause(ctx))
			}
			s.changed.Wait()
		}
		if s.at[key].After(last) {
			last = s.at[key]
		}
	}
	return last, nil
}

// first returns when the first of the keys was seen; all must have been.
func (s *sightings) first(keys ...string) (first time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		if at := s.at[key]; first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}
