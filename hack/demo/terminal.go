// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

// terminal writes the story: in colour, and with a line that shows progress, only where a person watches.
type terminal struct {
	w             io.Writer
	lively, color bool
}

func newTerminal(f *os.File) *terminal {
	info, err := f.Stat()
	lively := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &terminal{w: f, lively: lively, color: lively && os.Getenv("NO_COLOR") == ""}
}

func (t *terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.w, format, args...) }

func (t *terminal) paint(code, text string) string {
	if !t.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *terminal) strong(text string) string { return t.paint("1", text) }
func (t *terminal) faint(text string) string  { return t.paint("2", text) }
func (t *terminal) good(text string) string   { return t.paint("32", text) }

func (t *terminal) title(text string) { t.printf("\n%s\n", t.strong(text)) }

func (t *terminal) passed(what, note string) {
	t.printf("   %s %s %s\n", t.good("✓"), what, t.faint("("+note+")"))
}

func (t *terminal) failed(what string) { t.printf("   %s %s\n", t.paint("31", "✗"), what) }

var columns = regexp.MustCompile(` {3,}`)

// command shows what can be typed, and what it answered.
func (t *terminal) command(text, answer string) {
	t.printf("     $ %s\n", text)
	for line := range strings.Lines(cmp.Or(answer, "(nothing)")) {
		t.printf("       %s\n", t.faint(columns.ReplaceAllString(strings.TrimSpace(line), "  ")))
	}
}

// progress replaces the line that shows it; an empty one removes it.
func (t *terminal) progress(text string) {
	if t.lively && text == "" {
		t.printf("\r\x1b[K")
	} else if t.lively {
		t.printf("\r\x1b[K   %s", t.faint("… "+text))
	}
}

func brief(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.3g ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
