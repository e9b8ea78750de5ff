package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/server"
)

// timedWriter remembers the deadlines of a connection.
type timedWriter struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (w *timedWriter) SetReadDeadline(t time.Time) error  { w.read = t; return nil }
func (w *timedWriter) SetWriteDeadline(t time.Time) error { w.write = t; return nil }

// A stream has no deadline, but who is not let in to one has: else anybody
// could hold connections for ever by sending a body slowly.
func TestOnlyThoseLetInAreWithoutDeadline(t *testing.T) {
	var within timedWriter
	var out *timedWriter
	w := start(t, widgets(domain.Route{Method: "POST", Path: "/v1/long", Access: domain.Operator(), Doc: "Go on and on.", Stream: true,
		Handle: func(http.ResponseWriter, *http.Request) error {
			within = *out
			return api.Errorf(api.CodeInvalid, "no")
		}}))
	ask := func(token string) {
		out = &timedWriter{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/long", strings.NewReader("x"))
		r.Header.Set("Authorization", "Bearer "+token)
		w.Handler().ServeHTTP(out, r)
	}
	ask("nobody")
	if out.Code != http.StatusUnauthorized || out.read.IsZero() || out.write.IsZero() {
		t.Errorf("a stranger got %d and the deadlines %v, %v", out.Code, out.read, out.write)
	}
	ask(w.AdminToken())
	if out.Code != http.StatusBadRequest && out.Code != http.StatusUnprocessableEntity {
		t.Fatalf("got %d", out.Code)
	}
	if !within.read.IsZero() || !within.write.IsZero() {
		t.Error("the stream itself was timed")
	}
	if out.read.IsZero() || out.write.IsZero() {
		t.Error("nothing ends the connection after the stream")
	}
}

// Strangers cannot fill the disk by being refused: not by many attempts, and
// not by long ones.
func TestRefusedStrangersFillNoAudit(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := startWith(t, server.Config{Rooms: []domain.Room{widgets()}, Now: func() time.Time { return now }})
	entries := func() (list []api.AuditEntry) {
		var all server.AuditList
		if err := w.admin.Call(t.Context(), "GET", "/v1/audit?limit=1000", nil, &all); err != nil {
			t.Fatal(err)
		}
		for _, e := range all.Items {
			if strings.HasSuffix(e.Action, "/v1/login") {
				list = append(list, e)
			}
		}
		return list
	}
	for range 300 {
		w.raw("POST", "/v1/login", "", `{"person":"`+strings.Repeat("x", 5000)+`","password":"wrong wrong"}`)
	}
	list := entries()
	if len(list) != 100 {
		t.Errorf("300 attempts left %d entries", len(list))
	}
	for _, e := range list {
		if len(e.Object) > 600 {
			t.Fatalf("an entry has an object of %d bytes", len(e.Object))
		}
	}
	now = now.Add(time.Hour)
	w.raw("POST", "/v1/login", "", `{"person":"ann","password":"wrong wrong"}`)
	list = append(entries(), api.AuditEntry{})
	found := false
	for _, e := range list {
		found = found || strings.Contains(e.Detail, "200 more were refused")
	}
	if !found {
		t.Errorf("no entry tells of the 200 that were left out: %s", fmt.Sprint(list[len(list)-2]))
	}
	if resp, body := w.raw("POST", "/v1/login", "", `{"person":"`+strings.Repeat("x", 17<<10)+`"}`); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a sign-in of 17 KB got %d %s", resp.StatusCode, body)
	}
}
