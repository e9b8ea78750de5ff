package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
)

func newRunCommand(a *app) *cobra.Command {
	var q api.RunRequest
	cmd := &cobra.Command{
		Use: "run COMMAND [-l PATTERN]", GroupID: groupWork,
		Short: "Run a command on many hosts, now",
		Long: `Run a shell command on every enrolled host that the pattern matches, all at
once, and print what they print as it comes. Patterns are those of an inventory
over names and groups, and labels: web, 'web*', 'web:!web-3', 'web:&eu',
label:env=prod.

Exit status 0 says that the command ended with 0 on every host, 1 that it failed
on some, 3 that some did not answer. Ctrl-C ends the command everywhere. With
--detach only its ID is printed, and it goes on by itself until its timeout.
What ran, and what was printed, is kept: see drover runs.`,
		Example: `  drover run uptime
  drover run 'systemctl is-active nginx' -l web
  drover run 'df -h / | tail -1' -l 'label:env=prod:!db' --timeout 10s`,
		Args: minArgs("a command, such as uptime"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Command = strings.Join(args, " ")
			return a.run(ctxOf(cmd), q)
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&q.Hosts, "limit", "l", "", "`pattern` of the hosts; all of them without it")
	fl.StringVarP(&q.User, "user", "u", "", "run as this `user` instead of root")
	fl.DurationVar(&q.Timeout, "timeout", time.Minute, "end the command after this long")
	fl.BoolVar(&q.Detach, "detach", false, "print the run's ID and let it go on by itself")
	return cmd
}

func (a *app) run(ctx context.Context, q api.RunRequest) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if q.Detach {
		r, err := c.Detached(ctx, q)
		if err != nil {
			return err
		}
		return a.detached(r)
	}
	v := newRunView(a)
	p := a.progress("asking the hosts")
	err = c.Stream(ctx, "POST", "/v1/runs", q, func(m client.Message) error {
		var e api.RunEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return fmt.Errorf("cannot read the run: %w", err)
		}
		if e.Start != nil || len(e.Output) > 0 || e.End != nil {
			p.End()
		}
		return v.take(e)
	})
	p.End()
	if err != nil {
		return stopped(ctx, err)
	}
	return v.finish()
}

// stopped is the end of a stream: when it was Ctrl-C that ended it, that.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// runResult is one host of a run, for -o json.
type runResult struct {
	Exit   *int   `json:"exit,omitempty"` // none: it never ran
	Error  string `json:"error,omitempty"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr,omitempty"`
}

// runView prints a run as it goes.
type runView struct {
	*app
	width   int
	lines   map[string]*lineBuffer // by host and stream
	results map[string]*runResult
	failed  []api.RunDone
	end     *api.RunEnd
}

func newRunView(a *app) *runView {
	return &runView{app: a, lines: map[string]*lineBuffer{}, results: map[string]*runResult{}}
}

// lineBuffer holds the piece of a line that has not ended.
type lineBuffer struct{ rest []byte }

// maxLine is printed without waiting for its end.
const maxLine = 64 << 10

func (v *runView) take(e api.RunEvent) error {
	if e.Start != nil {
		for _, h := range slices.Concat(e.Start.Hosts, e.Start.Away) {
			v.width = min(max(v.width, len(h)), 24)
		}
		for _, h := range e.Start.Away {
			v.note(api.RunDone{Host: h, Exit: -1, Error: "not connected"})
		}
	}
	var out bytes.Buffer
	for _, o := range e.Output {
		v.output(&out, o)
	}
	for _, d := range e.Done {
		v.flush(&out, d.Host)
		v.note(d)
	}
	if e.End != nil {
		v.end = e.End
	}
	if out.Len() == 0 {
		return nil
	}
	_, err := v.Out.Write(out.Bytes())
	return err
}

func (v *runView) result(host string) *runResult {
	r := v.results[host]
	if r == nil {
		r = &runResult{}
		v.results[host] = r
	}
	return r
}

