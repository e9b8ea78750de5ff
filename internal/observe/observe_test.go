package observe_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"drover/api"
	"drover/client"
	"drover/internal/domain"
	"drover/internal/journal"
	"drover/internal/link"
	"drover/internal/observe"
	"drover/internal/server"
	"drover/internal/store"
)

// world is a server with the room and a table of hosts; hosts are played.
type world struct {
	t       *testing.T
	dir     string
	backend store.Backend
	options observe.Options
	room    *observe.Observe
	hosts   *store.Table[api.Host, *api.Host]
	srv     *server.Server
	http    *httptest.Server
	admin   *client.Client
}

// keepOpen lets a server stop without ending the store, as a disk would.
type keepOpen struct{ store.Backend }

func (keepOpen) Close() error { return nil }

func start(t *testing.T, o observe.Options) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), backend: store.Memory(), options: o}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	w.t.Helper()
	room := domain.Room{Name: observe.Name, New: func(s domain.Services) (domain.Domain, error) {
		var err error
		w.room, err = observe.New(s, w.options)
		if err != nil {
			return domain.Domain{}, err
		}
		return w.room.Domain(), nil
	}}
	inventory := domain.Room{Name: "inventory", Kinds: []store.Kind{{Name: "host", New: func() api.Object { return &api.Host{} }}},
		New: func(s domain.Services) (domain.Domain, error) {
			w.hosts = store.TableOf[api.Host](s.Store, "host")
			return domain.Domain{Name: "inventory"}, nil
		}}
	var err error
	w.srv, err = server.New(context.Background(), server.Config{DataDir: w.dir, Backend: keepOpen{w.backend}, Rooms: []domain.Room{inventory, room}, Version: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.srv.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.http = httptest.NewServer(w.srv.Handler())
	if w.admin, err = client.New(client.Config{URL: w.http.URL, Token: w.srv.AdminToken()}); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-w.room.Ready():
	case <-time.After(time.Minute):
		w.t.Fatal("the metrics do not open")
	}
}

func (w *world) stop() {
	if w.srv == nil {
		return
	}
	w.http.CloseClientConnections()
	if err := w.srv.Close(); err != nil {
		w.t.Error(err)
	}
	w.http.Close()
	w.srv = nil
}

// host makes a host and connects it.
func (w *world) host(name string, change ...func(*api.Host)) link.Conn {
	w.t.Helper()
	h := &api.Host{Meta: api.Meta{Kind: "host", Name: name}}
	h.Status.State = api.StateConverged
	for _, c := range change {
		c(h)
	}
	if err := w.hosts.Put(w.t.Context(), h); err != nil {
		w.t.Fatal(err)
	}
	return w.connect(name)
}

