package module

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"drover/internal/play/machine"
)

var getURLModule = &Module{
	Name: "get_url", FileArgs: true,
	Params: append([]Param{
		{Name: "dest", Type: Path, Required: true}, {Name: "force", Aliases: []string{"thirsty"}, Type: Bool, Default: false},
		{Name: "backup", Type: Bool, Default: false}, {Name: "checksum", Default: ""}, {Name: "tmp_dest", Type: Path},
	}, httpParams...),
	Run: runGetURL,
}

// httpTimeout is how long an answer is waited for if the task does not say.
const httpTimeout = 10 * time.Second

// getURL is one run of get_url.
type getURL struct {
	*Call
	r              *Result
	dest           string
	algorithm, sum string // wanted checksum
	client         *http.Client
	start          time.Time
}

func runGetURL(ctx context.Context, c *Call) *Result {
	g := &getURL{Call: c, r: &Result{}, dest: c.Str("dest"), start: c.Host.Time()}
	target := c.Str("url")
	g.r.Set("url", target).Set("dest", g.dest).Set("elapsed", 0)
	timeout := httpTimeout
	if c.Has("timeout") {
		timeout = time.Duration(c.Int("timeout")) * time.Second
	}
	var err error
	if g.client, err = c.httpClient(timeout, g.always); err != nil {
		return g.fail("%v", err)
	}
	dir := strings.HasSuffix(g.dest, "/")
	if fi, err := c.Host.Stat(g.dest); err == nil && fi.IsDir() {
		dir = true
	}
	if s := c.Str("checksum"); s != "" {
		if err := g.wanted(ctx, s, target); err != nil {
			return g.fail("%v", err)
		}
	}
	since := time.Time{}
	if !dir {
		if done := g.look(&since); done {
			return g.r
		}
	}
	return g.fetch(ctx, target, dir, since)
}

func (g *getURL) fail(format string, args ...any) *Result {
	g.r.Set("elapsed", int64(g.Host.Time().Sub(g.start)/time.Second))
	return g.r.Fail(format, args...)
}

// look decides by what is there already; a file with the wanted checksum needs
// no request at all. since is what If-Modified-Since is to say.
func (g *getURL) look(since *time.Time) (done bool) {
	fi, err := g.Host.Stat(g.dest)
	if err != nil {
		return false
	}
	if g.sum != "" {
		if have, err := g.Host.HashFile(g.dest, g.algorithm); err == nil && have == g.sum {
			g.r.Set("checksum_src", nil).Set("checksum_dest", nil).Set("msg", "file already exists")
			g.placeAttrs(g.r, g.dest, g.fileAttrs())
			g.pathInfo(g.r, g.dest)
			return true
		}
		return false // a wrong file is fetched again, whatever its age
	}
	if !g.Bool("force") {
		*since = fi.ModTime()
	}
	return false
}

var sumLine = regexp.MustCompile(`^\\?([0-9A-Fa-f]+)\s+[*]?(?:\./)?(.+)$`)
var bsdSumLine = regexp.MustCompile(`^\w+ \((?:\./)?(.+)\) = ([0-9A-Fa-f]+)$`)

// wanted reads the parameter checksum: "sha256:HEX", or "sha256:URL" of a list
// of sums, as sha256sum writes it, that names the file.
func (g *getURL) wanted(ctx context.Context, s, target string) error {
	algorithm, sum, ok := strings.Cut(s, ":")
	if !ok {
		return fmt.Errorf("The checksum parameter has to be in format <algorithm>:<checksum>")
	}
	algorithm = strings.TrimSpace(algorithm)
	if _, err := machine.NewHash(algorithm); err != nil {
		return fmt.Errorf("Could not hash file '%s' with algorithm '%s'. Available algorithms: md5, sha1, sha224, sha256, sha384, sha512", g.dest, algorithm)
	}
	g.algorithm, g.sum = algorithm, strings.ToLower(strings.TrimSpace(sum))
	u, err := url.Parse(strings.TrimSpace(sum))
	if err != nil || u.Host == "" && u.Scheme != "file" {
		if strings.Trim(g.sum, "0123456789abcdef") != "" {
			return fmt.Errorf("The checksum format is invalid")
		}
		return nil
	}
	b, err := g.read(ctx, u.String())
	if err != nil {
		return fmt.Errorf("cannot get the checksums from %s: %w", u, err)
	}
	if g.sum = sumFor(string(b), fileOfURL(target)); g.sum == "" {
		return fmt.Errorf("Unable to find a checksum for file '%s' in '%s'", fileOfURL(target), u)
	}
	return nil
}

