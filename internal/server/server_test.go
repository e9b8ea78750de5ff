package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drover/api"
	"drover/client"
	"drover/internal/domain"
	"drover/internal/server"
	"drover/internal/store"
)

// widget is a kind of this test alone, so that the generic API is tested
// without a room.
type widget struct {
	api.Meta
	Spec   widgetSpec   `json:"spec"`
	Status widgetStatus `json:"status"`
}

type widgetSpec struct {
	Colour string            `json:"colour,omitempty"`
	Size   int               `json:"size,omitempty"`
	Notes  map[string]string `json:"notes,omitempty"`
}

type widgetStatus struct {
	Seen  string `json:"seen,omitempty"`
	Shown bool   `json:"shown,omitempty"` // filled in by View alone
}

func (w *widget) Validate() error {
	if w.Spec.Size < 0 {
		return &api.Error{Code: api.CodeInvalid, Field: "spec.size", Message: "a size is not negative", Remedy: "use 0 or more"}
	}
	return api.ValidName(w.Name)
}

func (*widget) Columns() []api.Column {
	return []api.Column{{Head: "NAME", Path: "name"}, {Head: "COLOUR", Path: "spec.colour"}}
}

func widgets(more ...domain.Route) domain.Room {
	return domain.Room{Name: "workshop", Kinds: []store.Kind{{Name: "widget", New: func() api.Object { return &widget{} }}},
		New: func(s domain.Services) (domain.Domain, error) {
			return domain.Domain{Name: "workshop", Kinds: []domain.Kind{{
				Name: "widget", Plural: "widgets", Doc: "A thing to test with.", New: func() api.Object { return &widget{} },
				Read: domain.Viewer(), Write: domain.Operator(),
				View: func(o api.Object) { o.(*widget).Status.Shown = true },
			}}, Routes: more}, nil
		}}
}

// world is one server in process and an administrator's client of it.
type world struct {
	*server.Server
	t     *testing.T
	http  *httptest.Server
	admin *client.Client
}

func start(t *testing.T, rooms ...domain.Room) *world {
	t.Helper()
	if rooms == nil {
		rooms = []domain.Room{widgets()}
	}
	return startWith(t, server.Config{Rooms: rooms})
}

