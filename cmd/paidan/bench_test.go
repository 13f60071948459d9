//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Small benchmarks, not for their figures: whether what they drive still works
// as they drive it, and whether what was answered was done, which they check.
func TestBenchDrivesTheRealDoor(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers and a database")
	}
	bin := binary(t)
	for _, c := range []struct{ name, args string }{
		{"clicks", "clicks --tickets 64 --clients 8 --rounds 1"},
		{"visible", "visible --seconds 3 --rate 20 --database sqlite"},
		{"platforms", "platforms --seconds 6 --rate 20 --database sqlite"},
		{"lists", "lists --tickets 1000 --seconds 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, says bytes.Buffer
			cmd := exec.CommandContext(t.Context(), bin, append([]string{"bench"}, strings.Fields(c.args)...)...)
			cmd.Stdout, cmd.Stderr = &out, &says
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, &says)
			}
			var got struct {
				Machine   Machine
				Clicks    []Clicks
				Visible   []Visible
				Platforms []Platforms
				Lists     []Lists
			}
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			for _, k := range got.Clicks {
				if r := k.Rounds[0]; k.Ratio <= 0 || k.Statements < 5 || r.Failed != 0 || r.Latency.N != 64 || r.Memory.RSS == 0 {
					t.Errorf("%+v", k)
				}
			}
			for _, v := range got.Visible {
				if v.Seen.N == 0 || v.Failed != 0 || v.Opened == 0 || v.Steps["claim"].N == 0 {
					t.Errorf("%+v", v)
				}
			}
			for _, p := range got.Platforms {
				// On a crowded machine one or the other event is answered too late.
				if p.Installs != 20 || (p.All.Failed+p.All.Unseen)*20 > p.All.Events || p.Idle.RSS == 0 || p.IdleTwo.RSS == 0 {
					t.Errorf("%+v", p)
				}
				for _, kind := range []string{"slack", "feishu, http", "feishu, stream", "dingtalk, cards", "dingtalk, numbers", "wecom"} {
					if l := p.Kinds[kind]; l.Events == 0 || l.Steps["open"].N == 0 || l.Calls == 0 || kind != "dingtalk, numbers" && l.Steps["claim"].N == 0 {
						t.Errorf("%s: %+v", kind, l)
					}
				}
				for _, platform := range []string{"slack", "feishu", "dingtalk", "wecom"} {
					if p.By[platform].Seen.N == 0 {
						t.Errorf("%s: %+v", platform, p.By[platform])
					}
				}
			}
			for _, l := range got.Lists {
				if len(l.By) != 11 || l.Worst <= 0 {
					t.Errorf("%+v", l)
				}
			}
			if n := len(got.Clicks) + len(got.Visible) + len(got.Platforms) + len(got.Lists); n == 0 || got.Machine.Cores == 0 {
				t.Errorf("no figures in %s", &out)
			}
		})
	}
}

func TestLatencyIsOfTheSlowestPart(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := latency(all), (Latency{N: 100, P50: 51, P95: 96, P99: 100, Max: 100}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := latency(nil); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}
