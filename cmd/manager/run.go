// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	realclock "k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/clock"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/guard"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

// shutdownTimeout is how long running work may take to end; the pod's grace period (30 s) is longer.
const shutdownTimeout = 20 * time.Second

// While a leader is dead and its lease is not, nothing expires: the lease is as short as an API server that is slow now
// and then allows.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 7 * time.Second
	retryPeriod   = 2 * time.Second
)

// Values of flags that switch something.
const (
	enabled  = "enabled"
	disabled = "disabled"
)

type options struct {
	kubeconfig              string
	aws                     string
	awsRate                 float64
	revokeRoleARN           string
	fence                   string
	breakGlassBoundaryARN   string
	breakGlassRoleARN       string
	clusterName             string
	userPath                string
	sweepEvery              time.Duration
	reportEvery             time.Duration
	metricsAddress          string
	metricsSecure           bool
	probeAddress            string
	leaderElect             bool
	leaderElectionNamespace string
	auditFile               string
	auditMaxMiB             int
	auditKeep               int
	zap                     zap.Options
}

func defaults() *options {
	return &options{
		aws: enabled, awsRate: aws.DefaultRate, fence: enabled, userPath: "/", sweepEvery: 5 * time.Minute, reportEvery: membership.ReportEvery,
		metricsAddress: "0", metricsSecure: true, probeAddress: ":8081", leaderElect: true, auditMaxMiB: 100,
	}
}

func (o *options) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig, "path of a kubeconfig; empty: $KUBECONFIG, or the service account of the pod")
	fs.StringVar(&o.aws, "aws", o.aws, "enabled, or disabled: roles without IAM groups only, and no proof of MFA")
	fs.Float64Var(&o.awsRate, "aws-rate", o.awsRate, "reads a second that AWS IAM is asked at most, 2 or more; other calls in proportion, removals with a share of their own")
	fs.StringVar(&o.revokeRoleARN, "revoke-role-arn", o.revokeRoleARN, "IAM role that takes access away, which works when the operator's own does not; "+
		"empty: the operator's own")
	fs.StringVar(&o.fence, "fence", o.fence, "enabled: AWS itself denies a person everything after their last deadline, if they have a permissions boundary; or disabled")
	fs.StringVar(&o.breakGlassBoundaryARN, "break-glass-boundary-arn", o.breakGlassBoundaryARN, "permissions boundary of the temporary IAM users that emergencies may ask for; "+
		"empty: none are made")
	fs.StringVar(&o.breakGlassRoleARN, "break-glass-role-arn", o.breakGlassRoleARN, "IAM role that makes and deletes temporary users; empty: the operator's own")
	fs.StringVar(&o.clusterName, "cluster-name", o.clusterName, "name of the cluster in fences, never to be changed while there are any; empty: from the uid of the "+
		"namespace kube-system")
	fs.StringVar(&o.userPath, "user-path", o.userPath, "path of the IAM users to whom the operator's rights are limited, such as /hera/, for the check of those rights")
	fs.DurationVar(&o.sweepEvery, "aws-sweep-every", o.sweepEvery, "how often the users and groups of the AWS account are read as a whole")
	fs.DurationVar(&o.reportEvery, "credential-report-every", o.reportEvery, "how old a credential report is used; AWS makes none more often than every 4 hours")
	fs.StringVar(&o.metricsAddress, "metrics-bind-address", o.metricsAddress, "address that serves metrics, such as :8443; 0 serves none")
	fs.BoolVar(&o.metricsSecure, "metrics-secure", o.metricsSecure, "serve metrics over HTTPS, to those who may get /metrics")
	fs.StringVar(&o.probeAddress, "health-probe-bind-address", o.probeAddress, "address that serves /healthz and /readyz; 0 serves none")
	fs.BoolVar(&o.leaderElect, "leader-elect", o.leaderElect, "act only while holding the lease, so that several may run")
	fs.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", o.leaderElectionNamespace, "namespace of the lease; empty: the pod's own")
	fs.StringVar(&o.auditFile, "audit-file", o.auditFile, "file that the audit trail is written to; empty: standard output")
	fs.IntVar(&o.auditMaxMiB, "audit-max-size", o.auditMaxMiB, "size of the audit file in MiB above which another is begun; 0: never")
	fs.IntVar(&o.auditKeep, "audit-keep", o.auditKeep, "how many audit files stay beside the one that is written to; 0: all")
	var zapFlags flag.FlagSet
	o.zap.BindFlags(&zapFlags)
	fs.AddGoFlagSet(&zapFlags)
}

