package module

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"drover/internal/play/machine"

	"github.com/klauspost/compress/zstd"
)

var unarchiveModule = &Module{
	Name: "unarchive", FileArgs: true,
	Params: []Param{
		{Name: "src", Required: true}, {Name: "dest", Type: Path, Required: true}, {Name: "remote_src", Type: Bool, Default: false},
		{Name: "copy", Type: Bool}, {Name: "creates", Type: Path}, {Name: "exclude", Type: List}, {Name: "include", Type: List},
		{Name: "extra_opts", Type: List}, {Name: "keep_newer", Type: Bool, Default: false}, {Name: "list_files", Type: Bool, Default: false},
		{Name: "validate_certs", Type: Bool, Default: true}, {Name: "decrypt", Type: Bool, Default: true}, {Name: "io_buffer_size", Type: Int, Default: 65536},
	},
	MutuallyExclusive: [][]string{{"include", "exclude"}},
	Run:               runUnarchive,
}

// entry is one thing in an archive.
type archiveEntry struct {
	name         string
	mode         fs.FileMode
	link         string // of a symbolic link
	hard         string // name of the entry this is another name of
	owner, group string
	uid, gid     int
	owned        bool // the archive says whose it is
	time         time.Time
	size         int64
	body         func() (io.Reader, error)
}

// unarchive is one run of the module.
type unarchive struct {
	*Call
	r         *Result
	dest      string
	strip     int
	sameOwner bool
	files     []any
}

func runUnarchive(ctx context.Context, c *Call) *Result {
	u := &unarchive{Call: c, r: &Result{}, dest: c.Str("dest"), files: []any{}, sameOwner: os.Geteuid() == 0}
	if p := c.Str("creates"); p != "" && c.Host.Exists(p) {
		return (&Result{Skipped: true}).say(fmt.Sprintf("skipped, since %s exists", p))
	}
	if bad := u.options(); bad != nil {
		return bad
	}
	fi, err := c.Host.Stat(u.dest)
	if err != nil || !fi.IsDir() {
		return Fail("dest '%s' must be an existing dir", u.dest).Set("dest", u.dest)
	}
	f, name, bad := u.open(ctx)
	if bad != nil {
		return bad
	}
	defer f.Close()
	u.r.Set("dest", u.dest).Set("src", name)
	handler, err := u.each(ctx, f, u.place)
	if err != nil {
		return u.r.Fail("Failed to unpack %s: %v", name, err)
	}
	if u.r.Failed {
		return u.r
	}
	u.r.Set("handler", handler)
	if c.Bool("list_files") {
		u.r.Set("files", u.files)
	}
	return c.pathInfo(u.r, u.dest)
}

func (u *unarchive) options() *Result {
	opts := u.List("extra_opts")
	for i := 0; i < len(opts); i++ {
		k, v, ok := strings.Cut(opts[i], "=")
		switch k {
		case "--strip-components", "--strip":
			if !ok && i+1 < len(opts) {
				i++
				v = opts[i]
			}
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return Fail("cannot use extra_opts: %s wants a number", k)
			}
			u.strip = n
		case "--no-same-owner", "-o":
			u.sameOwner = false
		case "", "--no-anchored", "--wildcards", "-j", "-q", "--overwrite":
		default:
			return Fail("cannot use extra_opts: the option %q is not known here; use --strip-components=N or --no-same-owner", opts[i])
		}
	}
	return nil
}

// open gives the archive as a file that can be read more than once.
func (u *unarchive) open(ctx context.Context) (*os.File, string, *Result) {
	src := u.Str("src")
	remote := u.Bool("remote_src") || u.Has("copy") && !u.Bool("copy")
	web := remote && strings.Contains(src, "://")
	if remote && !web {
		src = u.expandPath(src)
		f, err := u.Host.Open(src)
		if err != nil {
			return nil, "", Fail("Source '%s' does not exist", src)
		}
		return f, src, nil
	}
	var in io.ReadCloser
	var err error
	if web {
		g := &getURL{Call: u.Call, r: &Result{}}
		if g.client, err = u.httpClient(time.Hour, g.always); err != nil {
			return nil, "", Fail("%v", err)
		}
		resp, err := g.get(ctx, "GET", src, time.Time{})
		if err != nil {
			return nil, "", Fail("Failure downloading %s, Request failed: %s", src, httpReason(err))
		}
		if resp.StatusCode != 200 {
			resp.Body.Close()
			return nil, "", Fail("Failure downloading %s, %s", src, statusText(resp))
		}
		in = resp.Body
	} else {
		if u.Source == nil {
			return nil, "", Fail("cannot unpack %s: its content did not come with the task", src)
		}
		if in, err = u.openSource(ctx, u.Source); err != nil {
			return nil, "", Fail("%v", err)
		}
		src = u.Source.Name
	}
	defer in.Close()
	f, err := u.scratch(in)
	if err != nil {
		return nil, "", Fail("cannot get %s: %v", src, err)
	}
	return f, src, nil
}

