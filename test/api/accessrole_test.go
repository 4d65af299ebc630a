// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAccessRole(t *testing.T) {
	base := parse(t, roleManifest)

	t.Run("name", func(t *testing.T) {
		check(t, accessRole, base, []row{
			{name: "63 characters", at: "metadata.name", to: letters(63)},
			{name: "64 characters", at: "metadata.name", to: letters(64), field: "<nil>", twin: letters(63),
				refused: "the name of a role has at most 63 characters: choose a shorter one"},
		})
	})
	t.Run("description", func(t *testing.T) {
		check(t, accessRole, base, []row{
			{name: "absent", at: "spec.description", to: absent{}},
			{name: "empty", at: "spec.description", to: ""},
			{name: "any script", at: "spec.description", to: strings.Repeat("é", 512)},
			{name: "513 characters", at: "spec.description", to: letters(513), twin: letters(512), schema: "may not be more than 512"},
			{name: "a number", at: "spec.description", to: 5, twin: "5", schema: "must be of type string"},
		})
	})
	t.Run("durations", func(t *testing.T) {
		check(t, accessRole, base, durations("spec.maxDuration", "maxDuration", "1m", "168h", "59s", "168h0m1s", "8h or 1h30m"))
		check(t, accessRole, base, durations("spec.maxLeadTime", "maxLeadTime", "0s", "8760h", "", "8760h0m1s", "168h"))
		check(t, accessRole, base, durations("spec.requirements.maxCredentialAge", "maxCredentialAge", "1h", "8760h", "59m59s", "8760h0m1s", "1440h"))
		check(t, accessRole, base, durations("spec.breakGlass.maxDuration", "breakGlass.maxDuration", "1m", "168h", "59s", "168h0m1s", "4h or 1h30m"))
		check(t, accessRole, base, durations("spec.breakGlass.reportWithin", "breakGlass.reportWithin", "1h", "720h", "59m59s", "720h0m1s", "72h"))
		check(t, accessRole, base, []row{
			{name: "no maxDuration", at: "spec.maxDuration", to: absent{}, schema: "Required value"},
			{name: "no breakGlass.maxDuration", at: "spec.breakGlass.maxDuration", to: absent{}, schema: "Required value"},
			{name: "no breakGlass", at: "spec.breakGlass", to: absent{}},
			{name: "no maxCredentialAge", at: "spec.requirements.maxCredentialAge", to: absent{}},
		})
	})
	t.Run("enumerations", func(t *testing.T) {
		for at, values := range map[string][]string{
			"spec.incident":               {"Optional", "Required"},
			"spec.change.stagingEvidence": {"Optional", "Required"},
			"spec.requirements.onStale":   {"Warn", "Suspend", "Deactivate"},
			"spec.kubernetes.scope":       {"Cluster", "Namespaces"},
			"spec.kubernetes.access":      {"ReadWrite", "ReadOnly"},
		} {
			rows := []row{
				{name: at + " is unknown", at: at, to: "Sometimes", schema: `Unsupported value: "Sometimes"`},
				{name: at + " in lower case", at: at, to: strings.ToLower(values[0]), twin: values[0], schema: "Unsupported value"},
				{name: at + " is empty", at: at, to: "", schema: `Unsupported value: ""`},
			}
			for _, v := range values {
				rows = append(rows, row{name: at + " is " + v, at: at, to: v})
			}
			check(t, accessRole, base, rows)
		}
	})
	t.Run("approval", func(t *testing.T) {
		const required, attesters = "spec.approval.required", "spec.approval.attesters"
		check(t, accessRole, base, []row{
			{name: "absent", at: "spec.approval", to: absent{}},
			{name: "nobody", at: required, to: 0, twin: 1, schema: "should be greater than or equal to 1"},
			{name: "fewer than nobody", at: required, to: -1, twin: 1, schema: "should be greater than or equal to 1"},
			{name: "11 people", at: required, to: 11, twin: 10, schema: "should be less than or equal to 10"},
			{name: "a word", at: required, to: "2", twin: 2, schema: "must be of type integer"},
			{name: "no attesters", at: attesters, to: []string{}},
			{name: "10 attesters", at: attesters, to: numbered("bot-", 10)},
			{name: "11 attesters", at: attesters, to: numbered("bot-", 11), twin: numbered("bot-", 10), schema: "must have at most 10 items"},
			{name: "an attester twice", at: attesters, to: []string{"bot", "bot"}, field: attesters + "[1]", twin: []string{"bot", "other"}, schema: "Duplicate value"},
		})
		// An attester carries reviews and is none: it may well be a service account.
		check(t, accessRole, base, usernames(attesters, true, ""))
	})
	t.Run("ticket pattern", func(t *testing.T) {
		const at, not = "spec.change.ticketPattern", " evaluating rule: ticketPattern must be a regular expression in RE2 syntax, such as CHG-[0-9]+"
		check(t, accessRole, base, []row{
			{name: "absent", at: at, to: absent{}},
			{name: "empty", at: at, to: ""},
			{name: "alternatives", at: at, to: `(CHG|RFC)-\d{1,6}`},
			{name: "flags", at: at, to: `(?i)chg-[0-9]+`},
			{name: "any script", at: at, to: `\p{Lu}+-№[0-9]+`},
			{name: "a parenthesis left open", at: at, to: "CHG-(", twin: "CHG-()", refused: "error parsing regexp: missing closing ): `CHG-(`" + not},
			{name: "a bracket left open", at: at, to: "CHG-[0-9+", twin: "CHG-[0-9]+", refused: "error parsing regexp: missing closing ]: `[0-9+`" + not},
			{name: "nothing to repeat", at: at, to: "*", twin: ".*", refused: "error parsing regexp: missing argument to repetition operator: `*`" + not},
			{name: "look-ahead, which RE2 lacks", at: at, to: "(?=CHG)", twin: "(?:CHG)", refused: "error parsing regexp: invalid or unsupported Perl syntax: `(?=`" + not},
			{name: "too many repetitions", at: at, to: "a{1001}", twin: "a{1000}", refused: "error parsing regexp: invalid repeat count: `{1001}`" + not},
			// Put into the parentheses that make it match as a whole, it would get out of them and match any part.
			{name: "an escape from the whole", at: at, to: "CHG)|(x", twin: "(CHG)|(x)", refused: "error parsing regexp: unexpected ): `CHG)|(x`" + not},
			// Put into these parentheses, it would swallow the closing one.
			{name: "an open quotation", at: at, to: `\QCHG`, twin: `\QCHG\E`, refused: "error parsing regexp: missing closing ): `^(?:\\QCHG)$`" + not},
			{name: "257 characters", at: at, to: letters(257), twin: letters(256), schema: "may not be more than 256"},
		})
	})
	t.Run("cluster role", func(t *testing.T) {
		const at, prefix = "spec.kubernetes.clusterRole", "prod-access-"
		const not = "clusterRole must begin with prod-access-: admission guards the ClusterRoles of that name and no others"
		longest := prefix + letters(253-len(prefix))
		check(t, accessRole, base, []row{
			{name: "absent", at: at, to: absent{}, schema: "Required value"},
			{name: "253 characters", at: at, to: longest},
			{name: "254 characters", at: at, to: longest + "a", twin: longest, schema: "may not be more than 253"},
			{name: "every character that Kubernetes allows", at: at, to: prefix + "aggregate:to.View_7"},
			{name: "a slash", at: at, to: prefix + "a/b", twin: prefix + "a-b", schema: "should match"},
			{name: "a blank", at: at, to: prefix + "a b", twin: prefix + "a-b", schema: "should match"},
			{name: "a line feed at the end", at: at, to: prefix + "a\n", twin: prefix + "a", schema: "should match"},
			{name: "without the prefix", at: at, to: "view", twin: prefix + "view", refused: not},
			{name: "of Kubernetes itself", at: at, to: "system:aggregate-to-view", twin: prefix + "system:aggregate-to-view", refused: not},
			{name: "the prefix in capitals", at: at, to: "Prod-access-view", twin: prefix + "view", refused: not},
			{name: "the prefix cut", at: at, to: "prod-access", twin: "prod-access-", refused: not},
			{name: "the prefix further on", at: at, to: "x-prod-access-view", twin: prefix + "view", refused: not},
			{name: "no scope", at: "spec.kubernetes.scope", to: absent{}, schema: "Required value"},
			{name: "no access", at: "spec.kubernetes.access", to: absent{}, schema: "Required value"},
		})
	})
	t.Run("IAM groups", func(t *testing.T) {
		const at = "spec.aws.groups"
		one := func(name string) []string { return []string{name} }
		rows := []row{
			{name: "5 groups", at: at, to: numbered("g-", 5)},
			{name: "6 groups", at: at, to: numbered("g-", 6), twin: numbered("g-", 5), schema: "must have at most 5 items"},
			{name: "twice", at: at, to: []string{"g", "g"}, field: at + "[1]", twin: []string{"g", "h"}, schema: "Duplicate value"},
			{name: "twice, but for case", at: at, to: []string{"Prod", "prod"}, twin: []string{"Prod", "prod2"},
				refused: "groups names one group twice: to IAM, upper and lower case are the same"},
		}
		check(t, accessRole, base, append(rows, iamNames(at, 128, one)...))
	})
	t.Run("source networks", func(t *testing.T) {
		const at = "spec.aws.allowedSourceCIDRs"
		const not = "must be a network in CIDR notation, written with its first address, such as 203.0.113.0/24, or 203.0.113.7/32 for a single address"
		networks := make([]string, 51)
		for i := range networks {
			networks[i] = fmt.Sprintf("10.0.%d.0/24", i)
		}
		rows := []row{
			{name: "none", at: at, to: []string{}},
			{name: "absent", at: at, to: absent{}},
			{name: "IPv6", at: at, to: []string{"2001:db8::/32"}},
			{name: "a single address", at: at, to: []string{"203.0.113.7/32"}},
			{name: "50", at: at, to: networks[:50]},
			{name: "51", at: at, to: networks, twin: networks[:50], schema: "must have at most 50 items"},
			{name: "twice", at: at, to: []string{"10.0.0.0/8", "10.0.0.0/8"}, field: at + "[1]", twin: []string{"10.0.0.0/8", "11.0.0.0/8"}, schema: "Duplicate value"},
			{name: "empty", at: at, to: []string{""}, field: at + "[0]", refused: not},
			{name: "65 characters", at: at, to: []string{letters(65)}, field: at + "[0]", schema: "may not be more than 64"},
			{name: "without groups", at: "spec.aws.groups", to: absent{}, field: "spec.aws",
				refused: "allowedSourceCIDRs guards IAM groups only: name the groups, or leave it out"},
		}
		for bad, good := range map[string]string{
			"203.0.113.7": "203.0.113.7/32", "10.0.0.1/8": "10.0.0.0/8", "10.0.0.0/33": "10.0.0.0/32", "10.0.0/8": "10.0.0.0/8",
			"10.0.0.0/08": "10.0.0.0/8", "10.0.0.0/8 ": "10.0.0.0/8", "10.0.0.0 - 10.0.0.9": "10.0.0.0/29", "office": "10.0.0.0/8",
			"256.0.0.0/8": "255.0.0.0/8", "2001:db8::1/32": "2001:db8::/32", "::ffff:10.0.0.0/104": "10.0.0.0/8",
		} {
			rows = append(rows, row{name: bad, at: at, to: []string{bad}, field: at + "[0]", twin: []string{good}, refused: not})
		}
		check(t, accessRole, base, rows)
	})
	t.Run("meaning", func(t *testing.T) {
		const nothing = "a role must mean something: set kubernetes, aws.groups, or both"
		check(t, accessRole, base, []row{
			{name: "Kubernetes alone", at: "spec.aws", to: absent{}},
			{name: "AWS alone", at: "spec.kubernetes", to: absent{}},
		})
		check(t, accessRole, with(t, base, "spec.aws", absent{}), []row{
			{name: "neither", at: "spec.kubernetes", to: absent{}, field: "spec", refused: nothing},
			{name: "an empty AWS side", at: "spec.aws", to: map[string]any{}},
		})
		for name, empty := range map[string]any{"AWS without groups": map[string]any{}, "an empty list of groups": map[string]any{"groups": []string{}}} {
			check(t, accessRole, with(t, base, "spec.aws", empty), []row{
				{name: name + " and no Kubernetes", at: "spec.kubernetes", to: absent{}, field: "spec", refused: nothing},
			})
		}
	})
	t.Run("whole parts", func(t *testing.T) {
		check(t, accessRole, base, []row{
			{name: "no spec", at: "spec", to: absent{}, schema: "Required value"},
			{name: "no change", at: "spec.change", to: absent{}},
			{name: "no requirements", at: "spec.requirements", to: absent{}},
		})
	})
	unknownFields(t, accessRole, base, "spec", "spec.approval", "spec.change", "spec.requirements", "spec.breakGlass", "spec.kubernetes", "spec.aws")
}