// read gets a small file whole.
func (g *getURL) read(ctx context.Context, target string) ([]byte, error) {
	resp, err := g.get(ctx, http.MethodGet, target, time.Time{})
	if err != nil {
		return nil, errors.New(httpReason(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(statusText(resp))
	}
	return io.ReadAll(io.LimitReader(resp.Body, 16<<20))
}

func (g *getURL) always(*http.Request) bool { return true }

// sumFor finds a file's sum in a list of sums.
func sumFor(list, name string) string {
	lines := strings.Split(strings.TrimSpace(list), "\n")
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if m := sumLine.FindStringSubmatch(l); m != nil && path.Base(m[2]) == name {
			return strings.ToLower(m[1])
		}
		if m := bsdSumLine.FindStringSubmatch(l); m != nil && path.Base(m[1]) == name {
			return strings.ToLower(m[2])
		}
	}
	if one := strings.TrimSpace(lines[0]); len(lines) == 1 && one != "" && strings.Trim(strings.ToLower(one), "0123456789abcdef") == "" {
		return strings.ToLower(one)
	}
	return ""
}

func fileOfURL(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "index.html"
	}
	if b := path.Base(u.Path); b != "." && b != "/" {
		return b
	}
	return "index.html"
}

// get makes a request; file: URLs are read from the host.
func (g *getURL) get(ctx context.Context, method, target string, since time.Time) (*http.Response, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		f, err := g.Host.Open(u.Path)
		if err != nil {
			return nil, err
		}
		fi, err := f.Stat()
		if err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: f, ContentLength: fi.Size(), Header: http.Header{}}, nil
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("unknown url type: %s", u.Scheme)
	}
	req, err := g.newRequest(ctx, method, target, nil)
	if err != nil {
		return nil, err
	}
	if !since.IsZero() {
		req.Header.Set("If-Modified-Since", since.UTC().Format(http.TimeFormat))
	}
	if g.Bool("force") {
		req.Header.Set("Cache-Control", "no-cache")
	}
	return g.client.Do(req)
}

func (g *getURL) fetch(ctx context.Context, target string, dir bool, since time.Time) *Result {
	r, method := g.r, http.MethodGet
	if g.Check && !dir && !g.Host.Exists(g.dest) {
		method = http.MethodHead // whatever comes, it would be written
	}
	resp, err := g.get(ctx, method, target, since)
	if err != nil {
		return g.fail("Request failed: %s", httpReason(err))
	}
	defer resp.Body.Close()
	if dir {
		g.dest = filepath.Join(g.dest, nameOf(resp, target))
		r.Set("dest", g.dest)
	}
	r.Set("status_code", resp.StatusCode).Set("elapsed", int64(g.Host.Time().Sub(g.start)/time.Second))
	if strings.HasPrefix(target, "file:") {
		r.Set("status_code", nil)
	}
	switch {
	case resp.StatusCode == http.StatusNotModified:
		r.Set("msg", statusText(resp))
		g.placeAttrs(r, g.dest, g.fileAttrs())
		return g.pathInfo(r, g.dest)
	case resp.StatusCode != http.StatusOK:
		return g.fail("Request failed").Set("response", statusText(resp))
	}
	if g.Check {
		if method == http.MethodGet {
			if same, err := g.sameAs(resp.Body); err != nil {
				return g.fail("Request failed: %s", httpReason(err))
			} else if same {
				g.placeAttrs(r, g.dest, g.fileAttrs())
				return g.pathInfo(r.Set("msg", bytesText(resp)), g.dest)
			}
		}
		action, before := "create", g.Host.Record(g.dest)
		if before != nil {
			action = "update"
		}
		r.Change("file", g.dest, action, before, map[string]any{"url": target})
		return r.Set("msg", bytesText(resp))
	}
	return g.keep(resp, target)
}

