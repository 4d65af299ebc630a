// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Kind is what a finding is about.
type Kind string

// Kinds of findings. The last four are notes: such a trail is whole.
const (
	// Changed: a line is not what was written, or was never written by the trail.
	Changed Kind = "changed"
	// Missing: lines that others follow are not there.
	Missing Kind = "missing"
	// Reordered: a line stands behind one that follows it.
	Reordered Kind = "reordered"
	// Duplicated: there is a second line with the same number.
	Duplicated Kind = "duplicated"
	// Cut: an anchored head is not there.
	Cut Kind = "cut"

	// Torn: the writer was stopped in the middle of a line.
	Torn Kind = "torn"
	// Unanchored: nothing follows these last lines of a segment, so nobody can tell whether there were more.
	Unanchored Kind = "unanchored"
	// Erased: personal values were taken away.
	Erased Kind = "erased"
	// Begins: the trail began anew, and does not follow what was there before.
	Begins Kind = "begins"
)

// Note is true for what is no error.
func (k Kind) Note() bool { return k == Torn || k == Unanchored || k == Erased || k == Begins }

// Finding is something that Verify found.
type Finding struct {
	Kind Kind
	// File and Line (from 1) say where; empty and 0 for what concerns the trail as a whole.
	File string
	Line int
	// Segment and Seq are those of the line; Seq is the first one of several. An empty Segment: not known.
	Segment string
	Seq     uint64
	Text    string
}

// String is the finding in a line.
func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		fmt.Fprintf(&b, "%s:%d: ", f.File, f.Line)
	}
	if f.Segment != "" {
		fmt.Fprintf(&b, "seq %d of segment %s: ", f.Seq, f.Segment)
	}
	fmt.Fprintf(&b, "%s: %s", f.Kind, f.Text)
	return b.String()
}

// maxFindings is how many findings a Report names; the others are counted.
const maxFindings = 10_000

// Report is what Verify found.
type Report struct {
	// Findings stand in the order of the files, what concerns the trail as a whole comes last.
	Findings []Finding
	// Errors and Notes count all findings, Unnamed those that are not in Findings.
	Errors, Notes, Unnamed int
	Files, Segments, Lines int
}

// Source is a file of the trail.
type Source struct {
	Name string
	io.ReadSeeker
}

// VerifyOptions say what is known of the trail from elsewhere.
type VerifyOptions struct {
	// Head is in the trail, or its end was cut.
	Head *Head
	// From is the last line that was deleted on purpose: the trail is verified from there on.
	From *Head
}

// Verify reads the files of a trail, in any order, twice. Its memory grows with the number of segments and of findings,
// not with that of lines. An error is one of reading.
func Verify(files []Source, o VerifyOptions) (Report, error) {
	v := verifier{
		from: o.From, segments: map[string]*segment{}, order: map[string]int{},
		byPlace: map[place][]*reference{}, byHash: map[string][]*reference{}, bySource: map[string][]*reference{},
	}
	sorted, err := v.survey(files)
	if err != nil {
		return Report{}, err
	}
	if o.Head != nil {
		v.refer(&reference{head: *o.Head, kind: Cut})
	}
	v.report.Files = len(sorted)
	for i, f := range sorted {
		v.order[f.Name] = i
	}
	for _, f := range sorted {
		if err := eachLine(f, v.check); err != nil {
			return Report{}, fmt.Errorf("reading %s: %w", f.Name, err)
		}
	}
	v.finish()
	return v.report, nil
}

type place struct {
	segment string
	seq     uint64
}

// reference is a head that a segment line or the caller names.
type reference struct {
	head Head
	// by is the segment that names it, empty for the caller, and kind what it means if the head is not there.
	by   string
	kind Kind
	// at is where the segment line stands, once it was read.
	at *Finding
	// found, or replaced by another line in the same place.
	found, replaced bool
}

type verifier struct {
	from     *Head
	segments map[string]*segment
	byPlace  map[place][]*reference
	byHash   map[string][]*reference
	bySource map[string][]*reference // by the segment that refers, empty for the caller
	order    map[string]int          // of files
	report   Report

	// distrusted counts the lines since the last sound one that cannot be placed, being changed themselves.
	distrusted uint64
	// torn may be lines whose writer was stopped: the next sound line tells.
	torn []Finding
	// sound is true after the first sound line.
	sound  bool
	gaps   int
	erased struct{ values, lines int }
}