// durations are the rows of a duration: at and beyond its bounds, and written in ways that are none.
func durations(at, field, least, most, less, more, example string) []row {
	said := fmt.Sprintf("%s must be from %s to %s, in hours, minutes and seconds, such as %s", field, least, most, example)
	refuse := func(bad, good string) row {
		return row{name: fmt.Sprintf("%s is %q", at, bad), at: at, to: bad, twin: good, refused: said}
	}
	rows := []row{
		{name: at + " is the least", at: at, to: least},
		{name: at + " is the most", at: at, to: most},
		{name: at + " in minutes", at: at, to: "60m"},
		{name: at + " in seconds", at: at, to: "3600s"},
		{name: at + " is mixed", at: at, to: "1h30m"},
		{name: at + " as Go writes it", at: at, to: "2h0m0s"},
		{name: at + " is a number", at: at, to: 8, twin: "8h", schema: "must be of type string"},
		{name: at + " has 33 characters", at: at, to: strings.Repeat("0", 32) + "h", twin: "8h", field: at, schema: "may not be more than 32"},
		refuse(more, most),
		refuse("1d", "24h"), refuse("-2h", "2h"), refuse("+2h", "2h"), refuse("1.5h", "1h30m"), refuse("2 h", "2h"), refuse("2H", "2h"),
		refuse("30m1h", "1h30m"), refuse("7200", "7200s"), refuse("7200000ms", "7200s"), refuse("PT2H", "2h"), refuse("", "2h"),
		refuse("2h\n", "2h"), refuse("99999h", "2h"), refuse("99999999999999999999h", "2h"), refuse("7.2e3s", "7200s"),
	}
	if at != "spec.maxLeadTime" {
		rows = append(rows, refuse(less, least), refuse("0s", least))
	}
	return rows
}

