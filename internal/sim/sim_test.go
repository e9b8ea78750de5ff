package sim_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/internal/link"
	"drover/internal/pki"
	"drover/internal/sim"
)

// TestMain makes this program the other end too: agents in a process of their
// own, so that the server's memory can be measured.
func TestMain(m *testing.M) {
	if addr := os.Getenv("DROVER_SIM_AGENTS_OF"); addr != "" {
		n, err := strconv.Atoi(os.Getenv("DROVER_SIM_N"))
		if err == nil {
			err = agents(addr, os.Getenv("DROVER_SIM_CA"), n)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func agents(addr, caDir string, n int) error {
	ca, err := pki.OpenCA(caDir, pki.Options{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		stop()
	}()
	f := sim.New(sim.Config{N: n, Prefix: "h"})
	if err := attach(f, ca, addr); err != nil {
		return err
	}
	f.Run(ctx)
	return nil
}

func attach(f *sim.Fleet, ca *pki.CA, addr string) error {
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		return err
	}
	f.Attach(func(host string) link.Dialer {
		return link.NewDialer(link.DialConfig{Servers: func() []string { return []string{addr} }, Fleet: ca.Fleet(), Timeout: time.Minute,
			TLS: func() (*tls.Config, error) {
				csr, err := pki.Request(host, key)
				if err != nil {
					return nil, err
				}
				cert, err := ca.SignHost(csr, host)
				if err != nil {
					return nil, err
				}
				id, err := pki.ParseIdentity(cert, keyPEM, ca.Bundle())
				if err != nil {
					return nil, err
				}
				return id.TLS(), nil
			}})
	})
	return nil
}

// server is a hub that counts.
type server struct {
	hub  *link.Hub
	addr string
	ca   *pki.CA
	dir  string

	mu     sync.Mutex
	cond   *sync.Cond
	joined int
	acks   int
	done   int
}

func (s *server) count(n *int, by int) {
	s.mu.Lock()
	*n += by
	s.mu.Unlock()
	s.cond.Broadcast()
}

func (s *server) wait(n *int, want int) {
	s.mu.Lock()
	for *n < want {
		s.cond.Wait()
	}
	s.mu.Unlock()
}

func (s *server) Joined(string, *api.Hello)   { s.count(&s.joined, 1) }
func (s *server) Left(string, []*api.ToAgent) { s.count(&s.joined, -1) }
func (s *server) Message(h string, m *api.ToServer) {
	switch {
	case m.Ack != nil:
		s.count(&s.acks, 1)
	case m.Done != nil && m.Done.Exit == 0:
		s.count(&s.done, 1)
	case m.Report != nil:
		_ = s.hub.Send(h, &api.ToAgent{ReportAck: &api.ReportAck{ID: m.Report.ID}})
	}
}

func newServer(t testing.TB) *server {
	s := &server{dir: t.TempDir()}
	s.cond = sync.NewCond(&s.mu)
	var err error
	if s.ca, err = pki.OpenCA(s.dir, pki.Options{}); err != nil {
		t.Fatal(err)
	}
	s.hub = link.NewHub(link.HubConfig{Consumer: s, ServerVersion: "test"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.hub.Serve(ctx, l, link.ServerConfig{TLS: s.ca.LinkTLS("127.0.0.1"), Roots: s.ca.Bundle, Identify: pki.HostFromCert, Fleet: s.ca.Fleet()})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestFleet(t *testing.T) {
	const n = 60
	s := newServer(t)
	f := sim.New(sim.Config{N: n, Prefix: "h"})
	if err := attach(f, s.ca, s.addr); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	s.wait(&s.joined, n)
	hosts := s.hub.Hosts()
	if failed := s.hub.Broadcast(hosts, &api.ToAgent{Assign: &api.AssignmentSpec{Commit: "c1"}}); failed != nil {
		t.Errorf("failed: %v", failed)
	}
	s.wait(&s.acks, n)
	if failed := s.hub.Broadcast(hosts, &api.ToAgent{Job: &api.Job{ID: "j", Command: "true"}}); failed != nil {
		t.Errorf("failed: %v", failed)
	}
	s.wait(&s.done, n)
	stop()
	wg.Wait()
	if st := f.Stats(); st.Jobs != n || st.Assigned != n || st.DialP99 == 0 || st.ConnectedIn == 0 {
		t.Errorf("stats are %+v", st)
	}
}

// BenchmarkFleet connects DROVER_BENCH_HOSTS agents (1,000), in a process of
// their own, to a hub in this one, and reports what it costs.
func BenchmarkFleet(b *testing.B) {
	n := 1000
	if v, err := strconv.Atoi(os.Getenv("DROVER_BENCH_HOSTS")); err == nil {
		n = v
	}
	for b.Loop() {
		s := newServer(b)
		runtime.GC()
		debug.FreeOSMemory()
		before := rss(b)
		start := time.Now()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "DROVER_SIM_AGENTS_OF="+s.addr, "DROVER_SIM_CA="+s.dir, "DROVER_SIM_N="+strconv.Itoa(n))
		stdin, err := cmd.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		s.wait(&s.joined, n)
		connected := time.Since(start)
		peak := rss(b)
		runtime.GC()
		debug.FreeOSMemory()
		quiet := rss(b)
		hosts := s.hub.Hosts()

		start = time.Now()
		payload := bytes.Repeat([]byte("x"), 1000)
		if failed := s.hub.Broadcast(hosts, &api.ToAgent{Assign: &api.AssignmentSpec{Commit: "c", Sections: []api.Section{{Room: "play", Body: payload}}}}); failed != nil {
			b.Fatal(failed)
		}
		queued := time.Since(start)
		s.wait(&s.acks, n)
		acked := time.Since(start)
		start = time.Now()
		if failed := s.hub.Broadcast(hosts, &api.ToAgent{Job: &api.Job{ID: "j", Command: "true"}}); failed != nil {
			b.Fatal(failed)
		}
		s.wait(&s.done, n)
		ran := time.Since(start)
		after := rss(b)

		b.ReportMetric(float64(n)/connected.Seconds(), "connects/s")
		b.ReportMetric(float64(quiet-before)/float64(n), "B/host-idle")
		b.ReportMetric(float64(max(peak, after)-before)/float64(n), "B/host-peak")
		b.ReportMetric(float64(queued.Milliseconds()), "ms-queued")
		b.ReportMetric(float64(acked.Milliseconds()), "ms-acked")
		b.ReportMetric(float64(ran.Milliseconds()), "ms-job")
		b.ReportMetric(float64(runtime.NumGoroutine())/float64(n), "goroutines/host")
		b.Logf("agents' process: %d KB a host", rssOf(b, cmd.Process.Pid)/1024/int64(n))
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

func rss(t testing.TB) int64 { return rssOf(t, os.Getpid()) }

func rssOf(t testing.TB, pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