// segment is what is known of a segment so far.
type segment struct {
	// parent is the segment that it follows, or stands after in a file.
	parent string
	// begun: its first line is sound, and so is what that says of the parent.
	begun bool
	next  uint64
	last  string // hash
	// file and line of the last line.
	file string
	line int
	gaps []gap
	// anchored is the number of lines up to the last one that a head names.
	anchored uint64
}

// gap are lines that were not there when later ones came.
type gap struct {
	from, to uint64
	// after is the hash of the line before the gap if that is known, and before the one that the line after the gap follows.
	after, before string
	file          string
	line          int
}

// survey sorts the files, and collects which heads the trail names.
func (v *verifier) survey(files []Source) ([]Source, error) {
	type start struct {
		place
		file Source
	}
	starts := make([]start, 0, len(files))
	for _, f := range files {
		s := start{file: f}
		previous := ""
		err := eachLine(f, func(_ string, _ int, text []byte) {
			var l line
			if json.Unmarshal(text, &l) != nil || !isHex(l.Segment, segmentBytes) {
				return
			}
			if s.segment == "" {
				s.place = place{l.Segment, l.Seq}
			}
			seg := v.segment(l.Segment)
			if seg.parent == "" && !seg.begun && l.Segment != previous {
				seg.parent = previous
			}
			previous = l.Segment
			if l.Event == EventSegment {
				v.surveySegment(seg, text)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f.Name, err)
		}
		starts = append(starts, s)
	}
	slices.SortStableFunc(starts, func(a, b start) int {
		return cmp.Or(cmp.Compare(v.depth(a.segment), v.depth(b.segment)), cmp.Compare(a.segment, b.segment), cmp.Compare(a.seq, b.seq))
	})
	sorted := make([]Source, len(starts))
	for i, s := range starts {
		sorted[i] = s.file
	}
	return sorted, nil
}

func (v *verifier) surveySegment(seg *segment, text []byte) {
	l, _, err := parse(text)
	if err != nil {
		return
	}
	seg.begun, seg.parent = true, ""
	if head, err := ParseHead(l.Prev); err == nil {
		seg.parent = head.Segment
		v.refer(&reference{head: head, by: l.Segment, kind: Missing})
	}
	if head, err := ParseHead(l.Anchor); err == nil {
		v.refer(&reference{head: head, by: l.Segment, kind: Cut})
	}
}

func (v *verifier) segment(name string) *segment {
	if v.segments[name] == nil {
		v.segments[name] = &segment{}
	}
	return v.segments[name]
}

// depth is how many segments a segment follows, as far as that is known.
func (v *verifier) depth(name string) int {
	depth := 0
	// Forged segments may follow each other in a circle.
	for name != "" && depth <= len(v.segments) {
		depth++
		seg := v.segments[name]
		if seg == nil {
			break
		}
		name = seg.parent
	}
	return depth
}

func (v *verifier) refer(r *reference) {
	at := place{r.head.Segment, r.head.Seq}
	v.byPlace[at] = append(v.byPlace[at], r)
	v.byHash[r.head.Hash] = append(v.byHash[r.head.Hash], r)
	v.bySource[r.by] = append(v.bySource[r.by], r)
}

func (v *verifier) find(f Finding) {
	if f.Kind.Note() {
		v.report.Notes++
	} else {
		v.report.Errors++
	}
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, f)
	} else {
		v.report.Unnamed++
	}
}

// check looks at a line.
func (v *verifier) check(file string, n int, text []byte) {
	v.report.Lines++
	at := Finding{File: file, Line: n}
	l, computed, err := parse(text)
	if errors.Is(err, errNotJSON) && len(v.torn) < maxFindings {
		at.Text = "the line is cut off in its middle, or " + err.Error()
		v.torn = append(v.torn, at)
		return
	}
	v.settleTorn(err == nil && l.Event == EventSegment)
	if l.Segment != "" {
		at.Segment, at.Seq = l.Segment, l.Seq
	}
	if err != nil {
		at.Kind, at.Text = Changed, "the line "+err.Error()
		v.find(at)
		v.distrust(l, computed)
		return
	}
	v.values(l, at)
	seg := v.segment(l.Segment)
	if v.inOrder(seg, l, at) {
		seg.next, seg.last, seg.file, seg.line = l.Seq+1, l.Hash, file, n
	}
	v.resolve(l, at)
	v.distrusted, v.sound = 0, true
}

