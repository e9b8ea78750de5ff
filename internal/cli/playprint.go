package cli

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/term"

	"drover/api"
	"drover/internal/play/engine"
)

// playPrinter prints a run's events as ansible-playbook's default callback does.
type playPrinter struct {
	a       *app
	verbose int
	diff    bool
	colour  bool
	width   int
}

func newPlayPrinter(a *app, verbose int, diff bool) *playPrinter {
	p := &playPrinter{a: a, verbose: verbose, diff: diff, colour: a.coloured(), width: 79}
	if f, ok := a.Out.(interface{ Fd() uintptr }); ok && a.outTerminal() {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 40 {
			p.width = w - 1
		}
	}
	return p
}

// The colours of Ansible's results.
const (
	tone0      tone = ""
	toneCyan   tone = "0;36"
	toneYellow tone = "0;33"
	toneGreen  tone = "0;32"
	toneRed    tone = "0;31"
	toneRedB   tone = "1;31"
	tonePurple tone = "1;35"
)

func (p *playPrinter) paint(t tone, s string) string {
	if !p.colour || t == "" {
		return s
	}
	return "\x1b[" + string(t) + "m" + s + "\x1b[0m"
}

func (p *playPrinter) line(t tone, format string, args ...any) {
	fmt.Fprintln(p.a.Out, p.paint(t, fmt.Sprintf(format, args...)))
}

func (p *playPrinter) banner(s string) {
	stars := max(p.width-len([]rune(s)), 3)
	fmt.Fprintf(p.a.Out, "\n%s %s\n", s, strings.Repeat("*", stars))
}

// event prints one event.
func (p *playPrinter) event(e engine.Event) {
	switch e.Kind {
	case engine.EventPlay:
		p.banner("PLAY [" + strings.TrimSpace(e.Play) + "]")
	case engine.EventNoHosts:
		if e.Message == "skipping: no hosts matched" {
			p.line(toneCyan, "%s", e.Message)
			return
		}
		p.banner(e.Message)
	case engine.EventTask:
		p.banner("TASK [" + e.Task + "]")
	case engine.EventHandler:
		p.banner("RUNNING HANDLER [" + e.Task + "]")
	case engine.EventItem:
		p.result(e)
	case engine.EventResult:
		p.result(e)
	case engine.EventRetry:
		p.line(tone("1;30"), "FAILED - RETRYING: [%s]: %s (%d retries left).", who(e), e.Task, e.Attempts)
	case engine.EventInclude:
		label := ""
		if e.Result != nil && e.Result.Item != "" {
			label = " => (item=" + e.Result.Item + ")"
		}
		p.line(toneCyan, "included: %s for %s%s", e.Message, strings.Join(e.Hosts, ", "), label)
	case engine.EventWarning:
		p.a.playWarn(e.Message)
	}
}

func (a *app) playWarn(text string) {
	msg := "[WARNING]: " + text
	if a.coloured() {
		msg = "\x1b[1;35m" + msg + "\x1b[0m"
	}
	fmt.Fprintln(a.Err, msg)
}

func who(e engine.Event) string {
	if e.Delegated != "" {
		return e.Host + " -> " + e.Delegated
	}
	return e.Host
}

func (p *playPrinter) result(e engine.Event) {
	r := e.Result
	item := ""
	if e.Kind == engine.EventItem {
		item = " => (item=" + r.Item + ")"
	}
	if p.diff && !e.NoLog && (e.Kind == engine.EventItem || !e.Loop) {
		p.diffs(r)
	}
	if e.Loop && (r.Status == "ok" || r.Status == "changed") {
		return // its items were shown
	}
	full := func() string {
		if e.Verbose || p.verbose > 0 {
			return " => " + p.dump(r, e.Verbose)
		}
		return ""
	}
	switch r.Status {
	case "ok":
		p.line(toneGreen, "ok: [%s]%s%s", who(e), item, full())
	case "changed":
		p.line(toneYellow, "changed: [%s]%s%s", who(e), item, full())
	case "skipped":
		blank := ""
		if item != "" {
			blank = " "
		}
		more := ""
		if p.verbose > 0 {
			more = " => " + p.dump(r, e.Verbose)
		}
		p.line(toneCyan, "skipping: [%s]%s%s%s", who(e), item, blank, more)
	case "unreachable":
		p.explain(e)
		p.line(toneRedB, "fatal: [%s]: UNREACHABLE! => %s", who(e), p.dump(r, e.Verbose))
		p.ignoring(e)
	case "failed":
		p.explain(e)
		if e.Kind == engine.EventItem {
			p.line(toneRed, "failed: [%s] (item=%s) => %s", who(e), r.Item, p.dump(r, e.Verbose))
			return
		}
		if !e.Loop { // of a loop, the items were shown
			p.line(toneRed, "fatal: [%s]: FAILED! => %s", who(e), p.dump(r, e.Verbose))
		}
		p.ignoring(e)
	}
}

func (p *playPrinter) ignoring(e engine.Event) {
	if e.Ignored {
		p.line(toneCyan, "...ignoring")
	}
}

// explain says where a failed task stands.
func (p *playPrinter) explain(e engine.Event) {
	if e.NoLog || e.Loop || e.Result.Message == "" || e.Place == nil || e.Place.File == "" {
		return
	}
	msg := e.Result.Message
	if !strings.HasPrefix(msg, "Task failed") {
		msg = "Task failed: " + msg
	}
	fmt.Fprintf(p.a.Out, "%s\nOrigin: %s\n\n", p.paint(toneRedB, "[ERROR]: "+msg), e.Place)
}