func (o *options) validate() error {
	for flag, value := range map[string]string{"--aws": o.aws, "--fence": o.fence} {
		if value != enabled && value != disabled {
			return fmt.Errorf("%s must be enabled or disabled, not %q", flag, value)
		}
	}
	if o.breakGlassBoundaryARN != "" && (o.aws != enabled || o.fence != enabled) {
		return errors.New("--break-glass-boundary-arn needs --aws=enabled and --fence=enabled: temporary users are IAM users, and none is without a fence")
	}
	if o.breakGlassBoundaryARN != "" && !boundaries.MatchString(o.breakGlassBoundaryARN) {
		return fmt.Errorf("--break-glass-boundary-arn must be the ARN of an IAM policy, such as arn:aws:iam::111122223333:policy/prod-access/break-glass-boundary, not %q",
			o.breakGlassBoundaryARN)
	}
	if o.clusterName != "" && !clusterNames.MatchString(o.clusterName) {
		return fmt.Errorf("--cluster-name must be at most 40 lower-case letters, digits and dashes, not %q", o.clusterName)
	}
	if o.sweepEvery < time.Second || o.reportEvery < time.Second {
		return errors.New("--aws-sweep-every and --credential-report-every must be at least a second")
	}
	if !(o.awsRate >= aws.LowestRate) { // so NaN is refused too
		return fmt.Errorf("--aws-rate must be at least %v, not %v: calls about the whole account go at a tenth of it, and each gives up after %v without a turn",
			aws.LowestRate, o.awsRate, access.CallTimeout)
	}
	return nil
}

func (o *options) awsOptions(watch func(http.RoundTripper) http.RoundTripper) aws.Options {
	return aws.Options{Timeout: access.CallTimeout, Watch: watch, Rate: o.awsRate, RevokeRoleARN: o.revokeRoleARN, BreakGlassRoleARN: o.breakGlassRoleARN, Observe: controller.ObserveAWS}
}

func run(ctx context.Context, o *options) error {
	if err := o.validate(); err != nil {
		return err
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.zap)))
	log := ctrl.Log.WithName("manager")
	cfg, err := restConfig(o.kubeconfig)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	now := clock.New(realclock.RealClock{})
	cfg.Wrap(now.Watch)

	var api *aws.Client
	if o.aws == enabled {
		if api, err = aws.New(ctx, o.awsOptions(now.Watch)); err != nil {
			return err
		}
	} else {
		log.Info("AWS is disabled: Kubernetes usernames are taken on trust, and MFA is not verified")
	}
	mgr, err := ctrl.NewManager(cfg, controller.Options(o.manager()))
	if err != nil {
		return fmt.Errorf("starting the manager: %w", err)
	}
	if err := o.prove(ctx, mgr, cfg, api, now); err != nil {
		return err
	}
	if err := errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("cache", func(req *http.Request) error {
			ctx, cancel := context.WithTimeout(req.Context(), time.Second)
			defer cancel()
			if !mgr.GetCache().WaitForCacheSync(ctx) {
				return errors.New("the cache is not in step with the API server yet")
			}
			return nil
		}),
	); err != nil {
		return fmt.Errorf("adding probes: %w", err)
	}
	log.Info("starting", "version", version, "aws", o.aws)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the manager: %w", err)
	}
	return nil
}

