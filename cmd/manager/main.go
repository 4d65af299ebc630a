// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command manager is the operator.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set by the linker.
var version = "dev"

func main() {
	if err := root().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "manager",
		Short:         "Production access from Kubernetes objects",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.AddCommand(runCommand())
	cmd.AddCommand(auditCommand())
	cmd.AddCommand(awsCommand())
	cmd.AddCommand(drillCommand())
	cmd.AddCommand(decryptCommand())
	return cmd
}

func runCommand() *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the operator, in a cluster or out of one (--kubeconfig)",
		Long: "Run the operator. AWS is configured by the usual environment of the AWS SDK: AWS_REGION, AWS_ENDPOINT_URL_IAM,\n" +
			"credentials or a web identity (IRSA, Pod Identity).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	o.addFlags(cmd.Flags())
	return cmd
}
