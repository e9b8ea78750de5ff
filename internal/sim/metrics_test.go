package sim_test

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"drover/api"
	"drover/internal/link"
	"drover/internal/sim"
)

// sink is a server that stores samples, and keeps what hosts show.
type sink struct {
	hub *link.Hub

	mu   sync.Mutex
	all  map[string]map[string]map[int64]float64 // host → series → time
	when map[string]time.Time                    // of a host's first batch
	seen map[string]*api.Seen
}

func (s *sink) Joined(host string, _ *api.Hello) {
	for _, what := range []string{api.LookProcesses, api.LookUnits, "weather"} {
		_ = s.hub.Send(host, &api.ToAgent{Look: &api.Look{ID: host + what, What: what, Limit: 5}})
	}
}
func (s *sink) Left(string, []*api.ToAgent) {}
func (s *sink) Message(_ string, m *api.ToServer) {
	if m.Seen != nil {
		s.mu.Lock()
		s.seen[m.Seen.ID] = m.Seen
		s.mu.Unlock()
	}
}

func (s *sink) Write(_ context.Context, host string, body []byte) error {
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[host] == nil {
		s.all[host] = map[string]map[int64]float64{}
		s.when[host] = time.Now()
	}
	each(raw, func(_ protowire.Number, series []byte, _ uint64) {
		var labels []string
		var at int64
		var v float64
		each(series, func(n protowire.Number, part []byte, _ uint64) {
			each(part, func(m protowire.Number, text []byte, x uint64) {
				switch {
				case n == 1:
					labels = append(labels, string(text))
				case m == 1:
					v = math.Float64frombits(x)
				default:
					at = int64(x)
				}
			})
		})
		name := strings.Join(labels, " ")
		if s.all[host][name] == nil {
			s.all[host][name] = map[int64]float64{}
		}
		s.all[host][name][at] = v
	})
	return nil
}

func each(b []byte, do func(protowire.Number, []byte, uint64)) {
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		b = b[size:]
		var data []byte
		var x uint64
		switch typ {
		case protowire.BytesType:
			data, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			x, size = protowire.ConsumeVarint(b)
		default:
			x, size = protowire.ConsumeFixed64(b)
		}
		do(n, data, x)
		b = b[size:]
	}
}

// TestMetrics has hosts send what real ones do: so many series, counters that
// never fall, each host at its own moment and with its own values.
func TestMetrics(t *testing.T) {
	for _, n := range []int{3, 670, 900} {
		synctest.Test(t, func(t *testing.T) {
			s := &sink{all: map[string]map[string]map[int64]float64{}, when: map[string]time.Time{}, seen: map[string]*api.Seen{}}
			s.hub = link.NewHub(link.HubConfig{Consumer: s, Metrics: s})
			defer s.hub.Close()
			f := sim.New(sim.Config{N: 5, Prefix: "h", Metrics: n})
			f.Attach(func(host string) link.Dialer { return link.Memory(s.hub, host) })
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan bool)
			go func() { f.Run(ctx); close(done) }()
			time.Sleep(4*time.Minute + time.Second)
			stop()
			<-done
			s.mu.Lock()
			defer s.mu.Unlock()
			moments := map[time.Time]bool{}
			for host, all := range s.all {
				moments[s.when[host]] = true
				if len(all) != n {
					t.Errorf("%s has %d series, want %d", host, len(all), n)
				}
				for name, list := range all {
					if len(list) < 16 || len(list) > 18 {
						t.Fatalf("%s: %s has %d samples in four minutes", host, name, len(list))
					}
					if strings.Contains(strings.Fields(name)[1], "_total") {
						rises(t, host+" "+name, list)
					}
				}
			}
			if len(moments) != 5 {
				t.Errorf("5 hosts send at %d moments", len(moments))
			}
			if st := f.Stats(); st.Samples < int64(5*16*n) || st.Unwritten != 0 {
				t.Errorf("the statistics are %+v", st)
			}
			if n != 670 {
				return
			}
			a, b := s.all["h-1"], s.all["h-2"]
			differ := 0
			for name, list := range a {
				for at, v := range list {
					if b[name][at+3000] != v { // h-2 sends three seconds after h-1
						differ++
						break
					}
				}
			}
			if differ < 100 {
				t.Errorf("two hosts differ in %d series only", differ)
			}
		})
	}
}

func rises(t *testing.T, name string, list map[int64]float64) {
	t.Helper()
	var first int64 = math.MaxInt64
	for at := range list {
		first = min(first, at)
	}
	last := list[first]
	for at := first; ; at += 15_000 {
		v, ok := list[at]
		if !ok {
			return
		}
		if v < last {
			t.Errorf("the counter %s falls from %v to %v", name, last, v)
			return
		}
		last = v
	}
}

func TestSimulatedHostsAreLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{seen: map[string]*api.Seen{}}
		s.hub = link.NewHub(link.HubConfig{Consumer: s})
		defer s.hub.Close()
		f := sim.New(sim.Config{N: 1, Prefix: "h"})
		f.Attach(func(host string) link.Dialer { return link.Memory(s.hub, host) })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { f.Run(ctx); close(done) }()
		synctest.Wait()
		stop()
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		if p := s.seen["h-1processes"].Processes; p == nil || len(p.Items) != 5 || p.CPUPercent <= 0 || p.CPUPercent > 100 || p.MemUsed <= 0 || p.MemUsed > p.MemTotal {
			t.Errorf("the processes are %+v", p)
		}
		if u := s.seen["h-1units"].Units; len(u) < 20 || u[0].Active != "active" || u[0].Since.IsZero() {
			t.Errorf("the units are %+v", u)
		}
		if s.seen["h-1weather"].Error == "" {
			t.Error("a look at something else is answered")
		}
	})
}
