package lab

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/observe/observetest"
	"drover/internal/server"
)

// metricsOutage is how long the server is away; DROVER_OUTAGE=10m makes it longer.
const metricsOutage = time.Minute

// TestMetricsOutage takes the server away, and meanwhile kills the agent, stops
// it and starts it again: every sample that the collectors read is on the
// server afterwards, as it was read. What they read is told by the agent's own
// record: of each gather its time, the number of its samples and their hash.
func TestMetricsOutage(t *testing.T) {
	outage := metricsOutage
	if s := os.Getenv("DROVER_OUTAGE"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		outage = d
	}
	w := begin(t, 1)
	c := w.client()
	w.on("web-1", `mkdir -p /etc/systemd/system/drover-agent.service.d /var/lib/drover-agent/textfile
printf '[Service]\nExecStart=\nExecStart=/var/lib/drover-agent/bin/current run --state /var/lib/drover-agent --record-metrics /root/record\n' >/etc/systemd/system/drover-agent.service.d/record.conf
echo 'backup_age_seconds 12.5' >/var/lib/drover-agent/textfile/backup.prom
systemctl daemon-reload
systemctl restart drover-agent`)
	began := time.Now()
	stored := func() map[int64]string {
		have, err := observetest.Stored(t.Context(), c, "web-1", time.Since(began)+2*time.Minute)
		if err != nil {
			t.Log(err) // it may not answer yet
		}
		return have
	}
	read := func() []string { return strings.Split(w.on("web-1", "cat /root/record"), "\n") }
	w.until("the first metrics are stored", time.Minute, func() bool { return len(stored()) >= 2 })

	w.stopServer(syscall.SIGTERM)
	away := len(read())
	w.sleep(outage / 3)
	w.on("web-1", "pkill -9 -x drover-agent || kill -9 $(systemctl show -p MainPID --value drover-agent)")
	w.sleep(outage / 3)
	w.on("web-1", "systemctl stop drover-agent; sync; systemctl start drover-agent")
	w.sleep(outage / 6)
	w.on("web-1", "kill -9 $(systemctl show -p MainPID --value drover-agent)")
	w.sleep(outage / 6)
	want := read()
	if n := len(want) - away; n < int(outage/(15*time.Second))-1 {
		t.Errorf("while the server was away for %v the agent read metrics %d times only", outage, n)
	}
	w.startServer()
	back := time.Now()
	var have map[int64]string
	missing := func() (missing []string) {
		have = stored()
		for _, line := range want {
			at, _, _ := strings.Cut(line, " ")
			ms, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				t.Fatalf("the record has the line %q", line)
			}
			if have[ms] != line {
				missing = append(missing, fmt.Sprintf("read %q, stored %q", line, have[ms]))
			}
		}
		return missing
	}
	w.until("all is stored", 2*time.Minute, func() bool { return len(missing()) == 0 || time.Since(back) > 90*time.Second })
	caught := time.Since(back)
	if m := missing(); len(m) > 0 {
		t.Fatalf("of %d gathers %d are not stored as they were read:\n%s", len(want), len(m), strings.Join(m, "\n"))
	}
	samples := 0
	for _, line := range want {
		n, err := strconv.Atoi(strings.Fields(line)[1])
		if err != nil {
			t.Fatal(err)
		}
		samples += n
	}
	t.Logf("%d gathers, %d samples, all there %v after the server was; %d gathers were read while it was away for %v",
		len(want), samples, caught.Round(100*time.Millisecond), len(want)-away, outage)
}

func (w *world) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.t.Context().Done():
	}
}

// client is one of the API.
func (w *world) client() *client.Client {
	w.t.Helper()
	file, err := server.ReadCredentials(filepath.Join(w.dir, "data", "admin.yml"))
	if err != nil {
		w.t.Fatal(err)
	}
	cred := file.Contexts[file.Current]
	c, err := client.New(client.Config{URL: cred.Server, Token: cred.Token, CA: []byte(cred.CA)})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TestLook shows what runs on a host.
func TestLook(t *testing.T) {
	w := begin(t, 1)
	c := w.client()
	w.on("web-1", "systemd-run --unit busy sh -c 'while :; do :; done'; systemd-run --unit broken false || true")
	var processes api.ProcessList
	w.until("the busy process is seen", time.Minute, func() bool {
		if err := c.Call(t.Context(), http.MethodGet, "/v1/hosts/web-1/processes", nil, &processes); err != nil {
			t.Fatal(err)
		}
		return len(processes.Items) > 0 && strings.Contains(processes.Items[0].Command, "while") && processes.Items[0].CPUPercent > 10
	})
	if p := processes.Items[0]; p.User != "root" || p.RSS <= 0 || processes.MemTotal <= 0 || processes.Total < 5 {
		t.Errorf("the processes are %+v", processes)
	}
	var units struct{ Items []api.Unit }
	if err := c.Call(t.Context(), http.MethodGet, "/v1/hosts/web-1/units", nil, &units); err != nil {
		t.Fatal(err)
	}
	state := map[string]string{}
	for _, u := range units.Items {
		state[u.Name] = u.Active
		if u.Name == "busy.service" && (u.Sub != "running" || time.Since(u.Since) > time.Hour) {
			t.Errorf("the busy unit is %+v", u)
		}
	}
	for unit, want := range map[string]string{"busy.service": "active", "broken.service": "failed", "drover-agent.service": "active"} {
		if state[unit] != want {
			t.Errorf("unit %s is %q, want %s", unit, state[unit], want)
		}
	}
}
