// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command fake-iam serves the strict fake of AWS IAM by itself, for trying things out with the operator or the AWS CLI.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fake-iam:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It writes where to find the fake to stdout, once it can be found there.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("fake-iam", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:5556", "address to serve on; port 0 takes a free one")
	seedFile := flags.String("seed", "", "YAML file with the users and groups to start from")
	reportEvery := flags.Duration("credential-report-every", 4*time.Hour, "how long a credential report is good; until then no other is made")
	remote := flags.Bool("allow-remote", false, "allow an address other than loopback (nothing is authenticated)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	address, err := net.ResolveTCPAddr("tcp", *listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if !address.IP.IsLoopback() && !*remote {
		return fmt.Errorf("--listen %s is not a loopback address; the fake verifies no signatures, so anybody who "+
			"reaches it can change it (--allow-remote permits that)", *listen)
	}
	if *reportEvery <= 0 {
		return fmt.Errorf("--credential-report-every %s is no time; give a positive duration", *reportEvery)
	}
	iam := fake.New(fake.Config{ReportEvery: *reportEvery})
	if err := load(iam, *seedFile); err != nil {
		return fmt.Errorf("--seed: %w", err)
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	_, err = fmt.Fprintf(stdout, `# fake IAM at %[1]s
export AWS_ENDPOINT_URL_IAM=%[1]s
export AWS_ENDPOINT_URL_STS=%[1]s
export AWS_REGION=us-east-1
export AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=AKIAFAKEOPERATORROLE
export AWS_SECRET_ACCESS_KEY=not-checked
`, url)
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	server := &http.Server{Handler: iam, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func load(iam *fake.IAM, file string) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	var seed fake.Seed
	if err := yaml.UnmarshalStrict(data, &seed); err != nil {
		return err
	}
	return iam.Load(seed)
}
