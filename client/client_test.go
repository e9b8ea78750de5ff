package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drover/api"
	"drover/client"
)

func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := client.New(client.Config{URL: srv.URL + "/", Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnErrorComesBackAsItWasSent(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/hosts/a b":
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"code":"conflict","message":"it changed","field":"spec.x","place":{"file":"f.yml","line":3},"remedy":"retry"}`)
		case "/v1/hosts/proxy":
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>")
		case "/v1/hosts/moved":
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		case "/v1/hosts/torn":
			fmt.Fprint(w, `{"kind":"ho`)
		}
	})
	ctx := t.Context()
	var e *api.Error
	err := c.Get(ctx, "hosts", "a b", nil)
	if !errors.As(err, &e) || e.Code != api.CodeConflict || e.Field != "spec.x" || e.Place.Line != 3 || e.Remedy != "retry" {
		t.Errorf("got %#v", err)
	}
	for name, want := range map[string]api.Code{"proxy": api.CodeUnavailable, "moved": api.CodeInvalid, "torn": api.CodeUnavailable} {
		var out map[string]any
		if err := c.Get(ctx, "hosts", name, &out); api.CodeOf(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestAServerThatIsAwayIsToldFromOneThatRefuses(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	c, err := client.New(client.Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	err = c.Get(t.Context(), "hosts", "a", nil)
	var gone *client.UnreachableError
	if !errors.As(err, &gone) || gone.URL != srv.URL || api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Get(ctx, "hosts", "a", nil); !errors.Is(err, context.Canceled) || errors.As(err, &gone) {
		t.Errorf("given up by the caller: %v", err)
	}
	for _, url := range []string{"", "host:7440", "ftp://host", "https://"} {
		if _, err := client.New(client.Config{URL: url}); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestTheTokenIsShownToTheServerOnly(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the other server was asked, with %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	asked := false
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Authorization") == "Bearer secret"
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if err := c.Get(t.Context(), "hosts", "a", nil); err == nil || !asked {
		t.Errorf("asked %v, %v", asked, err)
	}
}

func TestFollowGoesOnBehindTheLastEvent(t *testing.T) {
	var resumed []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		resumed = append(resumed, r.Header.Get("Last-Event-ID"))
		switch len(resumed) {
		case 1:
			fmt.Fprint(w, ": hello\n\nid: 1\ndata: {\"n\":1}\n\nid: 2\nevent: put\ndata: {\"n\":\ndata: 2}\n\nid: 3\ndata: {\"half\"")
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, "id: 3\nevent: put\ndata: {}\n\nevent: error\ndata: {\"code\":\"forbidden\",\"message\":\"no more\"}\n\n")
		}
	})
	var got []string
	lost := 0
	err := c.Follow(t.Context(), "/v1/x", func(error) { lost++ }, func(m client.Message) error {
		got = append(got, m.ID+m.Event+string(m.Data))
		return nil
	})
	if api.CodeOf(err) != api.CodeForbidden {
		t.Errorf("ended with %v", err)
	}
	if want := `1message{"n":1}|2put{"n":` + "\n2}|3put{}"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
	}
	if want := ",2,2"; strings.Join(resumed, ",") != want || lost != 2 {
		t.Errorf("resumed behind %q, lost %d times", resumed, lost)
	}
}

func TestFollowFailsAtOnceWhenItCannotBegin(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if err := c.Follow(t.Context(), "/v1/x", nil, func(client.Message) error { return nil }); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestStreamEndsByItsFunctionOrItsServer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "data: %s\n\ndata: 2\n\n", b)
	})
	for stopAt, want := range map[int]int{1: 1, 9: 2} {
		n := 0
		err := c.Stream(t.Context(), "POST", "/v1/runs", 1, func(client.Message) error {
			if n++; n == stopAt {
				return client.ErrStop
			}
			return nil
		})
		if err != nil || n != want {
			t.Errorf("%d events, %v; want %d", n, err, want)
		}
	}
	broken := errors.New("broken")
	if err := c.Stream(t.Context(), "POST", "/v1/runs", 1, func(client.Message) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the function's error is lost: %v", err)
	}
}

func TestFingerprintsAreComparedHoweverWritten(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	colons := strings.TrimSuffix(strings.Repeat("AB:", 32), ":")
	for _, other := range []string{hash, "sha256:" + hash, "SHA256:" + strings.ToUpper(hash), colons} {
		if !client.SameFingerprint(hash, other) {
			t.Errorf("%s is another", other)
		}
	}
	if client.SameFingerprint("", "") || client.SameFingerprint("ab", "ab") || client.SameFingerprint(hash, strings.Repeat("ac", 32)) {
		t.Error("what is no fingerprint is the same")
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("id: 1\nevent: put\ndata: {}\n\n")
	f.Add(": comment\n\ndata: a\r\ndata: b\r\n\r\n")
	f.Add("event: error\ndata: {\"code\":\"invalid\"}\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		events := 0
		err := client.ReadEvents(strings.NewReader(s), func(m client.Message) error {
			events++
			if m.Event == "" {
				t.Fatal("an event without a type")
			}
			return nil
		})
		if max := strings.Count(s, "\n"); events > max {
			t.Fatalf("%d events in %d lines: %v", events, max, err)
		}
	})
}
