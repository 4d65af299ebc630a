// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/hera-platform/prod-access-operator/internal/audit"
)

const (
	// trail is the file that the operator writes the audit trail to, and doctored a copy that somebody has changed.
	trail, doctored = "audit.log", "doctored.log"
	// namespace of the operator.
	namespace = "prod-access-system"
)

// told is a line of the audit trail, as far as the story reads it.
type told struct {
	Time, Event, Ticket string
	Personal            struct {
		Name, Subject, Change, Reason, AppliedBy text
		Approvers                                struct{ Value []string }
	}
}

type text struct{ Value string }

// entry is a line of the trail in the fields of a change log.
type entry struct {
	Date      string   `json:"date"`
	Change    string   `json:"change"`
	Subject   string   `json:"subject"`
	Reason    string   `json:"reason"`
	Ticket    string   `json:"ticket"`
	Approvers []string `json:"approvers"`
	AppliedBy string   `json:"appliedBy"`
}

func (s *story) trail(ctx context.Context) {
	s.check(ctx, "what became of Eve", s.eventsOf("eve"), "requested", "approved", "granted", "revoked", "requested", "revoked")
	s.check(ctx, "a line holds what a change log needs", s.granted(planned),
		"access until", `"alice"`, "CHG-1042", username("bob"), username("carol"), "prod-access-controller-manager")
	s.check(ctx, "no line of either operator was changed, removed or moved, and the end, which is anchored every 10 s, is there", s.verify(trail),
		"2 segments", "0 errors, 0 notes")
	line := s.doctor(ctx, username("carol"), username("eve"))
	s.refused(ctx, "somebody who would rather have had another approver is found out", s.verify(doctored),
		fmt.Sprintf("$DEMO/%s:%d: ", doctored, line))
}

// eventsOf lists what the trail tells of a person.
func (s *story) eventsOf(person string) command {
	typed := fmt.Sprintf(`jq -r 'select(.personal.subject.value == "%s") | "\(.time) \(.event): \(.personal.change.value)"' $DEMO/%s`, person, trail)
	return command{typed, func(context.Context) (string, error) {
		var lines []string
		err := s.eachTold(func(t *told) {
			if t.Personal.Subject.Value == person {
				lines = append(lines, fmt.Sprintf("%s %s: %s", t.Time, t.Event, t.Personal.Change.Value))
			}
		})
		return strings.Join(lines, "\n"), err
	}}
}

// granted is the line that says that a grant was granted.
func (s *story) granted(grant string) command {
	typed := fmt.Sprintf(`jq 'select(.event == "granted" and .personal.name.value == "%s") | (.personal | map_values(.value)) as $p | `+
		`{date: .time, change: $p.change, subject: $p.subject, reason: $p.reason, ticket, approvers: $p.approvers, appliedBy: $p.appliedBy}' $DEMO/%s`, grant, trail)
	return command{typed, func(context.Context) (string, error) {
		var found []byte
		err := s.eachTold(func(t *told) {
			if p := t.Personal; t.Event == audit.EventGranted && p.Name.Value == grant && found == nil {
				found, _ = json.MarshalIndent(entry{t.Time, p.Change.Value, p.Subject.Value, p.Reason.Value, t.Ticket, p.Approvers.Value, p.AppliedBy.Value}, "", "  ")
			}
		})
		return string(found), err
	}}
}

// verify has the manager verify a file against the head that is anchored in the cluster.
func (s *story) verify(file string) command {
	head := s.kubectl("", "-n", namespace, "get", "configmap", audit.AnchorName, "-o", "jsonpath={.data."+audit.AnchorKey+"}")
	typed := fmt.Sprintf("%s audit verify $DEMO/%s --head $(%s)", binary, file, head.text)
	return command{typed, func(ctx context.Context) (string, error) {
		anchored, err := head.run(ctx)
		if err != nil {
			return "", err
		}
		out, err := exec.CommandContext(ctx, binary, "audit", "verify", s.path(file), "--head", anchored).CombinedOutput()
		answer := strings.ReplaceAll(strings.TrimSpace(string(out)), s.dir, "$DEMO")
		if err != nil {
			return "", fmt.Errorf("%s audit verify: %w: %s", binary, err, answer)
		}
		return answer, nil
	}}
}

// doctor copies the trail, with a change to the first line that names a person, whose number it returns.
func (s *story) doctor(ctx context.Context, person, instead string) (line int) {
	if s.over(ctx) {
		return 0
	}
	content, err := os.ReadFile(s.path(trail))
	before, _, found := bytes.Cut(content, []byte(person))
	line = 1 + bytes.Count(before, []byte("\n"))
	if err == nil && found {
		err = os.WriteFile(s.path(doctored), bytes.Replace(content, []byte(person), []byte(instead), 1), 0o600)
	}
	if err != nil || !found {
		s.fail(ctx, fmt.Sprintf("%s cannot be changed, looking for %s: %v", trail, person, err))
		return 0
	}
	s.out.command(fmt.Sprintf("sed '%ds/%s/%s/' $DEMO/%s >$DEMO/%s", line, person, instead, trail, doctored), "")
	return line
}

func (s *story) eachTold(each func(*told)) error {
	file, err := os.Open(s.path(trail))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var t told
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return err
		}
		each(&t)
	}
	return lines.Err()
}
