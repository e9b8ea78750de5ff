package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/journal"
	"drover/internal/observe"
	"drover/internal/server"
	"drover/internal/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"drover": func() {
		os.Exit(Main(context.Background(), Options{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "1.2.3"}))
	}})
}

// inventory stores hosts without the room of hosts.
func inventory(hosts *[]*store.Table[api.Host, *api.Host]) domain.Room {
	return domain.Room{Name: "inventory", Kinds: []store.Kind{{Name: "host", New: func() api.Object { return &api.Host{} }}},
		New: func(s domain.Services) (domain.Domain, error) {
			*hosts = append(*hosts, store.TableOf[api.Host](s.Store, "host"))
			return domain.Domain{Name: "inventory", Kinds: []domain.Kind{{Name: "host", Plural: "hosts", Doc: "A server.",
				New: func() api.Object { return &api.Host{} }, Read: domain.Viewer(), Write: domain.Operator()}},
				Routes: []domain.Route{{Method: "GET", Path: "/v1/join", Access: domain.Operator(), Doc: "As the room of hosts.", Response: api.JoinInfo{},
					Handle: func(w http.ResponseWriter, _ *http.Request) error {
						return domain.WriteJSON(w, http.StatusOK, api.JoinInfo{URL: "https://fleet.example.org:7440", Link: []string{"192.0.2.1:7441"},
							Command: "curl https://fleet.example.org:7440/join.sh come from https://fleet.example.org:7440, or DROVER_TOKEN=TOKEN sh -c join.sh"})
					}}}}, nil
		}}
}

// TestScripts runs the scripts in testdata/script, each with a server of its
// own: `serve` starts it, `sethost NAME field=value …` plays the fleet.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DROVER_DATA", filepath.Join(env.WorkDir, "data"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": serve, "sethost": setHost, "event": addEvent, "exit": wantExit, "waitalert": waitAlert,
		},
	})
}

// served is what `serve` started.
type served struct {
	hosts *store.Table[api.Host, *api.Host]
	srv   domain.Services
}

var servedBy = &registry{m: map[string]*served{}}

// serve starts a server in the script's data directory. It sets $URL, $CODE
// (of the first administrator) and $FINGERPRINT.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	var tables []*store.Table[api.Host, *api.Host]
	s := &served{}
	keep := domain.Room{Name: "keep", New: func(sv domain.Services) (domain.Domain, error) {
		s.srv = sv
		return domain.Domain{Name: "keep"}, nil
	}}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan server.Addresses, 1), make(chan error, 1)
	var announced bytes.Buffer
	go func() {
		ended <- server.Run(ctx, server.Config{DataDir: ts.Getenv("DROVER_DATA"), ListenAPI: "127.0.0.1:0", ListenLink: "127.0.0.1:0",
			Backend: store.Memory(), Rooms: []domain.Room{inventory(&tables), keep, metrics()}, Version: "1.2.4", Announce: &announced,
			StopTimeout: time.Second, Ready: func(a server.Addresses) { ready <- a }})
	}()
	ts.Defer(func() {
		cancel()
		if err := <-ended; err != nil {
			ts.Logf("the server ended with: %v", err)
		}
	})
	select {
	case a := <-ready:
		ts.Setenv("URL", a.API)
	case err := <-ended:
		ended <- err
		ts.Fatalf("the server did not start: %v", err)
	}
	s.hosts = tables[0]
	servedBy.set(ts.Getenv("DROVER_DATA"), s)
	for line := range strings.SplitSeq(announced.String(), "\n") {
		if words := strings.Fields(line); len(words) > 6 && words[0] == "drover" {
			ts.Setenv("CODE", words[4])
			ts.Setenv("FINGERPRINT", words[6])
		}
	}
}

// setHost makes or changes a host as the fleet room would.
func setHost(ts *testscript.TestScript, neg bool, args []string) {
	ctx := context.Background()
	s := servedBy.get(ts.Getenv("DROVER_DATA"))
	h, err := s.hosts.Get(ctx, args[0])
	if err != nil {
		h = &api.Host{Meta: api.Meta{Kind: "host", Name: args[0]}}
	}
	for _, a := range args[1:] {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "state":
			h.Status.State = v
		case "connected":
			h.Status.Connected = v == "yes"
		case "revision":
			h.Status.Revision = v
		case "assigned":
			h.Status.Assigned = v
		case "groups":
			h.Status.Groups = strings.Split(v, ",")
		case "address":
			h.Spec.Address = v
		case "failed":
			h.Status.Last = &api.Report{ID: "1", Start: time.Now(), Failed: v == "yes"}
		default:
			name, ok := strings.CutPrefix(k, "label.")
			if !ok {
				ts.Fatalf("sethost knows no field %s", k)
			}
			if h.Labels == nil {
				h.Labels = map[string]string{}
			}
			h.Labels[name] = v
		}
	}
	ts.Check(s.hosts.Put(ctx, h))
}

// metrics is the room of metrics and alerts with one rule and short times.
func metrics() domain.Room {
	return observe.Room(observe.Options{Interval: 250 * time.Millisecond, Settle: 50 * time.Millisecond, Rules: []byte(`groups:
  - name: test
    interval: 250ms
    rules:
      - alert: ConvergeFailed
        expr: drover_host_converge_failed == 1
        labels:
          severity: warning
        annotations:
          summary: "{{ $labels.instance }} could not be brought where it should be"
`)})
}

// waitAlert waits until an alert of that name fires: waitalert NAME.
func waitAlert(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := servedBy.get(ts.Getenv("DROVER_DATA"))
	for e := range s.srv.Journal.Watch(ctx, journal.Filter{Type: "alert.firing"}) {
		if e.Data["name"] == args[0] {
			return
		}
	}
	ts.Fatalf("no alert %s fires", args[0])
}

// addEvent appends an event: event TYPE HOST MESSAGE.
func addEvent(ts *testscript.TestScript, neg bool, args []string) {
	s := servedBy.get(ts.Getenv("DROVER_DATA"))
	ts.Check(s.srv.Journal.Append(context.Background(), &api.Event{Type: args[0], Host: args[1], Message: args[2]}))
}

// wantExit runs drover and wants this exit status: exit 3 hosts -o json.
func wantExit(ts *testscript.TestScript, neg bool, args []string) {
	got := 0
	if err := ts.Exec("drover", args[1:]...); err != nil {
		var status *exec.ExitError
		if !errors.As(err, &status) {
			ts.Fatalf("cannot run drover: %v", err)
		}
		got = status.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}
