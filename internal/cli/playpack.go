package cli

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"drover/api"
	"drover/internal/play/engine"
)

// playPack collects what a play through agents needs of this machine's files:
// the folders of the playbooks, and whatever outside of these the playbooks,
// their roles and the inventory name. Each file keeps its absolute path, so
// that playbook_dir, places and the like are the same as over SSH.
type playPack struct {
	home   string
	files  map[string]packFile // by absolute path
	broad  []string            // folders that no play owns, of which parts are taken
	seen   int                 // files and folders looked at
	size   int64
	roots  []string
	limits packLimits
}

type packFile struct {
	size int64
	mode fs.FileMode
	data []byte
}

// packLimits bound an upload.
type packLimits struct {
	size  int64 // of all files
	files int
	seen  int // files and folders looked at before giving up
}

var playLimits = packLimits{size: 128 << 20, files: 20_000, seen: 200_000}

func newPlayPack(home string, l packLimits) *playPack {
	return &playPack{home: filepath.Clean(home), files: map[string]packFile{}, limits: l}
}

// sharedFolders hold what many own: no project begins there.
var sharedFolders = []string{"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/local", "/usr/share", "/var", "/var/lib", "/var/tmp"}

func (p *playPack) isShared(dir string) bool {
	return dir == p.home || slices.Contains(sharedFolders, dir)
}

// projectMarks are files that only the root of a project has.
var projectMarks = []string{"ansible.cfg", "fleet.yml"}