func (v *runView) note(d api.RunDone) {
	if d.Exit != 0 || d.Error != "" {
		v.failed = append(v.failed, d)
	}
	if v.structured() {
		r := v.result(d.Host)
		r.Error = d.Error
		if d.Error == "" {
			r.Exit = &d.Exit
		}
	}
}

func (v *runView) output(w io.Writer, o api.RunOutput) {
	if v.structured() {
		r := v.result(o.Host)
		if o.Stderr {
			r.Stderr += string(o.Data)
		} else {
			r.Stdout += string(o.Data)
		}
		return
	}
	key := o.Host
	if o.Stderr {
		key += " "
	}
	b := v.lines[key]
	if b == nil {
		b = &lineBuffer{}
		v.lines[key] = b
	}
	b.rest = append(b.rest, o.Data...)
	for {
		i := bytes.IndexByte(b.rest, '\n')
		if i < 0 && len(b.rest) < maxLine {
			return
		}
		line := b.rest
		if i >= 0 {
			line, b.rest = b.rest[:i], b.rest[i+1:]
		} else {
			b.rest = nil
		}
		v.print(w, o.Host, o.Stderr, line)
	}
}

func (v *runView) flush(w io.Writer, host string) {
	for _, key := range []string{host, host + " "} {
		if b := v.lines[key]; b != nil {
			if len(b.rest) > 0 {
				v.print(w, host, key != host, b.rest)
			}
			delete(v.lines, key)
		}
	}
}

func (v *runView) print(w io.Writer, host string, stderr bool, line []byte) {
	t, bar := info, "│"
	if stderr {
		t, bar = warn, "!"
	}
	fmt.Fprintf(w, "%s %s\n", v.style(t, fmt.Sprintf("%-*s %s", v.width, host, bar)), bytes.TrimSuffix(line, []byte("\r")))
}

// maxFailures is how many hosts are named at the end, one a line.
const maxFailures = 20

func (v *runView) finish() error {
	if v.end == nil {
		return api.Errorf(api.CodeUnavailable, "the run broke off: the server ended the stream").WithRemedy("see what it did: drover events --type run.")
	}
	if v.structured() {
		err := v.printValue(map[string]any{"hosts": v.results, "ok": v.end.OK, "failed": v.end.Failed, "lost": v.end.Lost, "seconds": v.end.Took.Seconds()})
		if err != nil {
			return err
		}
		return runStatus(v.end)
	}
	slices.SortFunc(v.failed, func(a, b api.RunDone) int { return strings.Compare(a.Host, b.Host) })
	for i, d := range v.failed {
		if i == maxFailures {
			fmt.Fprintf(v.Err, "… and %d more\n", len(v.failed)-i)
			break
		}
		why := d.Error
		if why == "" {
			why = fmt.Sprintf("exit status %d", d.Exit)
		}
		fmt.Fprintf(v.Err, "%s %s\n", v.style(bad, fmt.Sprintf("%-*s ✗", v.width, d.Host)), why)
	}
	if !v.quiet {
		fmt.Fprintf(v.Err, "%s %s\n", runSummary(v.end), v.style(dim, "in "+v.end.Took.Round(10*time.Millisecond).String()))
	}
	return runStatus(v.end)
}

func runSummary(e *api.RunEnd) string {
	sum := fmt.Sprintf("%d ok", e.OK)
	if e.Failed > 0 {
		sum += fmt.Sprintf(", %d failed", e.Failed)
	}
	if e.Lost > 0 {
		sum += fmt.Sprintf(", %d without an answer", e.Lost)
	}
	return sum
}

func runStatus(e *api.RunEnd) error {
	switch {
	case e.Failed > 0:
		return exit(ExitFailed)
	case e.Lost > 0:
		return exit(ExitUnreachable)
	}
	return nil
}
