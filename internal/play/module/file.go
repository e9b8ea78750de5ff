package module

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"drover/internal/play/machine"

	"golang.org/x/sys/unix"
)

var fileModule = &Module{
	Name: "file", FileArgs: true,
	Params: []Param{
		{Name: "path", Aliases: []string{"dest", "name"}, Type: Path, Required: true},
		{Name: "state", Choices: []string{"absent", "directory", "file", "hard", "link", "touch"}},
		{Name: "src", Type: Path}, {Name: "recurse", Type: Bool, Default: false}, {Name: "force", Type: Bool, Default: false},
		{Name: "follow", Type: Bool, Default: true},
		{Name: "access_time"}, {Name: "access_time_format", Default: "%Y%m%d%H%M.%S"},
		{Name: "modification_time"}, {Name: "modification_time_format", Default: "%Y%m%d%H%M.%S"},
	},
	Run: runFile,
}

// fileTask is one run of the file module.
type fileTask struct {
	*Call
	r      *Result
	path   string
	follow bool
	attrs  *machine.Attrs
	diff   *machine.AttrChange
	before any
	bare   bool // the result tells nothing about the path
}

func runFile(_ context.Context, c *Call) *Result {
	f := &fileTask{Call: c, r: &Result{}, path: c.Str("path"), follow: c.Bool("follow"), attrs: c.fileAttrs(), diff: machine.NewAttrChange()}
	if len(f.path) > 1 {
		f.path = strings.TrimRight(f.path, "/")
	}
	if f.path == "" {
		f.path = "/"
	}
	prev := c.Host.State(f.path)
	state := c.Str("state")
	switch {
	case state != "":
	case prev != "absent":
		state = prev
	case c.Bool("recurse"):
		state = "directory"
	default:
		state = "file"
	}
	if c.Bool("recurse") && state != "directory" {
		return f.fail("recurse option requires state to be 'directory'").Set("path", f.path)
	}
	if c.Has("src") && state != "link" && state != "hard" {
		return f.fail("src option requires state to be 'link' or 'hard'").Set("path", f.path)
	}
	f.before = c.Host.Record(f.path)
	switch state {
	case "absent":
		f.absent(prev)
	case "directory":
		f.directory(prev)
	case "link":
		f.link(prev)
	case "hard":
		f.hard(prev)
	case "touch":
		f.touch(prev)
	default:
		f.file(prev)
	}
	f.finish(state)
	if given := c.Str("path"); state == "directory" && len(given) > 1 && strings.HasSuffix(given, "/") && !f.r.Failed {
		f.r.Set("path", given)
	}
	return f.r
}

func (f *fileTask) fail(format string, args ...any) *Result { return f.r.Fail(format, args...) }

// finish adds what every result of the module holds: facts about the path,
// and when something changed the diff and the record.
func (f *fileTask) finish(state string) {
	r := f.r
	if r.Failed {
		if !f.bare {
			f.pathInfo(r, f.path)
		}
		return
	}
	if (!f.Check || f.Host.Exists(f.path)) && !f.bare {
		f.pathInfo(r, f.path)
	}
	if !r.Changed {
		return
	}
	action, after := "update", f.Host.Record(f.path)
	switch {
	case state == "absent":
		action, after = "delete", nil
	case f.before == nil:
		action = "create"
	}
	if f.Check && state != "absent" {
		after = f.diff.After
	}
	typ := "file"
	switch state {
	case "directory", "link":
		typ = state
	}
	if len(r.Changes) == 0 {
		r.Change(typ, f.path, action, f.before, after)
	}
	f.diff.Before["path"], f.diff.After["path"] = f.path, f.path
	r.Set("diff", map[string]any{"before": f.diff.Before, "after": f.diff.After})
	if f.Diff {
		r.attrDiff(f.diff.Before, f.diff.After)
	}
}

// setAttrs brings owner, group and mode of a path to what is asked for.
func (f *fileTask) setAttrs(path string) {
	changed, err := f.Host.Apply(path, f.attrs, f.follow, f.Check, f.diff)
	f.r.await(f.diff.Awaited...)
	f.r.Changed = f.r.Changed || changed
	if err != nil && !f.r.Failed {
		f.refuse("%v", attrMessage(f.r, err))
	}
}

// refuse fails with what is known of the path, and nothing of the link.
func (f *fileTask) refuse(format string, args ...any) {
	delete(f.r.Values, "dest")
	delete(f.r.Values, "src")
	f.r.Set("path", f.path)
	f.fail(format, args...)
}

