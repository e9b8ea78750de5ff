package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"drover/api"
	"drover/internal/play/machine"
	"drover/internal/play/param"
)

// copyModule puts a file or a tree from where the play is run (Source,
// Sources), a text (content) or something of the host itself (remote_src) in
// place.
var copyModule = &Module{
	Name: "copy", FileArgs: true,
	Params: []Param{
		{Name: "src"}, {Name: "content", Type: Raw, NoLog: true}, {Name: "dest", Type: Path, Required: true},
		{Name: "backup", Type: Bool, Default: false}, {Name: "force", Aliases: []string{"thirsty"}, Type: Bool, Default: true},
		{Name: "validate"}, {Name: "directory_mode", Type: Raw}, {Name: "remote_src", Type: Bool, Default: false},
		{Name: "follow", Type: Bool, Default: false}, {Name: "local_follow", Type: Bool, Default: true},
		{Name: "checksum"}, {Name: "decrypt", Type: Bool, Default: true},
	},
	Run: runCopy,
}

// templateModule is copy with content that the interpreter rendered into Source.
var templateModule = &Module{
	Name: "template", FileArgs: true,
	Params: []Param{
		{Name: "src", Required: true}, {Name: "dest", Type: Path, Required: true},
		{Name: "backup", Type: Bool, Default: false}, {Name: "force", Type: Bool, Default: true}, {Name: "validate"},
		{Name: "follow", Type: Bool, Default: false}, {Name: "newline_sequence", Default: "\n", Choices: []string{"\n", "\r", "\r\n", `\n`, `\r`, `\r\n`}},
		{Name: "block_start_string", Default: "{%"}, {Name: "block_end_string", Default: "%}"},
		{Name: "variable_start_string", Default: "{{"}, {Name: "variable_end_string", Default: "}}"},
		{Name: "comment_start_string"}, {Name: "comment_end_string"},
		{Name: "trim_blocks", Type: Bool, Default: true}, {Name: "lstrip_blocks", Type: Bool, Default: false},
		{Name: "output_encoding", Default: "utf-8"},
	},
	Run: runCopy,
}

// placement is one file to put in place.
type placement struct {
	name   string // as the result and the diff's header tell it
	open   func() (io.ReadCloser, error)
	size   int64
	sha256 string
	sha1   string // if it is known
	dest   string
	attrs  *machine.Attrs
}

// sourcePlacement is the placement of what came with the request.
func (c *Call) sourcePlacement(ctx context.Context, s *Source, dest string) placement {
	p := placement{name: s.Name, size: s.Size, sha256: s.SHA256, sha1: s.SHA1, dest: dest, attrs: c.fileAttrs()}
	if s.Inline || s.Content != nil || s.Size == 0 {
		sum := machine.SumsOf(s.Content)
		p.size, p.sha256, p.sha1 = int64(len(s.Content)), sum.SHA256, sum.SHA1
	}
	p.open = func() (io.ReadCloser, error) { return c.openSource(ctx, s) }
	if c.Raw("mode") == "preserve" {
		p.attrs.Mode = int64(s.Mode & 0o7777)
	}
	return p
}

func runCopy(ctx context.Context, c *Call) *Result {
	dest := c.Str("dest")
	if dest == "" {
		return Fail("dest is required")
	}
	content := c.Has("content")
	switch {
	case content && c.Has("src"):
		return Fail("src and content are mutually exclusive")
	case !content && c.Str("src") == "" && c.Source == nil:
		return Fail("src (or content) is required")
	case c.Bool("remote_src"):
		return copyRemote(ctx, c, dest)
	case c.Sources != nil:
		return copyTree(ctx, c, dest)
	}
	src := c.Source
	if content {
		if fi, err := c.Host.Stat(dest); strings.HasSuffix(dest, "/") || err == nil && fi.IsDir() {
			return Fail("can not use content with a dir as dest")
		}
		b := contentBytes(c.Raw("content"))
		src = &Source{Content: b, Inline: true, Size: int64(len(b))}
	}
	if src == nil {
		return Fail("cannot copy %s: its content did not come with the task", c.Str("src"))
	}
	r := &Result{}
	dest, bad := c.intoDir(r, dest, c.Str("src"))
	if bad != nil {
		return bad
	}
	if c.Bool("follow") {
		dest = c.Host.Realpath(dest)
	}
	if src.Name == "" {
		src.Name = dest
	}
	if !c.Bool("force") && c.Host.Exists(dest) {
		return r.Set("dest", dest).Set("src", src.Name)
	}
	if want := c.Str("checksum"); want != "" {
		sum, err := c.sha1Of(ctx, src)
		if err != nil {
			return Fail("%v", err)
		}
		if sum != want {
			return Fail("Copied file does not match the expected checksum. Transfer failed.").Set("checksum", sum).Set("expected_checksum", want)
		}
	}
	p := c.sourcePlacement(ctx, src, dest)
	c.place(ctx, r, p)
	if r.Failed || c.Check && r.Values["checksum"] == nil {
		return r
	}
	if r.Values["md5sum"] == nil {
		r.Set("path", dest)
	} else {
		r.Set("src", p.name)
	}
	return c.pathInfo(r.Set("dest", dest), dest)
}

