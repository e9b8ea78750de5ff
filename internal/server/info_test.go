package server_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drover/api"
	"drover/internal/server"
)

func TestAServerTellsOfItself(t *testing.T) {
	before := time.Now()
	r := run(t, server.Config{Names: []string{"drover.test"}, Version: "1.2.3"})
	var info api.ServerInfo
	c := r.client(t)
	if err := c.Call(t.Context(), "GET", "/v1/server", nil, &info); err != nil {
		t.Fatal(err)
	}
	if info.Version != "1.2.3" || info.API != r.API || info.DataDir != r.dir || len(info.Link) == 0 || info.Started.Before(before.Add(-time.Second)) || info.Time.Before(info.Started) ||
		info.DiskTotal <= 0 || info.DiskFree <= 0 || info.DiskFree > info.DiskTotal || info.Agents != 0 || info.StoreEngine == "" || info.Fleet == "" {
		t.Errorf("%+v", info)
	}
	var ca server.CA
	if err := c.Call(t.Context(), "GET", "/v1/ca", nil, &ca); err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, cert := range info.Certificates {
		names += cert.Name + ","
		if !strings.HasPrefix(cert.Fingerprint, "sha256:") || len(cert.Fingerprint) != 71 || cert.Subject == "" || cert.Expires.Before(before.Add(24*time.Hour)) {
			t.Errorf("%+v", cert)
		}
	}
	if names != "fleet CA,API and agents' door," {
		t.Errorf("certificates of %s", names)
	}
	for _, p := range info.Problems {
		if strings.Contains(p, "certificate") {
			t.Errorf("a new server has the problem %s", p)
		}
	}
}

// A certificate that somebody must renew is a problem in time.
func TestACertificateThatEndsSoonIsAProblem(t *testing.T) {
	w := startWith(t, server.Config{TLSCert: "/nowhere/cert.pem", TLSKey: "/nowhere/key.pem"})
	var info api.ServerInfo
	if err := w.admin.Call(t.Context(), "GET", "/v1/server", nil, &info); err != nil || !strings.Contains(strings.Join(info.Problems, "\n"), "the certificate /nowhere/cert.pem cannot be read") {
		t.Errorf("%v, %v", info.Problems, err)
	}
	var ahead atomic.Int64
	w = startWith(t, server.Config{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	ends := func() bool {
		t.Helper()
		info = api.ServerInfo{}
		if err := w.admin.Call(t.Context(), "GET", "/v1/server", nil, &info); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Join(info.Problems, "\n"), "the certificate of the fleet CA ends at ")
	}
	if ends() {
		t.Errorf("a new CA is a problem: %v", info.Problems)
	}
	ahead.Store(int64(time.Until(info.Certificates[0].Expires) - 10*24*time.Hour))
	if !ends() {
		t.Errorf("ten days before its end a CA is no problem: %v", info.Problems)
	}
}

func TestAnObjectHasAHistory(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	operator, viewer := w.with(api.RoleOperator), w.with(api.RoleViewer)
	for _, colour := range []string{"red", "blue"} {
		if err := operator.Apply(ctx, "widgets", "a", &widget{Spec: widgetSpec{Colour: colour}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := operator.Apply(ctx, "widgets", "ab", &widget{}, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, operator.Apply(ctx, "widgets", "a", map[string]any{"spec": map[string]any{"size": -1}}, nil), api.CodeInvalid)
	history := func(path string) string {
		t.Helper()
		var h api.ObjectHistory
		if err := viewer.Call(ctx, "GET", path, nil, &h); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, c := range h.Items {
			if c.Time.IsZero() {
				t.Errorf("%+v has no time", c)
			}
			lines = append(lines, c.Actor+" "+c.Action+" "+c.Result+" "+c.Detail)
		}
		return strings.Join(lines, "\n")
	}
	want := "token/test-operator PUT /v1/widgets/a invalid \ntoken/test-operator PUT /v1/widgets/a ok changed\ntoken/test-operator PUT /v1/widgets/a ok created"
	if got := history("/v1/widgets/a/history"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := history("/v1/widgets/a/history?limit=1"); got != strings.SplitN(want, "\n", 2)[0] {
		t.Errorf("the newest is %s", got)
	}
	// What is no more has a history still; what never was has none.
	if err := operator.Delete(ctx, "widgets", "a"); err != nil {
		t.Fatal(err)
	}
	if got := history("/v1/widgets/a/history"); !strings.HasPrefix(got, "token/test-operator DELETE /v1/widgets/a ok") {
		t.Errorf("after its end:\n%s", got)
	}
	wantCode(t, viewer.Call(ctx, "GET", "/v1/widgets/zzz/history", nil, nil), api.CodeNotFound)
	wantCode(t, viewer.Call(ctx, "GET", "/v1/widgets/*/history", nil, nil), api.CodeNotFound)
	// Who may not read people does not learn who changed them.
	wantCode(t, viewer.Call(ctx, "GET", "/v1/people/ann/history", nil, nil), api.CodeForbidden)
}
