// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	testclock "k8s.io/utils/clock/testing"
)

// twoSegments are the lines 1 to 6 (seq 0 to 5 of the first) and 7 to 12 (of the second) of a trail, and its head.
func twoSegments(t *testing.T) ([][]byte, Head) {
	t.Helper()
	return segments(t, 2)
}

func segments(t *testing.T, n int) ([][]byte, Head) {
	t.Helper()
	var out bytes.Buffer
	anchor := &memory{}
	var head Head
	for s := range n {
		trail := New(Options{Sink: NewStream(&out), Anchor: anchor, Clock: testclock.NewFakeClock(start)})
		for i := range 5 {
			if err := trail.Append(t.Context(), entry(fmt.Sprintf("%d-%d", s, i))); err != nil {
				t.Fatal(err)
			}
		}
		head, _ = trail.Head()
		anchor.head = &head
	}
	return bytes.SplitAfter(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n")), head
}

// found are the findings as KIND LINE/SEQ.
func found(t *testing.T, lines [][]byte, o VerifyOptions) []string {
	t.Helper()
	return foundIn(t, []Source{{"trail", bytes.NewReader(bytes.Join(lines, nil))}}, o)
}

func foundIn(t *testing.T, files []Source, o VerifyOptions) []string {
	t.Helper()
	r, err := Verify(files, o)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		if f.Text == "" || f.String() == "" {
			t.Errorf("a finding without words: %+v", f)
		}
		out = append(out, fmt.Sprintf("%s %d/%d", f.Kind, f.Line, f.Seq))
	}
	return out
}

// reseal makes a line that is sound by itself.
func reseal(t *testing.T, text []byte, change func(*line)) []byte {
	t.Helper()
	l, _, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	change(&l)
	return l.seal(l.Segment, l.Seq, l.Prev)
}