// contentBytes is the text of the parameter content; a dictionary or list is
// written as JSON the way Python writes it.
func contentBytes(v any) []byte {
	switch v := v.(type) {
	case []any, map[string]any:
		var b strings.Builder
		pyJSON(&b, v)
		return []byte(b.String())
	}
	return []byte(param.ToText(v))
}

// pyJSON writes JSON with Python's spaces after , and :.
func pyJSON(b *strings.Builder, v any) {
	switch v := v.(type) {
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			pyJSON(b, x)
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b.WriteString(", ")
			}
			pyJSON(b, k)
			b.WriteString(": ")
			pyJSON(b, v[k])
		}
		b.WriteByte('}')
	case string:
		var w bytes.Buffer
		e := json.NewEncoder(&w)
		e.SetEscapeHTML(false)
		_ = e.Encode(v)
		for _, r := range strings.TrimSuffix(w.String(), "\n") {
			switch {
			case r < 0x80:
				b.WriteRune(r)
			case r < 0x10000:
				fmt.Fprintf(b, `\u%04x`, r)
			default:
				r -= 0x10000
				fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			}
		}
	default:
		e, _ := json.Marshal(v)
		b.Write(e)
	}
}

// intoDir is dest, or the file below it when dest is or shall be a folder. One
// that is named with a slash at its end and missing is made.
func (c *Call) intoDir(r *Result, dest, src string) (string, *Result) {
	base := filepath.Base(src)
	if strings.HasSuffix(dest, "/") {
		if bad := c.ensureDir(r, strings.TrimRight(dest, "/"), c.dirAttrs()); bad != nil {
			return dest, bad
		}
		return filepath.Join(dest, base), nil
	}
	if fi, err := c.Host.Stat(dest); err == nil && fi.IsDir() {
		return filepath.Join(dest, base), nil
	}
	return dest, nil
}

// dirAttrs are the attributes of the folders that copy makes.
func (c *Call) dirAttrs() *machine.Attrs {
	a := c.fileAttrs()
	a.Mode = c.Raw("directory_mode")
	return a
}

// ensureDir makes a folder and its parents where they are missing.
func (c *Call) ensureDir(r *Result, dir string, a *machine.Attrs) *Result {
	if dir == "" || dir == "/" {
		return nil
	}
	fi, err := c.Host.Stat(dir)
	switch {
	case err == nil && fi.IsDir():
		return nil
	case err == nil:
		return Fail("cannot make the folder %s: %s is in its place", dir, c.Host.State(dir))
	case !errors.Is(err, fs.ErrNotExist):
		return Fail("cannot make the folder %s: %v", dir, err)
	}
	if bad := c.ensureDir(r, filepath.Dir(dir), a); bad != nil {
		return bad
	}
	if c.Check {
		if !slices.ContainsFunc(r.Changes, func(x api.Change) bool { return x.ID == dir }) {
			r.Change("directory", dir, "create", nil, nil)
		}
		return nil
	}
	if err := os.Mkdir(c.Host.Path(dir), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return Fail("There was an issue creating %s as requested: %s", dir, reason(err))
	}
	if a != nil {
		if _, err := c.Host.Apply(dir, a, true, false, nil); err != nil {
			return Fail("%v", err)
		}
	}
	r.Change("directory", dir, "create", nil, c.Host.Record(dir))
	return nil
}

func (c *Call) sha1Of(ctx context.Context, s *Source) (string, error) {
	if s.SHA1 != "" {
		return s.SHA1, nil
	}
	in, err := c.openSource(ctx, s)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sum := machine.NewSummer()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	return sum.Sums().SHA1, nil
}

