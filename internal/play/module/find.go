package module

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"drover/internal/play/machine"
	"drover/internal/play/pyre"
)

var findModule = &Module{
	Name: "find",
	Params: []Param{
		{Name: "paths", Aliases: []string{"name", "path"}, Type: List, Required: true},
		{Name: "patterns", Aliases: []string{"pattern"}, Type: List}, {Name: "excludes", Aliases: []string{"exclude"}, Type: List},
		{Name: "contains"}, {Name: "read_whole_file", Type: Bool, Default: false},
		{Name: "file_type", Default: "file", Choices: []string{"any", "directory", "file", "link"}},
		{Name: "age"}, {Name: "age_stamp", Default: "mtime", Choices: []string{"atime", "ctime", "mtime"}}, {Name: "size"},
		{Name: "recurse", Type: Bool, Default: false}, {Name: "hidden", Type: Bool, Default: false}, {Name: "follow", Type: Bool, Default: false},
		{Name: "mode", Type: Raw}, {Name: "exact_mode", Type: Bool, Default: true},
		{Name: "get_checksum", Type: Bool, Default: false},
		{Name: "checksum_algorithm", Aliases: []string{"checksum", "checksum_algo"}, Default: "sha1", Choices: []string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}},
		{Name: "use_regex", Type: Bool, Default: false}, {Name: "depth", Type: Int}, {Name: "limit", Type: Int}, {Name: "encoding"},
	},
	Run: runFind,
}

// finder is one run of find.
type finder struct {
	*Call
	match, exclude func(name string) bool
	contains       *pyre.Regexp
	age, size      *int64
	examined       int
	files          []any
	skipped        map[string]any
	r              *Result
}

func runFind(ctx context.Context, c *Call) *Result {
	f := &finder{Call: c, files: []any{}, skipped: map[string]any{}, r: &Result{}}
	if bad := f.prepare(); bad != nil {
		return bad
	}
	if c.Has("limit") && c.Int("limit") < 1 {
		return Fail("limit cannot be %d (use None for unlimited)", c.Int("limit"))
	}
	for _, p := range c.List("paths") {
		p = c.expandPath(strings.TrimSpace(p))
		fi, err := c.Host.Stat(p)
		if err != nil || !fi.IsDir() {
			f.skip(p, fmt.Sprintf("'%s' is not a directory", p))
			continue
		}
		if err := f.walk(ctx, p, 1, map[string]bool{}); err != nil {
			return Fail("cannot search %s: %v", p, err)
		}
	}
	msg := "All paths examined"
	if len(f.skipped) > 0 {
		msg = "Not all paths examined, check warnings for details"
	}
	return f.r.Set("files", f.files).Set("examined", f.examined).Set("matched", len(f.files)).Set("msg", msg).Set("skipped_paths", f.skipped)
}

func (f *finder) skip(p, why string) {
	f.skipped[p] = why
	f.r.Warn("Skipped '%s' path due to this access issue: %s\n", p, why)
}

func (f *finder) prepare() *Result {
	var err error
	patterns := f.List("patterns")
	if !f.Has("patterns") {
		patterns = []string{"*"}
		if f.Bool("use_regex") {
			patterns = []string{".*"}
		}
	}
	if f.match, err = namer(patterns, f.Bool("use_regex")); err != nil {
		return Fail("%v", err)
	}
	if f.exclude, err = namer(f.List("excludes"), f.Bool("use_regex")); err != nil {
		return Fail("%v", err)
	}
	if s := f.Str("contains"); s != "" {
		if !f.Bool("read_whole_file") {
			s = "^(?:" + s + ")"
		}
		if f.contains, err = pyre.Compile(s, false, false); err != nil {
			return Fail("%v", err)
		}
	}
	if s := f.Str("age"); s != "" {
		n, ok := scaled(strings.ToLower(s), map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800})
		if !ok {
			return Fail("failed to process age").Set("age", f.Str("age"))
		}
		f.age = &n
	}
	if s := f.Str("size"); s != "" {
		n, ok := scaled(strings.ToLower(s), map[byte]int64{'b': 1, 'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 't': 1 << 40})
		if !ok {
			return Fail("failed to process size").Set("size", f.Str("size"))
		}
		f.size = &n
	}
	return nil
}

var scaledNumber = regexp.MustCompile(`^(-?\d+)([a-z])?$`)

func scaled(s string, units map[byte]int64) (int64, bool) {
	m := scaledNumber.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || m[2] == "" {
		return n, err == nil
	}
	u, ok := units[m[2][0]]
	return n * u, ok
}

// namer matches the last element of a path against any of the patterns.
func namer(patterns []string, isRegex bool) (func(string) bool, error) {
	var res []*pyre.Regexp
	for i, p := range patterns {
		if isRegex {
			re, err := pyre.Compile("^(?:"+p+")", false, false)
			if err != nil {
				return nil, err
			}
			res = append(res, re)
		} else {
			patterns[i] = strings.ReplaceAll(p, "[!", "[^")
		}
	}
	return func(name string) bool {
		if isRegex {
			return slices.ContainsFunc(res, func(re *pyre.Regexp) bool { ok, err := re.Match(name); return ok && err == nil })
		}
		return slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, name); return ok && err == nil })
	}, nil
}