// settleTorn decides what the lines before were, now that it is known whether a new segment or the end came after them.
func (v *verifier) settleTorn(stopped bool) {
	for _, f := range v.torn {
		if stopped {
			f.Kind, f.Text = Torn, "the writer was stopped in the middle of the line, which nobody relied on"
		} else {
			f.Kind = Changed
			v.distrusted++
		}
		v.find(f)
	}
	v.torn = nil
}

// distrust remembers a line that was reported, so that those around it are not reported for its sake.
func (v *verifier) distrust(l line, computed string) {
	v.distrusted++
	for _, r := range slices.Concat(v.byHash[l.Hash], v.byHash[computed], v.byPlace[place{l.Segment, l.Seq}]) {
		v.found(r)
	}
}

func (v *verifier) found(r *reference) {
	r.found = true
	if seg := v.segments[r.head.Segment]; seg != nil {
		seg.anchored = max(seg.anchored, r.head.Seq+1)
	}
}

// inOrder says whether the line is the next of its segment, or one after that.
func (v *verifier) inOrder(seg *segment, l line, at Finding) bool {
	if l.Seq < seg.next {
		v.outOfOrder(seg, l, at)
		return false
	}
	missing := l.Seq - seg.next
	lost := missing - min(missing, v.distrusted)
	switch {
	case lost > 0:
		v.lost(seg, l, lost, at)
	case missing == 0 && l.Seq > 0 && l.Prev != seg.last:
		at.Kind, at.Text = Changed, "the line follows another one than that which stands before it"
		v.find(at)
	}
	return true
}

func (v *verifier) outOfOrder(seg *segment, l line, at Finding) {
	i := slices.IndexFunc(seg.gaps, func(g gap) bool { return g.from <= l.Seq && l.Seq <= g.to })
	if i < 0 {
		at.Kind, at.Text = Duplicated, "a line with this number stands before"
		v.find(at)
		return
	}
	g := seg.gaps[i]
	at.Kind, at.Text = Reordered, "the line stands behind one that follows it"
	if l.Seq == g.from && g.after != "" && l.Prev != g.after || l.Seq == g.to && l.Hash != g.before {
		at.Kind, at.Text = Changed, "the line is not the one that stood in this place"
	}
	v.find(at)
	before, after := g, g
	before.to, before.before = l.Seq-1, l.Prev
	after.from, after.after = l.Seq+1, l.Hash
	var rest []gap
	if l.Seq > g.from {
		rest = append(rest, before)
	}
	if l.Seq < g.to {
		rest = append(rest, after)
	}
	v.gaps += len(rest) - 1
	seg.gaps = slices.Replace(seg.gaps, i, i+1, rest...)
}

// lost remembers the lines before l that are not there: they may come later.
func (v *verifier) lost(seg *segment, l line, lost uint64, at Finding) {
	g := gap{from: l.Seq - lost, to: l.Seq - 1, before: l.Prev, file: at.File, line: at.Line}
	if v.distrusted == 0 {
		g.after = seg.last
	}
	if f := v.from; f != nil && f.Segment == l.Segment && g.to == f.Seq && g.before == f.Hash && seg.next == 0 {
		return // deleted on purpose
	}
	if v.gaps >= maxFindings {
		v.missing(l.Segment, g)
		return
	}
	v.gaps++
	seg.gaps = append(seg.gaps, g)
}

func (v *verifier) missing(segment string, g gap) {
	text := "this line is missing before the one that stands here"
	if g.to > g.from {
		text = fmt.Sprintf("%d lines, up to seq %d, are missing before the one that stands here", g.to-g.from+1, g.to)
	}
	v.find(Finding{Kind: Missing, File: g.file, Line: g.line, Segment: segment, Seq: g.from, Text: text})
}

