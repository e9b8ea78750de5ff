package module

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"

	"drover/internal/play/machine"
	"drover/internal/play/param"
)

var deb822Module = &Module{
	Name: "deb822_repository",
	Params: []Param{
		{Name: "name", Required: true},
		{Name: "state", Default: "present", Choices: []string{"absent", "present"}},
		{Name: "types", Type: List, Default: []any{"deb"}, Choices: []string{"deb", "deb-src"}},
		{Name: "uris", Type: List},
		{Name: "suites", Type: List},
		{Name: "components", Type: List},
		{Name: "architectures", Type: List},
		{Name: "languages", Type: List},
		{Name: "targets", Type: List},
		{Name: "include", Type: List},
		{Name: "exclude", Type: List},
		{Name: "enabled", Type: Bool},
		{Name: "trusted", Type: Bool},
		{Name: "by_hash", Type: Bool},
		{Name: "check_date", Type: Bool},
		{Name: "check_valid_until", Type: Bool},
		{Name: "pdiffs", Type: Bool},
		{Name: "allow_insecure", Type: Bool},
		{Name: "allow_weak", Type: Bool},
		{Name: "allow_downgrade_to_insecure", Type: Bool},
		{Name: "date_max_future", Type: Int},
		{Name: "inrelease_path"},
		{Name: "signed_by"},
		{Name: "mode", Type: Raw, Default: "0644"},
		{Name: "install_python_debian", Type: Bool, Default: false},
	},
	MutuallyExclusive: [][]string{{"include", "exclude"}},
	Run:               runDeb822,
}

// deb822Fields are the fields in the order they are written.
var deb822Fields = []struct{ param, field string }{
	{"enabled", "Enabled"}, {"types", "Types"}, {"uris", "URIs"}, {"suites", "Suites"}, {"components", "Components"}, {"architectures", "Architectures"},
	{"languages", "Languages"}, {"targets", "Targets"}, {"include", "Include"}, {"exclude", "Exclude"}, {"trusted", "Trusted"}, {"by_hash", "By-Hash"},
	{"check_date", "Check-Date"}, {"check_valid_until", "Check-Valid-Until"}, {"pdiffs", "PDiffs"}, {"allow_insecure", "Allow-Insecure"},
	{"allow_weak", "Allow-Weak"}, {"allow_downgrade_to_insecure", "Allow-Downgrade-To-Insecure"}, {"date_max_future", "Date-Max-Future"},
	{"inrelease_path", "InRelease-Path"},
}

const keyringsDir = "/etc/apt/keyrings"

var unsafeInName = regexp.MustCompile(`[^a-z0-9-]+`)

func runDeb822(ctx context.Context, c *Call) *Result {
	name := c.Str("name")
	slug := strings.Trim(unsafeInName.ReplaceAllString(strings.ToLower(strings.NewReplacer(" ", "-", "_", "-").Replace(name)), "-"), "-")
	if slug == "" {
		return Fail("cannot name a file after %q; use letters and digits", name)
	}
	t := &sourcesTask{Call: c, r: &Result{}}
	dest := path.Join(sourcesDir, slug+".sources")
	t.r.Set("dest", dest).Set("key_filename", nil).Set("repo", nil)
	if c.Str("state") == "absent" {
		for _, f := range []string{dest, path.Join(keyringsDir, slug+".asc"), path.Join(keyringsDir, slug+".gpg")} {
			if !c.Host.Exists(f) {
				continue
			}
			raw, err := c.Host.ReadFile(f)
			if err != nil {
				return Fail("cannot read %s: %v", f, err)
			}
			if bad := t.put(ctx, f, string(raw), ""); bad != nil {
				return bad
			}
		}
		return t.r
	}
	var b strings.Builder
	fmt.Fprintf(&b, "X-Repolib-Name: %s\n", name)
	for _, f := range deb822Fields {
		var v string
		switch x := c.Raw(f.param).(type) {
		case nil:
			continue
		case bool:
			v = map[bool]string{true: "yes", false: "no"}[x]
		case []any:
			v = strings.Join(c.List(f.param), " ")
		default:
			v = param.ToText(x)
		}
		if strings.ContainsAny(v, "\r\n") {
			return Fail("cannot write %s: a value holds a line end", f.param)
		}
		if v != "" {
			fmt.Fprintf(&b, "%s: %s\n", f.field, v)
		}
	}
	if c.Has("signed_by") {
		signed, bad := t.signedBy(ctx, slug, c.Str("signed_by"))
		if bad != nil {
			return bad
		}
		fmt.Fprintf(&b, "Signed-By: %s\n", signed)
	}
	t.r.Set("repo", b.String())
	return t.sync(ctx, dest, b.String(), c.fileAttrs())
}

