//go:build !unix

package browsertest

import "os/exec"

func ownGroup(*exec.Cmd) {}

func end(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