// place puts one file in place and sets its attributes. A changed content
// leaves checksum and md5sum in r, an unchanged one only checksum.
func (c *Call) place(ctx context.Context, r *Result, p placement) {
	h, dest := c.Host, p.dest
	if c.Bool("follow") {
		dest = h.Realpath(dest)
	}
	fi, err := h.Lstat(dest)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Fail("cannot read %s: %v", dest, err)
		return
	}
	if exists && fi.IsDir() {
		r.Fail("cannot copy to %s: it is a directory", dest)
		return
	}
	if exists && fi.Mode().IsRegular() && fi.Size() == p.size {
		sum, err := h.Sums(dest)
		if err != nil {
			r.Fail("Destination %s is not readable: %v", dest, err)
			return
		}
		if sum.SHA256 == p.sha256 {
			r.Set("checksum", sum.SHA1)
			c.placeAttrs(r, dest, p.attrs)
			return
		}
	}
	if _, err := h.Stat(filepath.Dir(dest)); err != nil && !c.Check {
		if p.sha1 != "" {
			r.Set("checksum", p.sha1)
		}
		r.Fail("Destination directory %s does not exist", filepath.Dir(dest))
		return
	}
	before := h.Record(dest)
	if c.Diff {
		r.Diff = append(r.Diff, c.contentDiff(p, dest, exists))
	}
	action := "create"
	if exists {
		action = "update"
	}
	if c.Check {
		r.Change("file", dest, action, before, map[string]any{"sha256": p.sha256, "size": p.size})
		return
	}
	if exists && c.Bool("backup") && fi.Mode().IsRegular() {
		name, err := c.backup(dest)
		if err != nil {
			r.Fail("%v", err)
			return
		}
		r.Set("backup_file", name)
	}
	sum, bad := c.put(ctx, p, dest)
	if bad != nil {
		if bad.Values["exit_status"] != nil {
			bad.Msg = "failed to validate"
		}
		if p.sha1 != "" {
			bad.Set("checksum", p.sha1)
		}
		bad.Changes, bad.Changed = r.Changes, r.Changed
		*r = *bad
		return
	}
	r.Set("checksum", sum.SHA1).Set("md5sum", sum.MD5)
	if _, err := h.Apply(dest, p.attrs, true, false, nil); err != nil {
		r.Fail("%v", attrMessage(r, err))
	}
	r.Change("file", dest, action, before, h.Record(dest))
}

// placeAttrs sets the attributes of a file whose content is right already.
func (c *Call) placeAttrs(r *Result, dest string, a *machine.Attrs) {
	d, before := machine.NewAttrChange(), c.Host.Record(dest)
	changed, err := c.Host.Apply(dest, a, true, c.Check, d)
	r.await(d.Awaited...)
	if err != nil {
		r.Fail("%v", attrMessage(r, err))
		c.pathInfo(r.Set("path", dest), dest)
		return
	}
	if !changed {
		return
	}
	after := c.Host.Record(dest)
	if c.Check {
		after = d.After
	}
	r.Change("file", dest, "update", before, after)
	if c.Diff {
		d.Add("path", dest, dest)
		r.attrDiff(d.Before, d.After)
	}
}

// put writes the content beside dest, checks it, and renames it into place.
func (c *Call) put(ctx context.Context, p placement, dest string) (machine.FileSums, *Result) {
	in, err := p.open()
	if err != nil {
		return machine.FileSums{}, Fail("%v", err)
	}
	defer in.Close()
	s, err := c.Host.Stage(dest, false)
	if err != nil {
		if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EROFS) {
			return machine.FileSums{}, Fail("Destination %s not writable: %s", filepath.Dir(dest), reason(err))
		}
		return machine.FileSums{}, Fail("cannot write %s: %s", dest, reason(err))
	}
	defer s.Abort()
	sum := machine.NewSummer()
	n, err := io.Copy(io.MultiWriter(s, sum), in)
	if err != nil {
		return machine.FileSums{}, Fail("cannot write %s: %v", dest, err)
	}
	sums := sum.Sums()
	if n != p.size || sums.SHA256 != p.sha256 {
		return machine.FileSums{}, Fail("Copied file does not match the expected checksum. Transfer failed.")
	}
	o := c.writeOptions()
	if bad := c.validate(ctx, o, s.TempPath()); bad != nil {
		return machine.FileSums{}, bad
	}
	if err := s.Commit(p.attrs, o.unsafe); err != nil {
		return machine.FileSums{}, Fail("%v", err)
	}
	return sums, nil
}

