package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"drover/internal/play/source"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"drover/internal/play/filter"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// inline are the options of templates in playbooks and variables: as they are
// written, newlines at the end and backslashes in their text literals included.
var inline = jinja.Options{KeepTrailingNewline: true, RawStrings: true}

func withScope(ctx context.Context, s *scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// setup makes the environment that the run's templates share.
func (r *run) setup() {
	r.fopts = r.filterOptions()
	r.env = r.newEnv()
}

func (r *run) newEnv() *jinja.Env {
	e := jinja.New()
	filter.Install(e, *r.fopts)
	return e
}

func (r *run) filterOptions() *filter.Options {
	o := r.p.reach(r.o.Env)
	o.Now = r.o.Now
	atRoot := o.Find
	o.Find = func(c *jinja.Call, kind, name string) (string, []string, bool) {
		if s := scopeOf(c.Ctx); s != nil {
			return s.find(kind, name)
		}
		return atRoot(c, kind, name)
	}
	o.Hosts = func(_ *jinja.Call, pattern string) ([]string, error) {
		r.mu.RLock()
		defer r.mu.RUnlock()
		return r.inv.Select(pattern)
	}
	o.Lookups = map[string]filter.Lookup{"template": r.lookupTemplate}
	return &o
}

// reach is what templates of a project reach beyond its variables. A project
// in this machine's files may do here what whoever runs it may. Any other one
// came from somewhere else: its templates read its own files and the
// environment that came with it; they write, run and fetch nothing here.
func (p *Project) reach(env map[string]string) filter.Options {
	files := p.files
	o := filter.Options{
		ReadFile: files.ReadFile,
		ReadDir:  files.ReadDir,
		Stat:     func(name string, _ bool) (fs.FileInfo, error) { return files.Stat(name) },
		Find: func(_ *jinja.Call, _, name string) (string, []string, bool) {
			f := source.Join(files.Root(), name)
			_, err := files.Stat(f)
			return f, []string{f}, err == nil
		},
		Getenv: func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok
		},
		Decrypt: func(text []byte) ([]byte, error) { return p.opts.Vault.Decrypt(text) },
		Encrypt: func(plain []byte, secret, id string) ([]byte, error) {
			return source.EncryptVault(plain, []byte(secret), id)
		},
	}
	if !source.Here(files) {
		o.WriteFile = func(name string, _ []byte) error {
			return fmt.Errorf("%s is in no file of the project, and nothing can be written beside it: commit it, or give the password as a vaulted variable", name)
		}
		return o
	}
	here := filter.Machine()
	o.Readlink, o.WriteFile, o.Fetch = here.Readlink, here.WriteFile, fetchURL
	o.Stat = func(name string, follow bool) (fs.FileInfo, error) {
		return here.Stat(source.Join(files.Root(), name), follow)
	}
	o.Run = func(ctx context.Context, command string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		if s := scopeOf(ctx); s != nil && s.pr != nil {
			cmd.Dir = s.pr.play.dir
		}
		return cmd.Output()
	}
	return o
}

// lookupTemplate renders template files in a template.
func (r *run) lookupTemplate(c *filter.LookupCall) ([]value.Value, error) {
	s := scopeOf(c.Ctx)
	if s == nil {
		return nil, fmt.Errorf("the template lookup needs a task")
	}
	opts := jinja.Options{TrimBlocks: true, NewlineSequence: "\n"}
	ts := *s
	ts.kept, ts.busy = nil, nil
	ts.over = value.NewDict()
	ts.over.Update(s.over)
	for _, it := range c.Kwargs.Items() {
		text := func() string { return value.Str(it.Value) }
		switch value.Str(it.Key) {
		case "template_vars":
			if d, ok := it.Value.(*value.Dict); ok {
				ts.over.Update(d)
			}
		case "variable_start_string":
			opts.VariableStart = text()
		case "variable_end_string":
			opts.VariableEnd = text()
		case "comment_start_string":
			opts.CommentStart = text()
		case "comment_end_string":
			opts.CommentEnd = text()
		case "trim_blocks":
			opts.TrimBlocks, _ = source.Bool(it.Value)
		case "lstrip_blocks":
			opts.LstripBlocks, _ = source.Bool(it.Value)
		}
	}
	ts.ctx = withScope(s.ctx, &ts)
	var out []value.Value
	for _, term := range c.Terms {
		name := value.Str(term)
		file, tried, ok := s.find("templates", name)
		if !ok {
			return nil, fmt.Errorf("the template file %s could not be found for the lookup (tried %s)", name, strings.Join(tried, ", "))
		}
		src, err := r.p.files.ReadFile(file)
		if err != nil {
			return nil, source.FileError(file, err)
		}
		o := opts
		o.Place.File = file
		body, _ := templateHeader(string(src), &o)
		r.templateVars(&ts, name, file, "")
		text, err := r.render(&ts, file, body, o)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

func fetchURL(ctx context.Context, q filter.Request) ([]byte, error) {
	method := q.Method
	if method == "" {
		method = http.MethodGet
	}
	if q.Timeout == 0 {
		q.Timeout = 10 * time.Second
	}
	ctx, stop := context.WithTimeout(ctx, q.Timeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return nil, err
	}
	for k, v := range q.Headers {
		req.Header.Set(k, v)
	}
	if q.Username != "" {
		req.SetBasicAuth(q.Username, q.Password)
	}
	client := &http.Client{}
	if q.SkipVerify {
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the playbook asks for it
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		return nil, fmt.Errorf("Received HTTP error for %s : HTTP Error %d: %s", q.URL, res.StatusCode, http.StatusText(res.StatusCode))
	}
	return io.ReadAll(io.LimitReader(res.Body, 64<<20))
}

// pythonJSON is json.dumps: a blank after each comma and colon.
func pythonJSON(v value.Value) (string, error) {
	b, err := value.ToJSON(v)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	inText := false
	for i := 0; i < len(b); i++ {
		out.WriteByte(b[i])
		switch c := b[i]; {
		case c == '\\' && inText:
			i++
			out.WriteByte(b[i])
		case c == '"':
			inText = !inText
		case !inText && (c == ',' || c == ':'):
			out.WriteByte(' ')
		}
	}
	if !json.Valid([]byte(out.String())) {
		return string(b), nil
	}
	return out.String(), nil
}
