//go:build unix && !linux

package pgtest

import (
	"os/exec"
	"syscall"
)

// startBound starts cmd in a process group of its own. Only Linux can end it
// together with this process.
func startBound(cmd *exec.Cmd, cred *syscall.Credential) (ended chan error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	ended = make(chan error, 1)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { ended <- cmd.Wait() }()
	return ended, nil
}