// diffLimit is the size above which a file's diff is not shown.
const diffLimit = 104448

func (c *Call) contentDiff(p placement, dest string, exists bool) api.Diff {
	d := api.Diff{AfterHeader: p.name}
	var old []byte
	if exists {
		d.BeforeHeader = dest
		if fi, err := c.Host.Stat(dest); err == nil && fi.Mode().IsRegular() {
			if fi.Size() > diffLimit {
				return api.Diff{Prepared: fmt.Sprintf("diff skipped: destination file size is greater than %d\n", diffLimit)}
			}
			old, _ = c.Host.ReadFile(dest)
		}
	}
	if p.size > diffLimit {
		return api.Diff{Prepared: fmt.Sprintf("diff skipped: source file size is greater than %d\n", diffLimit)}
	}
	in, err := p.open()
	if err != nil {
		return d
	}
	defer in.Close()
	b, _ := io.ReadAll(in)
	switch {
	case bytes.IndexByte(old, 0) >= 0:
		return api.Diff{Prepared: "diff skipped: destination file appears to be binary\n"}
	case bytes.IndexByte(b, 0) >= 0:
		return api.Diff{Prepared: "diff skipped: source file appears to be binary\n"}
	}
	d.Before, d.After = text(old), text(b)
	return d
}

// copyTree puts the folder that came with the request below dest: its content
// when src ends in a slash, itself otherwise.
func copyTree(ctx context.Context, c *Call, dest string) *Result {
	src := c.Str("src")
	r := &Result{}
	root := strings.TrimRight(dest, "/")
	if fi, err := c.Host.Stat(dest); err == nil && !fi.IsDir() {
		return Fail("cannot copy the folder %s to %s: a file is in its place", src, dest)
	}
	if !strings.HasSuffix(src, "/") {
		root = filepath.Join(root, filepath.Base(src))
	}
	if bad := c.ensureDir(r, root, c.dirAttrs()); bad != nil {
		return bad
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		if !filepath.IsLocal(s.Name) {
			return r.Fail("cannot copy %s: the name leads out of the folder", s.Name)
		}
		to := filepath.Join(root, s.Name)
		switch {
		case s.Dir:
			if bad := c.ensureDir(r, to, c.dirAttrs()); bad != nil {
				return bad
			}
			if c.Host.Exists(to) {
				c.placeAttrs(r, to, c.dirAttrs())
			}
		case s.Link != "":
			c.placeLink(r, s.Link, to)
		case !c.Bool("force") && c.Host.Exists(to):
		default:
			if bad := c.ensureDir(r, filepath.Dir(to), c.dirAttrs()); bad != nil {
				return bad
			}
			c.place(ctx, r, c.sourcePlacement(ctx, s, to))
		}
		if r.Failed {
			return r
		}
	}
	delete(r.Values, "checksum")
	delete(r.Values, "md5sum")
	if c.Source != nil && c.Source.Dir {
		src = c.Source.Name
	}
	return r.Set("dest", strings.TrimRight(dest, "/")+"/").Set("src", src)
}

// placeLink makes a symbolic link in one step.
func (c *Call) placeLink(r *Result, target, dest string) {
	real := c.Host.Path(dest)
	if cur, err := os.Readlink(real); err == nil && cur == target {
		return
	}
	before := c.Host.Record(dest)
	action := "create"
	if before != nil {
		action = "update"
	}
	if !c.Check {
		if err := c.Host.ReplaceLink(target, dest); err != nil {
			r.Fail("cannot make the link %s: %v", dest, err)
			return
		}
	}
	r.Change("link", dest, action, before, map[string]any{"state": "link", "target": target})
}