// attrMessage splits a wrong mode into message and details, as Ansible does.
func attrMessage(r *Result, err error) error {
	if errors.As(err, new(machine.ModeError)) {
		r.Set("details", err.Error())
		return machine.ErrMode
	}
	return err
}

func (f *fileTask) absent(prev string) {
	f.r.Set("path", f.path).Set("state", "absent")
	if prev == "absent" {
		return
	}
	f.diff.Add("state", prev, "absent")
	if prev == "directory" && f.Diff {
		f.diff.Before["path_content"] = f.contentOf(f.path)
	}
	f.r.Changed = true
	if f.Check {
		return
	}
	var err error
	if f.path == "/" {
		err = errors.New("that is the whole system")
	} else if prev == "directory" {
		err = os.RemoveAll(f.Host.Path(f.path))
	} else {
		err = os.Remove(f.Host.Path(f.path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.fail("cannot remove %s: %v", f.path, err)
	}
}

// contentOf lists a folder that is about to be removed.
func (f *fileTask) contentOf(path string) map[string]any {
	dirs, files := []any{}, []any{}
	base := f.Host.Path(path)
	_ = filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == base {
			return nil
		}
		if len(dirs)+len(files) > 1000 {
			return filepath.SkipAll
		}
		name := path + strings.TrimPrefix(p, base)
		if d.IsDir() {
			dirs = append(dirs, name)
		} else {
			files = append(files, name)
		}
		return nil
	})
	return map[string]any{"directories": dirs, "files": files}
}

func (f *fileTask) file(prev string) {
	if prev == "link" && f.follow {
		f.path = f.Host.Realpath(f.path)
		prev = f.Host.State(f.path)
	}
	f.r.Set("path", f.path)
	switch prev {
	case "file", "hard":
		f.setAttrs(f.path)
		f.setTimes("preserve")
	case "absent":
		f.fail("file (%s) is absent, cannot continue", f.path)
	default:
		f.fail("file (%s) is %s, cannot continue", f.path, prev)
	}
}

func (f *fileTask) directory(prev string) {
	if prev == "link" && f.follow {
		f.path = f.Host.Realpath(f.path)
		prev = f.Host.State(f.path)
	}
	f.r.Set("path", f.path)
	switch prev {
	case "directory":
		f.setAttrs(f.path)
		f.setTimes("preserve")
	case "absent":
		f.diff.Add("state", "absent", "directory")
		f.r.Changed = true
		if f.mkdirs(f.path); f.Check {
			return
		}
		if !f.r.Failed {
			f.setTimes("preserve")
		}
	default:
		f.fail("%s already exists as a %s", f.path, prev)
	}
	if f.Bool("recurse") && !f.r.Failed {
		f.recurse(f.path, map[string]bool{})
	}
}

// mkdirs makes a folder and its missing parents, each with the attributes.
func (f *fileTask) mkdirs(path string) {
	if fi, err := f.Host.Stat(path); err == nil {
		if !fi.IsDir() {
			f.fail("There was an issue creating %s as requested: [Errno 20] Not a directory: '%s'", f.path, path)
		}
		return
	}
	if f.mkdirs(filepath.Dir(path)); f.r.Failed {
		return
	}
	if f.Check {
		f.r.Change("directory", path, "create", nil, nil)
		return
	}
	if err := os.Mkdir(f.Host.Path(path), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		f.fail("There was an issue creating %s as requested: %s: '%s'", path, reason(err), path)
		return
	}
	f.setAttrs(path)
	f.r.Change("directory", path, "create", nil, f.Host.Record(path))
}

// recurse sets the attributes of everything below a folder.
func (f *fileTask) recurse(dir string, seen map[string]bool) {
	real := f.Host.Realpath(dir)
	if seen[real] || f.r.Failed {
		return
	}
	seen[real] = true
	list, err := os.ReadDir(f.Host.Path(real))
	if err != nil {
		f.fail("cannot read %s: %v", dir, err)
		return
	}
	for _, e := range list {
		p := filepath.Join(dir, e.Name())
		if f.r.Failed {
			return
		}
		if e.Type()&fs.ModeSymlink != 0 {
			f.setOne(p, false)
			if fi, err := f.Host.Stat(p); f.follow && err == nil {
				if f.setOne(f.Host.Realpath(p), false); fi.IsDir() {
					f.recurse(p, seen)
				}
			}
			continue
		}
		if f.setOne(p, false); e.IsDir() {
			f.recurse(p, seen)
		}
	}
}

