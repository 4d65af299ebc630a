// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

// Sink is where lines go. It is used by one goroutine at a time.
type Sink interface {
	// Open makes the sink ready after the start and after each error, and returns the last line that is there, nil if
	// none is or the sink cannot be read.
	Open() (*Head, error)
	// Write makes lines, each with its end, lasting. It returns how many are: all, or fewer with an error, after which
	// more than it says may be there.
	Write(lines [][]byte) (int, error)
}

// NewStream makes a Sink of a stream, such as the standard output. What it has taken counts as written.
func NewStream(w io.Writer) Sink { return &stream{w: w} }

type stream struct {
	w    io.Writer
	torn bool
}

func (s *stream) Open() (*Head, error) {
	if s.torn {
		if _, err := s.w.Write([]byte("\n")); err != nil {
			return nil, err
		}
		s.torn = false
	}
	return nil, nil
}

func (s *stream) Write(lines [][]byte) (int, error) {
	text := bytes.Join(lines, nil)
	n, err := s.w.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	text = text[:n]
	s.torn = n > 0 && text[n-1] != '\n'
	return bytes.Count(text, []byte("\n")), err
}

// FileOptions say where a file of the trail is, and when another is begun.
type FileOptions struct {
	// Path of the file that is written to. Its folder must exist.
	Path string
	// MaxMiB is the size, in MiB, above which the file is renamed to Path.TIME and another begun; 0: never.
	MaxMiB int
	// Keep is how many renamed files stay; 0: all of them.
	Keep  int
	Clock clock.PassiveClock
}

// NewFile makes a Sink of a file that one process writes to, and nobody else moves or rotates. Lines are on the disk when
// Write returns.
func NewFile(o FileOptions) Sink {
	return &file{FileOptions: o, limit: int64(o.MaxMiB) << 20, wrap: func(f *os.File) handle { return f }}
}

type file struct {
	FileOptions
	limit int64 // bytes
	wrap  func(*os.File) handle

	// f is open, locked, and has size bytes, all of which are on the disk; nil: not open.
	f    handle
	size int64
}

