// Package console serves the web console: one page for every path that is a
// page, and the files that it loads, embedded in the program and compressed
// when it was built. It knows nothing of what the pages show: they ask the
// API. Nothing else is trusted by a page: no inline script, no other site.
package console

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"drover/api"
)

// dist holds missing.html, which is served while there is no build, and the
// build in app/, which `make console` makes and Git does not keep.
//
//go:embed all:dist
var dist embed.FS

// Build is the build that is linked into this program.
func Build() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return sub
}

// Nonce stands in the page where the nonce of each answer belongs.
const Nonce = "__CSP_NONCE__"

// Console is one build, ready to be served.
type Console struct {
	page  []byte // with Nonce in it
	built bool
	files map[string]*file // by path without the leading slash: "assets/index-4f2a.js"
}

// file is one file as it is sent; br and gz are nil where the build has none.
type file struct {
	plain, br, gz []byte
	kind, tag     string
	forever       bool // its name changes with its content
}

// New reads a build: app/index.html, app/assets/, and NAME.br and NAME.gz
// beside each NAME. Without app/index.html missing.html is the page.
func New(build fs.FS) (*Console, error) {
	c := &Console{files: map[string]*file{}}
	page, err := fs.ReadFile(build, "app/index.html")
	if errors.Is(err, fs.ErrNotExist) {
		c.page, err = fs.ReadFile(build, "missing.html")
		if err != nil {
			return nil, fmt.Errorf("cannot read the console's build: %w", err)
		}
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the console's build: %w", err)
	}
	c.page, c.built = page, true
	app, err := fs.Sub(build, "app")
	if err == nil {
		err = fs.WalkDir(app, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || name == "index.html" {
				return err
			}
			return c.add(app, name)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the console's build: %w", err)
	}
	return c, nil
}

// Built reports whether there is a build.
func (c *Console) Built() bool { return c.built }

func (c *Console) add(app fs.FS, name string) error {
	b, err := fs.ReadFile(app, name)
	if err != nil {
		return err
	}
	base, how := name, path.Ext(name)
	if how == ".br" || how == ".gz" {
		base = strings.TrimSuffix(name, how)
	}
	if path.Base(base) == "index.html" {
		return nil // the page is made anew for each answer
	}
	f := c.files[base]
	if f == nil {
		f = &file{kind: kindOf(base), forever: strings.HasPrefix(base, "assets/")}
		c.files[base] = f
	}
	switch how {
	case ".br":
		f.br = b
	case ".gz":
		f.gz = b
	default:
		sum := sha256.Sum256(b)
		f.plain, f.tag = b, `"`+hex.EncodeToString(sum[:12])+`"`
	}
	return nil
}

// kinds are the types of what a build has; the machine's own list is not asked.
var kinds = map[string]string{
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".webp": "image/webp",
	".woff2": "font/woff2", ".woff": "font/woff", ".json": "application/json", ".map": "application/json",
	".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8", ".html": "text/html; charset=utf-8", ".wasm": "application/wasm",
}

func kindOf(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if k := kinds[ext]; k != "" {
		return k
	}
	if k := mime.TypeByExtension(ext); k != "" {
		return k
	}
	return "application/octet-stream"
}

// Has reports whether the build has a file at the path of a request, other
// than the page.
func (c *Console) Has(urlPath string) bool {
	f := c.files[strings.TrimPrefix(urlPath, "/")]
	return f != nil && f.plain != nil
}

// WantsPage reports whether a request is a browser's that wants to show
// something. Programs, curl among them, do not name HTML.
func WantsPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, _, _ := strings.Cut(part, ";")
		if kind = strings.TrimSpace(kind); strings.EqualFold(kind, "text/html") || strings.EqualFold(kind, "application/xhtml+xml") {
			return true
		}
	}
	return false
}

// policy is what a page may load. Its script is a file of ours. The styles of
// Mantine's variables are <style> elements that the script makes; they show
// the nonce, so that no other style gets in. Styles that a script sets on an
// element, as the charts' do, need no permission.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-%s'; connect-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"manifest-src 'self'; worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// Page answers with the page: the same one for every path, which the script
// in it shows.
func (c *Console) Page(w http.ResponseWriter, _ *http.Request) error {
	var b [18]byte
	rand.Read(b[:])
	nonce := base64.RawURLEncoding.EncodeToString(b[:])
	page := bytes.ReplaceAll(c.page, []byte(Nonce), []byte(nonce))
	h := w.Header()
	secure(h)
	h.Set("Content-Security-Policy", fmt.Sprintf(policy, nonce))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache") // it names the files of this build
	h.Add("Vary", "Accept")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	if !c.built {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(page) // nobody can be told when the other end has gone
	return nil
}

// secure sets what is the same for pages and files.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
}

// File answers with a file of the build.
func (c *Console) File(w http.ResponseWriter, r *http.Request) error {
	f := c.files[strings.TrimPrefix(r.URL.Path, "/")]
	if f == nil || f.plain == nil {
		return api.Errorf(api.CodeNotFound, "the console has no file %s", r.URL.Path).
			WithRemedy("load the page again: the server may have been upgraded")
	}
	h := w.Header()
	secure(h)
	if !strings.HasPrefix(f.kind, "text/javascript") { // a worker is held to its own file's policy
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox") // an image opened by itself runs nothing
	}
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	if f.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body, tag := f.plain, f.tag
	switch accepted := encodings(r); {
	case f.br != nil && accepted["br"]:
		body, tag = f.br, strings.TrimSuffix(f.tag, `"`)+`-br"`
		h.Set("Content-Encoding", "br")
	case f.gz != nil && accepted["gzip"]:
		body, tag = f.gz, strings.TrimSuffix(f.tag, `"`)+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // nobody can be told when the other end has gone
	return nil
}

// encodings are those that a request accepts.
func encodings(r *http.Request) map[string]bool {
	out := map[string]bool{}
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		if q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			if v, err := strconv.ParseFloat(q, 64); err != nil || v == 0 {
				continue
			}
		}
		out[strings.ToLower(strings.TrimSpace(name))] = true
	}
	return out
}
