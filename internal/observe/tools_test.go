package observe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/link"
	"drover/internal/observe"
	"drover/internal/server"
	"drover/internal/store"
)

// debian finds a program of Debian's package prometheus.
func debian(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not here: run test/prepare, which installs the package prometheus", program)
	}
	return path
}

func run(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // on a busy machine
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestPromtoolReadsTheRulePack(t *testing.T) {
	promtool := debian(t, "promtool")
	if out := run(t, nil, promtool, "check", "rules", "rules.yml"); !strings.Contains(out, "SUCCESS") {
		t.Errorf("check: %s", out)
	}
	if out := run(t, nil, promtool, "test", "rules", "testdata/rules_test.yml"); !strings.Contains(out, "SUCCESS") {
		t.Errorf("test: %s", out)
	}
}

// overTLS is a server on real ports with the fleet's own certificates.
type overTLS struct {
	url, token, ca string // ca is a file
	services       domain.Services
}

func serveTLS(t *testing.T) overTLS {
	t.Helper()
	dir := t.TempDir()
	s := overTLS{ca: filepath.Join(dir, "ca.pem")}
	keep := domain.Room{Name: "inventory", Kinds: []store.Kind{{Name: "host", New: func() api.Object { return &api.Host{} }}},
		New: func(sv domain.Services) (domain.Domain, error) {
			s.services = sv
			return domain.Domain{Name: "inventory"}, nil
		}}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan server.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Config{DataDir: filepath.Join(dir, "data"), ListenAPI: "127.0.0.1:0", ListenLink: "127.0.0.1:0", Names: []string{"127.0.0.1"},
			Backend: store.Memory(), Rooms: []domain.Room{keep, observe.Room(observe.Options{})}, Version: "test", StopTimeout: time.Second,
			Ready: func(a server.Addresses) { ready <- a }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	select {
	case a := <-ready:
		_, port, err := net.SplitHostPort(strings.TrimPrefix(a.API, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		s.url = "127.0.0.1:" + port
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	if err := os.WriteFile(s.ca, s.services.CA.Bundle(), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(server.AdminFile(filepath.Join(dir, "data")))
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`token: *"?([^\s"]+)`).FindSubmatch(b); m != nil {
		s.token = string(m[1])
	}
	// A host that sends.
	hosts := store.TableOf[api.Host](s.services.Store, "host")
	if err := hosts.Put(t.Context(), &api.Host{Meta: api.Meta{Kind: "host", Name: "web-1"}}); err != nil {
		t.Fatal(err)
	}
	conn, err := link.Memory(s.services.Hub, "web-1").Dial(t.Context(), &api.Hello{Version: api.LinkVersion, AgentVersion: "9"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	until(t, "metrics to be taken", func() bool {
		err := conn.Write(t.Context(), batch(t, time.Now(), map[string]float64{"node_load1": 2}))
		return api.CodeOf(err) != api.CodeUnavailable
	})
	return s
}

func TestPromtoolQueriesOverTLS(t *testing.T) {
	promtool := debian(t, "promtool")
	s := serveTLS(t)
	at := "https://drover:" + s.token + "@" + s.url
	trust := []string{"SSL_CERT_FILE=" + s.ca}
	if out := run(t, trust, promtool, "query", "instant", at, "node_load1"); !strings.HasPrefix(out, `node_load1{instance="web-1", job="node"} => 2 @`) {
		t.Errorf("instant: %s", out)
	}
	now := time.Now()
	if out := run(t, trust, promtool, "query", "range", "--start", fmt.Sprint(now.Add(-time.Minute).Unix()), "--end", fmt.Sprint(now.Add(time.Minute).Unix()), "--step", "15s", at, "node_load1"); !strings.Contains(out, `node_load1{instance="web-1", job="node"} =>`) {
		t.Errorf("range: %s", out)
	}
	if out := run(t, trust, promtool, "query", "series", "--match", "node_load1", at); !strings.Contains(out, `node_load1`) {
		t.Errorf("series: %s", out)
	}
	if out := run(t, trust, promtool, "query", "labels", at, "instance"); !strings.Contains(out, "web-1") {
		t.Errorf("labels: %s", out)
	}
}

func TestDebiansPrometheusFederates(t *testing.T) {
	prometheus, promtool := debian(t, "prometheus"), debian(t, "promtool")
	s := serveTLS(t)
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := l.Addr().String()
	_ = l.Close()
	config := fmt.Sprintf(`global: {scrape_interval: 1s}
scrape_configs:
  - job_name: drover
    scheme: https
    honor_labels: true
    metrics_path: /federate
    params: {'match[]': ['{job="node"}', '{__name__=~"drover.*"}']}
    basic_auth: {username: drover, password: %q}
    tls_config: {ca_file: %q}
    static_configs: [{targets: [%q]}]
`, s.token, s.ca, s.url)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, prometheus, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+own)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err != nil && t.Failed() {
			t.Logf("prometheus: %s", log.String())
		}
	}()
	until(t, "Debian's Prometheus to have the host's load", func() bool {
		out, err := exec.CommandContext(ctx, promtool, "query", "instant", "http://"+own, `{__name__=~"node_load1|drover_host_connected",instance="web-1"}`).CombinedOutput()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			t.Fatal(err)
		}
		return strings.Contains(string(out), `node_load1{instance="web-1", job="node"} => 2`) && strings.Contains(string(out), `drover_host_connected{instance="web-1", job="drover"} => 1`)
	})
}
