package filter

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"drover/internal/play/jinja"
	"drover/internal/play/value"

	"context"
	"io/fs"
)

// set is one environment's filters, with what they need.
type set struct {
	o   *Options
	re  *regexCache
	env *jinja.Env
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ReadFile == nil {
		o.ReadFile = func(path string) ([]byte, error) { return nil, refuse("read", path) }
	}
	if o.Stat == nil {
		o.Stat = func(path string, _ bool) (fs.FileInfo, error) { return nil, refuse("stat", path) }
	}
	if o.ReadDir == nil {
		o.ReadDir = func(dir string) ([]fs.DirEntry, error) { return nil, refuse("read", dir) }
	}
	if o.Readlink == nil {
		o.Readlink = func(path string) (string, error) { return "", refuse("readlink", path) }
	}
	if o.WriteFile == nil {
		o.WriteFile = func(path string, _ []byte) error { return refuse("write", path) }
	}
	if o.Getenv == nil {
		o.Getenv = func(string) (string, bool) { return "", false }
	}
	if o.Find == nil {
		o.Find = func(_ *jinja.Call, _, name string) (string, []string, bool) {
			_, err := o.Stat(name, true)
			return name, []string{name}, err == nil
		}
	}
}

// refuse is the answer to a template that asks for a file where none may be had.
func refuse(op, path string) error {
	return &fs.PathError{Op: op, Path: path, Err: errors.New("templates have no files here")}
}

// Machine are the options of somebody's own playbooks on their own machine:
// its files, its environment, new password files and the pipe lookup.
func Machine() Options {
	return Options{
		ReadFile: os.ReadFile, ReadDir: os.ReadDir, Readlink: os.Readlink, Getenv: os.LookupEnv, WriteFile: WritePrivate, Run: ShellRun,
		Stat: func(path string, follow bool) (fs.FileInfo, error) {
			if follow {
				return os.Stat(path)
			}
			return os.Lstat(path)
		},
	}
}

// ShellRun runs commands for the pipe lookup by /bin/sh.
func ShellRun(ctx context.Context, command string) ([]byte, error) {
	return exec.CommandContext(ctx, "/bin/sh", "-c", command).Output()
}

// Install adds Ansible's filters, tests, lookups and globals to e.
func Install(e *jinja.Env, o Options) {
	o.defaults()
	s := &set{o: &o, re: newRegexCache(), env: e}
	e.NoneIsEmpty = true
	for _, group := range []map[string]jinja.Filter{s.dataFilters(), s.textFilters(), s.numberFilters(), s.serialFilters(), s.pathFilters(), s.cryptFilters()} {
		for name, f := range group {
			e.Filters[name] = named("filter", name, f)
		}
	}
	for name, t := range s.tests() {
		e.Tests[name] = t
	}
	for _, n := range []string{"mandatory", "type_debug", "default", "d"} {
		e.TakesUndefined[n] = true
		e.TakesUndefined["ansible.builtin."+n] = true
	}
	for _, n := range []string{"defined", "undefined"} {
		e.TakesUndefined["ansible.builtin."+n] = true
	}
	e.Globals["lookup"] = value.Func(s.lookup(false))
	e.Globals["query"] = value.Func(s.lookup(true))
	e.Globals["q"] = e.Globals["query"]
	e.Globals["now"] = value.Func(s.now)
	e.Globals["undef"] = value.Func(func(_ context.Context, args []value.Value, kw *value.Dict) (value.Value, error) {
		a := &value.Args{Name: "undef", Pos: args, Kw: kw}
		hint, err := a.String(0, "hint", "")
		return &value.Undefined{Hint: hint}, err
	})
}

// named puts the plugin's name before what it failed with.
func named(kind, name string, f jinja.Filter) jinja.Filter {
	return func(c *jinja.Call) (value.Value, error) {
		v, err := f(c)
		if err != nil {
			return nil, pluginError(kind, name, err)
		}
		return v, nil
	}
}

func pluginError(kind, name string, err error) error {
	if keepsOwnWords(err) {
		return err
	}
	return &wrapped{"The " + kind + " plugin 'ansible.builtin." + name + "' failed: " + err.Error(), err}
}

type wrapped struct {
	msg string
	err error
}

func (w *wrapped) Error() string { return w.msg }
func (w *wrapped) Unwrap() error { return w.err }

// Names lists every lookup that Install knows, the options' own included.
func Names(o Options) []string {
	s := &set{o: &o}
	var names []string
	for n := range s.lookups() {
		names = append(names, n)
	}
	for n := range o.Lookups {
		names = append(names, n)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *set) now(_ context.Context, args []value.Value, kw *value.Dict) (value.Value, error) {
	a := &value.Args{Name: "now", Pos: args, Kw: kw}
	if err := a.Check(0, "utc", "fmt"); err != nil {
		return nil, err
	}
	utc, err := a.Bool(0, "utc", false)
	if err != nil {
		return nil, err
	}
	t := s.o.Now()
	if utc {
		t = t.UTC()
	}
	if f := a.Or(1, "fmt", nil); f != nil {
		return value.Strftime(t, value.Str(f)), nil
	}
	return value.Time{T: t, Naive: true}, nil
}

// truthOf is Ansible's reading of a boolean: text counts by its words.
func truthOf(v value.Value) bool {
	b, _ := parseBool(v)
	return b
}

func parseBool(v value.Value) (b, known bool) {
	switch x := v.(type) {
	case bool:
		return x, true
	case string, value.Unsafe:
		t, _ := value.StrOf(x)
		switch strings.ToLower(t) {
		case "y", "yes", "on", "1", "true", "t":
			return true, true
		case "n", "no", "off", "0", "false", "f":
			return false, true
		}
		return false, false
	}
	switch {
	case value.Equal(v, int64(1)):
		return true, true
	case value.Equal(v, int64(0)):
		return false, true
	}
	return false, false
}

func filterError(msg string) error { return &value.Error{Kind: "AnsibleFilterError", Msg: msg} }
