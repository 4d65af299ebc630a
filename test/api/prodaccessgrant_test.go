// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestProdAccessGrant(t *testing.T) {
	base := parse(t, grantManifest)

	t.Run("subject", func(t *testing.T) {
		const nobody = "subject names nobody: set iamUser (or, where the operator runs with --aws=disabled, kubernetesUser)"
		check(t, prodAccessGrant, base, []row{
			{name: "absent", at: "spec.subject", to: absent{}, schema: "Required value"},
			{name: "an IAM user alone", at: "spec.subject.kubernetesUser", to: absent{}},
			{name: "a Kubernetes user alone", at: "spec.subject.iamUser", to: absent{}},
			{name: "nobody", at: "spec.subject", to: map[string]any{}, twin: map[string]any{"iamUser": "alice"}, refused: nobody},
		})
		check(t, prodAccessGrant, base, iamNames("spec.subject.iamUser", 64, nil))
		check(t, prodAccessGrant, base, usernames("spec.subject.kubernetesUser", false,
			"kubernetesUser must be a person: names beginning with system:, eks: or aws: are reserved"))
	})
	t.Run("role", func(t *testing.T) {
		check(t, prodAccessGrant, base, objectNames("spec.role", 63))
	})
	t.Run("namespaces", func(t *testing.T) {
		check(t, prodAccessGrant, base, namespaceLists("spec.namespaces"))
	})
	t.Run("reason", func(t *testing.T) {
		check(t, prodAccessGrant, base, reasons("spec.reason",
			"reason must say why, in words: at least 10 characters, white space at the ends not counted"))
	})
	t.Run("ticket and incident", func(t *testing.T) {
		for at, not := range map[string]string{
			"spec.changeTicket": "changeTicket must not be blank: name the ticket, or leave the field out",
			"spec.incident":     "incident must not be blank: name the incident, or leave the field out",
		} {
			check(t, prodAccessGrant, base, []row{
				{name: at + " absent", at: at, to: absent{}},
				{name: at + " empty", at: at, to: "", twin: absent{}, refused: not},
				{name: at + " blank", at: at, to: " \t\u00a0", twin: "x", refused: not},
				{name: at + " short", at: at, to: "7"},
				{name: at + " in any script", at: at, to: "変更-№7"},
				{name: at + " has 128 characters", at: at, to: letters(128)},
				{name: at + " has 129 characters", at: at, to: letters(129), twin: letters(128), schema: "may not be more than 128"},
			})
		}
	})
	t.Run("staging evidence", func(t *testing.T) {
		check(t, prodAccessGrant, base, links("spec.stagingEvidence", "stagingEvidence must be a link that begins with https:// or http://"))
	})
	t.Run("requester", func(t *testing.T) {
		check(t, prodAccessGrant, base, []row{{name: "absent", at: "spec.requestedBy", to: absent{}, schema: "Required value"}})
		check(t, prodAccessGrant, base, usernames("spec.requestedBy", false,
			"requestedBy must be a person: names beginning with system:, eks: or aws: are reserved"))
		check(t, prodAccessGrant, base, []row{{name: "asks for themselves", at: "spec.requestedBy", to: "alice@hera.example"}})
	})
	t.Run("reviewers", func(t *testing.T) {
		const at = "spec.reviewedBy"
		const requester, subject = "reviewedBy names requestedBy: nobody reviews their own request", "reviewedBy names the subject: nobody reviews their own access"
		check(t, prodAccessGrant, base, usernames(at, true, "reviewedBy must name people: names beginning with system:, eks: or aws: are reserved"))
		check(t, prodAccessGrant, base, []row{
			{name: "absent", at: at, to: absent{}},
			{name: "none", at: at, to: []string{}},
			{name: "10", at: at, to: numbered("r-", 10)},
			{name: "11", at: at, to: numbered("r-", 11), twin: numbered("r-", 10), schema: "must have at most 10 items"},
			{name: "twice", at: at, to: []string{"bob", "bob"}, field: at + "[1]", twin: []string{"bob", "carol"}, schema: "Duplicate value"},
			{name: "the requester", at: at, to: []string{"bob", "dana@hera.example"}, twin: []string{"bob", "dan@hera.example"}, refused: requester},
			{name: "the requester, but for case", at: at, to: []string{"Dana@Hera.example"}, twin: []string{"Dan@Hera.example"}, refused: requester},
			{name: "the subject's IAM user", at: at, to: []string{"Alice"}, twin: []string{"Alicia"}, refused: subject},
			{name: "the subject's Kubernetes user", at: at, to: []string{"ALICE@hera.example"}, twin: []string{"ALICIA@hera.example"}, refused: subject},
			{name: "the requester comes second", at: "spec.requestedBy", to: "bob@hera.example", field: at, twin: "bo@hera.example", refused: requester},
		})
		check(t, prodAccessGrant, with(t, base, "spec.subject.kubernetesUser", absent{}), []row{
			{name: "the subject's only name", at: at, to: []string{"alice"}, twin: []string{"alice@hera.example"}, refused: subject},
		})
	})
	t.Run("times", func(t *testing.T) {
		const begin, end = "spec.notBefore", "spec.expiresAt"
		const order = "expiresAt must be later than notBefore"
		const long = "the window from notBefore to expiresAt is longer than 168h, the most that any role allows: end it earlier"
		whole := func(field string) string { return field + " must be in whole seconds, such as 2026-11-23T09:00:00Z" }
		check(t, prodAccessGrant, base, []row{
			{name: "no begin", at: begin, to: absent{}},
			{name: "no end", at: end, to: absent{}, schema: "Required value"},
			{name: "one second", at: end, to: "2026-11-23T09:00:01Z"},
			{name: "no time at all", at: end, to: "2026-11-23T09:00:00Z", twin: "2026-11-23T09:00:01Z", refused: order},
			{name: "no time at all, in another zone", at: end, to: "2026-11-23T14:30:00+05:30", twin: "2026-11-23T14:30:01+05:30", refused: order},
			{name: "an end before the begin", at: end, to: "2026-11-23T08:59:59Z", twin: "2026-11-23T09:00:01Z", refused: order},
			{name: "a begin after the end", at: begin, to: "2026-11-23T13:00:01Z", field: end, twin: "2026-11-23T12:59:59Z", refused: order},
			{name: "168 hours", at: end, to: "2026-11-30T09:00:00Z"},
			{name: "168 hours and a second", at: end, to: "2026-11-30T09:00:01Z", twin: "2026-11-30T09:00:00Z", refused: long},
			{name: "the last year there is", at: end, to: "9999-12-31T23:59:59Z", refused: long},
			{name: "long past", at: begin, to: "1999-12-31T23:00:00Z", field: end, twin: "2026-11-23T08:00:00Z", refused: long},
			{name: "another zone", at: end, to: "2026-11-23T14:00:00+01:00"},
			{name: "noughts after the second", at: end, to: "2026-11-23T13:00:00.000Z"},
		})
		for _, f := range []struct{ at, name, second string }{{begin, "notBefore", "2026-11-23T09:00:00"}, {end, "expiresAt", "2026-11-23T13:00:00"}} {
			rows := []row{}
			for _, fraction := range []string{".5", ".001", ".000001", ".000000001", ".999999999", ",25"} {
				rows = append(rows, row{name: f.name + fraction, at: f.at, to: f.second + fraction + "Z", twin: f.second + "Z", refused: whole(f.name)})
			}
			for _, bad := range []string{"", "soon", "2026-11-23", "2026-11-23 13:00:00Z", f.second, "2026-02-30T13:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T12:00:60Z"} {
				rows = append(rows, row{name: f.name + " is " + bad, at: f.at, to: bad, twin: f.second + "Z", schema: "must be of type date-time"})
			}
			check(t, prodAccessGrant, base, rows)
		}
		// The schema takes these for times. The operator could not read them, so no rule may let them pass.
		for _, bad := range []string{"2026-11-23t13:00:00z", "2026-11-23T13:00:00z", "2026-11-23T13:00:00x5Z", "2026-11-23T13:00:00+99:99"} {
			for _, at := range []string{begin, end} {
				if _, err := prodAccessGrant.create(t, with(t, base, at, bad), metav1.DryRunAll); err == nil || !strings.Contains(err.Error(), "must be in whole seconds") {
					t.Errorf("%s: %s: got %v", at, bad, err)
				}
			}
		}
		check(t, prodAccessGrant, with(t, base, begin, absent{}), []row{
			// How long the window is then, only the moment of creation tells; the role's maxDuration is held against it.
			{name: "no begin and a far end", at: end, to: "2099-01-01T00:00:00Z"},
			{name: "no begin and an end that is past", at: end, to: "2001-01-01T00:00:00Z"},
		})
	})
	unknownFields(t, prodAccessGrant, base, "spec", "spec.subject")
}

