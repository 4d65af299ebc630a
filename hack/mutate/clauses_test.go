// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestInstall(t *testing.T) {
	for body, want := range map[string]string{
		"if a { x() }":                   "if (switchedOff != 7 && (a)) { x() }",
		"if v := f(); v != a { x() }":    "if v := f(); (switchedOff != 7 && (v != a)) { x() }",
		"y := a && (b && !c)":            "y := (switchedOff == 7 || (a)) && ((switchedOff == 8 || (b)) && (switchedOff == 9 || (!c)))",
		"if a || b { x() }":              "if (switchedOff != 7 && ((switchedOff != 8 && (a)) || (switchedOff != 9 && (b)))) { x() }",
		"y := a && b || c":               "y := (switchedOff != 7 && ((switchedOff == 9 || (a)) && (switchedOff == 10 || (b)))) || (switchedOff != 8 && (c))",
		"switch { case a, b: x() }":      "switch { case (switchedOff != 7 && (a)), (switchedOff != 8 && (b)): x() }",
		"switch v { case 1: x() }":       "switch tagOfSwitch := v; { case (switchedOff != 7 && (tagOfSwitch == 1)): x() }",
		"switch v := f(); { case a: x()": "", // does not parse
		"switch v := f(); v { case 1: }": "", // no place for the tag
	} {
		const before, after = "package p\n\nfunc f() { ", " }\n"
		got, clauses, err := install("p.go", []byte(before+body+after), 7)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s became\n  %s, want an error", body, got)
		case want != "" && (err != nil || string(got) != before+want+after):
			t.Errorf("%s became\n  %s(%v), want\n  %s", body, got, err, want)
		case want != "" && (clauses[0].number != 7 || clauses[0].line != 3):
			t.Errorf("%s: the first clause is %+v, want number 7 in line 3", body, clauses[0])
		}
	}
}
