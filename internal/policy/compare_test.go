// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// document is a policy as encoding/json sees it.
type document = map[string]any

func decoded(t *testing.T, text string) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func encoded(t *testing.T, d any) string {
	t.Helper()
	out, err := json.MarshalIndent(d, " ", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// shuffled is the same policy, written by somebody else.
func shuffled(random *rand.Rand, value any) any {
	switch v := value.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, shuffled(random, e))
		}
		random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		if len(out) == 1 && random.IntN(2) == 0 {
			return out[0]
		}
		return out
	case map[string]any:
		for key, e := range v {
			v[key] = shuffled(random, e)
			switch key {
			case "Sid":
				v[key] = fmt.Sprintf("S%d", random.IntN(1000))
			case "Action", "NotAction", "Resource":
				if one, ok := v[key].(string); ok {
					v[key] = []any{one}
				}
			}
		}
	}
	return value
}

func rendered(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, role := range known {
		guard, err := Guard(role, specOf("203.0.113.0/24", "198.51.100.0/24"), account)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, guard)
	}
	grantor, revoker, both := Operator(account, []string{"a", "b"}, "/", true)
	return append(out, grantor, revoker, both, Boundary(account), BreakGlassRole(account), BreakGlassBoundary(account))
}

func TestCompareSameInOtherWords(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, text := range rendered(t) {
		for range 50 {
			other := encoded(t, shuffled(random, decoded(t, text)))
			if difference := Compare(other, text); difference != "" {
				t.Fatalf("%s\nof\n%s\nand\n%s", difference, other, text)
			}
		}
	}
	for name, found := range map[string]string{
		"a boolean":        `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"S3:getobject","Resource":"*","Condition":{"boolIfExists":{"AWS:ViaAWSService":false}}}]}`,
		"one statement":    `{"Statement":{"Effect":"Deny","Resource":["*","*"],"Action":["s3:GetObject"],"Condition":{"BoolIfExists":{"aws:ViaAWSService":["false"]}}},"Version":"2012-10-17"}`,
		"an Id":            `{"Id":"x","Version":"2012-10-17","Statement":[{"Sid":"B","Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"BoolIfExists":{"aws:ViaAWSService":"false"}}}]}`,
		"said twice, once": twice,
		"another case":     strings.NewReplacer("BoolIfExists", "boolifexists", "aws:ViaAWSService", "AWS:viaawsservice").Replace(once),
	} {
		if difference := Compare(found, once); difference != "" {
			t.Errorf("%s: %s", name, difference)
		}
	}
}

const (
	statement1 = `{"Sid":"A","Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"BoolIfExists":{"aws:ViaAWSService":"false"}}}`
	once       = `{"Version":"2012-10-17","Statement":[` + statement1 + `]}`
	twice      = `{"Version":"2012-10-17","Statement":[` + statement1 + `,` + statement1 + `]}`
)

// Everything that could be taken from a rendered document, or said otherwise, is a difference that names its statement.
func TestCompareFindsEveryChange(t *testing.T) {
	changes := 0
	for _, text := range rendered(t) {
		for i, s := range decoded(t, text)["Statement"].([]any) {
			sid := s.(document)["Sid"].(string)
			expect := func(change string, edit func(document)) {
				t.Helper()
				changes++
				d := decoded(t, text)
				edit(d["Statement"].([]any)[i].(document))
				if difference := Compare(encoded(t, d), text); !strings.Contains(difference, sid) {
					t.Errorf("%s of %s: %q", change, sid, difference)
				}
			}
			for key, value := range s.(document) {
				if key == "Sid" {
					continue
				}
				expect("without the "+key, func(s document) { delete(s, key) })
				if many, ok := value.([]any); ok {
					for at := range many {
						expect(fmt.Sprintf("without %s %v", key, many[at]), func(s document) {
							s[key] = slices.Delete(s[key].([]any), at, at+1)
						})
					}
				}
			}
			expect("the other Effect", func(s document) { s["Effect"] = map[any]string{"Allow": "Deny", "Deny": "Allow"}[s["Effect"]] })
			expect("a Principal", func(s document) { s["Principal"] = "*" })
			expect("one more condition", func(s document) {
				c := document{"DateLessThan": document{"aws:CurrentTime": "2020-01-01T00:00:00Z"}}
				if old, ok := s["Condition"].(document); ok {
					maps.Copy(c, old)
				}
				s["Condition"] = c
			})
			if conditions, ok := s.(document)["Condition"].(document); ok {
				for operator, keys := range conditions {
					for key := range keys.(document) {
						expect("another value of "+key, func(s document) { s["Condition"].(document)[operator].(document)[key] = "x" })
						expect("without "+key, func(s document) { delete(s["Condition"].(document)[operator].(document), key) })
					}
					expect("another operator", func(s document) {
						c := s["Condition"].(document)
						c["ForAllValues:"+operator] = c[operator]
						delete(c, operator)
					})
				}
			}
		}
	}
	if changes < 300 {
		t.Errorf("only %d changes were tried", changes)
	}
}

