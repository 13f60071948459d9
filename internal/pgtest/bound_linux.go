package pgtest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts cmd so that it is ended together with this process, even by
// kill -9. Linux binds it to the thread that started it, so one goroutine keeps
// that thread until the end.
func startBound(cmd *exec.Cmd, cred *syscall.Credential) (ended chan error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	started := make(chan error)
	ended = make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}
