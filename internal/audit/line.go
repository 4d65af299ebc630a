// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
)

// formatVersion is what a line says of its own format.
const formatVersion = 1

// Bounds, so that no entry is too long to be written and none too long to be read.
const (
	maxText  = 4096    // bytes of a text; what is longer is cut
	maxTexts = 64      // texts of a list
	maxLine  = 2 << 20 // bytes of a line: all of the above, each byte escaped
)

// Head is a place in the trail: a line, and by its hash everything that the line follows.
type Head struct {
	// Segment is the segment's random name, and Seq the line's number in it, from 0.
	Segment string
	Seq     uint64
	// Hash is the line's own, in hexadecimal.
	Hash string
}

// String is SEGMENT:SEQ:HASH.
func (h Head) String() string { return h.Segment + ":" + strconv.FormatUint(h.Seq, 10) + ":" + h.Hash }

// ParseHead reads what String wrote.
func ParseHead(s string) (Head, error) {
	parts := strings.Split(s, ":")
	if len(parts) == 3 && isHex(parts[0], segmentBytes) && isHex(parts[2], sha256.Size) {
		if seq, err := strconv.ParseUint(parts[1], 10, 53); err == nil && strconv.FormatUint(seq, 10) == parts[1] {
			return Head{Segment: parts[0], Seq: seq, Hash: parts[2]}, nil
		}
	}
	return Head{}, fmt.Errorf("%q is not a head: a head is SEGMENT:SEQ:HASH, %d hexadecimal digits, a number and %d hexadecimal digits",
		cut(s), 2*segmentBytes, 2*sha256.Size)
}

// segmentBytes and saltBytes are how random the names of segments and the salts of commitments are.
const (
	segmentBytes = 8
	saltBytes    = 16
)

func isHex(s string, size int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 2*size && s == strings.ToLower(s)
}

