// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// reaper ends what is left when the process that started it is gone, however that went: a test binary that
// panics, times out or is killed must leave no servers behind. Its standard input is a pipe that only the starter
// holds, so that the end of the pipe is the end of the starter; a line on it means all has been tidied.
const reaper = `read -r line && exit
for f in "$1"/pids/*; do kill -KILL "$(cat "$f")"; done
rm -rf "$1"`

// controllers are the ones that act on what the operator makes.
const controllers = "garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller"

// processes keeps the folder in which every child is recorded by pid.
type processes struct {
	dir    string
	reaper *exec.Cmd
	leash  io.WriteCloser
}

func newProcesses() (*processes, error) {
	dir, err := os.MkdirTemp("", "controlplane-")
	if err != nil {
		return nil, err
	}
	p := &processes{dir: dir, reaper: exec.Command("sh", "-c", reaper, "reaper", dir)}
	// A group of its own: Ctrl-C in a terminal must reach the starter first.
	p.reaper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, sub := range []string{"launchers", "logs", "pids"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if p.leash, err = p.reaper.StdinPipe(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := p.reaper.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// launcher returns a script that becomes binary after it has noted its pid and sent its output to a log. envtest
// starts whatever path it is given, but tells no pids.
func (p *processes) launcher(binary string) (string, error) {
	name := filepath.Base(binary)
	path := filepath.Join(p.dir, "launchers", name)
	// --help is asked for by envtest to learn which flags there are.
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --help ] && exec %[1]s \"$@\"\necho $$ >%[2]s\nexec %[1]s \"$@\" >>%[3]s 2>&1\n",
		quote(binary), quote(p.pidFile(name)), quote(p.logFile(name)))
	return path, os.WriteFile(path, []byte(script), 0o700)
}

func (p *processes) pidFile(name string) string { return filepath.Join(p.dir, "pids", name) }
func (p *processes) logFile(name string) string { return filepath.Join(p.dir, "logs", name+".log") }

func (p *processes) pid(name string) (int, error) {
	content, err := os.ReadFile(p.pidFile(name))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}

func (p *processes) signal(name string, signal syscall.Signal) error {
	pid, err := p.pid(name)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, signal)
}

// logTails returns the last lines of every component, for the error of a failed start.
func (p *processes) logTails() string {
	var b strings.Builder
	for _, name := range binaries {
		content, err := os.ReadFile(p.logFile(name))
		if err != nil {
			continue
		}
		lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
		fmt.Fprintf(&b, "--- last lines of %s:\n%s\n", name, bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
	}
	return b.String()
}

// close removes the folder and dismisses the reaper. Every other child must have ended.
func (p *processes) close() error {
	err := os.RemoveAll(p.dir)
	_, writeErr := io.WriteString(p.leash, "done\n")
	return errors.Join(err, writeErr, p.leash.Close(), p.reaper.Wait())
}

// controllerManager is kube-controller-manager, which envtest does not know.
type controllerManager struct {
	launcher string
	args     []string

	stop func()
	done chan struct{}
	err  error // set before done is closed
}

// startControllerManager runs it until stop. The controllers act under their own service accounts, as in a real
// cluster, so that admission policies see the same callers.
func startControllerManager(ctx context.Context, launcher, kubeconfig string) (*controllerManager, error) {
	m := &controllerManager{launcher: launcher, args: []string{
		"--kubeconfig=" + kubeconfig,
		"--controllers=" + controllers,
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	}}
	return m, m.start(ctx)
}

func (m *controllerManager) start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, m.launcher, m.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	done := make(chan struct{})
	m.done = done
	m.stop = func() {
		cancel()
		<-done
	}
	go func() {
		m.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// restart makes the garbage collector learn of kinds that came after its start.
func (m *controllerManager) restart(ctx context.Context) error {
	m.stop()
	return m.start(ctx)
}

// exited returns nil while the process runs.
func (m *controllerManager) exited() error {
	select {
	case <-m.done:
		return fmt.Errorf("kube-controller-manager ended: %w", m.err)
	default:
		return nil
	}
}

func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