// usernames are the rows of a username, or of one in a list; reserved is the sentence against names that are no
// person's, "" where they are allowed.
func usernames(at string, list bool, reserved string) []row {
	const white = "a username holds no white space and no invisible characters: write it as kubectl auth whoami shows it"
	wrap, field := func(s string) any { return s }, at
	if list {
		wrap, field = func(s string) any { return []string{s} }, at+"[0]"
	}
	rows := []row{
		{name: at + " is an address", at: at, to: wrap("eve@hera.example")},
		{name: at + " is an ARN", at: at, to: wrap("arn:aws:iam::123456789012:user/eve")},
		{name: at + " is of an identity provider", at: at, to: wrap("https://id.hera.example#eve")},
		{name: at + " is in another script", at: at, to: wrap("Ирина.Ćwik-中村")},
		{name: at + " only resembles a reserved name", at: at, to: wrap("systems:eve")},
		{name: at + " holds a reserved name", at: at, to: wrap("eve-system:x")},
		{name: at + " has 256 characters", at: at, to: wrap(strings.Repeat("é", 256))},
		{name: at + " has 257 characters", at: at, to: wrap(letters(257)), field: field, twin: wrap(letters(256)), schema: "may not be more than 256"},
		{name: at + " is empty", at: at, to: wrap(""), field: field, twin: wrap("e"), schema: "should be at least 1 chars long"},
	}
	for name, c := range map[string]string{
		"a blank": " ", "a tab": "\t", "a line feed": "\n", "a carriage return": "\r", "a vertical tab": "\v", "a no-break space": "\u00a0",
		"an em space": "\u2003", "an ideographic space": "\u3000", "a line separator": "\u2028", "a zero-width space": "\u200b",
		"a zero-width joiner": "\u200d", "a byte order mark": "\ufeff", "a soft hyphen": "\u00ad", "a right-to-left override": "\u202e",
		"a NUL": "\x00", "an escape": "\x1b", "a delete": "\x7f", "a private character": "\ue000",
	} {
		for _, bad := range []string{c + "eve", "e" + c + "ve", "eve" + c} {
			rows = append(rows, row{name: fmt.Sprintf("%s with %s, %q", at, name, bad), at: at, to: wrap(bad), field: field, twin: wrap("eve"), refused: white})
		}
	}
	for _, prefix := range []string{"system:", "eks:", "aws:"} {
		for _, name := range []string{prefix + "eve", prefix} {
			r := row{name: at + " is " + name, at: at, to: wrap(name)}
			if reserved != "" {
				// The twin lacks but the colon.
				r.refused, r.twin, r.field = reserved, wrap(strings.Replace(name, ":", "-", 1)), at
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// iamNames are the rows of an IAM name, or of one in a list.
func iamNames(at string, most int, wrap func(string) []string) []row {
	to, field := func(s string) any { return s }, at
	if wrap != nil {
		to, field = func(s string) any { return wrap(s) }, at+"[0]"
	}
	rows := []row{
		{name: "every character that IAM allows", at: at, to: to("Az09_+=,.@-")},
		{name: fmt.Sprintf("%d characters", most), at: at, to: to(letters(most))},
		{name: fmt.Sprintf("%d characters", most+1), at: at, to: to(letters(most + 1)), field: field, twin: to(letters(most)),
			schema: fmt.Sprintf("may not be more than %d", most)},
		{name: "empty", at: at, to: to(""), field: field, twin: to("a"), schema: "should be at least 1 chars long"},
	}
	for _, c := range []string{"/", " ", ":", "*", "?", "#", "%", "&", "\\", "'", "\"", "<", "é", "\u200b", "\n", "\x00", "ａ"} {
		rows = append(rows, row{name: fmt.Sprintf("with %q", c), at: at, to: to("a" + c + "b"), field: field, twin: to("a-b"), schema: "should match"})
	}
	// A pattern must not end at a line's end.
	return append(rows, row{name: "a line feed at the end", at: at, to: to("ab\n"), field: field, twin: to("ab"), schema: "should match"})
}

// unknownFields checks that a misspelt field is refused by strict validation, which kubectl asks for, wherever it is.
func unknownFields(t *testing.T, k kind, base *unstructured.Unstructured, parents ...string) {
	t.Helper()
	t.Run("unknown fields", func(t *testing.T) {
		for _, parent := range parents {
			path := parent + ".nonsense"
			_, err := k.create(t, with(t, base, path, "x"), metav1.DryRunAll)
			if want := fmt.Sprintf("strict decoding error: unknown field %q", path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", path, err, want)
			}
		}
	})
}