func (f *finder) walk(ctx context.Context, dir string, depth int64, seen map[string]bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	real := f.Host.Realpath(dir)
	if seen[real] {
		return nil
	}
	seen[real] = true
	list, err := os.ReadDir(f.Host.Path(real))
	if err != nil {
		f.skip(dir, reason(err))
		return nil
	}
	if f.Has("depth") && f.Int("depth") > 0 && depth > f.Int("depth") {
		f.examined += len(list) // looked at, but too deep
		return nil
	}
	sort.SliceStable(list, func(i, j int) bool { return !list[i].IsDir() && list[j].IsDir() })
	var below []string
	for _, e := range list {
		p := filepath.Join(dir, e.Name())
		f.examined++
		fi, err := f.Host.Lstat(p)
		if err != nil {
			f.skip(p, reason(err))
			continue
		}
		if fi.IsDir() {
			below = append(below, p)
		} else if f.Bool("follow") && fi.Mode()&fs.ModeSymlink != 0 {
			if t, err := f.Host.Stat(p); err == nil && t.IsDir() {
				below = append(below, p)
			}
		}
		if f.Has("limit") && int64(len(f.files)) >= f.Int("limit") {
			return nil
		}
		f.look(p, e.Name(), fi)
	}
	if !f.Bool("recurse") {
		return nil
	}
	for _, d := range below {
		if err := f.walk(ctx, d, depth+1, seen); err != nil {
			return err
		}
	}
	return nil
}

// look adds a file to the answer if it is one that is searched for.
func (f *finder) look(p, name string, fi fs.FileInfo) {
	if name[0] == '.' && !f.Bool("hidden") {
		return
	}
	if f.Bool("follow") {
		if t, err := f.Host.Stat(p); err == nil {
			fi = t
		}
	}
	mode := fi.Mode()
	kind := f.Str("file_type")
	switch {
	case kind == "file" && !mode.IsRegular(), kind == "directory" && !mode.IsDir(), kind == "link" && mode&fs.ModeSymlink == 0:
		return
	case !f.match(name) || f.exclude(name), !f.oldEnough(fi):
		return
	case kind != "directory" && kind != "link" && f.size != nil && !f.bigEnough(fi):
		return
	case !f.rightMode(fi):
		return
	case f.contains != nil && kind == "file" && !f.holds(p):
		return
	}
	out := statMap(f.Host, p, fi)
	for _, k := range []string{"exists", "blocks", "block_size", "device_type"} {
		delete(out, k)
	}
	if f.Bool("get_checksum") && mode.IsRegular() {
		if sum, err := f.Host.HashFile(p, f.Str("checksum_algorithm")); err == nil {
			out["checksum"] = sum
		}
	}
	f.files = append(f.files, out)
}

func (f *finder) oldEnough(fi fs.FileInfo) bool {
	if f.age == nil {
		return true
	}
	st := machine.RawStat(fi)
	at := map[string]time.Time{"mtime": time.Unix(st.Mtim.Unix()), "atime": time.Unix(st.Atim.Unix()), "ctime": time.Unix(st.Ctim.Unix())}[f.Str("age_stamp")]
	age := f.Host.Time().Sub(at).Seconds()
	if *f.age >= 0 {
		return age >= float64(*f.age)
	}
	return age <= float64(-*f.age)
}

func (f *finder) bigEnough(fi fs.FileInfo) bool {
	if *f.size >= 0 {
		return fi.Size() >= *f.size
	}
	return fi.Size() <= -*f.size
}

func (f *finder) rightMode(fi fs.FileInfo) bool {
	want := f.Raw("mode")
	if want == nil {
		return true
	}
	cur := machine.RawStat(fi).Mode & 0o7777
	bits, err := machine.ParseMode(want, 0, fi.IsDir(), 0)
	if err != nil {
		return false
	}
	if f.Bool("exact_mode") {
		return cur == bits
	}
	return cur&bits != 0
}

func (f *finder) holds(p string) bool {
	b, err := f.Host.ReadFile(p)
	if err != nil {
		return false
	}
	if f.Bool("read_whole_file") {
		ok, err := f.contains.Match(string(b))
		return ok && err == nil
	}
	for _, l := range keepLines(string(b)) {
		if ok, err := f.contains.Match(l); ok && err == nil {
			return true
		}
	}
	return false
}
