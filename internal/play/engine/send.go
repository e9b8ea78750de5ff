package engine

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"drover/internal/play/source"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"drover/internal/play/jinja"
	"drover/internal/play/module"
	"drover/internal/play/value"
)

// attach gives a request the files that its module takes from here: what copy
// and script send, what template renders. done means that the task is over.
func (r *run) attach(s *scope, o *outcome, req *module.Request, args *value.Dict) (done bool, err error) {
	str := func(k string) string {
		if v, ok := args.GetString(k); ok && v != nil {
			return value.Str(v)
		}
		return ""
	}
	remote := func(def bool) bool {
		if v, ok := args.GetString("remote_src"); ok {
			b, _ := source.Bool(v)
			return b
		}
		return def
	}
	switch req.Module {
	case "template":
		return false, r.renderTemplate(s, o, req, args)
	case "copy":
		if v, ok := args.GetString("content"); ok && v != nil {
			if _, isText := value.StrOf(v); !isText {
				text, err := pythonJSON(v)
				if err != nil {
					return false, err
				}
				req.Args["content"] = text
			}
			return false, nil
		}
		src := str("src")
		if src == "" || remote(false) {
			return false, nil
		}
		return r.sendTree(s, o, req, "files", src)
	case "unarchive":
		src := str("src")
		if v, ok := args.GetString("copy"); ok {
			if b, fine := source.Bool(v); fine && !b {
				return false, nil
			}
		}
		if src == "" || remote(false) || strings.Contains(src, "://") {
			return false, nil
		}
		return r.sendTree(s, o, req, "files", src)
	case "script":
		raw := str("cmd")
		if raw == "" {
			raw = str("_raw_params")
		}
		toks, err := splitArgs(raw)
		if err != nil || len(toks) == 0 {
			return false, fmt.Errorf("Action failed: no script given")
		}
		return r.sendTree(s, o, req, "files", unquote(toks[0].text))
	case "assemble":
		if remote(true) {
			return false, nil
		}
		return r.assemble(s, o, req, args, str("src"))
	}
	return false, nil
}

func notFound(o *outcome, src string, tried []string) {
	o.res = failure("Could not find or access '%s'\nSearched in:\n\t%s on the Ansible Controller.\nIf you are using a module and expect the file to exist on the remote, see the remote_src option", src, strings.Join(tried, "\n\t"))
}

// sendTree finds src and attaches the file, or the tree below the folder.
func (r *run) sendTree(s *scope, o *outcome, req *module.Request, kind, src string) (bool, error) {
	file, tried, ok := s.find(kind, strings.TrimSuffix(src, "/"))
	if !ok {
		notFound(o, src, tried)
		return true, nil
	}
	if !source.IsDir(r.p.files, file) {
		one, err := r.source(file)
		if err != nil {
			return false, err
		}
		req.Source = one
		return false, nil
	}
	out := []module.Source{}
	var walk func(dir, rel string) error
	walk = func(dir, rel string) error {
		list, err := r.p.files.ReadDir(dir)
		if err != nil {
			return source.FileError(dir, err)
		}
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, e := range list {
			full, name := path.Join(dir, e.Name()), path.Join(rel, e.Name())
			switch {
			case source.IsDir(r.p.files, full):
				out = append(out, module.Source{Name: name, Dir: true, Mode: r.modeOf(full)})
				if err := walk(full, name); err != nil {
					return err
				}
			default:
				one, err := r.source(full)
				if err != nil {
					return err
				}
				one.Name = name
				out = append(out, *one)
			}
		}
		return nil
	}
	if err := walk(file, ""); err != nil {
		return false, err
	}
	req.Sources = out
	return false, nil
}

func (r *run) modeOf(name string) uint32 {
	st, err := r.p.files.Stat(name)
	if err != nil {
		return 0
	}
	return uint32(st.Mode().Perm())
}