func (f *fileTask) setOne(path string, follow bool) {
	before := f.Host.Record(path)
	d := machine.NewAttrChange()
	changed, err := f.Host.Apply(path, f.attrs, follow, f.Check, d)
	f.r.await(d.Awaited...)
	if err != nil {
		f.fail("%v", attrMessage(f.r, err))
		return
	}
	if changed {
		after := f.Host.Record(path)
		if f.Check {
			after = d.After
		}
		f.r.Change("file", path, "update", before, after)
	}
}

func (f *fileTask) link(prev string) {
	src := f.Str("src")
	given := f.Has("src")
	f.r.Set("dest", f.path).Set("src", nil)
	if !given {
		if prev != "link" {
			delete(f.r.Values, "dest")
			delete(f.r.Values, "src")
			f.bare = true
			f.fail("src is required for creating new symlinks")
			return
		}
		t, err := os.Readlink(f.Host.Path(f.path))
		if err != nil {
			f.fail("cannot read the link %s: %v", f.path, err)
			return
		}
		src = t
		if f.follow {
			f.r.Set("src", f.Host.Realpath(f.path))
		}
	} else {
		f.r.Set("src", src)
	}
	dir := filepath.Dir(f.path)
	if prev == "directory" {
		dir = f.path
	}
	abs := src
	if !filepath.IsAbs(src) {
		abs = filepath.Join(dir, src)
	}
	force := f.Bool("force")
	if _, err := f.Host.Stat(abs); err != nil && given && !force {
		f.r.Set("path", f.path)
		delete(f.r.Values, "dest")
		f.fail("src file does not exist, use \"force=yes\" if you really want to create the link: %s", abs)
		return
	}
	switch prev {
	case "absent":
		f.diff.Add("state", "absent", "link")
		f.r.Changed = true
	case "link":
		if cur, _ := os.Readlink(f.Host.Path(f.path)); cur != src {
			f.diff.Add("src", cur, src)
			f.r.Changed = true
		}
	default:
		if !force {
			f.refuse("refusing to convert from %s to symlink for %s", prev, f.path)
			return
		}
		if prev == "directory" && !f.emptyDir(f.path) {
			f.refuse("the directory %s is not empty, refusing to convert it", f.path)
			return
		}
		f.diff.Add("state", prev, "link")
		f.r.Changed = true
	}
	if f.r.Changed && !f.Check {
		if prev == "directory" {
			if err := os.Remove(f.Host.Path(f.path)); err != nil {
				f.fail("cannot replace the folder %s: %v", f.path, err)
				return
			}
		}
		if err := f.Host.ReplaceLink(src, f.path); err != nil {
			f.fail("Error while linking: %s", reason(err))
			return
		}
	}
	if f.Check && !f.Host.Exists(f.path) {
		return
	}
	if _, err := f.Host.Stat(f.path); err != nil && f.follow {
		if !f.attrs.Empty() || f.r.Changed {
			f.bare = true
			f.r.Warn("Cannot set fs attributes on a non-existent symlink target. follow should be set to False to avoid this.")
		}
		return
	}
	f.setAttrs(f.path)
	f.setTimes("preserve")
}

func (f *fileTask) emptyDir(path string) bool {
	list, err := os.ReadDir(f.Host.Path(path))
	return err == nil && len(list) == 0
}

func (f *fileTask) hard(prev string) {
	f.r.Set("dest", f.path).Set("src", nil)
	if !f.Has("src") {
		if prev == "absent" {
			delete(f.r.Values, "dest")
			delete(f.r.Values, "src")
			f.bare = true
			f.fail("src is required for creating new hardlinks")
			return
		}
		f.setAttrs(f.path)
		f.setTimes("preserve")
		return
	}
	src := f.Str("src")
	f.r.Set("src", src)
	sfi, err := f.Host.Lstat(src)
	if err != nil {
		f.bare = true
		f.fail("src does not exist")
		return
	}
	force := f.Bool("force")
	same := false
	if fi, err := f.Host.Lstat(f.path); err == nil {
		same = os.SameFile(fi, sfi)
	}
	switch {
	case same:
	case prev == "absent" || prev == "link":
	case prev == "directory":
		f.fail("refusing to convert from directory to hard link for %s", f.path)
	case prev == "hard" && !force:
		f.fail("Cannot link, different hard link exists at destination")
	case !force:
		f.fail("Cannot link, file exists at destination")
	}
	if f.r.Failed {
		return
	}
	if !same {
		f.diff.Add("state", prev, "hard")
		f.r.Changed = true
		if f.Check {
			return
		}
		real := f.Host.Path(f.path)
		err := os.Link(f.Host.Path(src), real)
		if errors.Is(err, fs.ErrExist) {
			err = f.Host.Swap(real, func(tmp string) error { return os.Link(f.Host.Path(src), tmp) })
		}
		if err != nil {
			f.fail("Error while linking: %s", reason(err))
			return
		}
	}
	f.setAttrs(f.path)
	f.setTimes("preserve")
}