func startWith(t *testing.T, cfg server.Config) *world {
	t.Helper()
	cfg.DataDir, cfg.Backend, cfg.Version = t.TempDir(), store.Memory(), "test"
	s, err := server.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: s, t: t, http: httptest.NewServer(s.Handler())}
	t.Cleanup(func() {
		w.http.CloseClientConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		w.http.Close()
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.admin = w.as(s.AdminToken())
	return w
}

// startError is why a server with these rooms does not start.
func startError(t *testing.T, rooms ...domain.Room) error {
	t.Helper()
	s, err := server.New(t.Context(), server.Config{DataDir: t.TempDir(), Backend: store.Memory(), Rooms: rooms})
	if err == nil {
		t.Error("the server started")
		return s.Close()
	}
	return err
}

// as is a client that shows a token.
func (w *world) as(token string) *client.Client {
	w.t.Helper()
	c, err := client.New(client.Config{URL: w.http.URL, Token: token})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// with makes a token of a role and gives a client that shows it.
func (w *world) with(role api.Role) *client.Client {
	w.t.Helper()
	var made server.NewToken
	name := "test-" + string(role)
	if err := w.admin.Create(w.t.Context(), "tokens", &api.Token{Meta: api.Meta{Name: name}, Spec: api.TokenSpec{Role: role}}, &made); err != nil {
		w.t.Fatal(err)
	}
	return w.as(made.Secret)
}

// raw sends a request as written and gives status, headers and body.
func (w *world) raw(method, path, token, body string, header ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(b)
}

func wantCode(t *testing.T, err error, code api.Code, parts ...string) {
	t.Helper()
	if err == nil || api.CodeOf(err) != code {
		t.Fatalf("got %v, want the code %s", err, code)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q does not say %q", err, p)
		}
	}
}

func TestObjectsAreMadeReadChangedAndDeleted(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	var got widget
	in := widget{Meta: api.Meta{Name: "a", Labels: map[string]string{"env": "prod"}}, Spec: widgetSpec{Colour: "red"}, Status: widgetStatus{Seen: "never by a client"}}
	if err := w.admin.Create(ctx, "widgets", &in, &got); err != nil {
		t.Fatal(err)
	}
	if got.UID == "" || got.Revision == 0 || got.Kind != "widget" || got.Status.Seen != "" {
		t.Errorf("created %+v", got)
	}
	wantCode(t, w.admin.Create(ctx, "widgets", &in, nil), api.CodeExists)

	got.Spec.Colour = "blue"
	old := got.Revision
	if err := w.admin.Apply(ctx, "widgets", "a", &got, &got); err != nil {
		t.Fatal(err)
	}
	if got.Revision == old || got.Spec.Colour != "blue" || got.Labels["env"] != "prod" {
		t.Errorf("applied %+v", got)
	}
	stale := got
	stale.Revision = old
	wantCode(t, w.admin.Apply(ctx, "widgets", "a", &stale, nil), api.CodeConflict, "read it again")

	if err := w.admin.Patch(ctx, "widgets", "a", map[string]any{"spec": map[string]any{"size": 3, "notes": map[string]any{"x": "y"}}, "labels": map[string]any{"env": nil}}, &got); err != nil {
		t.Fatal(err)
	}
	if got.Spec.Size != 3 || got.Spec.Colour != "blue" || got.Spec.Notes["x"] != "y" {
		t.Errorf("patched %+v", got)
	}
	var read widget
	if err := w.admin.Get(ctx, "widgets", "a", &read); err != nil {
		t.Fatal(err)
	}
	if read.Labels["env"] != "" || !read.Status.Shown {
		t.Errorf("read %+v", read)
	}
	if err := w.admin.Delete(ctx, "widgets", "a"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.admin.Get(ctx, "widgets", "a", &read), api.CodeNotFound)
	wantCode(t, w.admin.Delete(ctx, "widgets", "a"), api.CodeNotFound)
	wantCode(t, w.admin.Patch(ctx, "widgets", "a", map[string]any{}, nil), api.CodeNotFound)
}

func TestApplySaysWhatItDid(t *testing.T) {
	w := start(t)
	put := func(query, body string) (string, string) {
		resp, text := w.raw("PUT", "/v1/widgets/a"+query, w.AdminToken(), body)
		return resp.Status[:3] + " " + resp.Header.Get("X-Drover-Result"), text
	}
	body := `{"kind":"widget","name":"a","spec":{"colour":"red"}}`
	for i, want := range []struct{ query, body, result string }{
		{"?dry-run=true", body, "200 created"},
		{"", body, "201 created"},
		{"", body, "200 unchanged"},
		{"?dry-run=true", `{"spec":{"colour":"blue"}}`, "200 changed"},
		{"", body, "200 unchanged"},
		{"", `{"spec":{"colour":"blue"}}`, "200 changed"},
	} {
		if got, text := put(want.query, want.body); got != want.result {
			t.Errorf("%d: %s, want %s: %s", i, got, want.result, text)
		}
	}
}

func TestBadInputIsNamed(t *testing.T) {
	w := start(t)
	big := `{"spec":{"colour":"` + strings.Repeat("x", 2<<20) + `"}}`
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		parts                    []string
	}{
		{"unknown field", "PUT", "/v1/widgets/a", `{"spec":{"color":"red"}}`, 422, []string{`"field":"spec.color"`, `did you mean \"colour\"?`}},
		{"wrong type", "PUT", "/v1/widgets/a", `{"spec":{"size":"big"}}`, 422, []string{`"field":"spec.size"`, "must be a number"}},
		{"refused value", "PUT", "/v1/widgets/a", `{"spec":{"size":-1}}`, 422, []string{`"field":"spec.size"`, "use 0 or more"}},
		{"two names", "PUT", "/v1/widgets/a", `{"name":"b"}`, 422, []string{`"field":"name"`}},
		{"another kind", "PUT", "/v1/widgets/a", `{"kind":"host"}`, 422, []string{`"field":"kind"`}},
		{"bad name", "PUT", "/v1/widgets/-a", `{}`, 422, []string{`"field":"name"`}},
		{"bad label", "PUT", "/v1/widgets/a", `{"labels":{"a b":"c"}}`, 422, []string{`"field":"labels.a b"`}},
		{"too large", "PUT", "/v1/widgets/a", big, 413, []string{"1 MiB"}},
		{"over the object's limit", "PUT", "/v1/widgets/a", big[:100<<10] + `"}}`, 413, []string{"too_large"}},
		{"bad selector", "GET", "/v1/widgets?selector=a=b=c", "", 422, []string{`"field":"selector"`}},
		{"bad limit", "GET", "/v1/widgets?limit=many", "", 422, []string{`"field":"limit"`}},
		{"flag alone", "GET", "/v1/widgets?watch&from=x", "", 422, []string{`"field":"from"`}}, // only a watch reads it
		{"bad flag", "GET", "/v1/widgets?watch=perhaps", "", 422, []string{`"field":"watch"`}},
		{"no such path", "GET", "/v1/widgts", "", 404, []string{"did you mean /v1/widgets?"}},
		{"no such method", "POST", "/v1/version", "", 405, []string{"use GET"}},
		{"misspelt name", "GET", "/v1/widgets/nobody", "", 404, []string{"no widget"}},
		{"no JSON", "POST", "/v1/widgets", `{"name": a}`, 422, []string{"not JSON", "line 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := w.raw(tt.method, tt.path, w.AdminToken(), tt.body)
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.status, body)
			}
			for _, p := range tt.parts {
				if !strings.Contains(body, p) {
					t.Errorf("%s does not say %s", body, p)
				}
			}
			var e api.Error
			if json.Unmarshal([]byte(body), &e) != nil || e.Code == "" || resp.Header.Get("X-Request-Id") == "" {
				t.Errorf("the answer is no api.Error with a request id: %s", body)
			}
		})
	}
	if _, body := w.raw("GET", "/v1/widgets", w.AdminToken(), ""); !strings.Contains(body, `"items":[]`) {
		t.Errorf("a refused write left something: %s", body)
	}
}