// objectNames are the rows of the name of a cluster-scoped object of ours.
func objectNames(at string, most int) []row {
	rows := []row{
		{name: at + " is absent", at: at, to: absent{}, schema: "Required value"},
		{name: at + " is empty", at: at, to: "", twin: "a", schema: "should be at least 1 chars long"},
		{name: fmt.Sprintf("%s has %d characters", at, most), at: at, to: letters(most)},
		{name: fmt.Sprintf("%s has %d characters", at, most+1), at: at, to: letters(most + 1), twin: letters(most), schema: fmt.Sprintf("may not be more than %d", most)},
		{name: at + " has dots and digits", at: at, to: "7.infra-member.v2"},
	}
	for bad, good := range map[string]string{
		"Infra": "infra", "in fra": "in-fra", "in_fra": "in-fra", "-infra": "x-infra", "infra.": "infra.x", "in/fra": "in.fra", "ínfra": "infra", "infra\n": "infra",
	} {
		rows = append(rows, row{name: fmt.Sprintf("%s is %q", at, bad), at: at, to: bad, twin: good, schema: "should match"})
	}
	return rows
}

// reasons are the rows of a reason.
func reasons(at, not string) []row { return sentences(at, not, 1024) }

// sentences are the rows of a text that must say something.
func sentences(at, not string, most int) []row {
	return []row{
		{name: "absent", at: at, to: absent{}, schema: "Required value"},
		{name: "empty", at: at, to: "", refused: not},
		{name: "10 characters", at: at, to: "disk fails"},
		{name: "9 characters", at: at, to: "disk fail", twin: "disk fails", refused: not},
		{name: "any script", at: at, to: "ディスクを交換する作業"},
		{name: "lines", at: at, to: "The disk fails.\nThe plan:\treplace it.\n"},
		{name: "blank", at: at, to: strings.Repeat(" ", 20), twin: strings.Repeat("x", 20), refused: not},
		{name: "blank in Unicode", at: at, to: strings.Repeat("\u00a0\u2003\n", 9), refused: not},
		{name: "invisible", at: at, to: strings.Repeat("\u200b", 20), refused: not},
		{name: "9 characters and blanks", at: at, to: "  disk fail   ", twin: "  disk fails   ", refused: not},
		{name: "no word", at: at, to: ".................", twin: "................a", refused: not},
		{name: "a number", at: at, to: "1234567890", twin: "CHG 567890", refused: not},
		{name: "as long as it may be", at: at, to: strings.Repeat("é", most)},
		{name: "one character longer", at: at, to: letters(most + 1), twin: letters(most), schema: fmt.Sprintf("may not be more than %d", most)},
	}
}

