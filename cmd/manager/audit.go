// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/hera-platform/prod-access-operator/internal/audit"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Read the audit trail", Args: cobra.NoArgs}
	cmd.AddCommand(auditVerifyCommand())
	return cmd
}

func auditVerifyCommand() *cobra.Command {
	var head, from string
	cmd := &cobra.Command{
		Use:   "verify FILE…",
		Short: "Find out whether the audit trail is whole",
		Long: "Find out whether the audit trail is whole: name every line that was changed, is missing, was moved or cut off.\n" +
			"The files may be given in any order. Without --head nobody can tell whether the end was cut; the head is anchored\n" +
			"in the cluster: kubectl -n NAMESPACE get configmap " + audit.AnchorName + " -o jsonpath='{.data." + audit.AnchorKey + "}'",
		RunE: func(cmd *cobra.Command, files []string) error {
			return verifyAudit(cmd.OutOrStdout(), files, head, from)
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "an anchored head (SEGMENT:SEQ:HASH), which the trail must contain")
	cmd.Flags().StringVar(&from, "from", "", "the head (SEGMENT:SEQ:HASH) of the last line that was deleted on purpose, where the oldest files are gone")
	return cmd
}

func verifyAudit(out io.Writer, names []string, head, from string) (err error) {
	if len(names) == 0 {
		return errors.New("name the files of the audit trail, all of them: manager audit verify FILE…")
	}
	var o audit.VerifyOptions
	if o.Head, err = headFlag("head", head); err != nil {
		return err
	}
	if o.From, err = headFlag("from", from); err != nil {
		return err
	}
	var files []audit.Source
	for _, name := range names {
		f, err := os.Open(name) //nolint:gosec // the caller's own files
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // nothing was written
		files = append(files, audit.Source{Name: name, ReadSeeker: f})
	}
	report, err := audit.Verify(files, o)
	if err != nil {
		return err
	}
	return printReport(out, report)
}

func headFlag(name, value string) (*audit.Head, error) {
	if value == "" {
		return nil, nil
	}
	head, err := audit.ParseHead(value)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", name, err)
	}
	return &head, nil
}

func printReport(out io.Writer, r audit.Report) error {
	for _, f := range r.Findings {
		level := "error"
		if f.Kind.Note() {
			level = "note"
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", level, f); err != nil {
			return err
		}
	}
	if r.Unnamed > 0 {
		if _, err := fmt.Fprintf(out, "… and %d more findings\n", r.Unnamed); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(out, "%d lines in %d segments and %d files: %d errors, %d notes\n", r.Lines, r.Segments, r.Files, r.Errors, r.Notes); err != nil {
		return err
	}
	switch {
	case r.Errors > 0:
		return errors.New("the audit trail is not whole")
	case r.Segments == 0:
		return errors.New("the files are empty: this is no audit trail")
	}
	return nil
}