// edit changes a line as a text editor would.
func edit(t *testing.T, text []byte, change func(map[string]any)) []byte {
	t.Helper()
	fields := map[string]any{}
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	change(fields)
	return append(canonical(fields), '\n')
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	type lines = [][]byte
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, l lines) lines
		// want with the anchored head, and bare without.
		want, bare []string
	}{
		{name: "nothing", tamper: func(_ *testing.T, l lines) lines { return l }, bare: []string{"unanchored 12/0"}},
		{name: "formatted anew", tamper: func(t *testing.T, l lines) lines {
			l[3] = edit(t, l[3], func(map[string]any) {})
			return l
		}, bare: []string{"unanchored 12/0"}},
		{name: "the first line dropped", tamper: func(_ *testing.T, l lines) lines { return l[1:] },
			want: []string{"missing 1/0"}, bare: []string{"missing 1/0", "unanchored 11/0"}},
		{name: "a middle line dropped", tamper: func(_ *testing.T, l lines) lines { return slices.Delete(l, 3, 4) },
			want: []string{"missing 4/3"}, bare: []string{"missing 4/3", "unanchored 11/0"}},
		{name: "three middle lines dropped", tamper: func(_ *testing.T, l lines) lines { return slices.Delete(l, 8, 11) },
			want: []string{"missing 9/2"}, bare: []string{"unanchored 9/0", "missing 9/2"}},
		{name: "the last line dropped", tamper: func(_ *testing.T, l lines) lines { return l[:11] },
			want: []string{"unanchored 11/0", "cut 0/0"}, bare: []string{"unanchored 11/0"}},
		{name: "the last line cut off", tamper: func(_ *testing.T, l lines) lines { l[11] = l[11][:len(l[11])/2]; return l },
			want: []string{"unanchored 11/0", "torn 12/0", "cut 0/0"}, bare: []string{"unanchored 11/0", "torn 12/0"}},
		{name: "the last line of the first segment dropped", tamper: func(_ *testing.T, l lines) lines { return slices.Delete(l, 5, 6) },
			want: []string{"unanchored 5/0", "missing 6/0"}, bare: []string{"unanchored 5/0", "missing 6/0", "unanchored 11/0"}},
		{name: "the last line of the first segment cut off", tamper: func(_ *testing.T, l lines) lines {
			l[5] = append(l[5][:len(l[5])/2], '\n')
			return l
		}, want: []string{"unanchored 5/0", "torn 6/0", "missing 7/0"}},
		{name: "a middle line cut off", tamper: func(_ *testing.T, l lines) lines { l[3] = append(l[3][:100], '\n'); return l },
			want: []string{"changed 4/0"}},
		{name: "the end of a line dropped", tamper: func(_ *testing.T, l lines) lines { l[3] = bytes.TrimSuffix(l[3], []byte("\n")); return l },
			want: []string{"changed 4/0", "missing 5/4"}},
		{name: "the first line of the second segment dropped", tamper: func(_ *testing.T, l lines) lines { return slices.Delete(l, 6, 7) },
			want: []string{"unanchored 6/0", "missing 7/0"}},
		{name: "two neighbours swapped", tamper: func(_ *testing.T, l lines) lines { l[2], l[3] = l[3], l[2]; return l },
			want: []string{"reordered 4/2"}},
		{name: "two distant lines swapped", tamper: func(_ *testing.T, l lines) lines { l[1], l[4] = l[4], l[1]; return l },
			want: []string{"reordered 3/2", "reordered 4/3", "reordered 5/1"}},
		{name: "the segments' border swapped", tamper: func(_ *testing.T, l lines) lines { l[5], l[6] = l[6], l[5]; return l },
			want: []string{"reordered 7/5"}},
		{name: "a line duplicated", tamper: func(_ *testing.T, l lines) lines { return slices.Insert(l, 4, bytes.Clone(l[3])) },
			want: []string{"duplicated 5/3"}},
		{name: "a line duplicated elsewhere", tamper: func(_ *testing.T, l lines) lines { return slices.Insert(l, 10, bytes.Clone(l[3])) },
			want: []string{"duplicated 11/3"}},
		{name: "a sound line forged between two", tamper: func(t *testing.T, l lines) lines {
			return slices.Insert(l, 3, reseal(t, l[3], func(l *line) { l.Role = "administrator" }))
		}, want: []string{"duplicated 5/3", "changed 6/4"}},
		{name: "a line replaced by a sound one", tamper: func(t *testing.T, l lines) lines {
			l[3] = reseal(t, l[3], func(l *line) { l.Role = "administrator" })
			return l
		}, want: []string{"changed 5/4"}},
		{name: "the last line replaced by a sound one", tamper: func(t *testing.T, l lines) lines {
			l[11] = reseal(t, l[11], func(l *line) { l.Role = "administrator" })
			return l
		}, want: []string{"unanchored 12/0", "cut 0/0"}, bare: []string{"unanchored 12/0"}},
		{name: "the last line of the first segment replaced by a sound one", tamper: func(t *testing.T, l lines) lines {
			l[5] = reseal(t, l[5], func(l *line) { l.Role = "administrator" })
			return l
		}, want: []string{"unanchored 6/0", "missing 7/0"}},
		{name: "everything forged from a line on", tamper: func(t *testing.T, l lines) lines {
			prev := ""
			for i := 9; i < 12; i++ {
				l[i] = reseal(t, l[i], func(l *line) {
					l.Role = "administrator"
					if prev != "" {
						l.Prev = prev
					}
				})
				changed, _, _ := parse(l[i])
				prev = changed.Hash
			}
			return l
		}, want: []string{"unanchored 12/0", "cut 0/0"}, bare: []string{"unanchored 12/0"}},
		{name: "a line appended", tamper: func(t *testing.T, l lines) lines {
			return append(l, []byte("\n"), reseal(t, l[11], func(l *line) { l.Prev, l.Seq = l.Hash, 6 }))
		}, want: []string{"unanchored 13/6"}},
		{name: "an unsound line appended", tamper: func(t *testing.T, l lines) lines {
			return append(l, []byte("\n"), edit(t, l[11], func(f map[string]any) { f["seq"] = 6 }))
		}, want: []string{"changed 13/6"}},
		{name: "words inserted", tamper: func(_ *testing.T, l lines) lines { return slices.Insert(l, 3, []byte("starting\n")) },
			want: []string{"changed 4/0"}},
		{name: "other JSON inserted", tamper: func(_ *testing.T, l lines) lines { return slices.Insert(l, 3, []byte("{\"seq\": \"3\"}\n")) },
			want: []string{"changed 4/0"}},
		{name: "a line emptied", tamper: func(_ *testing.T, l lines) lines { l[3] = []byte("\n"); return l },
			want: []string{"changed 4/0"}},
		{name: "a line of a later format", tamper: func(t *testing.T, l lines) lines {
			l[3] = reseal(t, l[3], func(l *line) { l.Version = 2 })
			return l
		}, want: []string{"changed 4/0"}},
		{name: "a segment forged that follows nothing", tamper: func(t *testing.T, l lines) lines {
			return append(l, []byte("\n"), reseal(t, l[0], func(l *line) { l.Segment = "0123456789abcdef" }))
		}, want: []string{"begins 13/0", "unanchored 13/0"}},
		{name: "a personal value erased", tamper: func(t *testing.T, l lines) lines {
			l[3] = edit(t, l[3], func(f map[string]any) { delete(f["personal"].(map[string]any), "subject") })
			return l
		}, want: []string{"erased 0/0"}},
		{name: "all personal values of two lines erased", tamper: func(t *testing.T, l lines) lines {
			for _, i := range []int{3, 8} {
				l[i] = edit(t, l[i], func(f map[string]any) { delete(f, "personal") })
			}
			return l
		}, want: []string{"erased 0/0"}},
		{name: "a personal value put where none was", tamper: func(t *testing.T, l lines) lines {
			l[3] = edit(t, l[3], func(f map[string]any) {
				f["personal"].(map[string]any)["note"] = map[string]any{"salt": "", "value": "innocent"}
			})
			return l
		}, want: []string{"changed 4/3"}},
		{name: "more put beside a personal value", tamper: func(t *testing.T, l lines) lines {
			l[3] = edit(t, l[3], func(f map[string]any) {
				f["personal"].(map[string]any)["subject"].(map[string]any)["note"] = "innocent"
			})
			return l
		}, want: []string{"changed 4/3"}},
		{name: "personal made something else", tamper: func(t *testing.T, l lines) lines {
			l[3] = edit(t, l[3], func(f map[string]any) { f["personal"] = "innocent" })
			return l
		}, want: []string{"changed 4/3", "erased 0/0"}},
		{name: "two personal values exchanged", tamper: func(t *testing.T, l lines) lines {
			l[3] = edit(t, l[3], func(f map[string]any) {
				p := f["personal"].(map[string]any)
				p["subject"], p["requestedBy"] = p["requestedBy"], p["subject"]
			})
			return l
		}, want: []string{"changed 4/3", "changed 4/3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines, head := twoSegments(t)
			lines = test.tamper(t, lines)
			check := func(what string, got, want []string) {
				for i, w := range want { // the first seq of lines that nobody anchored does not matter here
					if i < len(got) && strings.HasPrefix(w, "unanchored") && strings.HasSuffix(w, "/0") {
						got[i] = got[i][:strings.Index(got[i], "/")] + "/0"
					}
					if i < len(got) && strings.HasPrefix(w, "cut") {
						got[i] = got[i][:strings.Index(got[i], "/")] + "/0"
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", what, got, want)
				}
			}
			check("with the head", found(t, lines, VerifyOptions{Head: &head}), test.want)
			if test.bare != nil {
				check("without", found(t, lines, VerifyOptions{}), test.bare)
			}
		})
	}
}