// namespaceLists are the rows of a list of namespaces.
func namespaceLists(at string) []row {
	namespaces := make([]string, 301)
	for i := range namespaces {
		namespaces[i] = fmt.Sprintf("team-%d", i)
	}
	rows := []row{
		{name: "absent", at: at, to: absent{}},
		{name: "none", at: at, to: []string{}, twin: absent{}, schema: "should have at least 1 items"},
		{name: "1", at: at, to: namespaces[:1]},
		{name: "300", at: at, to: namespaces[:300]},
		{name: "301", at: at, to: namespaces, twin: namespaces[:300], schema: "must have at most 300 items"},
		{name: "twice", at: at, to: []string{"payments", "payments"}, field: at + "[1]", twin: []string{"payments", "payments2"}, schema: "Duplicate value"},
		{name: "63 characters", at: at, to: []string{letters(63)}},
		{name: "64 characters", at: at, to: []string{letters(64)}, field: at + "[0]", twin: []string{letters(63)}, schema: "may not be more than 63"},
		{name: "empty", at: at, to: []string{""}, field: at + "[0]", twin: []string{"a"}, schema: "should be at least 1 chars long"},
	}
	for bad, good := range map[string]string{
		"Payments": "payments", "pay.ments": "pay-ments", "pay_ments": "pay-ments", "-payments": "x-payments", "payments-": "payments-x",
		"pay ments": "pay-ments", "*": "x", "payménts": "payments", "payments\n": "payments", "a/b": "a-b",
	} {
		rows = append(rows, row{name: fmt.Sprintf("%q", bad), at: at, to: []string{bad}, field: at + "[0]", twin: []string{good}, schema: "should match"})
	}
	return rows
}

// links are the rows of a link that may be left out.
func links(at, not string) []row {
	long := "https://ci.hera.example/"
	return []row{
		{name: "absent", at: at, to: absent{}},
		{name: "http, a port and a query", at: at, to: "http://ci.hera.example:8080/run?id=7#log"},
		{name: "empty", at: at, to: "", twin: absent{}, refused: not},
		{name: "words", at: at, to: "tested it yesterday", refused: not},
		{name: "no scheme", at: at, to: "ci.hera.example/run/7", twin: "https://ci.hera.example/run/7", refused: not},
		{name: "a script", at: at, to: "javascript://x/alert(1)", twin: "https://x/alert(1)", refused: not},
		{name: "a file", at: at, to: "file:///run/7", twin: "http://x/run/7", refused: not},
		{name: "no host", at: at, to: "https:///run/7", twin: "https://x/run/7", refused: not},
		{name: "1024 characters", at: at, to: long + letters(1024-len(long))},
		{name: "1025 characters", at: at, to: long + letters(1025-len(long)), twin: long + letters(1024-len(long)), schema: "may not be more than 1024"},
	}
}
