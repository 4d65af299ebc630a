// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// differenceLimit bounds what Compare says, in bytes.
const differenceLimit = 300

// Compare says how a document that was found differs from the rendered one, "" if it says the same. Order, white space,
// Sids, and the case of what IAM compares without case are no difference; nor is one string where a list of one could be.
// What can be read in two ways, a key that is there twice, is the same as nothing. found is plain JSON: IAM's answers
// carry it URL-encoded.
func Compare(found, rendered string) (difference string) {
	is, err := parse(found)
	if err != nil {
		return "it is not a policy document: " + clip(err.Error(), 200)
	}
	want, err := parse(rendered)
	if err != nil {
		return "the rendered document is none: " + clip(err.Error(), 200)
	}
	var said []string
	if is.version != want.version {
		said = append(said, fmt.Sprintf("its Version is %.20q instead of %q", is.version, want.version))
	}
	var missing, changed, more []string
	replaced := map[string]bool{}
	for _, s := range want.statements {
		switch {
		case is.says(s.meaning):
		case slices.ContainsFunc(is.statements, func(f parsed) bool { return f.sid == s.sid && s.sid != "" }):
			changed = append(changed, s.sid)
			replaced[s.sid] = true
		default:
			missing = append(missing, s.sid)
		}
	}
	for i, s := range is.statements {
		if !want.says(s.meaning) && !replaced[s.sid] {
			more = append(more, cmp.Or(clip(s.sid, 40), fmt.Sprintf("number %d", i+1)))
		}
	}
	for _, part := range []struct {
		label string
		names []string
	}{{"missing: ", missing}, {"changed: ", changed}, {"not rendered, but there: ", more}} {
		if len(part.names) > 0 {
			said = append(said, part.label+strings.Join(part.names, ", "))
		}
	}
	return clip(strings.Join(said, "; "), differenceLimit)
}

// clip shortens what a stranger may have written, at the border of a character.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len("…")], "") + "…"
}

type parsedDocument struct {
	version    string
	statements []parsed
}

func (d parsedDocument) says(meaning string) bool {
	return slices.ContainsFunc(d.statements, func(s parsed) bool { return s.meaning == meaning })
}

// parsed is a statement: what it is called, and what it says in one way of writing.
type parsed struct{ sid, meaning string }

func parse(document string) (parsedDocument, error) {
	var d map[string]json.RawMessage
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		return parsedDocument{}, err
	}
	if err := unrepeated(json.NewDecoder(strings.NewReader(document))); err != nil {
		return parsedDocument{}, err
	}
	for key := range d {
		if !slices.Contains([]string{"Id", "Statement", "Version"}, key) {
			return parsedDocument{}, fmt.Errorf("policies have no element %.40q", key)
		}
	}
	var out parsedDocument
	if v, there := d["Version"]; there {
		if err := json.Unmarshal(v, &out.version); err != nil {
			return parsedDocument{}, err
		}
	}
	var many []map[string]any
	if err := json.Unmarshal(d["Statement"], &many); err != nil {
		var one map[string]any
		if err := json.Unmarshal(d["Statement"], &one); err != nil {
			return parsedDocument{}, err
		}
		many = []map[string]any{one}
	}
	for _, fields := range many {
		sid, _ := fields["Sid"].(string)
		delete(fields, "Sid")
		for key, value := range fields {
			one, err := normalised(key, value)
			if err != nil {
				return parsedDocument{}, err
			}
			fields[key] = one
		}
		meaning, err := json.Marshal(fields)
		if err != nil {
			return parsedDocument{}, err
		}
		out.statements = append(out.statements, parsed{sid, string(meaning)})
	}
	return out, nil
}

// unrepeated reads a value, and fails at an object that has a key twice: encoding/json would take the last.
func unrepeated(d *json.Decoder) error {
	opening, err := d.Token()
	if err != nil || opening != json.Delim('{') && opening != json.Delim('[') {
		return err
	}
	keys := map[json.Token]bool{}
	for d.More() {
		if opening == json.Delim('{') {
			key, err := d.Token()
			if err != nil {
				return err
			}
			if keys[key] {
				return fmt.Errorf("the key %.40q is there twice", key)
			}
			keys[key] = true
		}
		if err := unrepeated(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// normalised is the one way of writing an element of a statement. Actions, operators and condition keys are without case
// to IAM.
func normalised(element string, value any) (any, error) {
	switch element {
	case "Condition":
		operators, ok := value.(map[string]any)
		if !ok {
			return value, nil
		}
		operators, err := folded(operators)
		if err != nil {
			return nil, err
		}
		for operator, tests := range operators {
			keys, _ := tests.(map[string]any)
			if keys, err = folded(keys); err != nil {
				return nil, err
			}
			for key, values := range keys {
				keys[key] = sorted(values, false)
			}
			operators[operator] = keys
		}
		return operators, nil
	case "Action", "NotAction":
		return sorted(value, true), nil
	case "Resource", "NotResource":
		return sorted(value, false), nil
	}
	return value, nil
}

// folded has the keys without case. It fails if two are one then.
func folded(object map[string]any) (map[string]any, error) {
	out, written := map[string]any{}, map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		small := lower(key)
		if other, there := written[small]; there {
			return nil, fmt.Errorf("%.40q and %.40q in one condition are the same to IAM", other, key)
		}
		out[small], written[small] = object[key], key
	}
	return out, nil
}

// lower is without case as IAM has it: in ASCII alone. Unicode knows other letters that become one of ASCII, such as the sign
// of the kelvin, with which an action is none.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// sorted sorts a list, or the one value that stands for a list of one.
func sorted(value any, fold bool) []string {
	many, ok := value.([]any)
	if !ok {
		many = []any{value}
	}
	var out []string
	for _, v := range many {
		s := fmt.Sprint(v) // false and "false" are the same to IAM
		if fold {
			s = lower(s)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