// source makes the Source of a file: small ones travel inside, others are
// fetched by their hash.
func (r *run) source(name string) (*module.Source, error) {
	st, err := r.p.files.Stat(name)
	if err != nil {
		return nil, source.FileError(name, err)
	}
	out := &module.Source{Name: name, Mode: uint32(st.Mode().Perm())}
	if st.Size() <= module.InlineLimit {
		src, err := r.p.files.ReadFile(name)
		if err != nil {
			return nil, source.FileError(name, err)
		}
		if source.IsVault(src) {
			if src, err = r.p.opts.Vault.Decrypt(src); err != nil {
				return nil, fmt.Errorf("cannot send the vaulted file %s: %w", name, err)
			}
		}
		r.fill(out, src)
		return out, nil
	}
	f, err := r.p.files.Open(name)
	if err != nil {
		return nil, source.FileError(name, err)
	}
	defer f.Close()
	h1, h256 := sha1.New(), sha256.New()
	if out.Size, err = io.Copy(io.MultiWriter(h1, h256), f); err != nil {
		return nil, source.FileError(name, err)
	}
	out.SHA1, out.SHA256 = hex.EncodeToString(h1.Sum(nil)), hex.EncodeToString(h256.Sum(nil))
	r.sources.put(out.SHA256, func() (io.ReadCloser, error) { return r.p.files.Open(name) })
	return out, nil
}

// fill sets a source's content and hashes.
func (r *run) fill(out *module.Source, src []byte) {
	h1, h256 := sha1.Sum(src), sha256.Sum256(src)
	out.Size, out.SHA1, out.SHA256 = int64(len(src)), hex.EncodeToString(h1[:]), hex.EncodeToString(h256[:])
	if len(src) <= module.InlineLimit {
		out.Content, out.Inline = src, true
		return
	}
	r.sources.put(out.SHA256, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(src)), nil })
}

// envCache keeps a Jinja environment for each folder that templates include from.
type envCache struct {
	mu sync.Mutex
	m  map[string]*jinja.Env
}

// templateEnv is the environment for template files found from these folders.
func (r *run) templateEnv(dirs []string) *jinja.Env {
	key := strings.Join(dirs, "\x00")
	r.envs.mu.Lock()
	defer r.envs.mu.Unlock()
	if e := r.envs.m[key]; e != nil {
		return e
	}
	e := r.newEnv()
	e.Loader = func(name string) (string, error) {
		for _, d := range dirs {
			src, err := r.p.files.ReadFile(source.Join(d, name))
			if err == nil {
				return string(src), nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return "", source.FileError(name, err)
			}
		}
		return "", fmt.Errorf("cannot find the template %s in %s: %w", name, strings.Join(dirs, ", "), fs.ErrNotExist)
	}
	if r.envs.m == nil {
		r.envs.m = map[string]*jinja.Env{}
	}
	r.envs.m[key] = e
	return e
}

// templateDirs are the folders that a template may include from.
func (s *scope) templateDirs(file string) []string {
	var out []string
	for _, d := range s.searchPath() {
		out = append(out, path.Join(d, "templates"), d)
	}
	return append(out, path.Dir(file))
}

// renderTemplate renders the source of the template action as Ansible does.
func (r *run) renderTemplate(s *scope, o *outcome, req *module.Request, args *value.Dict) error {
	str := func(k, def string) string {
		if v, ok := args.GetString(k); ok && v != nil {
			return value.Str(v)
		}
		return def
	}
	src := str("src", "")
	if src == "" || str("dest", "") == "" {
		return fmt.Errorf("Action failed: src and dest are required")
	}
	file, tried, ok := s.find("templates", src)
	if !ok {
		return fmt.Errorf("Action failed: Could not find or access '%s'\nSearched in:\n\t%s on the Ansible Controller.\nIf you are using a module and expect the file to exist on the remote, see the remote_src option", src, strings.Join(tried, "\n\t"))
	}
	text, err := r.p.files.ReadFile(file)
	if err != nil {
		return source.FileError(file, err)
	}
	if source.IsVault(text) {
		if text, err = r.p.opts.Vault.Decrypt(text); err != nil {
			return fmt.Errorf("cannot open the vaulted template %s: %w", file, err)
		}
	}
	opts := jinja.Options{TrimBlocks: true, NewlineSequence: "\n"}
	opts.Place.File = file
	for k, p := range map[string]*string{"variable_start_string": &opts.VariableStart, "variable_end_string": &opts.VariableEnd, "block_start_string": &opts.BlockStart,
		"block_end_string": &opts.BlockEnd, "comment_start_string": &opts.CommentStart, "comment_end_string": &opts.CommentEnd} {
		*p = str(k, "")
	}
	switch nl := str("newline_sequence", "\n"); nl {
	case "\n", "\r", "\r\n":
		opts.NewlineSequence = nl
	case `\n`, `\r`, `\r\n`:
		opts.NewlineSequence = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(nl)
	default:
		return fmt.Errorf("Action failed: newline_sequence needs to be one of: \\n, \\r or \\r\\n")
	}
	if v, ok := args.GetString("trim_blocks"); ok {
		opts.TrimBlocks, _ = source.Bool(v)
	}
	if v, ok := args.GetString("lstrip_blocks"); ok {
		opts.LstripBlocks, _ = source.Bool(v)
	}
	body, shift := templateHeader(string(text), &opts)
	if shift {
		opts.Place.Line++
	}
	ts := *s
	ts.kept, ts.busy = nil, nil
	ts.over = value.NewDict()
	ts.over.Update(s.over)
	r.templateVars(&ts, src, file, str("dest", ""))
	ts.ctx = withScope(s.ctx, &ts)
	out, err := r.render(&ts, file, body, opts)
	if err != nil {
		return fmt.Errorf("Action failed: %s", reason(err))
	}
	one := &module.Source{Name: file, Mode: r.modeOf(file)}
	data := []byte(out)
	r.fill(one, data)
	req.Source = one
	for _, k := range []string{"variable_start_string", "variable_end_string", "block_start_string", "block_end_string", "comment_start_string", "comment_end_string", "newline_sequence", "trim_blocks", "lstrip_blocks", "output_encoding"} {
		delete(req.Args, k)
	}
	return nil
}