// project adds the folder that a playbook belongs to: the nearest with an
// ansible.cfg or a fleet.yml, or the playbook's own.
func (p *playPack) project(playbook string) error {
	dir := filepath.Dir(playbook)
	for d := dir; !p.isShared(d); d = filepath.Dir(d) {
		if slices.ContainsFunc(projectMarks, func(m string) bool { return exists(filepath.Join(d, m)) }) {
			return p.root(d)
		}
		if exists(filepath.Join(d, ".git")) {
			break
		}
	}
	return p.root(dir)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// playFolders are the folders beside a playbook that plays read by themselves.
var playFolders = []string{"files", "group_vars", "handlers", "host_vars", "roles", "tasks", "templates", "vars"}

// root adds a folder; of one that is shared, only what plays read by themselves.
func (p *playPack) root(dir string) error {
	if slices.Contains(p.roots, dir) {
		return nil
	}
	p.roots = append(p.roots, dir)
	if !p.isShared(dir) {
		return p.folder(dir)
	}
	p.broad = append(p.broad, dir)
	for _, n := range playFolders {
		if st, err := os.Stat(filepath.Join(dir, n)); err == nil && st.IsDir() {
			if err := p.folder(filepath.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftOut are folders that tools keep for themselves.
var leftOut = []string{".git", ".hg", ".svn", ".tox", ".venv", ".vagrant", ".terraform", "__pycache__", "node_modules"}

// folder adds all files below dir. Links are followed, as the play would.
func (p *playPack) folder(dir string) error {
	if err := p.walk(dir, nil); err != nil {
		return err
	}
	if p.size > p.limits.size || len(p.files) > p.limits.files {
		return p.tooLarge(dir)
	}
	return nil
}

func (p *playPack) walk(dir string, chain []os.FileInfo) error {
	st, err := os.Stat(dir)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read is not there for the play either
	}
	for _, above := range chain {
		if os.SameFile(above, st) {
			return nil // a link back up
		}
	}
	chain = append(slices.Clone(chain), st)
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	for _, e := range list {
		if p.seen++; p.seen > p.limits.seen {
			return p.tooLarge(chainRoot(p.roots, dir))
		}
		name := filepath.Join(dir, e.Name())
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			st, err := os.Stat(name)
			if err != nil {
				continue
			}
			isDir = st.IsDir()
		}
		if !isDir {
			p.file(name)
			continue
		}
		if slices.Contains(leftOut, e.Name()) {
			continue
		}
		if err := p.walk(name, chain); err != nil {
			return err
		}
	}
	return nil
}

func chainRoot(roots []string, dir string) string {
	for _, r := range roots {
		if within(r, dir) {
			return r
		}
	}
	return dir
}

// file adds one file, if it is one.
func (p *playPack) file(name string) {
	if _, have := p.files[name]; have {
		return
	}
	st, err := os.Stat(name)
	if err != nil || !st.Mode().IsRegular() {
		return
	}
	p.files[name] = packFile{size: st.Size(), mode: st.Mode().Perm()}
	p.size += st.Size()
}

// within reports whether name is dir or below it.
func within(dir, name string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

func (p *playPack) covers(name string) bool {
	return slices.ContainsFunc(p.roots, func(r string) bool { return !slices.Contains(p.broad, r) && within(r, name) })
}

// touched adds what the playbooks and the inventory were seen to read. A role
// and a folder that is sent come whole.
func (p *playPack) touched(names []string) error {
	for _, n := range names {
		if p.covers(n) {
			continue
		}
		if role := roleOf(n); role != "" {
			if err := p.root(role); err != nil {
				return err
			}
			continue
		}
		p.file(n)
	}
	if p.size > p.limits.size || len(p.files) > p.limits.files {
		return p.tooLarge("what the playbooks name")
	}
	return nil
}

// roleOf is the folder of the role that a file is part of, or "".
func roleOf(name string) string {
	parts := strings.Split(name, "/")
	for i := len(parts) - 3; i > 0; i-- {
		if parts[i] == "roles" {
			return strings.Join(parts[:i+2], "/")
		}
	}
	return ""
}

// upwards is how files of a project name what is beside the project.
var upwards = []byte("../")

// read reads all files. A playbook that names things above its folder brings
// the repository that it is in, or the folder above.
func (p *playPack) read() error {
	for {
		more := ""
		for name, f := range p.files {
			if f.data == nil {
				data, err := os.ReadFile(name)
				if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("cannot upload %s: %w", name, err)
				}
				if err != nil {
					delete(p.files, name) // the play cannot read it either
					continue
				}
				if data == nil {
					data = []byte{}
				}
				f.data = data
				p.files[name] = f
			}
			if isText(name) && bytes.Contains(f.data, upwards) {
				if up := p.above(name); up != "" && (more == "" || up < more) {
					more = up
				}
			}
		}
		if more == "" {
			return nil
		}
		had := maps.Clone(p.files)
		size := p.size
		var big *api.Error
		if err := p.root(more); errors.As(err, &big) && big.Code == api.CodeTooLarge {
			// It may not be needed: the play says so if something is missing.
			p.files, p.size = had, size
			p.broad = append(p.broad, more)
		} else if err != nil {
			return err
		}
	}
}

// above is the folder to add for a file that names what is outside of its own
// project, or "" when that is there already.
func (p *playPack) above(name string) string {
	root := ""
	for _, r := range p.roots {
		if within(r, name) && len(r) > len(root) {
			root = r
		}
	}
	if root == "" || p.isShared(root) || exists(filepath.Join(root, ".git")) {
		return ""
	}
	up := filepath.Dir(root)
	for d := up; !p.isShared(d); d = filepath.Dir(d) {
		if exists(filepath.Join(d, ".git")) {
			up = d
			break
		}
	}
	if p.isShared(up) || slices.Contains(p.roots, up) {
		return ""
	}
	for _, r := range p.roots { // once is enough: its parts say ../ too
		if r != root && within(r, root) {
			return ""
		}
	}
	return up
}

func isText(name string) bool {
	return slices.Contains([]string{".yml", ".yaml", ".j2"}, filepath.Ext(name))
}

var (
	envWord  = regexp.MustCompile(`\b(?:with_)?env\b`)
	anyWord  = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	alwaysIn = []string{"HOME", "HOSTNAME"}
)

// env is what of the environment the files that look into it name.
func (p *playPack) env(all map[string]string) map[string]string {
	out := map[string]string{}
	take := func(k string) {
		if v, ok := all[k]; ok {
			out[k] = v
		}
	}
	for _, k := range alwaysIn {
		take(k)
	}
	if out["HOSTNAME"] == "" {
		if h, err := os.Hostname(); err == nil {
			out["HOSTNAME"] = h
		}
	}
	for name, f := range p.files {
		if isText(name) && envWord.Match(f.data) {
			for _, w := range anyWord.FindAll(f.data, -1) {
				take(string(w))
			}
		}
	}
	return out
}

// modes are the permissions that the tree on the server would not keep.
func (p *playPack) modes() map[string]uint32 {
	out := map[string]uint32{}
	for name, f := range p.files {
		if f.mode != 0o644 && f.mode != 0o755 {
			out[name] = uint32(f.mode)
		}
	}
	return out
}

// tooLarge says what of dir is large, before anything was read.
func (p *playPack) tooLarge(dir string) error {
	sizes, counts := map[string]int64{}, map[string]int{}
	for name, f := range p.files {
		if !within(dir, name) {
			continue
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			continue
		}
		top, _, _ := strings.Cut(rel, "/")
		sizes[top] += f.size
		counts[top]++
	}
	tops := make([]string, 0, len(sizes))
	for t := range sizes {
		tops = append(tops, t)
	}
	bySize := p.size > p.limits.size
	sort.Slice(tops, func(i, j int) bool {
		if bySize {
			return sizes[tops[i]] > sizes[tops[j]]
		}
		return counts[tops[i]] > counts[tops[j]]
	})
	var most []string
	for _, t := range tops[:min(3, len(tops))] {
		if bySize {
			most = append(most, fmt.Sprintf("%s (%s)", t, mib(sizes[t])))
		} else {
			most = append(most, fmt.Sprintf("%s (%d files)", t, counts[t]))
		}
	}
	what := fmt.Sprintf("it holds %s, and %s is the most", mib(p.size), mib(p.limits.size))
	if !bySize {
		what = fmt.Sprintf("it holds more than %d files", p.limits.files)
	}
	remedy := "put the playbooks into a folder of their own, and let hosts fetch large files with get_url"
	if len(most) > 0 {
		remedy = "the most is in " + strings.Join(most, ", ") + "; " + remedy
	}
	return api.Errorf(api.CodeTooLarge, "cannot upload %s: %s", dir, what).WithRemedy("%s", remedy)
}

func mib(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// compressFrom is the size above which a pack is compressed: below, starting
// a compressor takes longer than sending.
const compressFrom = 256 << 10

// write makes the tar of the pack, the options first.
func (p *playPack) write(req api.PlayRequest) (*bytes.Buffer, error) {
	opts, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	var out io.Writer = &buf
	var zw *zstd.Encoder
	if p.size > compressFrom {
		if zw, err = zstd.NewWriter(&buf, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
			return nil, err
		}
		out = zw
	}
	tw := tar.NewWriter(out)
	add := func(name string, mode fs.FileMode, data []byte) error {
		err := tw.WriteHeader(&tar.Header{Name: name, Mode: int64(mode), Size: int64(len(data)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = tw.Write(data)
		}
		return err
	}
	if err := add(api.PlayOptionsFile, 0o600, opts); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(p.files))
	for n := range p.files {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		f := p.files[n]
		if err := add(strings.TrimPrefix(n, "/"), f.mode, f.data); err != nil {
			return nil, err
		}
	}
	err = tw.Close()
	if err == nil && zw != nil {
		err = zw.Close()
	}
	return &buf, err
}

// watchedFiles are this machine's files, and remember what was read of them.
type watchedFiles struct {
	engine.Files
	mu   sync.Mutex
	read map[string]bool
}

func watchFiles() *watchedFiles {
	return &watchedFiles{Files: engine.OS(""), read: map[string]bool{}}
}

func (w *watchedFiles) note(name string, err error) {
	if err != nil {
		return
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(w.Root(), name)
	}
	w.mu.Lock()
	w.read[filepath.Clean(name)] = true
	w.mu.Unlock()
}

func (w *watchedFiles) Open(name string) (fs.File, error) {
	f, err := w.Files.Open(name)
	w.note(name, err)
	return f, err
}

func (w *watchedFiles) ReadFile(name string) ([]byte, error) {
	b, err := w.Files.ReadFile(name)
	w.note(name, err)
	return b, err
}

func (w *watchedFiles) Stat(name string) (fs.FileInfo, error) {
	st, err := w.Files.Stat(name)
	w.note(name, err)
	return st, err
}

// names are what was read, sorted.
func (w *watchedFiles) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]string, 0, len(w.read))
	for n := range w.read {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}