// sameAs reports whether the answer is what the file holds.
func (g *getURL) sameAs(body io.Reader) (bool, error) {
	sum := machine.NewSummer()
	if _, err := io.Copy(sum, body); err != nil {
		return false, err
	}
	old, err := g.Host.Sums(g.dest)
	return err == nil && old.SHA256 == sum.Sums().SHA256, nil
}

// nameOf is the file's name: what the server calls it, or the URL's last part.
func nameOf(resp *http.Response, target string) string {
	if _, after, ok := strings.Cut(resp.Header.Get("Content-Disposition"), "filename="); ok {
		name, _, _ := strings.Cut(after, ";")
		name = strings.Trim(strings.TrimSpace(name), `"`)
		if b := path.Base(name); b != "." && b != "/" && b != ".." {
			return b
		}
	}
	if resp.Request != nil {
		target = resp.Request.URL.String()
	}
	return fileOfURL(target)
}

// keep writes the answer beside dest, checks it, and puts it in place if it differs.
func (g *getURL) keep(resp *http.Response, target string) *Result {
	r, h := g.r, g.Host
	fi, err := h.Stat(g.dest)
	exists := err == nil
	if exists && fi.IsDir() {
		return g.fail("Destination %s is a directory", g.dest)
	}
	if _, err := h.Stat(filepath.Dir(g.dest)); err != nil {
		return g.fail("Destination %s does not exist", filepath.Dir(g.dest))
	}
	s, err := h.Stage(g.dest, true)
	if err != nil {
		return g.fail("Destination %s is not writable: %s", filepath.Dir(g.dest), reason(err))
	}
	defer s.Abort()
	sum := machine.NewSummer()
	writers := []io.Writer{s, sum}
	want, err := machine.NewHash(map[bool]string{true: g.algorithm, false: "sha1"}[g.algorithm != ""])
	if err != nil {
		return g.fail("%v", err)
	}
	n, err := io.Copy(io.MultiWriter(append(writers, want)...), resp.Body)
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return g.fail("failed to create temporary content file: %s", httpReason(err))
	}
	sums := sum.Sums()
	r.Set("msg", bytesText(resp)).Set("checksum_src", sums.SHA1).Set("checksum_dest", nil).Set("src", target)
	if have := hex.EncodeToString(want.Sum(nil)); g.sum != "" && have != g.sum {
		return g.fail("The checksum for %s did not match %s; it was %s.", g.dest, g.sum, have)
	}
	before := h.Record(g.dest)
	same := false
	if exists {
		old, err := h.Sums(g.dest)
		if err != nil {
			return g.fail("Destination %s is not readable: %v", g.dest, err)
		}
		r.Set("checksum_dest", old.SHA1)
		same = old.SHA256 == sums.SHA256
	}
	r.Set("md5sum", sums.MD5)
	if same {
		g.placeAttrs(r, g.dest, g.fileAttrs())
		return g.pathInfo(r, g.dest)
	}
	if exists && g.Bool("backup") {
		name, err := g.backup(g.dest)
		if err != nil {
			return g.fail("%v", err)
		}
		r.Set("backup_file", name)
	}
	o := g.writeOptions()
	if err := s.Commit(o.attrs, o.unsafe); err != nil {
		return g.fail("%v", err)
	}
	if _, err := h.Apply(g.dest, o.attrs, true, false, nil); err != nil {
		return g.fail("%v", err)
	}
	g.age(resp)
	action := "update"
	if !exists {
		action = "create"
	}
	r.Change("file", g.dest, action, before, h.Record(g.dest))
	return g.pathInfo(r, g.dest)
}

// age keeps the local time as the file's, as Ansible does; a clock that lags
// behind the server's would otherwise fetch the file at every run.
func (g *getURL) age(resp *http.Response) {
	t, err := http.ParseTime(resp.Header.Get("Last-Modified"))
	if err != nil || !t.After(g.Host.Time()) {
		return
	}
	_ = os.Chtimes(g.Host.Path(g.Host.Realpath(g.dest)), t, t)
}
