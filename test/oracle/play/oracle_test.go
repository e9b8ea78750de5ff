// Package oracle compares drover play with real ansible-playbook: for each case
// what both print, their recap and their exit code. The goldens are what
// ansible-core 2.19 printed, without what differs from run to run; `run`
// makes them anew.
package oracle

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/cli"
)

type oracleCase struct {
	name string
	args []string
}

func readCases(t *testing.T) []oracleCase {
	src, err := os.ReadFile("cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []oracleCase
	for line := range strings.Lines(string(src)) {
		f := strings.Fields(line)
		if len(f) > 1 && f[0][0] != '#' {
			out = append(out, oracleCase{f[0], f[1:]})
		}
	}
	return out
}

func TestAsAnsible(t *testing.T) {
	raw, update := os.Getenv("ORACLE_RAW"), os.Getenv("ORACLE_UPDATE") != ""
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cases := filepath.Join(here, "cases")
	for _, c := range readCases(t) {
		t.Run(c.name, func(t *testing.T) {
			golden := filepath.Join(here, "golden", c.name+".txt")
			if raw != "" {
				theirs := normalizeFile(t, filepath.Join(raw, c.name), cases)
				if update {
					if err := os.WriteFile(golden, []byte(theirs), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if want, err := os.ReadFile(golden); err != nil || string(want) != theirs {
					t.Errorf("the golden is not what ansible prints now:\n%s", cmp.Diff(string(want), theirs))
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			out := t.TempDir()
			args := []string{"play", "-i", "hosts"}
			for _, a := range c.args {
				args = append(args, strings.ReplaceAll(a, "OUTDIR", out))
			}
			t.Chdir(cases)
			t.Setenv("ANSIBLE_CONFIG", os.DevNull)
			t.Setenv("ANSIBLE_FORKS", "5")
			var stdout, stderr bytes.Buffer
			code := cli.Main(context.Background(), cli.Options{Args: args, In: strings.NewReader(""), Out: &stdout, Err: &stderr, Getenv: os.Getenv, Version: "test"})
			got := normalize(stdout.String()+fmt.Sprintf("exit %d\n", code), out, cases)
			if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("not as ansible-playbook (-ansible +drover):\n%s\nstderr: %s", d, stderr.String())
			}
		})
	}
}

func normalizeFile(t *testing.T, name, cases string) string {
	out, err := os.ReadFile(name + ".out")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.ReadFile(name + ".dir")
	if err != nil {
		t.Fatal(err)
	}
	return normalize(string(out), strings.TrimSpace(string(dir)), cases)
}

var (
	varying = regexp.MustCompile(`"(delta|start|end|stop)": "[^"]*"(, )?`)
	trace   = regexp.MustCompile(`(?m)^ *"exception": .*\n|"exception": "[^"]*", `)
	result  = regexp.MustCompile(`^(ok|changed|skipping|fatal|failed|included|PLAY|TASK|RUNNING|\.\.\.|exit |NO MORE|FAILED)`)
	// A result is one line of JSON; ours and theirs order hosts by who is ready.
	hostLine = regexp.MustCompile(`^(ok|changed|skipping|fatal|failed): \[`)
)

// normalize takes out what differs from run to run, and the explanations that
// ansible-core 2.19 prints with source excerpts.
func normalize(s, out, cases string) string {
	s = strings.ReplaceAll(s, out, "OUTDIR")
	s = strings.ReplaceAll(s, cases, "CASES")
	s = trace.ReplaceAllString(s, "")
	s = varying.ReplaceAllString(s, "")
	var lines []string
	skipping := false
	for _, l := range strings.Split(s, "\n") {
		switch {
		case strings.HasPrefix(l, "[ERROR]") || strings.HasPrefix(l, "[WARNING]") || strings.HasPrefix(l, "[DEPRECATION"):
			skipping = true
			continue
		case skipping && !result.MatchString(l):
			continue
		}
		skipping = false
		if strings.HasPrefix(l, "NO MORE HOSTS") && len(lines) > 1 && lines[len(lines)-2] == l {
			lines = lines[:len(lines)-1] // ansible says it twice
			continue
		}
		if l = strings.TrimRight(l, " "); strings.HasPrefix(l, "FAILED - RETRYING") {
			continue // hosts retry each in its own time
		}
		lines = append(lines, l)
	}
	return strings.Join(sortHosts(lines), "\n")
}

// sortHosts orders the results of one task by host.
func sortHosts(lines []string) []string {
	var out []string
	var block []string // results of one task, each with its further lines
	flush := func() {
		for i := 1; i < len(block); i++ {
			for j := i; j > 0 && hostOf(block[j]) < hostOf(block[j-1]); j-- {
				block[j], block[j-1] = block[j-1], block[j]
			}
		}
		for _, b := range block {
			out = append(out, strings.Split(b, "\n")...)
		}
		block = nil
	}
	for _, l := range lines {
		switch {
		case hostLine.MatchString(l):
			block = append(block, l)
		case l == "" || !strings.HasPrefix(l, " ") && !strings.HasPrefix(l, "}") && !strings.HasPrefix(l, "...") || len(block) == 0:
			flush()
			out = append(out, l)
		default:
			block[len(block)-1] += "\n" + l
		}
	}
	flush()
	return out
}

var hostName = regexp.MustCompile(`\[([^] ]*)`)

func hostOf(s string) string {
	m := hostName.FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	return m[1]
}