// handle is what is used of an os.File.
type handle interface {
	io.Writer
	Stat() (os.FileInfo, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Open also completes a line whose writer was stopped in the middle: it was never acknowledged, and stays as it is.
func (s *file) Open() (*Head, error) {
	s.close()
	f, err := s.openFile(os.O_CREATE)
	if err != nil {
		return nil, err
	}
	head, size, ended, err := lastLine(f)
	s.f, s.size = s.wrap(f), size
	if err != nil {
		return nil, err
	}
	if !ended {
		if err := s.append([]byte("\n")); err != nil {
			return nil, err
		}
	}
	if head != nil {
		return head, nil
	}
	return s.lastRotated()
}

// openFile opens and locks the file, so that a second process cannot write between our lines.
func (s *file) openFile(flag int) (*os.File, error) {
	f, err := os.OpenFile(s.Path, os.O_RDWR|os.O_APPEND|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(lock(f), s.isAt(f), syncFolder(s.Path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("locking %s, which one process at a time may write to: %w", f.Name(), err)
	}
	return nil
}

// isAt finds out whether the file is still the one under its name.
func (s *file) isAt(f interface{ Stat() (os.FileInfo, error) }) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(s.Path)
	if err != nil {
		return err
	}
	if !os.SameFile(ours, named) {
		return fmt.Errorf("%s was replaced while it was open", s.Path)
	}
	return nil
}

// Write implements Sink.
func (s *file) Write(lines [][]byte) (int, error) {
	if err := s.check(); err != nil {
		s.close()
		return 0, err
	}
	written := 0
	for written < len(lines) {
		if s.full(0, len(lines[written])) {
			if err := s.rotate(); err != nil {
				return written, err
			}
		}
		var chunk []byte
		n := written
		for ; n < len(lines) && (n == written || !s.full(len(chunk), len(lines[n]))); n++ {
			chunk = append(chunk, lines[n]...)
		}
		if err := s.append(chunk); err != nil {
			return written, err
		}
		written = n
	}
	return written, nil
}

// check finds out whether the file is as we left it.
func (s *file) check() error {
	if s.f == nil {
		return fmt.Errorf("%s is not open", s.Path)
	}
	if err := s.isAt(s.f); err != nil {
		return err
	}
	info, err := s.f.Stat()
	if err == nil && info.Size() != s.size {
		err = fmt.Errorf("%s has %d bytes, %d were written: somebody else changed it", s.Path, info.Size(), s.size)
	}
	return err
}

// full says whether the file, with what is about to be written to it, has no room for more.
func (s *file) full(pending, more int) bool {
	size := s.size + int64(pending)
	return s.limit > 0 && size > 0 && size+int64(more) > s.limit
}

// append takes back what it wrote if it cannot make all of it last: bytes that were written and not synced may be read
// now and be gone after a power cut, and the next segment must not follow those. Where it cannot take them back either,
// they stay, and Open looks what is there.
func (s *file) append(b []byte) error {
	_, err := s.f.Write(b)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		if s.f.Truncate(s.size) == nil {
			_ = s.f.Sync() // the disk has just failed: nothing hangs on this
		}
		s.close()
		return err
	}
	s.size += int64(len(b))
	return nil
}

func (s *file) close() {
	if s.f != nil {
		_ = s.f.Close() // all that counts is synced
		s.f = nil
	}
}

// rotatedTime is what a renamed file's name ends with, after a dot: names sort by time.
const rotatedTime = "20060102T150405.000000000Z"

func (s *file) rotate() error {
	defer func(old handle) { _ = old.Close() }(s.f) // all that counts is synced
	s.f = nil
	rotated, err := s.rotated()
	if err != nil {
		return err
	}
	at := s.Clock.Now().UTC()
	if len(rotated) > 0 {
		// The clock may have gone back, the names must not.
		if last, err := time.Parse(rotatedTime, strings.TrimPrefix(rotated[len(rotated)-1], s.Path+".")); err == nil && !at.After(last) {
			at = last.Add(1)
		}
	}
	name := s.Path + "." + at.Format(rotatedTime)
	if err := os.Rename(s.Path, name); err != nil {
		return err
	}
	f, err := s.openFile(os.O_CREATE | os.O_EXCL)
	if err != nil {
		return err
	}
	s.f, s.size = s.wrap(f), 0
	if rotated = append(rotated, name); s.Keep > 0 && len(rotated) > s.Keep {
		for _, old := range rotated[:len(rotated)-s.Keep] {
			_ = os.Remove(old) // the next rotation tries again
		}
	}
	return nil
}

// rotated are the renamed files, the oldest first.
func (s *file) rotated() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(s.Path))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(s.Path)+"."); ok {
			if _, err := time.Parse(rotatedTime, suffix); err == nil {
				names = append(names, s.Path+"."+suffix)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// lastRotated is the last line of the renamed files.
func (s *file) lastRotated() (*Head, error) {
	names, err := s.rotated()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		f, err := os.Open(name) //nolint:gosec // its name was made here
		if err != nil {
			return nil, err
		}
		head, _, _, err := lastLine(f)
		if err = errors.Join(err, f.Close()); err != nil || head != nil {
			return head, err
		}
	}
	return nil, nil
}

// lastLine finds the last whole line of the trail in a file, nil if there is none, and whether the file ends with the end
// of a line.
func lastLine(f *os.File) (head *Head, size int64, ended bool, err error) {
	if size, err = f.Seek(0, io.SeekEnd); err != nil || size == 0 {
		return nil, 0, true, err
	}
	// Nearly always the last line is whole; only pieces that stopped writers left behind make it look further.
	for window := int64(64 << 10); ; window *= 2 {
		window = min(window, size)
		tail := make([]byte, window)
		if _, err := f.ReadAt(tail, size-window); err != nil {
			return nil, size, true, fmt.Errorf("reading the end of %s: %w", f.Name(), err)
		}
		ended = tail[len(tail)-1] == '\n'
		lines := bytes.Split(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n"))
		if window < size {
			lines = lines[1:] // its beginning may be before the window
		}
		for _, text := range slices.Backward(lines) {
			if l, _, err := parse(text); err == nil {
				h := l.head()
				return &h, size, ended, nil
			}
		}
		if window == size {
			return nil, size, ended, nil
		}
	}
}

// syncFolder makes the name of a file last.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