func TestListsArePagedAndSelected(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		labels := map[string]string{"env": "prod"}
		if n == "b" || n == "d" {
			labels["env"] = "test"
		}
		if n == "e" {
			labels["rack"] = "1"
		}
		if err := w.admin.Create(ctx, "widgets", &widget{Meta: api.Meta{Name: n, Labels: labels}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for selector, want := range map[string]string{"": "abcde", "env=prod": "ace", "env!=prod": "bd", "rack": "e", "!rack": "abcd", "env=prod,!rack": "ac", "env=none": ""} {
		for _, limit := range []int{0, 1, 2} {
			list, _, err := client.List[widget](ctx, w.admin, "widgets", client.ListOptions{Selector: selector, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, o := range list {
				got.WriteString(o.Name)
			}
			if got.String() != want {
				t.Errorf("selector %q by %d: %s, want %s", selector, limit, &got, want)
			}
		}
	}
}

func TestWatchTellsEveryChangeAndResumes(t *testing.T) {
	w := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := w.admin.Create(ctx, "widgets", &widget{Meta: api.Meta{Name: "a"}}, nil); err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 100)
	var last int64
	done := make(chan error, 1)
	watch := func(from int64) {
		done <- client.Watch(ctx, w.admin, "widgets", client.ListOptions{From: from}, func(c client.Change[widget]) error {
			if c.Revision != 0 {
				last = c.Revision
			}
			events <- c.Type + " " + c.Object.Name
			if c.Object.Name == "stop" {
				return client.ErrStop
			}
			return nil
		})
	}
	go watch(0)
	expect := func(want ...string) {
		t.Helper()
		for _, e := range want {
			if got := <-events; got != e {
				t.Fatalf("event %q, want %q", got, e)
			}
		}
	}
	expect("resync ", "put a", "synced ")
	if err := w.admin.Create(ctx, "widgets", &widget{Meta: api.Meta{Name: "b"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.admin.Delete(ctx, "widgets", "a"); err != nil {
		t.Fatal(err)
	}
	if err := w.admin.Create(ctx, "widgets", &widget{Meta: api.Meta{Name: "stop"}}, nil); err != nil {
		t.Fatal(err)
	}
	expect("put b", "delete a", "put stop")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// What happens while nobody watches is told to who resumes.
	if err := w.admin.Delete(ctx, "widgets", "b"); err != nil {
		t.Fatal(err)
	}
	go watch(last)
	expect("delete b")
	cancel()
	<-done
}

func TestWatchTellsWhatIsNoMoreSelected(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	put := func(name, env string) {
		t.Helper()
		if err := w.admin.Apply(ctx, "widgets", name, &widget{Meta: api.Meta{Labels: map[string]string{"env": env}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "prod")
	put("b", "test")
	var got []string
	err := client.Watch(ctx, w.admin, "widgets", client.ListOptions{Selector: "env=prod"}, func(c client.Change[widget]) error {
		got = append(got, c.Type+" "+c.Object.Name)
		switch c.Type {
		case "synced":
			put("a", "test")
			put("b", "prod")
		case "put":
			if c.Object.Name == "b" {
				return client.ErrStop
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "resync ,put a,synced ,delete a,put b"; strings.Join(got, ",") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ","), want)
	}
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	w := start(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+"/v1/events?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&bytes.Buffer{}, resp.Body); err != nil {
		t.Fatalf("the stream did not end cleanly: %v", err)
	}
}
