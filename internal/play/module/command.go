package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"drover/internal/play/param"
)

var commandParams = []Param{
	{Name: "_raw_params"}, {Name: "cmd"}, {Name: "argv", Type: List}, {Name: "chdir", Type: Path},
	{Name: "creates", Type: Path}, {Name: "removes", Type: Path}, {Name: "stdin"},
	{Name: "stdin_add_newline", Type: Bool, Default: true}, {Name: "strip_empty_ends", Type: Bool, Default: true},
	{Name: "expand_argument_vars", Type: Bool, Default: true}, {Name: "executable", Type: Path}, {Name: "_uses_shell", Type: Bool, Default: false},
	{Name: "warn", Type: Bool},
}

var commandFreeForm = []string{"creates", "removes", "chdir", "executable", "stdin", "stdin_add_newline", "strip_empty_ends", "expand_argument_vars", "argv", "warn"}

var commandModule = &Module{
	Name: "command", Params: commandParams, FreeForm: param.RawParams, FreeFormArgs: commandFreeForm,
	Run: func(ctx context.Context, c *Call) *Result { return runCommand(ctx, c, c.Bool("_uses_shell")) },
}

var shellModule = &Module{
	Name: "shell", Params: commandParams, FreeForm: param.RawParams, FreeFormArgs: commandFreeForm,
	Run: func(ctx context.Context, c *Call) *Result { return runCommand(ctx, c, true) },
}

// commandLine is what to run: argv, and cmd as the result tells it.
func commandLine(c *Call, shell bool) (argv []string, cmd any, bad string) {
	text := c.Str(param.RawParams)
	if c.Has("cmd") {
		if text != "" {
			return nil, nil, "only command or argv can be given, not both"
		}
		text = c.Str("cmd")
	}
	list := c.List("argv")
	switch {
	case text != "" && len(list) > 0:
		return nil, nil, "only command or argv can be given, not both"
	case strings.TrimSpace(text) == "" && len(list) == 0:
		return nil, nil, "no command given"
	case shell:
		if len(list) > 0 {
			text = strings.Join(list, " ")
		}
		sh := c.Str("executable")
		if sh == "" {
			sh = "/bin/sh"
		}
		return []string{sh, "-c", text}, text, ""
	}
	if len(list) == 0 {
		words, err := param.SplitWords(text)
		if err != nil {
			return nil, nil, "cannot split the command into words: " + err.Error()
		}
		list = words
	}
	if len(list) == 0 {
		return nil, nil, "no command given"
	}
	return list, stringList(list), ""
}

func stringList(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

func runCommand(ctx context.Context, c *Call, shell bool) *Result {
	r := &Result{}
	for _, k := range []string{"start", "end", "delta", "rc", "cmd"} {
		r.Set(k, nil)
	}
	r.Set("stdout", "").Set("stderr", "").Set("msg", "")
	fail := func(rc any, format string, args ...any) *Result {
		r.Fail(format, args...)
		return r.Set("rc", rc).Set("msg", r.Msg)
	}
	argv, cmd, bad := commandLine(c, shell)
	if bad != "" {
		return fail(256, "%s", bad)
	}
	r.Set("cmd", cmd)
	dir := c.Str("chdir")
	if dir != "" {
		if fi, err := c.Host.Stat(dir); err != nil || !fi.IsDir() {
			if err == nil {
				err = syscall.ENOTDIR
			}
			return fail(nil, "Unable to change directory before execution: %s: b'%s'", reason(err), dir)
		}
	}
	would := "Did"
	if c.Check {
		would = "Would"
	}
	for _, k := range []string{"creates", "removes"} {
		pattern := c.Str(k)
		if pattern == "" {
			continue
		}
		found := len(c.Host.Glob(underDir(dir, pattern))) > 0
		if found == (k == "creates") {
			state := "exists"
			if !found {
				state = "does not exist"
			}
			r.Set("rc", 0).Set("msg", fmt.Sprintf("%s not run command since '%s' %s", would, pattern, state))
			return r.Set("stdout", fmt.Sprintf("skipped, since %s %s", pattern, state))
		}
	}
	if c.Check {
		r.Set("rc", 0).Set("msg", "Command would have run if not in check mode")
		if c.Str("creates") == "" && c.Str("removes") == "" {
			r.Skipped = true
			return r
		}
		return r.Change("command", commandID(cmd), "run", nil, nil)
	}
	run := Cmd{Argv: argv, Dir: dir, Env: c.Env}
	if !shell && c.Bool("expand_argument_vars") {
		run.Argv = make([]string, len(argv))
		for i, a := range argv {
			run.Argv[i] = c.expandPath(a)
		}
	}
	if c.Has("stdin") {
		in := c.Str("stdin")
		if c.Bool("stdin_add_newline") {
			in += "\n"
		}
		run.Stdin = []byte(in)
	}
	start := c.Host.Time()
	out, err := c.Host.Run(ctx, run)
	end := c.Host.Time()
	if err != nil {
		if ctx.Err() == nil {
			r.Set("cmd", strings.Join(argv, " "))
			for _, k := range []string{"start", "end", "delta"} {
				delete(r.Values, k)
			}
		}
		return fail(errnoOf(err), "%s: b'%s'", reason(err), argv[0])
	}
	r.Change("command", commandID(cmd), "run", nil, map[string]any{"rc": out.Code})
	r.Set("rc", out.Code).Set("start", stamp(start)).Set("end", stamp(end)).Set("delta", delta(end.Sub(start)))
	so, se := text(out.Stdout), text(out.Stderr)
	if c.Bool("strip_empty_ends") {
		so, se = strings.TrimRight(so, "\r\n"), strings.TrimRight(se, "\r\n")
	}
	r.Set("stdout", so).Set("stderr", se)
	if out.Code != 0 {
		return fail(out.Code, "non-zero return code")
	}
	return r
}

func commandID(cmd any) string {
	if s, ok := cmd.(string); ok {
		return s
	}
	l, _ := cmd.([]any)
	words := make([]string, len(l))
	for i, w := range l {
		words[i] = param.Quote(param.ToText(w))
	}
	return strings.Join(words, " ")
}

func underDir(dir, p string) string {
	if dir == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}

// reason is an error as Python tells it: "[Errno 2] No such file or directory".
func reason(err error) string {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return err.Error()
	}
	s := no.Error()
	return fmt.Sprintf("[Errno %d] %s%s", int(no), strings.ToUpper(s[:1]), s[1:])
}

