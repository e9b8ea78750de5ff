package module

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"drover/api"
	"drover/internal/play/machine"
)

// Request is one task for one host. Args are JSON values, already templated.
type Request struct {
	Module string            `json:"module"`
	Args   map[string]any    `json:"args,omitempty"`
	Check  bool              `json:"check,omitempty"`
	Diff   bool              `json:"diff,omitempty"`
	Env    map[string]string `json:"env,omitempty"`
	// Source is the file that copy, template, script or unarchive bring from
	// where the play is run. Sources is the tree below a folder that copy
	// brings instead, parents before children; Source is then that folder
	// itself (Dir set), for its name.
	Source  *Source  `json:"source,omitempty"`
	Sources []Source `json:"sources,omitempty"`
	User    string   `json:"user,omitempty"` // run as this user; empty: as the session's own
}

// Source is a file that comes with a request.
type Source struct {
	Name    string `json:"name"` // path where the play is run; in Sources the slash-separated path below the folder
	Size    int64  `json:"size,omitempty"`
	SHA256  string `json:"sha256,omitempty"` // hex
	SHA1    string `json:"sha1,omitempty"`   // hex; what Ansible calls checksum
	Mode    uint32 `json:"mode,omitempty"`   // permission bits there, for mode=preserve
	Content []byte `json:"content,omitempty"`
	// Inline tells that Content is the whole content, also when it is empty.
	// Otherwise the content comes from Call.Fetch by SHA256.
	Inline bool   `json:"inline,omitempty"`
	Dir    bool   `json:"dir,omitempty"`  // in Sources: a folder
	Link   string `json:"link,omitempty"` // in Sources: a symbolic link to this
}

// InlineLimit is the size up to which a Source carries its content itself.
const InlineLimit = 256 << 10

// Result is what a module found and did.
type Result struct {
	Changed  bool           `json:"changed,omitempty"`
	Failed   bool           `json:"failed,omitempty"`
	Skipped  bool           `json:"skipped,omitempty"`
	Msg      string         `json:"msg,omitempty"`
	Diff     []api.Diff     `json:"diff,omitempty"`
	Values   map[string]any `json:"values,omitempty"` // further return keys by Ansible's names
	Facts    map[string]any `json:"facts,omitempty"`  // ansible_facts, names without prefix
	Changes  []api.Change   `json:"changes,omitempty"`
	Warnings []string       `json:"warnings,omitempty"`
}

// Set stores a return key.
func (r *Result) Set(key string, v any) *Result {
	if r.Values == nil {
		r.Values = map[string]any{}
	}
	r.Values[key] = v
	return r
}

// Change marks the result changed and records one changed thing.
func (r *Result) Change(typ, id, action string, before, after any) *Result {
	r.Changed = true
	r.Changes = append(r.Changes, api.Change{Type: typ, ID: id, Action: action, Before: before, After: after})
	return r
}

// Warn adds a warning that the user is shown.
func (r *Result) Warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// await warns of a user or group that a check did not find: the task before
// it may be what makes it.
func (r *Result) await(list ...machine.NoAccount) {
	for _, a := range list {
		w := fmt.Sprintf("Could not find the %s %s; it is taken as one that an earlier task makes", a.Kind, a.Name)
		if !slices.Contains(r.Warnings, w) {
			r.Warnings = append(r.Warnings, w)
		}
	}
}

// Fail turns the result into a failed one and keeps what it holds already.
func (r *Result) Fail(format string, args ...any) *Result {
	r.Failed, r.Msg = true, fmt.Sprintf(format, args...)
	delete(r.Values, "msg") // what was to be told of a success
	return r
}

// Fail is a failed result with a message.
func Fail(format string, args ...any) *Result { return (&Result{}).Fail(format, args...) }

// Call is one run of a module: the request, the host, and the arguments after
// check and conversion, read by the getters in args.go.
type Call struct {
	Request
	Host *Host
	// Fetch brings the content of a Source that is not inline.
	Fetch func(ctx context.Context, sha256 string) (io.ReadCloser, error)

	module *Module
	args   map[string]any // canonical names, converted
	given  map[string]bool
}

// Module is one module: what it takes and what it does.
type Module struct {
	Name   string
	Params []Param
	// FreeForm names the parameter that takes the free text of `module: text`
	// (the argument _raw_params); FreeFormArgs names the parameters that may
	// stand inside that text as key=value. SplitFreeForm takes them out, before
	// anything is templated; Run never splits.
	FreeForm     string
	FreeFormArgs []string
	FileArgs     bool // takes mode, owner, group and the other file attributes as well
	NoCheck      bool // cannot tell what it would do: skipped in check mode
	// AnyArgs accepts parameters that are not in the table.
	AnyArgs bool

	MutuallyExclusive [][]string
	RequiredOneOf     [][]string
	RequiredTogether  [][]string
	RequiredIf        []RequiredIf
	RequiredBy        map[string][]string

	Run func(ctx context.Context, c *Call) *Result
}

// Run runs the requested module on c.Host. It always answers: a wrong argument
// or a panic is a failed result.
func Run(ctx context.Context, c *Call) (res *Result) {
	defer func() {
		if p := recover(); p != nil {
			res = Fail("cannot run module %s: internal fault: %v", c.Module, p)
			res.Set("exception", string(debug.Stack()))
		}
	}()
	if c.Host == nil {
		c.Host = &Host{}
	}
	m, ok := Lookup(c.Module)
	if !ok {
		e := unknownModule(c.Module)
		return Fail("%s", messageOf(e))
	}
	c.module = m
	if errs := m.CheckArgs(c.Args); len(errs) > 0 {
		return Fail("%s", messageOf(errs[0]))
	}
	if err := c.bind(); err != nil {
		return Fail("%s", messageOf(err))
	}
	if err := ctx.Err(); err != nil {
		return Fail("cannot run module %s: %v", c.Module, err)
	}
	if m.NoCheck && c.Check {
		return &Result{Skipped: true, Msg: fmt.Sprintf("remote module (%s) does not support check mode", m.Name)}
	}
	res = m.Run(ctx, c)
	if res == nil {
		res = Fail("cannot run module %s: it gave no result", c.Module)
	}
	return res
}

func messageOf(e *api.Error) string {
	if e.Remedy == "" {
		return e.Message
	}
	return e.Message + "; " + e.Remedy
}