// random reads crypto/rand, which does not fail: the program ends where it cannot give what it promises.
func random(size int) string {
	b := make([]byte, size)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// line is a line of the trail, in the order in which people read it. What is hashed is its canonical JSON without hash
// and personal.
type line struct {
	Version  int    `json:"version"`
	Segment  string `json:"segment"`
	Seq      uint64 `json:"seq"`
	Time     string `json:"time"`
	Event    string `json:"event"`
	Kind     string `json:"kind,omitempty"`
	UID      string `json:"uid,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Role     string `json:"role,omitempty"`
	Ticket   string `json:"ticket,omitempty"`
	Incident string `json:"incident,omitempty"`
	// Personal values are opened commitments.
	Personal    map[string]opening `json:"personal,omitempty"`
	Commitments map[string]string  `json:"commitments,omitempty"`
	// Anchor is what the writer of a segment line knew as the last head, where that is not Prev.
	Anchor string `json:"anchor,omitempty"`
	// Prev is the hash of the line before; of a segment line the whole head that it follows, empty where the trail begins.
	Prev string `json:"prev"`
	Hash string `json:"hash,omitempty"`
}

type opening struct {
	Salt  string          `json:"salt"`
	Value json.RawMessage `json:"value"`
}

// line is the entry without its place in the trail.
func (e *Entry) line(now time.Time) (line, error) {
	if e.Event == "" || e.Event == EventSegment {
		return line{}, fmt.Errorf("an entry of the audit trail cannot have the event %q", e.Event)
	}
	at := e.Time
	if at.IsZero() {
		at = now
	}
	l := line{
		Version: formatVersion, Time: stamp(at), Event: cut(e.Event), Kind: cut(e.Kind), UID: cut(e.UID), Digest: cut(e.Digest),
		Role: cut(e.Role), Ticket: cut(e.Ticket), Incident: cut(e.Incident),
		Personal: map[string]opening{}, Commitments: map[string]string{},
	}
	for field, text := range map[string]string{
		"name": e.Name, "change": e.Change, "subject": e.Subject, "requestedBy": e.RequestedBy, "appliedBy": e.AppliedBy, "reason": e.Reason,
	} {
		if text != "" {
			l.commit(field, cut(text))
		}
	}
	if len(e.Approvers) > 0 {
		l.commit("approvers", cutList(e.Approvers))
	}
	return l, nil
}

func (l *line) commit(field string, value any) {
	o := opening{Salt: random(saltBytes), Value: canonical(value)}
	l.Personal[field], l.Commitments[field] = o, commitment(field, o)
}

// commitment is the SHA-256 of the canonical JSON of [field, salt, value].
func commitment(field string, o opening) string {
	return sum(canonical([]any{field, o.Salt, o.Value}))
}

// seal gives the line its place and its hash, and returns it as it is written, with its end.
func (l *line) seal(segment string, seq uint64, prev string) []byte {
	l.Segment, l.Seq, l.Prev = segment, seq, prev
	bare := *l
	bare.Personal, bare.Hash = nil, ""
	l.Hash = sum(canonical(bare))

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read it
	if err := enc.Encode(l); err != nil {
		panic(fmt.Sprintf("audit: a line has no JSON form: %v", err))
	}
	return b.Bytes()
}

func (l *line) head() Head { return Head{Segment: l.Segment, Seq: l.Seq, Hash: l.Hash} }

// What is wrong with a line by itself.
var (
	// errNotJSON may be the beginning of a line whose writer was stopped.
	errNotJSON = errors.New("is not JSON")
	errNotLine = errors.New("is not a line of the trail")
	errChanged = errors.New("was changed: it does not have the hash that it names")
)

// parse reads a line. With errChanged it also returns what the line says of itself, and the hash that it should have.
func parse(raw []byte) (l line, computed string, err error) {
	text, err := jcs.Transform(raw)
	if err != nil || len(text) == 0 || text[0] != '{' {
		return line{}, "", errNotJSON
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return line{}, "", errNotJSON
	}
	personal, hash := fields["personal"], fields["hash"]
	delete(fields, "personal")
	delete(fields, "hash")
	hashed := canonical(fields)
	if err := json.Unmarshal(hashed, &l); err != nil {
		return line{}, "", fmt.Errorf("%w: %s", errNotLine, cut(err.Error()))
	}
	l.Personal = openings(personal)
	l.Hash = ""
	if json.Unmarshal(hash, &l.Hash) != nil || sum(hashed) != l.Hash {
		return l, sum(hashed), errChanged
	}
	switch {
	case l.Version != formatVersion:
		return line{}, "", fmt.Errorf("%w that this program knows: it is of format %d", errNotLine, l.Version)
	case !isHex(l.Segment, segmentBytes) || (l.Event == EventSegment) != (l.Seq == 0):
		return line{}, "", fmt.Errorf("%w: its segment, seq and event do not fit", errNotLine)
	}
	return l, l.Hash, nil
}

// openings reads personal strictly: it is not hashed, and so must not hold anything but values that are committed to.
// What is not of that form comes back as an opening of nothing, which no commitment is of.
func openings(raw json.RawMessage) map[string]opening {
	if raw == nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return map[string]opening{"": {}}
	}
	out := make(map[string]opening, len(fields))
	for field, raw := range fields {
		var parts map[string]json.RawMessage
		var o opening
		if json.Unmarshal(raw, &parts) == nil && len(parts) == 2 && parts["value"] != nil && json.Unmarshal(parts["salt"], &o.Salt) == nil {
			o.Value = parts["value"]
		}
		out[field] = o
	}
	return out
}

// canonical is the canonical JSON of RFC 8785. It cannot fail: what reaches it is made of valid text and small numbers.
func canonical(v any) []byte {
	plain, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("audit: %T has no JSON form: %v", v, err))
	}
	out, err := jcs.Transform(plain)
	if err != nil {
		panic(fmt.Sprintf("audit: %T has no canonical form: %v", v, err))
	}
	return out
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// cut makes text valid and bounded.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText-len("…")], "") + "…"
	}
	return s
}

func cutList(list []string) []string {
	out := make([]string, 0, min(len(list), maxTexts))
	for i, s := range list {
		if i == maxTexts-1 && len(list) > maxTexts {
			return append(out, fmt.Sprintf("… and %d more", len(list)-i))
		}
		out = append(out, cut(s))
	}
	return out
}