func errnoOf(err error) int {
	var no syscall.Errno
	if errors.As(err, &no) {
		return int(no)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return 124
	}
	return 257
}

// text is output as JSON can carry it.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

// stamp is a time as Ansible returns it.
func stamp(t time.Time) string { return t.Format("2006-01-02 15:04:05.000000") }

// delta is a duration as Ansible returns it: "0:00:01.500000".
func delta(d time.Duration) string {
	s := int64(d / time.Second)
	out := fmt.Sprintf("%d:%02d:%02d.%06d", s/3600%24, s/60%60, s%60, d%time.Second/time.Microsecond)
	switch days := s / 86400; days {
	case 0:
		return out
	case 1:
		return "1 day, " + out
	default:
		return fmt.Sprintf("%d days, %s", days, out)
	}
}

var rawModule = &Module{
	Name: "raw", FreeForm: param.RawParams, FreeFormArgs: []string{"executable"},
	Params: []Param{{Name: "_raw_params"}, {Name: "executable"}},
	Run: func(ctx context.Context, c *Call) *Result {
		cmd := c.Str(param.RawParams)
		if cmd == "" {
			return Fail("no command given").Set("rc", 256)
		}
		if c.Check {
			return &Result{Skipped: true}
		}
		sh := c.Str("executable")
		if sh == "" {
			sh = "/bin/sh"
		}
		out, err := c.Host.Run(ctx, Cmd{Argv: []string{sh, "-c", cmd}, Env: c.Env})
		if err != nil {
			return Fail("%s: '%s'", reason(err), sh).Set("rc", errnoOf(err))
		}
		r := &Result{}
		r.Change("command", cmd, "run", nil, map[string]any{"rc": out.Code})
		r.Set("rc", out.Code).Set("stdout", text(out.Stdout)).Set("stderr", text(out.Stderr))
		if out.Code != 0 {
			r.Fail("non-zero return code")
		}
		return r
	},
}

var scriptModule = &Module{
	Name: "script", FreeForm: param.RawParams, FreeFormArgs: []string{"creates", "removes", "chdir", "executable"},
	Params: []Param{{Name: "_raw_params"}, {Name: "cmd"}, {Name: "chdir", Type: Path}, {Name: "creates"}, {Name: "removes"},
		{Name: "executable"}, {Name: "decrypt", Type: Bool, Default: true}},
	Run: runScript,
}

// runScript runs a script that came with the request: the first word of the
// line is its name where the play is run, the others are its arguments.
func runScript(ctx context.Context, c *Call) *Result {
	line := c.Str(param.RawParams)
	if c.Has("cmd") {
		line = c.Str("cmd")
	}
	line = strings.TrimSpace(line)
	if line == "" {
		return Fail("one of the following is required: _raw_params, cmd")
	}
	dir := c.Str("chdir")
	if dir != "" && !filepath.IsAbs(dir) {
		return Fail("chdir must be an absolute path, got: %s", dir)
	}
	for _, k := range []string{"creates", "removes"} {
		p := c.Str(k)
		if p == "" {
			continue
		}
		found := len(c.Host.Glob(underDir(dir, p))) > 0
		if found && k == "creates" {
			return &Result{Skipped: true, Msg: fmt.Sprintf("%s exists, matching creates option", p)}
		}
		if !found && k == "removes" {
			return &Result{Skipped: true, Msg: fmt.Sprintf("%s does not exist, matching removes option", p)}
		}
	}
	if c.Check {
		if c.Str("creates") != "" || c.Str("removes") != "" {
			return (&Result{}).Change("command", line, "run", nil, nil)
		}
		return &Result{Skipped: true, Msg: "Check mode is not supported for this task."}
	}
	if c.Source == nil {
		return Fail("cannot run the script %s: its content did not come with the task", line)
	}
	tmp, err := c.Host.TempDir()
	if err != nil {
		return Fail("cannot run the script: %v", err)
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, filepath.Base(c.Source.Name))
	if err := c.saveSource(ctx, c.Source, file, 0o700); err != nil {
		return Fail("%v", err)
	}
	args := line[param.WordEnd(line, 0):]
	cmd := param.Quote(file) + args
	if x := c.Str("executable"); x != "" {
		cmd = x + " " + cmd
	}
	out, err := c.Host.Run(ctx, Cmd{Argv: []string{"/bin/sh", "-c", cmd}, Dir: dir, Env: c.Env})
	if err != nil {
		return Fail("%s", reason(err)).Set("rc", errnoOf(err))
	}
	r := &Result{}
	r.Change("command", line, "run", nil, map[string]any{"rc": out.Code})
	r.Set("rc", out.Code).Set("stdout", text(out.Stdout)).Set("stderr", text(out.Stderr))
	if out.Code != 0 {
		r.Fail("non-zero return code")
	}
	return r
}

// saveSource writes a source's content into a real path that nobody else sees.
func (c *Call) saveSource(ctx context.Context, s *Source, file string, mode fs.FileMode) error {
	in, err := c.openSource(ctx, s)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	_, err = io.Copy(f, in)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}