// dump writes a result as Ansible does: one line, or indented when it is
// what the task is for.
func (p *playPrinter) dump(r *api.TaskResult, indent bool) string {
	m := map[string]any{}
	for k, v := range r.Result {
		switch k {
		case "failed", "skipped":
			if r.Status == "failed" || r.Status == "unreachable" || r.Status == "ok" || r.Status == "changed" {
				continue
			}
		case "diff", "invocation", "exception", "warnings", "deprecations", "attempts_left":
			continue
		case "changed":
			if indent && r.Module == "debug" {
				continue
			}
		case "ansible_facts":
			if p.verbose < 1 {
				continue
			}
		}
		m[k] = v
	}
	if r.Module == "debug" {
		delete(m, "item")
		delete(m, "ansible_loop_var")
		if _, ok := m["msg"]; ok && len(m) > 1 {
			m = map[string]any{"msg": m["msg"]}
		}
	}
	level := -1
	if indent {
		level = 0
	}
	var b strings.Builder
	writeJSON(&b, m, level)
	return b.String()
}

// writeJSON writes JSON as Python's json.dumps does with sorted keys: with
// level -1 on one line, else indented by four.
func writeJSON(b *strings.Builder, v any, level int) {
	nl := func(n int) {
		if level >= 0 {
			b.WriteString("\n" + strings.Repeat("    ", n))
		}
	}
	next := level
	if level >= 0 {
		next = level + 1
	}
	sep := ", "
	if level >= 0 {
		sep = ","
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString("{}")
			return
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteString(sep)
			}
			nl(next)
			b.WriteString(jsonString(k) + ": ")
			writeJSON(b, v[k], next)
		}
		nl(level)
		b.WriteByte('}')
	case []any:
		if len(v) == 0 {
			b.WriteString("[]")
			return
		}
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteString(sep)
			}
			nl(next)
			writeJSON(b, x, next)
		}
		nl(level)
		b.WriteByte(']')
	case string:
		b.WriteString(jsonString(v))
	case float64:
		if v == float64(int64(v)) && v < 1e15 && v > -1e15 {
			b.WriteString(strconv.FormatFloat(v, 'f', 1, 64))
			return
		}
		b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			raw = []byte(strconv.Quote(fmt.Sprint(v)))
		}
		b.Write(raw)
	}
}

// jsonString quotes without escaping what only HTML minds.
func jsonString(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}

// diffs prints the differences of a result.
func (p *playPrinter) diffs(r *api.TaskResult) {
	for _, d := range r.Diff {
		if d.Prepared != "" {
			p.prepared(d.Prepared)
			continue
		}
		if d.Before == d.After {
			continue
		}
		before, after := "before", "after"
		if d.BeforeHeader != "" {
			before += ": " + d.BeforeHeader
		}
		if d.AfterHeader != "" {
			after += ": " + d.AfterHeader
		}
		p.line(toneRed, "--- %s", before)
		p.line(toneGreen, "+++ %s", after)
		for _, l := range hunks(d.Before, d.After) {
			p.diffLine(l)
		}
		fmt.Fprintln(p.a.Out)
	}
}

func (p *playPrinter) prepared(text string) {
	for l := range strings.Lines(text) {
		p.diffLine(strings.TrimRight(l, "\n"))
	}
	fmt.Fprintln(p.a.Out)
}

func (p *playPrinter) diffLine(l string) {
	switch {
	case strings.HasPrefix(l, "+"):
		p.line(toneGreen, "%s", l)
	case strings.HasPrefix(l, "-"):
		p.line(toneRed, "%s", l)
	case strings.HasPrefix(l, "@@"):
		p.line(toneCyan, "%s", l)
	default:
		p.line(tone0, "%s", l)
	}
}

// recap prints the counts of all hosts.
func (p *playPrinter) recap(r *engine.Recap) {
	if r == nil {
		return
	}
	p.banner("PLAY RECAP")
	names := append([]string(nil), r.Order...)
	sort.Strings(names)
	for _, n := range names {
		s := r.Hosts[n]
		host := toneGreen
		switch {
		case s.Failed > 0 || s.Unreachable > 0:
			host = toneRed
		case s.Changed > 0:
			host = toneYellow
		}
		count := func(name string, v int, t tone) string {
			text := fmt.Sprintf("%s=%-4d", name, v)
			if v == 0 {
				t = ""
			}
			return p.paint(t, text)
		}
		fmt.Fprintf(p.a.Out, "%s : %s %s %s %s %s %s %s\n", p.paint(host, fmt.Sprintf("%-26s", n)),
			count("ok", s.OK, toneGreen), count("changed", s.Changed, toneYellow), count("unreachable", s.Unreachable, toneRedB),
			count("failed", s.Failed, toneRed), count("skipped", s.Skipped, toneCyan), count("rescued", s.Rescued, toneYellow), count("ignored", s.Ignored, tone("1;34")))
	}
	fmt.Fprintln(p.a.Out)
	if len(r.Custom) > 0 && (p.verbose > 0 || p.a.Getenv("ANSIBLE_SHOW_CUSTOM_STATS") != "") {
		p.banner("CUSTOM STATS:")
		var b strings.Builder
		writeJSON(&b, r.Custom, -1)
		p.line(tone0, "\tRUN: %s\n", b.String())
	}
}
