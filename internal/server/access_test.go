package server_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"drover/api"
	"drover/client"
	"drover/internal/domain"
	"drover/internal/server"
	"drover/internal/store"
)

var pathParam = regexp.MustCompile(`\{[^}]*\}`)

// document is the part of the OpenAPI document that tests look at.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		Access      string `json:"x-drover-access"`
		OperationID string `json:"operationId"`
		Summary     string `json:"summary"`
		Parameters  []struct {
			Name string `json:"name"`
			In   string `json:"in"`
		} `json:"parameters"`
		RequestBody *struct {
			Content map[string]struct{ Schema json.RawMessage } `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string `json:"description"`
		} `json:"responses"`
		Security *[]map[string][]string `json:"security"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Type        string `json:"type"`
			Description string `json:"description"`
			Properties  map[string]struct {
				Description string `json:"description"`
			} `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

func (w *world) document() document {
	w.t.Helper()
	var d document
	if err := w.as("").Call(w.t.Context(), "GET", "/openapi.json", nil, &d); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// Every route is asked by nobody and by each role; who may use it is only
// what its rule says.
func TestEveryRouteKeepsItsRule(t *testing.T) {
	w := start(t)
	tokens := map[api.Role]string{}
	for _, role := range []api.Role{api.RoleViewer, api.RoleOperator, api.RoleAdmin} {
		var made server.NewToken
		if err := w.admin.Create(t.Context(), "tokens", &api.Token{Meta: api.Meta{Name: string(role)}, Spec: api.TokenSpec{Role: role}}, &made); err != nil {
			t.Fatal(err)
		}
		tokens[role] = made.Secret
	}
	open := map[string]bool{}
	for _, r := range w.Routes() {
		path := pathParam.ReplaceAllString(strings.TrimSuffix(r.Path, "{$}"), "none")
		key := r.Method + " " + r.Path
		if r.Path == "/v1/logout" {
			continue // it would end the token; tested by itself
		}
		status := func(token string) int {
			resp, _ := w.raw(r.Method, path, token, "")
			return resp.StatusCode
		}
		if !r.Access.NeedsIdentity() {
			open[key] = true
			if s := status(""); s == http.StatusForbidden {
				t.Errorf("%s is public, but nobody gets %d", key, s)
			}
			continue
		}
		if s := status(""); s != http.StatusUnauthorized {
			t.Errorf("%s lets nobody in: %d", key, s)
		}
		if s := status("drv_wrong_secret"); s != http.StatusUnauthorized {
			t.Errorf("%s lets a wrong token in: %d", key, s)
		}
		for role, token := range tokens {
			s := status(token)
			if want := r.Access.Role(); want != "" && role.Allows(want) != (s != http.StatusForbidden) || s == http.StatusUnauthorized {
				t.Errorf("%s with the rule %s gives the role %s %d", key, r.Access, role, s)
			}
		}
	}
	// A new public route is a decision: it must be added here.
	for _, key := range []string{"GET /{$}", "GET /assets/{file...}", "GET /healthz", "GET /openapi.json", "GET /v1/version", "GET /v1/ca", "POST /v1/login", "POST /v1/login/first"} {
		if !open[key] {
			t.Errorf("%s is not public", key)
		}
		delete(open, key)
	}
	for key := range open {
		t.Errorf("%s is public, and nobody said it should be", key)
	}
}

func TestARouteWithoutRuleIsNotAssembled(t *testing.T) {
	for name, route := range map[string]domain.Route{
		"no rule":           {Method: "GET", Path: "/v1/open", Doc: "x", Handle: func(http.ResponseWriter, *http.Request) error { return nil }},
		"public, no reason": {Method: "GET", Path: "/v1/open", Doc: "x", Access: domain.Public(""), Handle: func(http.ResponseWriter, *http.Request) error { return nil }},
		"no handler":        {Method: "GET", Path: "/v1/open", Doc: "x", Access: domain.Viewer()},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the server was assembled")
				}
			}()
			_, _ = server.New(t.Context(), server.Config{DataDir: t.TempDir(), Backend: store.Memory(), Rooms: []domain.Room{widgets(route)}})
		})
	}
}

func TestTheDocumentAndTheRoutesAgree(t *testing.T) {
	w := start(t)
	d := w.document()
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("version %q", d.OpenAPI)
	}
	described, ids := map[string]bool{}, map[string]bool{}
	for path, item := range d.Paths {
		for method, op := range item {
			key := strings.ToUpper(method) + " " + path
			described[key] = true
			if ids[op.OperationID] || op.OperationID == "" {
				t.Errorf("%s has the operation id %q, which is not its own", key, op.OperationID)
			}
			ids[op.OperationID] = true
			if op.Summary == "" || op.Access == "" || len(op.Responses) == 0 || op.Security == nil {
				t.Errorf("%s lacks a summary, its rule, security or responses", key)
			}
			in := map[string]bool{}
			for _, p := range op.Parameters {
				in[p.In+" "+p.Name] = true
			}
			for _, m := range pathParam.FindAllString(path, -1) {
				if !in["path "+strings.Trim(m, "{}")] {
					t.Errorf("%s does not describe its parameter %s", key, m)
				}
			}
			for status, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s has no description of %s", key, status)
				}
			}
		}
	}
	for _, r := range w.Routes() {
		key := r.Method + " " + strings.ReplaceAll(strings.TrimSuffix(r.Path, "{$}"), "...", "")
		if described[key] == r.Internal {
			t.Errorf("%s: described %v, internal %v", key, described[key], r.Internal)
		}
		delete(described, key)
	}
	for key := range described {
		t.Errorf("%s is described, but is no route", key)
	}
	// The comments of the api package are the reference.
	if doc := d.Components.Schemas["TokenSpec"].Properties["person"].Description; !strings.Contains(doc, "whose it is") {
		t.Errorf("a field's comment is not its description: %q", doc)
	}
	if doc := d.Components.Schemas["Token"].Description; !strings.Contains(doc, "shown once") {
		t.Errorf("a type's comment is not its description: %q", doc)
	}
}

func TestTheFirstAdministratorAndSigningInAndOut(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	nobody := w.as("")
	code, err := w.Services().Access.FirstLink(ctx)
	if err != nil || code == "" {
		t.Fatalf("no one-time code: %q, %v", code, err)
	}
	var in server.LoginResponse
	wantCode(t, nobody.Call(ctx, "POST", "/v1/login/first", server.FirstLoginRequest{Code: "wrong", LoginRequest: server.LoginRequest{Person: "ann", Password: "correct horse battery"}}, nil), api.CodeUnauthorized)
	first := server.FirstLoginRequest{Code: code, LoginRequest: server.LoginRequest{Person: "ann", Password: "correct horse battery", Token: true}}
	if err := nobody.Call(ctx, "POST", "/v1/login/first", first, &in); err != nil {
		t.Fatal(err)
	}
	if in.Role != api.RoleAdmin || in.Token == "" {
		t.Fatalf("signed in as %+v", in)
	}
	if err := nobody.Call(ctx, "POST", "/v1/login/first", first, nil); err == nil {
		t.Error("the code worked twice")
	}
	ann := w.as(in.Token)
	var me api.Me
	if err := ann.Call(ctx, "GET", "/v1/whoami", nil, &me); err != nil || me.Person != "ann" || me.Role != api.RoleAdmin {
		t.Fatalf("she is %+v, %v", me, err)
	}
	// The last administrator stays one.
	wantCode(t, ann.Delete(ctx, "people", "ann"), api.CodeInvalid, "last administrator")
	wantCode(t, ann.Patch(ctx, "people", "ann", map[string]any{"spec": map[string]any{"role": "viewer"}}, nil), api.CodeInvalid, "last administrator")

	wantCode(t, nobody.Call(ctx, "POST", "/v1/login", server.LoginRequest{Person: "ann", Password: "wrong"}, nil), api.CodeUnauthorized)
	if err := ann.Call(ctx, "POST", "/v1/logout", nil, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, ann.Call(ctx, "GET", "/v1/whoami", nil, nil), api.CodeUnauthorized)
}

func TestABrowsersSessionIsSafeFromOtherSites(t *testing.T) {
	w := start(t)
	person := `{"name":"bob","spec":{"role":"operator"},"password":"correct horse battery"}`
	if resp, body := w.raw("POST", "/v1/people", w.AdminToken(), person); resp.StatusCode != 201 || strings.Contains(body, "battery") {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	resp, body := w.raw("POST", "/v1/login", "", `{"person":"bob","password":"correct horse battery"}`)
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie is %v", c)
	}
	cookie := c.Name + "=" + c.Value
	if resp, body := w.raw("PUT", "/v1/widgets/a", "", `{}`, "Cookie", cookie, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != 201 {
		t.Errorf("our own page: %s: %s", resp.Status, body)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://elsewhere.example"}} {
		if resp, _ := w.raw("PUT", "/v1/widgets/a", "", `{"spec":{"size":1}}`, append(header, "Cookie", cookie)...); resp.StatusCode != 403 {
			t.Errorf("another site's page by %v: %s", header, resp.Status)
		}
	}
	if resp, _ := w.raw("POST", "/v1/logout", "", "", "Cookie", cookie); resp.StatusCode != 204 {
		t.Errorf("signing out: %s", resp.Status)
	}
	if resp, _ := w.raw("GET", "/v1/whoami", "", "", "Cookie", cookie); resp.StatusCode != 401 {
		t.Errorf("after signing out: %s", resp.Status)
	}
}

func TestWrongPasswordsAreSlowedDown(t *testing.T) {
	w := start(t)
	if resp, body := w.raw("POST", "/v1/people", w.AdminToken(), `{"name":"bob","spec":{"role":"viewer"},"password":"correct horse battery"}`); resp.StatusCode != 201 {
		t.Fatal(body)
	}
	for range 50 {
		resp, body := w.raw("POST", "/v1/login", "", `{"person":"bob","password":"guess"}`)
		if resp.StatusCode == http.StatusUnauthorized {
			continue
		}
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("%s: %s", resp.Status, body)
		}
		return
	}
	t.Error("fifty guesses were all tried")
}

func TestTokensAreMadeWithinOnesOwnPower(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	operator, viewer := w.with(api.RoleOperator), w.with(api.RoleViewer)
	token := func(name string, spec api.TokenSpec) *api.Token {
		return &api.Token{Meta: api.Meta{Name: name}, Spec: spec}
	}
	var join server.NewToken
	if err := operator.Create(ctx, "tokens", token("", api.TokenSpec{Join: true, Host: "web-1"}), &join); err != nil || join.Secret == "" {
		t.Fatalf("an operator's join token: %+v, %v", join, err)
	}
	wantCode(t, viewer.Create(ctx, "tokens", token("x", api.TokenSpec{Join: true}), nil), api.CodeForbidden)
	wantCode(t, operator.Create(ctx, "tokens", token("x", api.TokenSpec{Role: api.RoleAdmin}), nil), api.CodeForbidden)
	wantCode(t, operator.Create(ctx, "tokens", token("x", api.TokenSpec{Role: api.RoleViewer}), nil), api.CodeForbidden)
	wantCode(t, w.admin.Create(ctx, "tokens", token("x", api.TokenSpec{Role: "king"}), nil), api.CodeInvalid, "spec.role")
	wantCode(t, operator.Delete(ctx, "tokens", "test-viewer"), api.CodeForbidden)
	wantCode(t, viewer.Delete(ctx, "tokens", "nothing"), api.CodeForbidden)
	// A secret is never shown again, and a join token signs nobody in.
	if _, body := w.raw("GET", "/v1/tokens", w.AdminToken(), ""); strings.Contains(body, join.Secret) || !strings.Contains(body, join.Name) {
		t.Errorf("the list is %s", body)
	}
	wantCode(t, w.as(join.Secret).Call(ctx, "GET", "/v1/whoami", nil, nil), api.CodeUnauthorized)
	if err := operator.Delete(ctx, "tokens", join.Name); err != nil {
		t.Error(err)
	}
	if err := w.admin.Delete(ctx, "tokens", "test-operator"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, operator.Call(ctx, "GET", "/v1/whoami", nil, nil), api.CodeUnauthorized)
}

func TestEveryMutationIsAudited(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	operator, viewer := w.with(api.RoleOperator), w.with(api.RoleViewer)
	if err := operator.Apply(ctx, "widgets", "a", &widget{}, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, viewer.Apply(ctx, "widgets", "b", &widget{}, nil), api.CodeForbidden)
	wantCode(t, operator.Apply(ctx, "widgets", "c", map[string]any{"specs": 1}, nil), api.CodeInvalid)
	if err := operator.Delete(ctx, "widgets", "a"); err != nil {
		t.Fatal(err)
	}
	if err := viewer.Get(ctx, "widgets", "zzz", nil); err == nil {
		t.Fatal("there is no such widget")
	}
	var list server.AuditList
	if err := w.admin.Call(ctx, "GET", "/v1/audit", nil, &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list.Items {
		if strings.Contains(e.Action, "widgets") {
			got = append(got, e.Actor+" "+e.Action+" "+e.Object+" "+e.Result)
		}
		if e.Remote != "127.0.0.1" {
			t.Errorf("entry %d came from %q", e.Seq, e.Remote)
		}
	}
	want := []string{
		"token/test-operator PUT /v1/widgets/a widget/a ok",
		"token/test-viewer PUT /v1/widgets/b  forbidden",
		"token/test-operator PUT /v1/widgets/c widget/c invalid",
		"token/test-operator DELETE /v1/widgets/a widget/a ok",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var check server.AuditCheck
	if err := w.admin.Call(ctx, "GET", "/v1/audit/verify", nil, &check); err != nil || !check.Intact || check.Hash == "" {
		t.Errorf("the audit is %+v, %v", check, err)
	}
	wantCode(t, operator.Call(ctx, "GET", "/v1/audit", nil, nil), api.CodeForbidden)
}

// A handler's failure is the server's own affair: the other end hears of no
// inner detail, and a mutation that could not be done is audited as such.
func TestInnerFailuresStayInside(t *testing.T) {
	fail := func(method, path string, h func(w http.ResponseWriter, r *http.Request) error) domain.Route {
		return domain.Route{Method: method, Path: path, Access: domain.Operator(), Doc: "Fail.", Handle: h}
	}
	w := start(t, widgets(
		fail("POST", "/v1/panic", func(http.ResponseWriter, *http.Request) error { panic("secret detail") }),
		fail("POST", "/v1/fail", func(http.ResponseWriter, *http.Request) error { return errors.New("secret detail") }),
	))
	for _, path := range []string{"/v1/panic", "/v1/fail"} {
		resp, body := w.raw("POST", path, w.AdminToken(), "")
		if resp.StatusCode != 500 || strings.Contains(body, "secret") || !strings.Contains(body, resp.Header.Get("X-Request-Id")) {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
	var list server.AuditList
	if err := w.admin.Call(t.Context(), "GET", "/v1/audit?action=POST+/v1/panic", nil, &list); err != nil || len(list.Items) != 1 || list.Items[0].Result != "internal" {
		t.Errorf("audited as %+v, %v", list, err)
	}
}

func TestEventsAreListedAndFollowed(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	j := w.Services().Journal
	add := func(typ, host string) {
		t.Helper()
		if err := j.Append(ctx, &api.Event{Type: typ, Host: host, Message: "it did"}); err != nil {
			t.Fatal(err)
		}
	}
	add("host.enrolled", "a")
	add("host.converged", "a")
	add("revision.accepted", "")
	var list server.EventList
	viewer := w.with(api.RoleViewer)
	if err := viewer.Call(ctx, "GET", "/v1/events?type=host.*&limit=1", nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Type != "host.converged" {
		t.Errorf("listed %+v", list.Items)
	}
	var got []string
	err := viewer.Follow(ctx, "/v1/events?watch=true&type=host.*&after=1", nil, func(m client.Message) error {
		var e api.Event
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return err
		}
		got = append(got, m.ID+" "+e.Type)
		if len(got) == 1 {
			add("host.failed", "b")
			return nil
		}
		return client.ErrStop
	})
	if err != nil || strings.Join(got, ",") != "2 host.converged,4 host.failed" {
		t.Errorf("followed %v, %v", got, err)
	}
	wantCode(t, viewer.Call(ctx, "GET", "/v1/events?since=yesterday", nil, nil), api.CodeInvalid, "RFC 3339")
}

func TestMetricsCount(t *testing.T) {
	w := start(t)
	w.raw("GET", "/v1/version", "", "")
	resp, body := w.raw("GET", "/metrics", w.AdminToken(), "")
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	for _, want := range []string{`drover_http_requests_total{method="GET",route="/v1/version",status="200"} 1`, "drover_agents_connected 0",
		"drover_store_revision", "process_resident_memory_bytes", "go_goroutines", `drover_build_info{version="test"} 1`, "drover_http_request_duration_seconds_bucket"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}