func (f *fileTask) touch(prev string) {
	f.r.Set("dest", f.path)
	if prev == "absent" {
		f.diff.Add("state", "absent", "touch")
		f.r.Changed = true
		if f.Check {
			return
		}
		fh, err := os.OpenFile(f.Host.Path(f.path), os.O_WRONLY|os.O_CREATE, 0o666)
		if err != nil {
			f.r.Changed = false
			delete(f.r.Values, "dest")
			f.r.Set("path", f.path)
			f.bare = true
			f.fail("Error, could not touch target: %s: b'%s'", reason(err), f.path)
			return
		}
		fh.Close()
	} else if f.Str("access_time") != "preserve" || f.Str("modification_time") != "preserve" {
		f.diff.Add("state", prev, "touch")
	}
	f.setAttrs(f.path)
	f.setTimes("now")
}

// setTimes brings access and modification time to what is asked for.
func (f *fileTask) setTimes(otherwise string) {
	if f.r.Failed {
		return
	}
	path := f.path
	if f.follow {
		path = f.Host.Realpath(path)
	}
	fi, err := f.Host.Lstat(path)
	if err != nil {
		return
	}
	st := machine.RawStat(fi)
	now := f.Host.Time()
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	set := false
	for i, t := range []struct {
		param, key string
		cur        time.Time
	}{
		{"access_time", "atime", time.Unix(st.Atim.Unix())}, {"modification_time", "mtime", time.Unix(st.Mtim.Unix())},
	} {
		want := f.Str(t.param)
		if want == "" {
			want = otherwise
		}
		var to time.Time
		switch want {
		case "preserve":
			continue
		case "now":
			to = now
		default:
			var err error
			if to, err = strptime(want, f.Str(t.param+"_format")); err != nil {
				f.fail("Error while obtaining timestamp for time %s using format %s: %v", want, f.Str(t.param+"_format"), err)
				return
			}
		}
		if to.Equal(t.cur) {
			continue
		}
		f.diff.Add(t.key, seconds(t.cur), seconds(to))
		ts[i] = unix.NsecToTimespec(to.UnixNano())
		set = true
	}
	if !set {
		return
	}
	f.r.Changed = true
	if f.Check {
		return
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, f.Host.Path(path), ts[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		f.fail("Error while updating modification or access time: %s", reason(err))
	}
}

// seconds is a time as Ansible tells it: seconds with a fraction.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// strptime reads a time by Python's format letters, in the local zone.
func strptime(s, format string) (time.Time, error) {
	year, month, day, hour, minute, sec := 1900, 1, 1, 0, 0, 0
	yday := 0
	bad := fmt.Errorf("time data '%s' does not match format '%s'", s, format)
	in := s
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			if in == "" || in[0] != format[i] {
				return time.Time{}, bad
			}
			in = in[1:]
			continue
		}
		i++
		var to *int
		width := 2
		switch format[i] {
		case 'Y':
			to, width = &year, 4
		case 'y':
			to = &year
		case 'm':
			to = &month
		case 'd':
			to = &day
		case 'H':
			to = &hour
		case 'M':
			to = &minute
		case 'S':
			to = &sec
		case 'j':
			to, width = &yday, 3
		case '%':
			if !strings.HasPrefix(in, "%") {
				return time.Time{}, bad
			}
			in = in[1:]
			continue
		default:
			return time.Time{}, fmt.Errorf("the letter %%%c is not known; use %%Y %%m %%d %%H %%M %%S", format[i])
		}
		n := 0
		for n < width && n < len(in) && in[n] >= '0' && in[n] <= '9' {
			n++
		}
		v, err := strconv.Atoi(in[:n])
		if err != nil {
			return time.Time{}, bad
		}
		if format[i] == 'y' {
			if v += 1900; v < 1969 {
				v += 100
			}
		}
		*to, in = v, in[n:]
	}
	if in != "" || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || sec > 61 {
		return time.Time{}, bad
	}
	if yday > 0 {
		month, day = 1, yday
	}
	return time.Date(year, time.Month(month), day, hour, minute, sec, 0, time.Local), nil
}