// scratch keeps a stream in a file without a name.
func (u *unarchive) scratch(in io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("/var/tmp", "drover-") // /tmp is often small
	if err != nil {
		if f, err = os.CreateTemp("", "drover-"); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := io.Copy(f, in); err != nil {
		f.Close()
		return nil, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

// each walks over an archive of any known kind.
func (u *unarchive) each(ctx context.Context, f *os.File, do func(archiveEntry) error) (handler string, err error) {
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		return "ZipArchive", u.eachZip(ctx, f, do)
	}
	var in io.Reader = bufio.NewReaderSize(f, 1<<16)
	handler = "TarArchive"
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		handler = "TgzArchive"
		if in, err = gzip.NewReader(in); err != nil {
			return "", err
		}
	case bytes.HasPrefix(head, []byte("BZh")):
		handler, in = "TarBzipArchive", bzip2.NewReader(in)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		handler = "TarZstdArchive"
		z, err := zstd.NewReader(in)
		if err != nil {
			return "", err
		}
		defer z.Close()
		in = z
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		handler = "TarXzArchive"
		packed, err := io.ReadAll(in)
		if err != nil {
			return "", err
		}
		out, err := u.Host.Run(ctx, Cmd{Argv: []string{"xz", "-dc"}, Stdin: packed})
		if err == nil && out.Code != 0 {
			err = errors.New(strings.TrimSpace(string(out.Stderr)))
		}
		if err != nil {
			return "", fmt.Errorf("cannot run xz: %w", err)
		}
		in = bytes.NewReader(out.Stdout)
	}
	return handler, u.eachTar(ctx, tar.NewReader(in), do)
}

func (u *unarchive) eachTar(ctx context.Context, t *tar.Reader, do func(archiveEntry) error) error {
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if err == io.EOF && !first {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not an archive of a known kind (tar, gzip, bzip2, xz, zstd, zip): %w", err)
		}
		e := archiveEntry{name: h.Name, mode: h.FileInfo().Mode(), owner: h.Uname, group: h.Gname, uid: h.Uid, gid: h.Gid, owned: true,
			time: h.ModTime, size: h.Size, body: func() (io.Reader, error) { return t, nil }}
		switch h.Typeflag {
		case tar.TypeSymlink:
			e.link = h.Linkname
		case tar.TypeLink:
			e.hard = h.Linkname
		case tar.TypeReg, tar.TypeDir:
		case tar.TypeXGlobalHeader:
			continue
		default:
			return fmt.Errorf("%s is neither file, folder nor link", h.Name)
		}
		if err := do(e); err != nil {
			return err
		}
	}
}

func (u *unarchive) eachZip(ctx context.Context, f *os.File, do func(archiveEntry) error) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, fi.Size())
	if err != nil {
		return err
	}
	for _, zf := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := archiveEntry{name: zf.Name, mode: zf.Mode(), time: zf.Modified, size: int64(zf.UncompressedSize64)}
		if zf.CreatorVersion>>8 != 3 { // made where files have no modes
			if e.mode = e.mode.Type() | 0o644; e.mode.IsDir() {
				e.mode |= 0o111
			}
		}
		e.body = func() (io.Reader, error) {
			rc, err := zf.Open()
			if err != nil {
				return nil, err
			}
			defer rc.Close()
			b, err := io.ReadAll(rc)
			return bytes.NewReader(b), err
		}
		if e.mode&fs.ModeSymlink != 0 {
			in, err := e.body()
			if err != nil {
				return err
			}
			b, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			e.link = string(b)
		}
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

// pick is an entry's path below dest; "" leaves it away.
func (u *unarchive) pick(e archiveEntry) (string, error) {
	name := path.Clean(strings.TrimPrefix(e.name, "/"))
	if matchesAny(u.List("exclude"), name) || u.Has("include") && !matchesAny(u.List("include"), name) {
		return "", nil
	}
	if u.strip > 0 {
		parts := strings.Split(name, "/")
		if len(parts) <= u.strip {
			return "", nil
		}
		name = path.Join(parts[u.strip:]...)
	}
	if name == "." {
		return "", nil
	}
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s leads out of the folder", e.name)
	}
	p := filepath.Join(u.dest, name)
	if !within(u.Host.Realpath(filepath.Dir(p)), u.Host.Realpath(u.dest)) {
		return "", fmt.Errorf("%s leads out of the folder through a link", e.name)
	}
	u.files = append(u.files, name)
	return p, nil
}

