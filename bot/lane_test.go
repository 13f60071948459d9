package bot

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestWhoComesToALaneAtWorkIsNotForgotten(t *testing.T) {
	var a atWork
	if !a.enter("x") || !a.enter("y") {
		t.Fatal("an empty lane wants no sender")
	}
	a.looks("x")
	if a.enter("x") {
		t.Error("two senders in one lane")
	}
	if a.done("x") {
		t.Error("the sender left without another look at what came after his last one")
	}
	a.looks("x")
	if !a.done("x") || !a.enter("x") {
		t.Error("after his last look nothing came, and the lane is not free")
	}
	a.enter("x")
	a.leave("x")
	if !a.enter("x") {
		t.Error("a lane that was left is not free")
	}
}

// Whatever was put in before its job came is seen by somebody, whoever it is.
func TestSendersOfOneProcessSeeEverything(t *testing.T) {
	var a atWork
	var put, seen atomic.Int64 // how much stands in the outbox; how much of it has been sent
	var jobs sync.WaitGroup
	for range 64 {
		jobs.Go(func() {
			for range 200 {
				put.Add(1)
				if !a.enter("x") {
					continue
				}
				for again := true; again; again = !a.done("x") {
					a.looks("x")
					seen.Store(put.Load())
				}
			}
		})
	}
	jobs.Wait()
	if put.Load() != seen.Load() {
		t.Errorf("%d rows were put in, the senders saw %d", put.Load(), seen.Load())
	}
}