func TestCompareSays(t *testing.T) {
	two := `{"Version":"2012-10-17","Statement":[` + statement1 + `,{"Sid":"B","Effect":"Deny","Action":"iam:*","Resource":"*"}]}`
	long := strings.Repeat("ä", 300)
	for _, c := range []struct{ name, found, want, says string }{
		{"a statement is missing", once, two, "missing: B"},
		{"a statement too many", two, once, "not rendered, but there: B"},
		{"a nameless one too many", `{"Version":"2012-10-17","Statement":[` + statement1 + `,{"Effect":"Allow","Action":"*","Resource":"*"}]}`, once, "not rendered, but there: number 2"},
		{"changed", strings.Replace(two, "iam:*", "iam:Get*", 1), two, "changed: B"},
		{"renamed and changed", strings.NewReplacer("iam:*", "iam:Get*", `"B"`, `"C"`).Replace(two), two, "missing: B; not rendered, but there: C"},
		{"resources differ in case", strings.Replace(two, `"Resource":"*"}]`, `"Resource":"arn:A"}]`, 1), strings.Replace(two, `"Resource":"*"}]`, `"Resource":"arn:a"}]`, 1), "changed: B"},
		{"an old version", strings.Replace(once, "2012-10-17", "2008-10-17", 1), once, `its Version is "2008-10-17" instead of "2012-10-17"`},
		{"no version", `{"Statement":[` + statement1 + `]}`, once, `its Version is "" instead of "2012-10-17"`},
		{"empty", "", once, "it is not a policy document: unexpected end of JSON input"},
		{"a list", "[]", once, "it is not a policy document"},
		{"no statement", `{"Version":"2012-10-17"}`, once, "it is not a policy document"},
		{"null", `null`, once, "it is not a policy document"},
		{"nulls", `{"Version":"2012-10-17","Statement":[null]}`, once, "missing: A; not rendered, but there: number 1"},
		{"an element in another case", strings.Replace(once, "Version", "version", 1), once, `it is not a policy document: policies have no element "version"`},
		{"two documents", once + once, once, "it is not a policy document"},
		{"an element twice", strings.Replace(once, `"Condition":`, `"Condition":{"StringEquals":{"aws:x":"y"}},"Condition":`, 1), once, `it is not a policy document: the key "Condition" is there twice`},
		{"an element twice, written otherwise", strings.Replace(once, `"Effect":`, `"Eff\u0065ct":"Allow","Effect":`, 1), once, `it is not a policy document: the key "Effect" is there twice`},
		{"the statements twice", strings.Replace(once, `"Statement":`, `"Statement":[],"Statement":`, 1), once, `it is not a policy document: the key "Statement" is there twice`},
		{"one statement, an element twice", `{"Version":"2012-10-17","Statement":` + strings.Replace(statement1, `"Action":`, `"Action":"iam:*","Action":`, 1) + `}`, once, `it is not a policy document: the key "Action" is there twice`},
		{"an operator twice", strings.Replace(once, `"BoolIfExists":`, `"BoolIfExists":{},"BoolIfExists":`, 1), once, `it is not a policy document: the key "BoolIfExists" is there twice`},
		{"an operator in two cases", strings.Replace(once, `"BoolIfExists":`, `"boolifexists":{"aws:SecureTransport":"false"},"BoolIfExists":`, 1), once, `it is not a policy document: "BoolIfExists" and "boolifexists" in one condition are the same to IAM`},
		{"a condition key twice", strings.Replace(once, `"aws:ViaAWSService":`, `"aws:ViaAWSService":"true","aws:ViaAWSService":`, 1), once, `it is not a policy document: the key "aws:ViaAWSService" is there twice`},
		{"a condition key in two cases", strings.Replace(once, `"aws:ViaAWSService":`, `"AWS:viaawsservice":"true","aws:ViaAWSService":`, 1), once, `it is not a policy document: "AWS:viaawsservice" and "aws:ViaAWSService" in one condition are the same to IAM`},
		{"a condition that is none", strings.Replace(once, `{"BoolIfExists":{"aws:ViaAWSService":"false"}}`, `"x"`, 1), once, "changed: A"},
		{"an operator that is none", strings.Replace(once, `{"aws:ViaAWSService":"false"}`, `"x"`, 1), once, "changed: A"},
		{"a long name", `{"Version":"2012-10-17","Statement":[` + statement1 + `,{"Sid":"` + long + `","Effect":"Deny"}]}`, once, "not rendered, but there: ää"},
	} {
		difference := Compare(c.found, c.want)
		if !strings.HasPrefix(difference, c.says) || c.says == "" {
			t.Errorf("%s: it says %q", c.name, difference)
		}
		if len(difference) > differenceLimit || !strings.Contains(difference+" ", " ") {
			t.Errorf("%s: %d bytes", c.name, len(difference))
		}
	}
	many := `{"Version":"2012-10-17","Statement":[` + statement1
	for i := range 50 {
		many += fmt.Sprintf(`,{"Sid":"Statement%d","Effect":"Deny"}`, i)
	}
	if difference := Compare(many+"]}", once); len(difference) > differenceLimit || !strings.HasSuffix(difference, "…") {
		t.Errorf("%d bytes: %s", len(difference), difference)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(once, twice)
	f.Add("", "null")
	f.Fuzz(func(t *testing.T, a, b string) {
		if d := Compare(a, b); len(d) > differenceLimit {
			t.Errorf("%d bytes", len(d))
		}
		if json.Valid([]byte(a)) && Compare(a, b) == "" && Compare(b, a) != "" {
			t.Errorf("%q is %q, but not the other way round", a, b)
		}
	})
}

// A letter that only Unicode takes for one of ASCII makes another action, which IAM does not have.
func TestCompareKnowsTheCaseOfASCIIAlone(t *testing.T) {
	const rendered = `{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Deny","Action":"kms:DisableKey","Resource":"*"}]}`
	for name, row := range map[string]struct {
		action string
		same   bool
	}{"capitals": {"KMS:disablekey", true}, "the sign of the kelvin": {`\u212Ams:DisableKey`, false}} {
		found := strings.Replace(rendered, "kms:DisableKey", row.action, 1)
		if difference := Compare(found, rendered); (difference == "") != row.same {
			t.Errorf("%s: %q", name, difference)
		}
	}
}
