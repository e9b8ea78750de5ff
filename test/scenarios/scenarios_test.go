// Package scenarios runs a fleet in one process through what operators live
// through. Each *.txtar file is one story: what is typed, what is in the
// repository, what is on the hosts afterwards.
package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"drover/client"
	"drover/internal/cli"
	"drover/internal/fleettest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"drover": func() {
		os.Exit(cli.Main(context.Background(), cli.Options{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "test"}))
	}})
}

// TestScenarios runs every story. Beside testscript's own commands there are
//
//	enrol HOST…              hosts join the fleet
//	server stop|start        the server goes away, or comes back with its data
//	agent stop|start HOST    the same for a host's agent
//	push SUBJECT             commit all in $FLEET and push; `! push` for one that is to be refused
//	await ARG…               drover wait, for at most a minute
//	host HOST PATH TEXT      the host's file holds the text; `! host` for not
//	change HOST PATH TEXT    somebody changes a host's file by hand
//	waitevent TYPE           an event of the type has happened
func TestScenarios(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: ".",
		Setup: func(env *testscript.Env) error {
			f, err := fleettest.Start(context.Background(), filepath.Join(env.WorkDir, ".fleettest"))
			if err != nil {
				return err
			}
			env.Values[fleetKey{}] = f
			env.Defer(func() {
				if err := f.Stop(); err != nil {
					env.T().Log("stopping the fleet: ", err)
				}
			})
			repo := filepath.Join(env.WorkDir, "fleet")
			for k, v := range map[string]string{"HOME": env.WorkDir, "FLEET": repo, "DROVER_CONFIG": f.Config(), "COLUMNS": "200",
				"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
				"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost"} {
				env.Setenv(k, v)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"enrol": enrol, "server": serverDoes, "agent": agentDoes, "push": push, "await": wait, "host": hostHas, "change": change, "waitevent": waitEvent,
		},
	})
}

type fleetKey struct{}

func fleet(ts *testscript.TestScript) *fleettest.Fleet {
	f, _ := ts.Value(fleetKey{}).(*fleettest.Fleet)
	return f
}

func enrol(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		ts.Check(fleet(ts).Enrol(context.Background(), name))
	}
}

func serverDoes(ts *testscript.TestScript, neg bool, args []string) {
	switch strings.Join(args, " ") {
	case "stop":
		ts.Check(fleet(ts).StopServer())
	case "start":
		ts.Check(fleet(ts).StartServer())
		// The address is another one now.
		if _, err := os.Stat(ts.MkAbs("fleet/.git")); err == nil {
			ts.Check(remote(ts))
		}
	default:
		ts.Fatalf("usage: server stop|start")
	}
}

func agentDoes(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: agent stop|start HOST")
	}
	if args[0] == "stop" {
		ts.Check(fleet(ts).StopAgent(args[1]))
		return
	}
	ts.Check(fleet(ts).StartAgent(args[1]))
}

// remote points the working copy at the server, with drover as the credential helper.
func remote(ts *testscript.TestScript) error {
	url := fleet(ts).URL() + "/fleet.git"
	for _, args := range [][]string{{"config", "remote.origin.url", url}, {"config", "credential.helper", "!drover git-credential"}} {
		if out, err := git(ts, args...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

func git(ts *testscript.TestScript, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", ts.Getenv("FLEET")}, args...)...)
	for _, k := range []string{"PATH", "HOME", "DROVER_CONFIG", "GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT", "LC_ALL",
		"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"} {
		cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func push(ts *testscript.TestScript, neg bool, args []string) {
	repo := ts.Getenv("FLEET")
	if _, err := os.Stat(filepath.Join(repo, ".git")); errors.Is(err, os.ErrNotExist) {
		if out, err := git(ts, "init", "-q", "-b", "main"); err != nil {
			ts.Fatalf("%v: %s", err, out)
		}
		ts.Check(remote(ts))
	}
	for _, step := range [][]string{{"add", "-A"}, {"commit", "-q", "--allow-empty", "-m", strings.Join(args, " ")}} {
		if out, err := git(ts, step...); err != nil {
			ts.Fatalf("git %s: %v: %s", step[0], err, out)
		}
	}
	out, err := git(ts, "push", "origin", "HEAD:main")
	ts.Logf("%s", out)
	ts.Check(os.WriteFile(ts.MkAbs("push.out"), []byte(out), 0o644))
	if (err != nil) != neg {
		ts.Fatalf("git push: %v", err)
	}
	if neg {
		if out, err := git(ts, "reset", "-q", "--soft", "HEAD~1"); err != nil {
			ts.Fatalf("%v: %s", err, out)
		}
	}
}

func wait(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("drover", append([]string{"wait", "--timeout", "60s"}, args...)...)
	if (err != nil) != neg {
		ts.Fatalf("drover wait %s: %v", strings.Join(args, " "), err)
	}
}

// hostHas waits for a while for a file to say what it should: a converge may
// be about to run.
func hostHas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: host HOST PATH TEXT")
	}
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got := fleet(ts).File(args[0], args[1])
		if strings.Contains(got, args[2]) != neg {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("%s on %s holds:\n%s", args[1], args[0], got)
		case <-tick.C:
		}
	}
}

func change(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: change HOST PATH TEXT")
	}
	ts.Check(os.WriteFile(filepath.Join(fleet(ts).Root(args[0]), args[1]), []byte(args[2]+"\n"), 0o644))
}

func waitEvent(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := fleet(ts).API()
	ts.Check(err)
	found := errors.New("found")
	err = c.Follow(ctx, "/v1/events?watch=true&type="+args[0], nil, func(client.Message) error { return found })
	if !errors.Is(err, found) {
		ts.Fatalf("no event %s: %v", args[0], err)
	}
}