// matchesAny matches a name, or a folder it is in, against patterns.
func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		p = strings.TrimSuffix(p, "/")
		for n := name; n != "."; n = path.Dir(n) {
			if ok, err := path.Match(p, n); n == p || ok && err == nil {
				return true
			}
			if ok, err := path.Match(p, path.Base(n)); ok && err == nil && !strings.Contains(p, "/") {
				return true
			}
		}
	}
	return false
}

// wanted are an entry's attributes: the archive's, and the task's over them.
func (u *unarchive) wanted(e archiveEntry) *machine.Attrs {
	h := u.Host
	a := &machine.Attrs{HaveIDs: true, UID: -1, GID: -1, Mode: int64(unixMode(e.mode))}
	if e.owned && u.sameOwner {
		a.UID, a.GID = e.uid, e.gid
		if acc, ok := h.UserByName(e.owner); ok {
			a.UID = acc.UID
		}
		if g, ok := h.GroupByName(e.group); ok {
			a.GID = g.GID
		}
	}
	task := u.fileAttrs()
	if uid, gid, err := task.IDs(h); err == nil {
		if uid >= 0 {
			a.UID = uid
		}
		if gid >= 0 {
			a.GID = gid
		}
	}
	if task.Mode != nil {
		if m, err := machine.ParseMode(task.Mode, unixMode(e.mode), e.mode.IsDir(), machine.Umask()); err == nil {
			a.Mode = int64(m)
		}
	}
	return a
}

func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for k, v := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&k != 0 {
			bits |= v
		}
	}
	return bits
}

// place unpacks one entry if what is there differs.
func (u *unarchive) place(e archiveEntry) error {
	if _, _, err := u.fileAttrs().IDs(u.Host); err != nil {
		return err
	}
	to, err := u.pick(e)
	if err != nil || to == "" {
		return err
	}
	a := u.wanted(e)
	if !e.mode.IsDir() {
		if bad := u.ensureDir(u.r, filepath.Dir(to), nil); bad != nil {
			return errors.New(bad.Msg)
		}
	}
	switch {
	case e.link != "":
		u.placeLink(u.r, e.link, to)
	case e.hard != "":
		return u.placeHard(e, to)
	case e.mode.IsDir():
		if bad := u.ensureDir(u.r, to, a); bad != nil {
			return errors.New(bad.Msg)
		}
		if u.Host.Exists(to) {
			u.placeAttrs(u.r, to, a)
		}
	default:
		return u.placeFile(e, to, a)
	}
	if u.r.Failed {
		return errors.New(u.r.Msg)
	}
	return nil
}

func (u *unarchive) placeFile(e archiveEntry, to string, a *machine.Attrs) error {
	in, err := e.body()
	if err != nil {
		return err
	}
	if fi, err := u.Host.Lstat(to); err == nil && u.Bool("keep_newer") && fi.ModTime().After(e.time) {
		return nil
	}
	var f io.ReadSeeker // a stream is read once, to compare and to write
	if e.size <= 4<<20 {
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		f = bytes.NewReader(b)
	} else {
		tmp, err := u.scratch(in)
		if err != nil {
			return err
		}
		defer tmp.Close()
		f = tmp
	}
	sum := machine.NewSummer()
	n, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	p := placement{name: e.name, size: n, sha256: sum.Sums().SHA256, dest: to, attrs: a}
	p.open = func() (io.ReadCloser, error) {
		_, err := f.Seek(0, io.SeekStart)
		return io.NopCloser(f), err
	}
	quiet := *u.Call
	quiet.Diff = false
	quiet.place(context.Background(), u.r, p)
	delete(u.r.Values, "checksum")
	delete(u.r.Values, "md5sum")
	if u.r.Failed {
		return errors.New(u.r.Msg)
	}
	return nil
}

func (u *unarchive) placeHard(e archiveEntry, to string) error {
	from, err := u.pick(archiveEntry{name: e.hard})
	if err != nil || from == "" {
		return fmt.Errorf("%s is another name of %s, which is not unpacked", e.name, e.hard)
	}
	u.files = u.files[:len(u.files)-1]
	a, err1 := u.Host.Lstat(from)
	b, err2 := u.Host.Lstat(to)
	if err1 == nil && err2 == nil && os.SameFile(a, b) {
		return nil
	}
	if !u.Check {
		real := u.Host.Path(to)
		err := os.Link(u.Host.Path(from), real)
		if errors.Is(err, fs.ErrExist) {
			err = u.Host.Swap(real, func(tmp string) error { return os.Link(u.Host.Path(from), tmp) })
		}
		if err != nil {
			return err
		}
	}
	u.r.Change("file", to, map[bool]string{true: "create", false: "update"}[err2 != nil], nil, map[string]any{"state": "hard", "target": from})
	return nil
}