func (r *run) render(s *scope, file, body string, opts jinja.Options) (string, error) {
	env := r.templateEnv(s.templateDirs(file))
	t, err := env.Template(body, opts)
	if err != nil {
		return "", err
	}
	out, err := t.Render(s.ctx, s)
	if err != nil {
		return "", err
	}
	// Newlines at the end are kept, but not those of included files.
	nl := opts.NewlineSequence
	for n := trailing(body, "\n") - trailing(out, nl); n > 0; n-- {
		out += nl
	}
	return out, nil
}

func trailing(s, nl string) int {
	n := 0
	for strings.HasSuffix(s, nl) {
		s = s[:len(s)-len(nl)]
		n++
	}
	return n
}

// templateVars sets the variables that only template files have.
func (r *run) templateVars(ts *scope, src, file, dest string) {
	now := r.o.Now()
	hostname := r.o.Env["HOSTNAME"]
	if hostname == "" && source.Here(r.p.files) {
		hostname, _ = os.Hostname()
	}
	var managed value.Value = "Ansible managed"
	if v, ok, err := ts.Var("ansible_managed"); ok && err == nil {
		managed = v
	}
	mtime := now
	if st, err := r.p.files.Stat(file); err == nil {
		mtime = st.ModTime()
	}
	for k, v := range map[string]value.Value{"template_host": hostname, "template_path": file, "template_mtime": value.Time{T: mtime}, "template_uid": "root",
		"template_run_date": value.Time{T: now}, "template_fullpath": file, "ansible_managed": managed} {
		ts.over.Set(k, v)
	}
	if dest != "" {
		ts.over.Set("template_destpath", dest)
	}
	ts.kept = nil
}

// templateHeader takes a first line "#jinja2: lstrip_blocks: True" as options.
func templateHeader(src string, o *jinja.Options) (string, bool) {
	if !strings.HasPrefix(src, "#jinja2:") {
		return src, false
	}
	line, rest, _ := strings.Cut(src, "\n")
	for _, p := range strings.Split(strings.TrimPrefix(line, "#jinja2:"), ",") {
		k, v, _ := strings.Cut(p, ":")
		v = strings.TrimSpace(v)
		on := strings.EqualFold(v, "true")
		switch strings.TrimSpace(k) {
		case "trim_blocks":
			o.TrimBlocks = on
		case "lstrip_blocks":
			o.LstripBlocks = on
		case "keep_trailing_newline":
			o.KeepTrailingNewline = on
		case "variable_start_string":
			o.VariableStart = unquote(v)
		case "variable_end_string":
			o.VariableEnd = unquote(v)
		case "block_start_string":
			o.BlockStart = unquote(v)
		case "block_end_string":
			o.BlockEnd = unquote(v)
		case "comment_start_string":
			o.CommentStart = unquote(v)
		case "comment_end_string":
			o.CommentEnd = unquote(v)
		}
	}
	return rest, true
}