// copyRemote copies what is on the host already.
func copyRemote(ctx context.Context, c *Call, dest string) *Result {
	h, src := c.Host, c.expandPath(c.Str("src"))
	fi, err := h.Stat(src)
	if err != nil {
		return Fail("Source %s not found", src)
	}
	r := &Result{}
	if fi.IsDir() {
		return copyRemoteTree(ctx, c, r, src, dest)
	}
	if !fi.Mode().IsRegular() {
		return Fail("cannot copy %s: it is not a regular file", src)
	}
	dest, bad := c.intoDir(r, dest, src)
	if bad != nil {
		return bad
	}
	sum, err := h.Sums(src)
	if err != nil {
		return Fail("Source %s not readable: %v", src, err)
	}
	if want := c.Str("checksum"); want != "" && want != sum.SHA1 {
		return Fail("Copied file does not match the expected checksum. Transfer failed.").Set("checksum", sum.SHA1).Set("expected_checksum", want)
	}
	if !c.Bool("force") && h.Exists(dest) {
		return c.pathInfo(r.say("file already exists").Set("dest", dest).Set("src", src), dest)
	}
	c.place(ctx, r, c.remotePlacement(src, dest, fi, sum.SHA256))
	if r.Failed {
		return r
	}
	r.Set("checksum", sum.SHA1).Set("md5sum", sum.MD5).Set("dest", dest).Set("src", src)
	return c.pathInfo(r, dest)
}

// say sets a message without failing.
func (r *Result) say(msg string) *Result {
	r.Msg = msg
	return r
}

func (c *Call) remotePlacement(src, dest string, fi fs.FileInfo, sha256 string) placement {
	p := placement{name: src, size: fi.Size(), sha256: sha256, dest: dest, attrs: c.fileAttrs()}
	p.open = func() (io.ReadCloser, error) { return c.Host.Open(src) }
	if c.Raw("mode") == "preserve" {
		p.attrs.Mode = int64(machine.RawStat(fi).Mode & 0o7777)
	}
	return p
}

func copyRemoteTree(ctx context.Context, c *Call, r *Result, src, dest string) *Result {
	root := strings.TrimRight(dest, "/")
	if !strings.HasSuffix(src, "/") {
		root = filepath.Join(root, filepath.Base(src))
	}
	if within(c.Host.Realpath(root), c.Host.Realpath(src)) {
		return Fail("cannot copy %s into itself (%s)", src, root)
	}
	told, a := root, c.dirAttrs()
	if !c.Host.Exists(dest) {
		told = dest
		if fi, err := c.Host.Stat(src); err == nil && a.Mode == nil && strings.HasSuffix(src, "/") {
			a.Mode = int64(machine.RawStat(fi).Mode & 0o7777)
		}
	}
	if bad := c.ensureDir(r, root, a); bad != nil {
		return bad
	}
	if err := c.copyRemoteDir(ctx, r, src, root); err != nil {
		return r.Fail("cannot copy %s: %v", src, err)
	}
	if r.Failed {
		return r
	}
	r.Set("checksum", nil).Set("md5sum", nil).Set("dest", told).Set("src", src)
	return c.pathInfo(r, told)
}

func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// copyRemoteDir copies the content of a folder of the host. Folders it makes
// keep the mode of theirs unless directory_mode says otherwise.
func (c *Call) copyRemoteDir(ctx context.Context, r *Result, src, dest string) error {
	list, err := os.ReadDir(c.Host.Path(c.Host.Realpath(src)))
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		from, to := filepath.Join(src, e.Name()), filepath.Join(dest, e.Name())
		fi, err := c.Host.Lstat(from)
		if err != nil {
			return err
		}
		if fi.Mode()&fs.ModeSymlink != 0 {
			t, err := os.Readlink(c.Host.Path(from))
			if err != nil {
				return err
			}
			if !c.Bool("local_follow") {
				c.placeLink(r, t, to)
				continue
			}
			if fi, err = c.Host.Stat(from); err != nil {
				return err
			}
		}
		switch {
		case fi.IsDir():
			a := c.dirAttrs()
			if a.Mode == nil {
				a.Mode = int64(machine.RawStat(fi).Mode & 0o7777)
			}
			if bad := c.ensureDir(r, to, a); bad != nil {
				return errors.New(bad.Msg)
			}
			if err := c.copyRemoteDir(ctx, r, from, to); err != nil {
				return err
			}
		case fi.Mode().IsRegular():
			if !c.Bool("force") && c.Host.Exists(to) {
				continue
			}
			sum, err := c.Host.Sums(from)
			if err != nil {
				return err
			}
			p := c.remotePlacement(from, to, fi, sum.SHA256)
			if c.Raw("mode") == nil && !c.Host.Exists(to) {
				p.attrs.Mode = int64(machine.RawStat(fi).Mode & 0o7777)
			}
			c.place(ctx, r, p)
		}
		if r.Failed {
			return nil
		}
	}
	return nil
}
