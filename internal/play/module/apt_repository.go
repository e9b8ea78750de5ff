package module

import (
	"context"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

var aptRepositoryModule = &Module{
	Name: "apt_repository",
	Params: []Param{
		{Name: "repo", Required: true},
		{Name: "state", Default: "present", Choices: []string{"absent", "present"}},
		{Name: "mode", Type: Raw},
		{Name: "update_cache", Aliases: []string{"update-cache"}, Type: Bool, Default: true},
		{Name: "update_cache_retries", Type: Int, Default: 5},
		{Name: "update_cache_retry_max_delay", Type: Int, Default: 12},
		{Name: "filename"},
		{Name: "codename"},
		{Name: "validate_certs", Type: Bool, Default: true},
		{Name: "install_python_apt", Type: Bool, Default: true},
	},
	Run: runAptRepository,
}

const (
	sourcesList = "/etc/apt/sources.list"
	sourcesDir  = "/etc/apt/sources.list.d"
)

// sourceLine is one line of a sources list, if it is one.
type sourceLine struct {
	source  string // in one form of words: type [options] uri suite components
	enabled bool
}

var sourceWords = regexp.MustCompile(`^(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)$`)

// parseSource reads a line; a commented one is a source that is off.
func parseSource(line string) (sourceLine, bool) {
	text := strings.TrimSpace(line)
	on := !strings.HasPrefix(text, "#")
	text = strings.TrimSpace(strings.TrimLeft(text, "#"))
	text, _, _ = strings.Cut(text, "#")
	m := sourceWords.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || (!strings.Contains(m[3], ":") && !strings.HasSuffix(m[4], "/")) {
		return sourceLine{}, false
	}
	words := []string{m[1]}
	if o := strings.Fields(m[2]); len(o) > 0 {
		words = append(words, "["+strings.Join(o, " ")+"]")
	}
	words = append(append(words, m[3], m[4]), strings.Fields(m[5])...)
	return sourceLine{strings.Join(words, " "), on}, true
}

var notWord = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// sourceFile names the file of a source after its address.
func sourceFile(source string) string {
	m := sourceWords.FindStringSubmatch(source)
	uri := m[3]
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		uri = rest
	}
	if _, rest, ok := strings.Cut(uri, "@"); ok {
		uri = rest // never a password in a file's name
	}
	return strings.Trim(notWord.ReplaceAllString(uri, "_"), "_")
}

func runAptRepository(ctx context.Context, c *Call) *Result {
	repo := c.Str("repo")
	want, ok := parseSource(repo)
	switch {
	case strings.HasPrefix(repo, "ppa:"):
		return Fail("cannot add %s: Drover resolves no PPAs; write the source itself: deb https://ppa.launchpadcontent.net/OWNER/NAME/ubuntu CODENAME main", repo)
	case !ok || !want.enabled:
		return Fail("Invalid repository string: %s", repo)
	}
	t := &sourcesTask{Call: c, r: &Result{}, source: want.source}
	files, err := t.files()
	if err != nil {
		return Fail("cannot read the package sources: %v", err)
	}
	var bad *Result
	if c.Str("state") == "absent" {
		bad = t.remove(ctx, files)
	} else {
		bad = t.add(ctx, files)
	}
	if bad != nil {
		return bad
	}
	r := t.r.Set("repo", repo).Set("state", c.Str("state")).Set("sources_added", anyStrings(t.added)).Set("sources_removed", anyStrings(t.removed))
	a := &aptTask{Call: c, r: r}
	// A source younger than the lists was added by a run that did not come to
	// fetch them.
	stale := t.found != "" && mtimeOf(c.Host, t.found).Unix() > a.cacheTime()
	if (r.Changed || stale) && c.Bool("update_cache") && !c.Check {
		if !a.updateCache(ctx) {
			// A source that apt cannot read would break every later run of it.
			if err := t.restore(); err != nil {
				r.Warn("cannot put the package sources back: %v", err)
			} else {
				r.Changed, r.Changes, r.Diff = false, nil, nil
			}
		}
	}
	return r
}