func (w *world) connect(name string) link.Conn {
	w.t.Helper()
	conn, err := link.Memory(w.srv.Hub(), name).Dial(w.t.Context(), &api.Hello{Version: api.LinkVersion, AgentVersion: "9"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// batch is a body of samples of one time: name{labels} to value.
func batch(t *testing.T, at time.Time, samples map[string]float64) []byte {
	t.Helper()
	var req prompb.WriteRequest
	for text, v := range samples {
		name, rest, _ := strings.Cut(strings.TrimSuffix(text, "}"), "{")
		ts := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}}, Samples: []prompb.Sample{{Value: v, Timestamp: at.UnixMilli()}}}
		for l := range strings.SplitSeq(rest, ",") {
			if k, v, ok := strings.Cut(l, "="); ok {
				ts.Labels = append(ts.Labels, prompb.Label{Name: k, Value: strings.Trim(v, `"`)})
			}
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

func (w *world) send(conn link.Conn, samples map[string]float64) {
	w.t.Helper()
	if err := conn.Write(w.t.Context(), batch(w.t, time.Now(), samples)); err != nil {
		w.t.Fatal(err)
	}
}

// until waits for something to be so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(3 * time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// raw asks as somebody with a token by basic authentication, as Prometheus' tools do.
func (w *world) raw(method, path, token string, form url.Values) (int, string, http.Header) {
	w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		req.SetBasicAuth("drover", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// query is the answer to an instant query: value by instance.
func (w *world) query(q string) map[string]string {
	w.t.Helper()
	status, body, _ := w.raw("POST", "/api/v1/query", w.srv.AdminToken(), url.Values{"query": {q}})
	var out struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 {
		w.t.Fatalf("%s: %d %s", q, status, body)
	}
	got := map[string]string{}
	for _, r := range out.Data.Result {
		got[r.Metric["instance"]] = fmt.Sprint(r.Value[1])
	}
	return got
}

func (w *world) alerts() []api.Alert {
	w.t.Helper()
	var list api.AlertList
	if err := w.admin.Call(w.t.Context(), "GET", "/v1/alerts", nil, &list); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// events are those of alerts, as "TYPE HOST MESSAGE".
func (w *world) events() []string {
	w.t.Helper()
	list, err := w.srv.Services().Journal.List(w.t.Context(), journal.Filter{Type: "alert."})
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{}
	for _, e := range list {
		out = append(out, e.Type+" "+e.Host+" "+e.Message)
	}
	return out
}

// quick is the rule pack with shorter times, and the room with them.
func quick(t *testing.T) observe.Options {
	t.Helper()
	b, err := os.ReadFile("rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("interval: 15s", "interval: 250ms", "interval: 1m", "interval: 250ms", "for: 30s", "for: 500ms", "for: 1m", "for: 500ms").Replace(string(b))
	return observe.Options{Interval: 250 * time.Millisecond, StartGrace: 1500 * time.Millisecond, Settle: 50 * time.Millisecond, Rules: []byte(text)}
}

func TestAQueryAnswersSecondsAfterAHostJoined(t *testing.T) {
	w := start(t, observe.Options{}) // with the times that are real
	begun := time.Now()
	conn := w.host("web-1")
	w.send(conn, map[string]float64{"node_load1": 0.5, `node_uname_info{instance="elsewhere"}`: 1})
	until(t, "the host's load", func() bool { return w.query("node_load1")["web-1"] == "0.5" })
	until(t, "the server's word on the host", func() bool { return w.query("drover_host_connected")["web-1"] == "1" })
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := w.query("node_uname_info"); len(got) != 1 || got["web-1"] != "1" {
		t.Errorf("a host wrote as another: %v", got)
	}
	if got := w.query(`drover_host_state{state="converged"}`); got["web-1"] != "1" {
		t.Errorf("state: %v", got)
	}
	until(t, "the host to be up", func() bool { return w.query(`up{job="node"}`)["web-1"] == "1" })
	if got := w.query(`up{job="drover"}`); len(got) != 1 || got["server"] != "1" {
		t.Errorf("up: %v", got)
	}
	if got := w.query("drover_build_info"); got["server"] != "1" {
		t.Errorf("the server's own: %v", got)
	}
	var status api.MetricsStatus
	if err := w.admin.Call(t.Context(), "GET", "/v1/metrics/status", nil, &status); err != nil {
		t.Fatal(err)
	}
	if status.Series < 5 || status.Hosts != 1 || status.Retention != 15*24*time.Hour || len(status.Problems) != 0 || status.Bytes == 0 {
		t.Errorf("status: %+v", status)
	}
}

func TestAHostThatIsDownIsAnAlertOnce(t *testing.T) {
	w := start(t, quick(t))
	a, b := w.host("db-1"), w.host("db-2")
	for _, h := range []link.Conn{a, b} {
		w.send(h, map[string]float64{"node_load1": 0.5})
	}
	until(t, "both to be known", func() bool {
		return len(w.query("drover_host_connected == 1")) == 2 && len(w.query(`up{job="node"} == 1`)) == 2
	})
	_ = b.Close()
	const firing = "alert.firing db-2 db-2 is down or cut off from the server"
	until(t, "the alert", func() bool { return len(w.events()) > 0 })
	if got := w.events(); len(got) != 1 || got[0] != firing {
		t.Fatalf("events: %q", got)
	}
	list := w.alerts()
	if len(list) != 1 || list[0].Name != "HostDown" || list[0].Host != "db-2" || list[0].State != "firing" || list[0].Severity != "critical" || list[0].Since.IsZero() {
		t.Fatalf("alerts: %+v", list)
	}
	since := list[0].Since
	// The rule that everybody has, for whom it is written.
	if got := w.query("up == 0"); len(got) != 1 || got["db-2"] != "0" {
		t.Errorf("up == 0: %v", got)
	}

	// The server is away for a moment. What fires goes on firing, and nothing is told twice.
	w.stop()
	w.start()
	w.connect("db-1")
	if list := w.alerts(); len(list) != 1 || list[0].State != "firing" || !list[0].Since.Equal(since) {
		t.Errorf("right after the restart: %+v", list)
	}
	until(t, "the rules to see it again", func() bool {
		return w.query(`ALERTS{alertstate="firing"} offset 0s`)["db-2"] == "1" && w.query("drover_host_connected")["db-2"] == "0"
	})
	begun := time.Now()
	until(t, "three seconds without an event", func() bool {
		if got := w.events(); len(got) != 1 {
			t.Fatalf("after the restart: %q", got)
		}
		return time.Since(begun) > 3*time.Second
	})

	w.connect("db-2")
	until(t, "the end", func() bool { return len(w.events()) > 1 })
	if got := w.events(); len(got) != 2 || got[1] != "alert.resolved db-2 over: db-2 is down or cut off from the server" {
		t.Errorf("events: %q", got)
	}
	if list := w.alerts(); len(list) != 0 {
		t.Errorf("alerts: %+v", list)
	}
}

func TestHostsComingBackAfterARestartAreNoAlert(t *testing.T) {
	o := quick(t)
	w := start(t, o)
	w.host("web-1")
	until(t, "it to be known", func() bool { return w.query("drover_host_connected")["web-1"] == "1" })
	w.stop()
	w.start()
	begun := time.Now()
	until(t, "most of the grace to go by", func() bool { return time.Since(begun) > o.StartGrace*2/3 })
	w.connect("web-1")
	until(t, "two more seconds", func() bool { return time.Since(begun) > o.StartGrace+2*time.Second })
	if got := w.events(); len(got) != 0 {
		t.Errorf("events: %q", got)
	}
}

func TestARemovedHostLeavesNoAlert(t *testing.T) {
	w := start(t, quick(t))
	conn := w.host("old", func(h *api.Host) { h.Status.Last = &api.Report{ID: "1", Failed: true, Start: time.Now()} })
	until(t, "the alert", func() bool { return len(w.events()) == 1 })
	if a := w.alerts()[0]; a.Name != "ConvergeFailed" || a.Severity != "warning" {
		t.Errorf("alert: %+v", a)
	}
	_ = conn.Close()
	if err := w.hosts.Delete(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return len(w.alerts()) == 0 && len(w.query("drover_host_converge_failed")) == 0 })
}

func TestAFailedUnitNamesItself(t *testing.T) {
	w := start(t, quick(t))
	conn := w.host("web-1")
	until(t, "the alert", func() bool {
		w.send(conn, map[string]float64{`node_systemd_unit_state{name="nginx.service",state="failed",type="forking"}`: 1})
		return len(w.events()) > 0
	})
	if a := w.alerts(); len(a) != 1 || a[0].Unit != "nginx.service" || a[0].Summary != "web-1: nginx.service has failed" {
		t.Errorf("alerts: %+v", a)
	}
}

func TestLooksAtAHost(t *testing.T) {
	w := start(t, observe.Options{})
	conn := w.host("web-1")
	answer := make(chan struct{})
	go func() {
		defer close(answer)
		for range 3 {
			m, err := conn.Recv()
			if err != nil || m.Look == nil {
				continue
			}
			s := &api.Seen{ID: m.Look.ID}
			switch {
			case m.Look.What == api.LookUnits:
				s.Units = []api.Unit{{Name: "ssh.service", Active: "active"}}
			case m.Look.Limit == 3:
				s.Processes = &api.ProcessList{CPUs: 2, Items: []api.Process{{PID: 1, Name: "systemd"}}}
			default:
				s.Error = "/proc is not mounted"
			}
			_ = conn.Send(t.Context(), &api.ToServer{Seen: s})
		}
	}()
	var ps api.ProcessList
	if err := w.admin.Call(t.Context(), "GET", "/v1/hosts/web-1/processes?limit=3", nil, &ps); err != nil || ps.CPUs != 2 || len(ps.Items) != 1 {
		t.Errorf("got %+v, %v", ps, err)
	}
	var us api.UnitList
	if err := w.admin.Call(t.Context(), "GET", "/v1/hosts/web-1/units", nil, &us); err != nil || len(us.Items) != 1 || us.Items[0].Name != "ssh.service" {
		t.Errorf("got %+v, %v", us, err)
	}
	if err := w.admin.Call(t.Context(), "GET", "/v1/hosts/web-1/processes", nil, &ps); api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), "/proc is not mounted") {
		t.Errorf("got %v", err)
	}
	<-answer
	// It goes away while it is asked.
	failed := make(chan error, 1)
	go func() { failed <- w.admin.Call(context.Background(), "GET", "/v1/hosts/web-1/units", nil, &us) }()
	if m, err := conn.Recv(); err != nil || m.Look == nil {
		t.Fatalf("got %+v, %v", m, err)
	}
	_ = conn.Close()
	if err := <-failed; api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	for path, want := range map[string]api.Code{"/v1/hosts/web-1/units": api.CodeUnavailable, "/v1/hosts/none/units": api.CodeNotFound, "/v1/hosts/web-1/processes?limit=x": api.CodeInvalid} {
		if err := w.admin.Call(t.Context(), "GET", path, nil, &us); api.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

// viewer makes a token that may read.
func (w *world) viewer() string {
	w.t.Helper()
	var token server.NewToken
	if err := w.admin.Create(w.t.Context(), "tokens", &api.Token{Meta: api.Meta{Kind: "token", Name: "reader"},
		Spec: api.TokenSpec{Role: api.RoleViewer, Expires: time.Now().Add(time.Hour)}}, &token); err != nil {
		w.t.Fatal(err)
	}
	return token.Secret
}

func TestPrometheusAPIIsBehindTheDoor(t *testing.T) {
	w := start(t, observe.Options{})
	conn := w.host("web-1")
	w.send(conn, map[string]float64{"node_load1": 2})
	reader := w.viewer()
	query := url.Values{"query": {"node_load1"}}
	for _, c := range []struct {
		method, path, token string
		form                url.Values
		status              int
		want                string
	}{
		{"GET", "/api/v1/query?query=node_load1", "", nil, 401, "nobody is signed in"},
		{"GET", "/federate?match[]=node_load1", "", nil, 401, "nobody is signed in"},
		{"POST", "/api/v1/write", reader, url.Values{}, 403, "needs operator"},
		{"POST", "/api/v1/write", w.srv.AdminToken(), url.Values{}, 422, "snappy"},
		{"POST", "/api/v1/query", reader, query, 200, `"instance":"web-1"`},
		{"GET", "/api/v1/query?query=node_load1{", reader, nil, 400, "bad_data"},
		{"GET", "/api/v1/label/__name__/values", reader, nil, 200, `"node_load1"`},
		{"GET", "/api/v1/series?match[]=node_load1", reader, nil, 200, `"job":"node"`},
		{"GET", "/api/v1/rules", reader, nil, 200, `"HostDown"`},
		{"GET", "/api/v1/alerts", reader, nil, 200, `"alerts":[`},
		{"GET", "/api/v1/targets", reader, nil, 200, `"activeTargets":[`},
		{"GET", "/api/v1/status/buildinfo", reader, nil, 200, `"version":"3.`},
		{"GET", "/api/v1/status/tsdb", reader, nil, 200, `"seriesCountByMetricName"`},
		{"GET", "/api/v1/status/config", reader, nil, 200, `"yaml"`},
		{"GET", "/api/v1/status/flags", reader, nil, 200, `"success"`},
		{"GET", "/api/v1/metadata", reader, nil, 200, `"success"`},
		{"POST", "/api/v1/admin/tsdb/delete_series?match[]=up", w.srv.AdminToken(), nil, 404, "there is nothing at"},
		{"GET", "/federate", reader, nil, 422, "no selector"},
		{"GET", "/federate?match[]={", reader, nil, 422, "match[]"},
		{"GET", "/federate?match[]=node_load1", reader, nil, 200, "# TYPE node_load1 untyped\nnode_load1{instance=\"web-1\",job=\"node\"} 2 1"},
		{"GET", "/v1/rules.yml", reader, nil, 200, "alert: HostDown"},
	} {
		status, body, h := w.raw(c.method, c.path, c.token, c.form)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: got %d %.300s, want %d with %q", c.method, c.path, status, body, c.status, c.want)
		}
		if status == 401 && !strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("%s does not ask for basic authentication", c.path)
		}
	}
	// Reading is no entry of the audit.
	if entries := w.audited(); strings.Contains(entries, "/api/v1/") {
		t.Errorf("the audit has %s", entries)
	}
}

func (w *world) audited() string {
	w.t.Helper()
	var list server.AuditList
	if err := w.admin.Call(w.t.Context(), "GET", "/v1/audit", nil, &list); err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range list.Items {
		b.WriteString(e.Action + "\n")
	}
	return b.String()
}

func TestRemoteWriteOfOtherPrograms(t *testing.T) {
	w := start(t, observe.Options{})
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+"/api/v1/write",
		strings.NewReader(string(batch(t, time.Now(), map[string]float64{`jobs_waiting{instance="queue"}`: 7}))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.srv.AdminToken())
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("got %d %s", resp.StatusCode, b)
	}
	if got := w.query("jobs_waiting"); got["queue"] != "7" {
		t.Errorf("got %v", got)
	}
}

func TestAFullDiskIsSaid(t *testing.T) {
	w := start(t, observe.Options{MinFree: 1 << 60}) // no disk has that
	conn := w.host("web-1")
	until(t, "the health to say so", func() bool {
		status, body, _ := w.raw("GET", "/healthz", "", nil)
		return status == 503 && strings.Contains(body, "the disk of the metrics is full")
	})
	err := conn.Write(t.Context(), batch(t, time.Now(), map[string]float64{"node_load1": 1}))
	if api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("got %v, want unavailable so that the host keeps it", err)
	}
	if status, body, _ := w.raw("GET", "/api/v1/query?query=1", w.srv.AdminToken(), nil); status != 200 {
		t.Errorf("queries do not go on: %d %s", status, body)
	}
}
