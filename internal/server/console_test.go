package server_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"drover/internal/domain"
	"drover/internal/server"
)

// aBuild is a build of the console as `make console` leaves one.
var aBuild = fstest.MapFS{
	"app/index.html":               {Data: []byte(`<!doctype html><meta property="csp-nonce" nonce="__CSP_NONCE__"><script type="module" src="/assets/index-4f2a.js"></script><div id="root"></div>`)},
	"app/index.html.br":            {Data: []byte("stale")},
	"app/assets/index-4f2a.js":     {Data: []byte("start()")},
	"app/assets/index-4f2a.js.br":  {Data: []byte("BR")},
	"app/assets/index-4f2a.js.gz":  {Data: []byte("GZ")},
	"app/assets/inter-1.woff2":     {Data: []byte("font")},
	"app/favicon.svg":              {Data: []byte("<svg/>")},
	"app/v1/hosts":                 {Data: []byte("no page may stand in the API's place")},
	"missing.html":                 {Data: []byte("missing")},
	"app/.well-known/security.txt": {Data: []byte("Contact: x")},
}

const htmlFirst = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func withConsole(t *testing.T) *world {
	return startWith(t, server.Config{Rooms: []domain.Room{widgets()}, Console: aBuild})
}

func TestEveryPageIsTheConsole(t *testing.T) {
	w := withConsole(t)
	var nonces []string
	for _, path := range []string{"/", "/hosts", "/hosts/web-1.example.org", "/signin?code=abc", "/changes/4f2a/diff", "/hosts/%3Cscript%3E"} {
		resp, body := w.raw("GET", path, "", "", "Accept", htmlFirst)
		if resp.StatusCode != 200 || !strings.Contains(body, `<div id="root">`) || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			t.Fatalf("%s: %s: %s", path, resp.Status, body)
		}
		m := regexp.MustCompile(`nonce="([A-Za-z0-9_-]{20,})"`).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("%s has no nonce: %s", path, body)
		}
		nonces = append(nonces, m[1])
		csp := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self' 'nonce-" + m[1] + "'", "connect-src 'self'", "img-src 'self' data:",
			"font-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %s: %s", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %s", path, csp)
		}
		for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache"} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if resp.Header.Get("Strict-Transport-Security") != "" {
			t.Error("a browser would refuse the server after a change of its CA")
		}
	}
	if nonces[0] == nonces[1] {
		t.Error("two answers have the same nonce")
	}
}

func TestTheConsoleStandsInNobodysPlace(t *testing.T) {
	w := withConsole(t)
	for _, tt := range []struct {
		method, path, accept string
		status               int
		kind                 string
	}{
		{"GET", "/v1/hosts/x/nothing", htmlFirst, 404, "application/json"},
		{"GET", "/v1/nothing", htmlFirst, 404, "application/json"},
		{"GET", "/api/v1/nothing", htmlFirst, 404, "application/json"},
		{"GET", "/v1/hosts", htmlFirst, 404, "application/json"}, // this server has no such kind
		{"GET", "/assets/old-1.js", htmlFirst, 404, "application/json"},
		{"GET", "/v1/widgets", htmlFirst, 401, "application/json"},
		{"GET", "/hosts", "application/json", 404, "application/json"},
		{"GET", "/hosts", "*/*", 404, "application/json"},
		{"POST", "/hosts", htmlFirst, 404, "application/json"},
		{"GET", "/", "*/*", 200, "text/plain"},
		{"GET", "/", "", 200, "text/plain"},
		{"GET", "/healthz", htmlFirst, 200, "application/json"},
		{"HEAD", "/hosts", htmlFirst, 200, "text/html"},
	} {
		resp, body := w.raw(tt.method, tt.path, "", "", "Accept", tt.accept)
		if resp.StatusCode != tt.status || !strings.HasPrefix(resp.Header.Get("Content-Type"), tt.kind) {
			t.Errorf("%s %s as %s: %s, %s: %s", tt.method, tt.path, tt.accept, resp.Status, resp.Header.Get("Content-Type"), body)
		}
	}
	// What the API says is never a page.
	resp, _ := w.raw("GET", "/healthz", "", "")
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("an answer's policy is %q", csp)
	}
}

func TestTheConsolesFilesAreCompressedAndKept(t *testing.T) {
	w := withConsole(t)
	for _, tt := range []struct{ path, accepts, body, coding, cache, kind string }{
		{"/assets/index-4f2a.js", "gzip, deflate, br", "BR", "br", "immutable", "text/javascript"},
		{"/assets/index-4f2a.js", "gzip, br;q=0", "GZ", "gzip", "immutable", "text/javascript"},
		{"/assets/index-4f2a.js", "identity", "start()", "", "immutable", "text/javascript"},
		{"/assets/inter-1.woff2", "gzip, br", "font", "", "immutable", "font/woff2"},
		{"/favicon.svg", "gzip, br", "<svg/>", "", "no-cache", "image/svg+xml"},
		{"/.well-known/security.txt", "gzip, br", "Contact: x", "", "no-cache", "text/plain"},
	} {
		resp, body := w.raw("GET", tt.path, "", "", "Accept-Encoding", tt.accepts)
		h := resp.Header
		if resp.StatusCode != 200 || body != tt.body || h.Get("Content-Encoding") != tt.coding || !strings.Contains(h.Get("Cache-Control"), tt.cache) ||
			!strings.HasPrefix(h.Get("Content-Type"), tt.kind) || h.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s for %q: %s %q %v", tt.path, tt.accepts, resp.Status, body, h)
		}
		again, body := w.raw("GET", tt.path, "", "", "Accept-Encoding", tt.accepts, "If-None-Match", h.Get("ETag"))
		if again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s is sent again: %s", tt.path, again.Status)
		}
	}
	if resp, _ := w.raw("GET", "/assets/index-4f2a.js.br", "", ""); resp.StatusCode != 404 {
		t.Errorf("the compressed file by itself: %s", resp.Status)
	}
	if resp, _ := w.raw("GET", "/assets/../../missing.html", "", ""); resp.StatusCode == 200 {
		t.Errorf("a file outside of the build: %s", resp.Status)
	}
}

func TestWithoutABuildThePageSaysHow(t *testing.T) {
	w := startWith(t, server.Config{Rooms: []domain.Room{widgets()}, Console: fstest.MapFS{"missing.html": {Data: []byte("run make console")}}})
	resp, body := w.raw("GET", "/hosts", "", "", "Accept", htmlFirst)
	if resp.StatusCode != http.StatusServiceUnavailable || body != "run make console" {
		t.Errorf("%s: %s", resp.Status, body)
	}
	// The one that is linked in is whole, whether it was built or not.
	w = start(t)
	if resp, body := w.raw("GET", "/", "", "", "Accept", htmlFirst); !strings.Contains(body, "<!doctype html>") || strings.Contains(body, "__CSP_NONCE__") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}