// fieldsOf are the paths of all values of a line.
func fieldsOf(prefix []string, v any) [][]string {
	m, ok := v.(map[string]any)
	if !ok {
		return [][]string{prefix}
	}
	var out [][]string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fieldsOf(append(slices.Clone(prefix), k), m[k])...)
	}
	return out
}

func alter(v any) any {
	switch v := v.(type) {
	case float64:
		return v + 1
	case string:
		if v == "" {
			return "0"
		}
		last := byte('0')
		if v[len(v)-1] == last {
			last = '1'
		}
		return v[:len(v)-1] + string(last)
	default:
		return []any{"mallory@hera.example"}
	}
}

// Each field, of the first and last line of each segment and one in the middle, is changed, and in turn removed: that
// line is named, and no other.
func TestVerifyNamesTheLineOfAChangedField(t *testing.T) {
	lines, head := twoSegments(t)
	for _, i := range []int{0, 3, 5, 6, 11} {
		var fields map[string]any
		if err := json.Unmarshal(lines[i], &fields); err != nil {
			t.Fatal(err)
		}
		paths := fieldsOf(nil, fields)
		if n := map[bool]int{true: 6, false: 29}[i == 0 || i == 6]; len(paths) < n {
			t.Fatalf("line %d has only %d fields: %v", i+1, len(paths), paths)
		}
		for _, path := range paths {
			for what, change := range map[string]func(map[string]any, string){
				"changed": func(m map[string]any, k string) { m[k] = alter(m[k]) },
				"removed": func(m map[string]any, k string) { delete(m, k) },
				"renamed": func(m map[string]any, k string) { m[strings.ToUpper(k)] = m[k]; delete(m, k) },
			} {
				name := fmt.Sprintf("line %d, %s %s", i+1, strings.Join(path, "."), what)
				tampered := slices.Clone(lines)
				tampered[i] = edit(t, lines[i], func(m map[string]any) {
					for _, k := range path[:len(path)-1] {
						m = m[k].(map[string]any)
					}
					change(m, path[len(path)-1])
				})
				r, err := Verify([]Source{{"trail", bytes.NewReader(bytes.Join(tampered, nil))}}, VerifyOptions{Head: &head})
				if err != nil {
					t.Fatal(err)
				}
				errs := slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.Kind.Note() })
				if len(errs) != 1 || errs[0].Kind != Changed || errs[0].Line != i+1 {
					t.Errorf("%s: %v", name, errs)
				}
			}
		}
	}
}