func anyStrings(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

type sourcesTask struct {
	*Call
	r              *Result
	source         string
	found          string // the file that has the source already
	added, removed []string
	before         []savedFile
}

// savedFile is a file as it was before the task.
type savedFile struct {
	name, text string
	existed    bool
}

// restore puts the files back.
func (t *sourcesTask) restore() error {
	for _, f := range t.before {
		if !f.existed {
			if err := os.Remove(t.Host.Path(f.name)); err != nil {
				return err
			}
		} else if err := t.Host.WriteFile(f.name, []byte(f.text)); err != nil {
			return err
		}
	}
	return nil
}

func (t *sourcesTask) files() ([]string, error) {
	var out []string
	if t.Host.Exists(sourcesList) {
		out = append(out, sourcesList)
	}
	entries, err := os.ReadDir(t.Host.Path(sourcesDir))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".list") {
			out = append(out, path.Join(sourcesDir, e.Name()))
		}
	}
	return out, nil
}

// edit changes the lines of a file that hold the source; keep says what
// becomes of one, "" takes it away.
func (t *sourcesTask) edit(ctx context.Context, file string, keep func(line string, s sourceLine) string) *Result {
	raw, err := t.Host.ReadFile(file)
	if err != nil {
		return Fail("cannot read %s: %v", file, err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(raw)) {
		if s, ok := parseSource(line); ok && s.source == t.source {
			line = keep(line, s)
		}
		b.WriteString(line)
	}
	if b.String() == string(raw) {
		return nil
	}
	return t.put(ctx, file, string(raw), b.String())
}

// put writes a sources list; one without a line left is removed.
func (t *sourcesTask) put(ctx context.Context, file, before, after string) *Result {
	existed := t.Host.Exists(file)
	action := "update"
	switch {
	case !existed:
		action = "create"
		t.added = append(t.added, file)
	case strings.TrimSpace(after) == "" && file != sourcesList:
		action = "delete"
		t.removed = append(t.removed, file)
	}
	if t.Diff {
		t.r.addDiff(file, before, after)
	}
	var was any
	if existed {
		was = t.Host.Record(file)
	}
	if t.Check {
		t.r.Change("file", file, action, was, nil)
		return nil
	}
	t.before = append(t.before, savedFile{file, before, existed})
	if action == "delete" {
		if err := os.Remove(t.Host.Path(file)); err != nil {
			return Fail("cannot remove %s: %v", file, err)
		}
		t.r.Change("file", file, action, was, nil)
		return nil
	}
	at := t.fileAttrs()
	if at.Mode == nil && !existed {
		at.Mode = "0644"
	}
	if err := os.MkdirAll(t.Host.Path(path.Dir(file)), 0o755); err != nil {
		return Fail("cannot make the folder of %s: %v", file, err)
	}
	if bad := t.writeFile(ctx, file, []byte(after), writeOptions{attrs: at}); bad != nil {
		return bad
	}
	t.r.Change("file", file, action, was, t.Host.Record(file))
	return nil
}

func (t *sourcesTask) remove(ctx context.Context, files []string) *Result {
	for _, f := range files {
		if bad := t.edit(ctx, f, func(line string, s sourceLine) string {
			if s.enabled {
				return ""
			}
			return line
		}); bad != nil {
			return bad
		}
	}
	return nil
}

func (t *sourcesTask) add(ctx context.Context, files []string) *Result {
	off := ""
	for _, f := range files {
		raw, err := t.Host.ReadFile(f)
		if err != nil {
			return Fail("cannot read %s: %v", f, err)
		}
		for line := range strings.Lines(string(raw)) {
			s, ok := parseSource(line)
			switch {
			case ok && s.source == t.source && s.enabled:
				t.found = f
				return nil
			case ok && s.source == t.source && off == "":
				off = f
			}
		}
	}
	if off != "" {
		done := false
		return t.edit(ctx, off, func(line string, _ sourceLine) string {
			if done {
				return line
			}
			done = true
			return t.source + "\n"
		})
	}
	name := t.Str("filename")
	if name == "" {
		name = sourceFile(t.source)
	}
	file := strings.TrimSuffix(name, ".list") + ".list"
	if !path.IsAbs(file) {
		file = path.Join(sourcesDir, path.Base(file))
	}
	before := ""
	if slices.Contains(files, file) {
		raw, err := t.Host.ReadFile(file)
		if err != nil {
			return Fail("cannot read %s: %v", file, err)
		}
		if before = string(raw); before != "" && !strings.HasSuffix(before, "\n") {
			return t.put(ctx, file, before, before+"\n"+t.source+"\n")
		}
	}
	return t.put(ctx, file, before, before+t.source+"\n")
}