// prove registers the controllers with the guard and the audit trail that nothing new is granted without.
func (o *options) prove(ctx context.Context, mgr ctrl.Manager, cfg *rest.Config, api *aws.Client, now *clock.Clock) error {
	self, namespace, err := whoAmI(ctx, cfg)
	if err != nil {
		return err
	}
	if o.leaderElectionNamespace != "" {
		namespace = o.leaderElectionNamespace
	}
	// The records are few, and read seldom: a cache would watch every ConfigMap of the namespace.
	live, err := client.New(cfg, client.Options{Scheme: controller.NewScheme()})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	trail := audit.New(audit.Options{
		Sink: o.sink(), Anchor: audit.NewConfigMapAnchor(live, namespace, realclock.RealClock{}), Clock: realclock.RealClock{}, Log: ctrl.Log.WithName("audit"),
	})
	var changed func(context.Context)
	whole, err := guard.New(guard.Options{
		Client: live, Cache: mgr.GetCache(), Clock: realclock.RealClock{}, Now: now.Now, Namespace: namespace, Username: self,
		OnChange: func(access.Guard) { go changed(ctx) },
		Audit: func(ctx context.Context, broken string) error {
			e := audit.Entry{Event: audit.EventGuardWhole, Time: now.Now(), AppliedBy: self, Change: "the admission guard is whole"}
			if broken != "" {
				e.Event, e.Change = audit.EventGuardBroken, broken
			}
			return trail.Append(ctx, e)
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the admission guard: %w", err)
	}
	at, err := o.atAWS(ctx, api, live)
	if err != nil {
		return err
	}
	if changed, err = controller.Setup(ctx, mgr, at, now, controller.Proof{Guard: whole, Trail: trail, Self: self}); err != nil {
		return err
	}
	return errors.Join(mgr.Add(trail), mgr.Add(whole))
}

// atAWS is how AWS is used; api is nil when it is not.
func (o *options) atAWS(ctx context.Context, api *aws.Client, live client.Reader) (at controller.AWS, err error) {
	if api == nil {
		return at, nil
	}
	at = controller.AWS{API: api, SweepEvery: o.sweepEvery, Options: membership.Options{ReportEvery: o.reportEvery, Boundary: o.breakGlassBoundaryARN}}
	if o.fence == enabled {
		if at.Cluster, err = o.cluster(ctx, live); err != nil {
			return at, err
		}
	}
	at.Preflight = func(ctx context.Context, groups []string) ([]string, error) {
		needs := aws.Needs{Groups: groups, UserPath: o.userPath, BreakGlassBoundary: o.breakGlassBoundaryARN}
		in, err := policy.AccountOf(groups[0])
		if err != nil {
			return nil, err
		}
		if at.Cluster != "" {
			needs.Boundary = in.Boundary()
		}
		return api.Preflight(ctx, needs)
	}
	return at, nil
}

// boundaries are the ARNs of policies.
var boundaries = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[!-~]+$`)

// clusterNames are those that fit into the name of a policy beside all else.
var clusterNames = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// cluster is the name that fences bear.
func (o *options) cluster(ctx context.Context, live client.Reader) (string, error) {
	if o.clusterName != "" {
		return o.clusterName, nil
	}
	const readable = 8
	system := &metav1.PartialObjectMetadata{}
	system.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := live.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system); err != nil {
		return "", fmt.Errorf("naming the cluster by the namespace %s: %w; --cluster-name names it too", metav1.NamespaceSystem, err)
	}
	return string(system.UID)[:readable], nil
}

func (o *options) sink() audit.Sink {
	if o.auditFile == "" {
		return audit.NewStream(os.Stdout)
	}
	return audit.NewFile(audit.FileOptions{Path: o.auditFile, MaxMiB: o.auditMaxMiB, Keep: o.auditKeep, Clock: realclock.RealClock{}})
}

// defaultNamespace is where the operator is installed, unless its username says otherwise.
const defaultNamespace = "prod-access-system"

// whoAmI asks the API server for the operator's own username, and reads the namespace from it.
func whoAmI(ctx context.Context, cfg *rest.Config) (username, namespace string, err error) {
	api, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return "", "", fmt.Errorf("making a client: %w", err)
	}
	me, err := api.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", "", fmt.Errorf("asking the API server for the operator's own name: %w", err)
	}
	username = me.Status.UserInfo.Username
	if parts := strings.Split(username, ":"); len(parts) == 4 && parts[1] == "serviceaccount" {
		return username, parts[2], nil
	}
	return username, defaultNamespace, nil
}

func (o *options) manager() ctrl.Options {
	timeout, lease, renew, retry := shutdownTimeout, leaseDuration, renewDeadline, retryPeriod
	metrics := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure}
	if o.metricsSecure {
		metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return ctrl.Options{
		Metrics:                       metrics,
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              controller.Name + ".hera.dev",
		LeaderElectionNamespace:       o.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
		GracefulShutdownTimeout:       &timeout,
	}
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("this is not a pod, so --kubeconfig or $KUBECONFIG must name a kubeconfig")
	}
	if err == nil {
		// The API server protects itself by priority and fairness; a limit of the client's own would make a thousand
		// removals wait for each other.
		cfg.QPS = -1
	}
	return cfg, err
}
