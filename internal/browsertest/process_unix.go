//go:build unix

package browsertest

import (
	"os/exec"
	"syscall"
)

// ownGroup makes cmd the head of a process group: Chromium is many processes.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// end kills the whole group. It has nothing to save.
func end(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