// values compares personal values with their commitments.
func (v *verifier) values(l line, at Finding) {
	for _, field := range slices.Sorted(maps.Keys(l.Personal)) {
		if committed, there := l.Commitments[field]; !there || committed != commitment(field, l.Personal[field]) {
			at.Kind, at.Text = Changed, fmt.Sprintf("personal.%s is not what was written", cut(field))
			v.find(at)
		}
	}
	erased := 0
	for field := range l.Commitments {
		if _, there := l.Personal[field]; !there {
			erased++
		}
	}
	if erased > 0 {
		v.erased.values += erased
		v.erased.lines++
	}
}

// resolve marks the references that a sound line answers, and those that it makes.
func (v *verifier) resolve(l line, at Finding) {
	for _, r := range v.byPlace[place{l.Segment, l.Seq}] {
		if r.head.Hash != l.Hash {
			r.replaced = true
			continue
		}
		if !r.found && r.at != nil {
			late := at
			late.Kind, late.Text = Reordered, fmt.Sprintf("the line stands behind segment %s, which follows it", r.by)
			v.find(late)
		}
		v.found(r)
	}
	if l.Event != EventSegment {
		return
	}
	for _, r := range v.bySource[l.Segment] {
		r.at = &at
	}
	if l.Prev == "" && v.sound {
		at.Kind, at.Text = Begins, "the trail begins anew here: the writer found neither a file nor an anchored head to follow"
		v.find(at)
	}
}

// finish reports what only the whole trail can tell.
func (v *verifier) finish() {
	v.settleTorn(v.sound)
	for _, refs := range v.bySource {
		for _, r := range refs {
			v.unresolved(r)
		}
	}
	for name, seg := range v.segments {
		if seg.file != "" {
			v.report.Segments++
		}
		for _, g := range seg.gaps {
			v.missing(name, g)
		}
		if seg.anchored < seg.next && seg.file != "" {
			text := "nobody anchored this line or followed it: lines after it could have been cut"
			if n := seg.next - seg.anchored; n > 1 {
				text = fmt.Sprintf("nobody anchored or followed %d lines, up to seq %d: they, and lines after them, could have been cut", n, seg.next-1)
			}
			v.find(Finding{Kind: Unanchored, File: seg.file, Line: seg.line, Segment: name, Seq: seg.anchored, Text: text})
		}
	}
	if v.erased.values > 0 {
		v.find(Finding{Kind: Erased, Text: fmt.Sprintf("%d personal values in %d lines were erased", v.erased.values, v.erased.lines)})
	}
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int {
		return cmp.Or(v.compareFiles(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Text, b.Text))
	})
}

func (v *verifier) compareFiles(a, b string) int {
	place := func(name string) int {
		if name == "" {
			return len(v.order)
		}
		return v.order[name]
	}
	return cmp.Compare(place(a), place(b))
}

func (v *verifier) unresolved(r *reference) {
	if r.found || r.by != "" && v.from != nil && r.head.Segment == v.from.Segment &&
		(r.head == *v.from || r.head.Seq < v.from.Seq) {
		return
	}
	f := Finding{Kind: r.kind}
	if r.at != nil {
		f = *r.at
		f.Kind = r.kind
	}
	what := "is not there"
	if r.replaced {
		what = "is another line now"
	}
	switch {
	case r.by == "":
		f.Text = fmt.Sprintf("the anchored head %s %s: the end of the trail was cut or replaced", r.head, what)
	case r.kind == Cut:
		f.Text = fmt.Sprintf("the head %s was known when this segment began, and %s: what the segment follows had been cut", r.head, what)
	default:
		f.Text = fmt.Sprintf("the segment follows %s, which %s", r.head, what)
	}
	v.find(f)
}

// eachLine reads a file from its beginning. A line that is too long to be one of the trail is cut.
func eachLine(f Source, each func(file string, n int, text []byte)) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 64<<10)
	var text []byte
	for n := 1; ; {
		part, err := r.ReadSlice('\n')
		text = append(text, part[:min(len(part), maxLine-len(text))]...)
		ended := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !ended:
			return err
		}
		if len(text) > 0 {
			each(f.Name, n, bytes.TrimSuffix(text, []byte("\n")))
		}
		if ended {
			break
		}
		text = text[:0]
		n++
	}
	return nil
}