// sync writes a file if it or its mode is not as wanted.
func (t *sourcesTask) sync(ctx context.Context, file, text string, at *machine.Attrs) *Result {
	raw, err := t.Host.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return Fail("cannot read %s: %v", file, err)
	}
	if err != nil || string(raw) != text {
		if bad := t.put(ctx, file, string(raw), text); bad != nil {
			return bad
		}
		return t.r
	}
	d := machine.NewAttrChange()
	was := t.Host.Record(file)
	changed, err := t.Host.Apply(file, at, true, t.Check, d)
	if err != nil {
		return t.r.Fail("%v", err)
	}
	if changed {
		t.r.Change("file", file, "update", was, t.Host.Record(file))
		if t.Diff {
			t.r.attrDiff(d.Before, d.After)
		}
	}
	return t.r
}

// maxKey bounds a fetched key.
const maxKey = 4 << 20

// signedBy is the value of Signed-By: a key by its text stays in the file, one
// by its address is kept beside it.
func (t *sourcesTask) signedBy(ctx context.Context, slug, v string) (string, *Result) {
	v = strings.TrimSpace(v)
	switch {
	case strings.HasPrefix(v, "-----BEGIN PGP"):
		var b strings.Builder
		for line := range strings.Lines(v) {
			line = strings.TrimRight(line, " \t\r\n")
			if line == "" {
				line = "."
			}
			b.WriteString("\n " + line)
		}
		return b.String(), nil
	case !strings.Contains(v, "://"):
		return v, nil
	}
	key, err := t.fetchKey(ctx, v)
	if err != nil {
		return "", Fail("Could not fetch signed_by key: %v", err)
	}
	ext := ".gpg"
	if bytes.HasPrefix(bytes.TrimSpace(key), []byte("-----BEGIN PGP")) {
		ext = ".asc"
	}
	file := path.Join(keyringsDir, slug+ext)
	t.r.Set("key_filename", file)
	have, err := t.Host.ReadFile(file)
	if err == nil && bytes.Equal(have, key) {
		return file, nil
	}
	existed, action := err == nil, "create"
	var was any
	if existed {
		action, was = "update", t.Host.Record(file)
	}
	if t.Check {
		t.r.Change("file", file, action, was, nil)
		return file, nil
	}
	if err := os.MkdirAll(t.Host.Path(keyringsDir), 0o755); err != nil {
		return "", Fail("cannot make %s: %v", keyringsDir, err)
	}
	if bad := t.writeFile(ctx, file, key, writeOptions{attrs: &machine.Attrs{Mode: "0644"}}); bad != nil {
		return "", bad
	}
	t.r.Change("file", file, action, was, t.Host.Record(file))
	return file, nil
}

func (t *sourcesTask) fetchKey(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Transport: t.Host.HTTP}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server said %s", res.Status)
	}
	key, err := io.ReadAll(io.LimitReader(res.Body, maxKey+1))
	if err == nil && len(key) > maxKey {
		err = fmt.Errorf("it is larger than %d MiB", maxKey>>20)
	}
	return key, err
}