// Every byte of a line counts, wherever it stands.
func TestVerifyNoticesEveryByte(t *testing.T) {
	var out bytes.Buffer
	trail := New(Options{Sink: NewStream(&out), Clock: testclock.NewFakeClock(start)})
	if err := trail.Append(t.Context(), Entry{Event: EventGranted, UID: "a", Subject: "alice"}, Entry{Event: EventExpired}); err != nil {
		t.Fatal(err)
	}
	head, _ := trail.Head()
	text := out.Bytes()
	first := bytes.IndexByte(text, '\n') + 1
	last := first + bytes.IndexByte(text[first:], '\n')
	for i := first; i < last; i++ {
		tampered := bytes.Clone(text)
		tampered[i] ^= 1
		got := found(t, [][]byte{tampered}, VerifyOptions{Head: &head})
		if !slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, "changed 2/") }) {
			t.Errorf("byte %d (%q became %q): %q", i, text[i], tampered[i], got)
		}
	}
}

func TestVerifyNamesAMissingSegment(t *testing.T) {
	lines, head := segments(t, 3)
	file := func(name string, from int) Source {
		return Source{name, bytes.NewReader(append(bytes.TrimSuffix(bytes.Join(lines[from:from+6], nil), []byte("\n")), '\n'))}
	}
	for _, test := range []struct {
		name string
		from []int
		want []string
	}{
		{name: "none missing", from: []int{12, 0, 6}},
		{name: "the first", from: []int{6, 12}, want: []string{"missing 1/0"}},
		{name: "the second", from: []int{12, 0}, want: []string{"unanchored 6/0", "missing 1/0"}},
		{name: "the last", from: []int{0, 6}, want: []string{"unanchored 6/0", "cut 0/0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var files []Source
			for _, from := range test.from {
				files = append(files, file(fmt.Sprint("segment", from), from))
			}
			got := foundIn(t, files, VerifyOptions{Head: &head})
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// The end of a file is cut while the operator is down, and the anchor knew it.
func TestVerifyNamesACutBeforeARestart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	for _, cut := range []bool{false, true} {
		anchor := &memory{}
		trail := fileTrail(path, 0, 0, anchor, nil)
		for _, uid := range []string{"a", "b"} {
			if err := trail.Append(t.Context(), entry(uid)); err != nil {
				t.Fatal(err)
			}
		}
		head, _ := trail.Head()
		anchor.head = &head
		closeFile(trail)
		if cut {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, int64(bytes.LastIndexByte(b[:len(b)-1], '\n')+1)); err != nil {
				t.Fatal(err)
			}
		}
		next := fileTrail(path, 0, 0, anchor, nil)
		if err := next.Append(t.Context(), entry("c")); err != nil {
			t.Fatal(err)
		}
		last, _ := next.Head()
		closeFile(next)
		got := foundIn(t, sources(t, dir), VerifyOptions{Head: &last})
		if want := map[bool][]string{false: nil, true: {"cut 3/0"}}[cut]; !slices.Equal(got, want) {
			t.Errorf("cut: %v: %q, want %q", cut, got, want)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyOfWhatIsNoTrail(t *testing.T) {
	for text, want := range map[string]int{"": 0, "hello\nworld\n": 2, "{}\n": 1} {
		r, err := Verify([]Source{{"file", strings.NewReader(text)}}, VerifyOptions{})
		if err != nil || r.Errors != want || r.Segments != 0 {
			t.Errorf("%q: %+v %v, want %d errors", text, r, err, want)
		}
	}
}

// A line that is too long to be one is named, and does not fill the memory.
func TestVerifyOfALongLine(t *testing.T) {
	lines, head := twoSegments(t)
	lines[3] = append(bytes.Repeat([]byte("x"), 3*maxLine), '\n')
	if got := found(t, lines, VerifyOptions{Head: &head}); !slices.Equal(got, []string{"changed 4/0"}) {
		t.Errorf("%q", got)
	}
}

func TestVerifyCountsWhatItDoesNotName(t *testing.T) {
	r, err := Verify([]Source{{"file", strings.NewReader(strings.Repeat("{}\n", maxFindings+7))}}, VerifyOptions{})
	if err != nil || len(r.Findings) != maxFindings || r.Unnamed != 7 || r.Errors != maxFindings+7 {
		t.Errorf("%d findings, %d unnamed, %d errors, %v", len(r.Findings), r.Unnamed, r.Errors, err)
	}
}

func TestParseHead(t *testing.T) {
	good := "0123456789abcdef:12:" + strings.Repeat("ab", 32)
	head, err := ParseHead(good)
	if err != nil || head.Seq != 12 || head.String() != good {
		t.Errorf("%s: %v %v", good, head, err)
	}
	for _, bad := range []string{
		"", "head", good + "0", good[1:], good + ":", strings.Replace(good, "12", "-1", 1), strings.Replace(good, "12", "012", 1),
		strings.Replace(good, "12", "9007199254740993", 1), strings.ToUpper(good), " " + good,
	} {
		if _, err := ParseHead(bad); err == nil || !strings.Contains(err.Error(), "is not a head") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("{\"version\":1,\"segment\":\"0123456789abcdef\",\"seq\":0,\"event\":\"segment\",\"prev\":\"\",\"hash\":\"\"}\n{\"personal\":null}\n\n["))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := Verify([]Source{{"file", bytes.NewReader(text)}}, VerifyOptions{}); err != nil || r.Errors+r.Notes < len(r.Findings) {
			t.Errorf("%+v %v", r, err)
		}
	})
}