// assemble joins the fragments of a folder here.
func (r *run) assemble(s *scope, o *outcome, req *module.Request, args *value.Dict, src string) (bool, error) {
	dir, tried, ok := s.find("files", src)
	if !ok || !source.IsDir(r.p.files, dir) {
		notFound(o, src, tried)
		return true, nil
	}
	list, err := r.p.files.ReadDir(dir)
	if err != nil {
		return false, source.FileError(dir, err)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	get := func(k string) string {
		if v, ok := args.GetString(k); ok && v != nil {
			return value.Str(v)
		}
		return ""
	}
	delim, re := get("delimiter"), get("regexp")
	var b bytes.Buffer
	first, newline := true, false
	for _, e := range list {
		f := path.Join(dir, e.Name())
		if source.IsDir(r.p.files, f) || re != "" && !regexMatch(re, e.Name()) || dictBool(args, "ignore_hidden") && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		src, err := r.p.files.ReadFile(f)
		if err != nil {
			return false, source.FileError(f, err)
		}
		if newline {
			b.WriteByte('\n')
		}
		if delim != "" && !first {
			d := strings.ReplaceAll(delim, `\n`, "\n")
			b.WriteString(d)
			if !strings.HasSuffix(d, "\n") {
				b.WriteByte('\n')
			}
		}
		first = false
		b.Write(src)
		newline = !bytes.HasSuffix(src, []byte("\n"))
	}
	one := &module.Source{Name: dir, Mode: 0o644}
	r.fill(one, b.Bytes())
	req.Source = one
	return false, nil
}

// fetch brings a file from the host here.
func (r *run) fetch(s *scope, o *outcome, args *value.Dict, deleg *hostState) error {
	get := func(k string) string {
		if v, ok := args.GetString(k); ok && v != nil {
			return value.Str(v)
		}
		return ""
	}
	src, dest := get("src"), get("dest")
	if src == "" || dest == "" {
		return fmt.Errorf("Action failed: src and dest are required")
	}
	if r.o.Check {
		o.res = value.DictOf("changed", false, "skipped", true, "msg", "check mode not (yet) supported for this module")
		return nil
	}
	if !source.Here(r.p.files) {
		return fmt.Errorf("Action failed: fetch works only where playbooks are run from this machine's files")
	}
	probe := &outcome{h: o.h, t: o.t}
	if err := r.module(s, probe, &module.Request{Module: "slurp", Args: map[string]any{"src": src}}, deleg); err != nil {
		return err
	}
	if probe.status == "unreachable" {
		o.status, o.res = probe.status, probe.res
		return nil
	}
	must := true
	if v, ok := args.GetString("fail_on_missing"); ok {
		must, _ = source.Bool(v)
	}
	if dictBool(probe.res, "failed") {
		m, _ := probe.res.GetString("msg")
		if must {
			o.res = failure("%s", value.Str(m))
		} else {
			o.res = value.DictOf("changed", false, "file", src, "msg", value.Str(m)+", not transferring, ignored")
		}
		return nil
	}
	enc, _ := probe.res.GetString("content")
	data, err := base64.StdEncoding.DecodeString(value.Str(enc))
	if err != nil {
		return fmt.Errorf("Action failed: cannot read what slurp sent: %w", err)
	}
	target := dest
	if dictBool(args, "flat") {
		if strings.HasSuffix(dest, "/") {
			target = dest + path.Base(src)
		}
	} else {
		target = path.Join(dest, o.h.name, src)
	}
	base := r.p.files.Root()
	if s.pr != nil {
		base = s.pr.play.dir
	}
	target = source.Join(base, target)
	sum := sha1.Sum(data)
	sha := hex.EncodeToString(sum[:])
	old, err := os.ReadFile(target)
	o.res = value.DictOf("changed", false, "checksum", sha, "dest", target, "file", src, "remote_checksum", sha, "remote_md5sum", nil)
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := writeFile(target, data); err != nil {
		return fmt.Errorf("Action failed: cannot keep the fetched file: %w", err)
	}
	o.res.Set("changed", true)
	return nil
}

// writeFile replaces a file in one step.
func writeFile(name string, data []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".fetch-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
