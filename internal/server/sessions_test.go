package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/access"
	"drover/internal/domain"
	"drover/internal/server"
)

const hersBefore = "correct horse battery"

// ann is somebody with a password.
func (w *world) ann(role api.Role) {
	w.t.Helper()
	body := fmt.Sprintf(`{"name":"ann","spec":{"role":%q,"fullName":"Ann A"},"password":%q}`, role, hersBefore)
	if resp, body := w.raw("POST", "/v1/people", w.AdminToken(), body); resp.StatusCode != 201 {
		w.t.Fatalf("%s: %s", resp.Status, body)
	}
}

// browse signs ann in as a browser does and gives the cookie.
func (w *world) browse(agent string) string {
	w.t.Helper()
	resp, body := w.raw("POST", "/v1/login", "", fmt.Sprintf(`{"person":"ann","password":%q}`, hersBefore), "User-Agent", agent, "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 {
		w.t.Fatalf("%s: %s", resp.Status, body)
	}
	return cookieOf(resp)
}

func cookieOf(resp *http.Response) string {
	c := resp.Cookies()[0]
	return c.Name + "=" + c.Value
}

// get asks as a browser does.
func (w *world) get(path, cookie string, out any) int {
	w.t.Helper()
	resp, body := w.raw("GET", path, "", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors")
	if out != nil && resp.StatusCode == 200 {
		if err := json.Unmarshal([]byte(body), out); err != nil {
			w.t.Fatalf("%s: %v", body, err)
		}
	}
	return resp.StatusCode
}

func (w *world) signInByProgram() (*client.Client, server.LoginResponse) {
	w.t.Helper()
	var in server.LoginResponse
	if err := w.as("").Call(w.t.Context(), "POST", "/v1/login", server.LoginRequest{Person: "ann", Password: hersBefore, Token: true, Note: "drover on laptop"}, &in); err != nil {
		w.t.Fatal(err)
	}
	return w.as(in.Token), in
}

func TestWhoSignedInSeesAndEndsTheirSessions(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	w.ann(api.RoleViewer)
	phone, desk := w.browse("Phone"), w.browse("Desk")
	laptop, in := w.signInByProgram()
	var program server.NewToken
	if err := laptop.Create(ctx, "tokens", &api.Token{Meta: api.Meta{Name: "grafana"}, Spec: api.TokenSpec{Person: "ann", Role: api.RoleViewer, SignIn: true}}, &program); err != nil {
		t.Fatal(err)
	}
	if program.Spec.SignIn {
		t.Error("somebody gave a token the mark of a sign-in")
	}

	var me api.Me
	if s := w.get("/v1/whoami", desk, &me); s != 200 || me.Person != "ann" || me.FullName != "Ann A" || me.Role != api.RoleViewer || me.Session == "" ||
		time.Until(me.Expires) < time.Hour || me.Fleet == "" || me.Version != "test" || time.Since(me.Time) > time.Minute {
		t.Errorf("%d: %+v", s, me)
	}
	var list api.SessionList
	if s := w.get("/v1/sessions", desk, &list); s != 200 || len(list.Items) != 3 {
		t.Fatalf("%d: %+v", s, list)
	}
	byNote := map[string]api.Session{}
	for _, s := range list.Items {
		byNote[s.Note] = s
	}
	if s := byNote["Desk"]; !s.Current || s.ID != me.Session || s.Kind != api.SessionBrowser || s.Remote != "127.0.0.1" || s.Created.IsZero() {
		t.Errorf("the desk's is %+v", s)
	}
	if s := byNote["drover on laptop"]; s.Current || s.Kind != api.SessionToken || s.ID != in.TokenName {
		t.Errorf("the laptop's is %+v", s)
	}

	// One of them, by its id; nobody else's.
	write := func(method, path, cookie string) int {
		resp, _ := w.raw(method, path, "", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
		return resp.StatusCode
	}
	if s := write("DELETE", "/v1/sessions/"+byNote["Phone"].ID, desk); s != 204 {
		t.Errorf("ended: %d", s)
	}
	if s := w.get("/v1/whoami", phone, nil); s != 401 {
		t.Errorf("the phone is still signed in: %d", s)
	}
	if s := write("DELETE", "/v1/sessions/"+byNote["Phone"].ID, desk); s != 404 {
		t.Errorf("ended twice: %d", s)
	}
	wantCode(t, w.admin.Call(ctx, "DELETE", "/v1/sessions/"+byNote["Desk"].ID, nil, nil), api.CodeInvalid, "no person")
	// A token that was made for a program is no session.
	if s := write("DELETE", "/v1/sessions/grafana", desk); s != 404 {
		t.Errorf("a program's token was ended: %d", s)
	}

	// Everywhere.
	if s := write("DELETE", "/v1/sessions", desk); s != 204 {
		t.Fatalf("signed out everywhere: %d", s)
	}
	if s := w.get("/v1/whoami", desk, nil); s != 401 {
		t.Errorf("the desk is still signed in: %d", s)
	}
	wantCode(t, laptop.Call(ctx, "GET", "/v1/whoami", nil, nil), api.CodeUnauthorized)
	if err := w.as(program.Secret).Call(ctx, "GET", "/v1/whoami", nil, nil); err != nil {
		t.Errorf("a program's token ended too: %v", err)
	}
}

func TestANewPasswordEndsWhatTheOldOneOpened(t *testing.T) {
	w := start(t)
	ctx := t.Context()
	w.ann(api.RoleOperator)
	stolen, desk := w.browse("Thief"), w.browse("Desk")
	laptop, _ := w.signInByProgram()
	change := func(old, new string) (*http.Response, string) {
		return w.raw("POST", "/v1/people/ann/password", "", fmt.Sprintf(`{"old":%q,"new":%q}`, old, new), "Cookie", desk, "Sec-Fetch-Site", "same-origin")
	}
	if resp, body := change("wrong", "another long one"); resp.StatusCode != 401 {
		t.Errorf("by a wrong one: %s: %s", resp.Status, body)
	}
	resp, body := change(hersBefore, "another long one")
	if resp.StatusCode != 204 || len(resp.Cookies()) != 1 {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	for name, cookie := range map[string]string{"stolen": stolen, "the desk's old": desk} {
		if s := w.get("/v1/whoami", cookie, nil); s != 401 {
			t.Errorf("the session that is %s goes on: %d", name, s)
		}
	}
	if s := w.get("/v1/whoami", cookieOf(resp), nil); s != 200 {
		t.Errorf("who changed it is signed out: %d", s)
	}
	wantCode(t, laptop.Call(ctx, "GET", "/v1/whoami", nil, nil), api.CodeUnauthorized)
	// Somebody else's, as an administrator.
	if err := w.admin.Call(ctx, "POST", "/v1/people/ann/password", server.NewPassword{New: "a third long one"}, nil); err != nil {
		t.Fatal(err)
	}
	if s := w.get("/v1/whoami", cookieOf(resp), nil); s != 401 {
		t.Errorf("her session goes on after an administrator's change: %d", s)
	}
}

// A session that expires in the middle of what somebody does is told in words
// by which a page can ask to sign in again and go on; nothing was done.
func TestAnExpiredSessionSaysSo(t *testing.T) {
	var ahead atomic.Int64
	w := startWith(t, server.Config{Rooms: []domain.Room{widgets()}, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	w.ann(api.RoleOperator)
	cookie := w.browse("Desk")
	put := func(cookie string) (*http.Response, string) {
		return w.raw("PUT", "/v1/widgets/a", "", `{"spec":{"size":1}}`, "Cookie", cookie, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors")
	}
	ahead.Store(int64(13 * time.Hour))
	resp, body := put(cookie)
	var e api.Error
	if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != 401 || e.Code != api.CodeUnauthorized ||
		!strings.HasPrefix(e.Message, "the session expired at ") || e.Remedy != "sign in again" {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if h := resp.Header.Get("WWW-Authenticate"); strings.HasPrefix(h, "Basic") {
		t.Errorf("the browser would ask in a window of its own: %s", h)
	}
	if err := w.admin.Get(t.Context(), "widgets", "a", nil); api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("it was done all the same: %v", err)
	}
	if resp, body := put(w.browse("Desk")); resp.StatusCode != 201 {
		t.Errorf("after signing in again: %s: %s", resp.Status, body)
	}
}

// A route for programs that know no other way asks for a password, but not a
// browser, which would ask in a window of its own.
func TestABrowserIsNotAskedInAWindowOfItsOwn(t *testing.T) {
	w := start(t, widgets(domain.Route{Method: "GET", Path: "/v1/basic", Access: domain.Viewer(), Basic: true, Doc: "x", Handle: func(w http.ResponseWriter, _ *http.Request) error { return domain.WriteJSON(w, 200, 1) }}))
	resp, _ := w.raw("GET", "/v1/basic", "", "")
	if h := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || !strings.HasPrefix(h, "Basic ") {
		t.Errorf("a program is asked %q", h)
	}
	resp, _ = w.raw("GET", "/v1/basic", "", "", "Sec-Fetch-Mode", "cors")
	if h := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || strings.HasPrefix(h, "Basic") {
		t.Errorf("a browser is asked %q", h)
	}
}

// What somebody watches ends with what they were let in by, at once.
func TestAStreamEndsWithItsSession(t *testing.T) {
	w := start(t)
	w.ann(api.RoleViewer)
	cookie := w.browse("Desk")
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+"/v1/events?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", cookie)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.Status, err)
	}
	defer resp.Body.Close()
	if err := w.Services().Journal.Append(t.Context(), &api.Event{Type: "host.enrolled", Message: "x"}); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data:") { // it shows something
	}
	if resp, _ := w.raw("DELETE", "/v1/sessions", "", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != 204 {
		t.Fatal(resp.Status)
	}
	begun := time.Now()
	for lines.Scan() {
	}
	if took := time.Since(begun); lines.Err() != nil || took > 10*time.Second {
		t.Errorf("the stream went on for %v, %v", took, lines.Err())
	}
}

func TestTooManyWrongPasswordsSayHowLongToWait(t *testing.T) {
	var ahead atomic.Int64
	w := startWith(t, server.Config{Rooms: []domain.Room{widgets()}, Now: func() time.Time { return time.Unix(1e9, 0).Add(time.Duration(ahead.Load())) }})
	w.ann(api.RoleViewer)
	login := func(password string) (*http.Response, string) {
		return w.raw("POST", "/v1/login", "", fmt.Sprintf(`{"person":"ann","password":%q}`, password))
	}
	for range 5 {
		if resp, body := login("guess"); resp.StatusCode != 401 || strings.Contains(body, "guess") {
			t.Fatalf("%s: %s", resp.Status, body)
		}
	}
	resp, body := login(hersBefore)
	var e api.Error
	if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "10" || e.Code != api.CodeUnavailable ||
		e.Message != "cannot sign in: too many wrong passwords" || e.Remedy != "try again in 10 seconds" {
		t.Fatalf("%s, retry after %s: %s", resp.Status, resp.Header.Get("Retry-After"), body)
	}
	ahead.Store(int64(10 * time.Second))
	if resp, body := login(hersBefore); resp.StatusCode != 200 {
		t.Errorf("after waiting as long as it said: %s: %s", resp.Status, body)
	}
}

// Every write by a browser's session is refused to other sites, whatever the
// browser says of them; reading is not, for other sites cannot see the answer.
func TestEveryWriteIsRefusedToOtherSites(t *testing.T) {
	w := start(t)
	w.ann(api.RoleAdmin)
	cookie := w.browse("Desk")
	for _, r := range w.Routes() {
		if r.Method == "GET" {
			continue
		}
		path := pathParam.ReplaceAllString(r.Path, "none")
		for _, other := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://elsewhere.example"}, {"Origin", "null"}} {
			resp, body := w.raw(r.Method, path, "", "{}", append(other, "Cookie", cookie)...)
			if resp.StatusCode != 403 || !strings.Contains(body, "another site") {
				t.Errorf("%s %s from %v: %s: %s", r.Method, r.Path, other, resp.Status, body)
			}
		}
	}
	resp, _ := w.raw("GET", "/v1/whoami", "", "", "Cookie", cookie, "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site")
	if h := resp.Header; h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another site may read the answer: %v", h)
	}
	if s := w.get("/v1/whoami", cookie, nil); s != 200 {
		t.Errorf("her session ended meanwhile: %d", s)
	}
}

// A name that is markup is a name: it is refused where names are made, and
// shown as text, never as a page, where it comes back.
func TestANameWithMarkupIsText(t *testing.T) {
	w := withConsole(t)
	const evil = `<img src=x onerror=alert(1)>`
	for _, path := range []string{"/v1/widgets/%3Cimg%20src=x%20onerror=alert(1)%3E", "/v1/nothing/%3Cimg%20src=x%20onerror=alert(1)%3E"} {
		resp, body := w.raw("GET", path, w.AdminToken(), "", "Accept", htmlFirst)
		if resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/json" || strings.Contains(body, "<img") ||
			!strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %s %v %s", path, resp.Status, resp.Header, body)
		}
	}
	resp, body := w.raw("PUT", "/v1/widgets/%3Cimg%20src=x%20onerror=alert(1)%3E", w.AdminToken(), `{}`)
	if resp.StatusCode != 422 || strings.Contains(body, "<img") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	// A label's value is free text: it comes back as it was, and inert.
	if err := w.admin.Apply(t.Context(), "widgets", "a", &widget{Spec: widgetSpec{Colour: evil}}, nil); err != nil {
		t.Fatal(err)
	}
	var back widget
	if err := w.admin.Get(t.Context(), "widgets", "a", &back); err != nil || back.Spec.Colour != evil {
		t.Errorf("%+v, %v", back, err)
	}
	if _, body := w.raw("GET", "/v1/widgets/a", w.AdminToken(), "", "Accept", htmlFirst); strings.Contains(body, "<img") {
		t.Errorf("the answer holds markup: %s", body)
	}
	// The page is the same whatever the path says.
	if resp, body := w.raw("GET", "/hosts/%3Cimg%20src=x%20onerror=alert(1)%3E", "", "", "Accept", htmlFirst); resp.StatusCode != 200 || strings.Contains(body, "onerror") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

func TestTheFirstAdministratorsLinkOpensTheConsole(t *testing.T) {
	r := run(t, server.Config{Console: aBuild})
	var link string
	for line := range strings.Lines(r.announce.String()) {
		if strings.Contains(line, "/signin?code=") {
			link = strings.TrimSpace(line)
		}
	}
	code, ok := strings.CutPrefix(link, r.API+"/signin?code=")
	if !ok || code == "" {
		t.Fatalf("announced:\n%s", r.announce)
	}
	c := r.client(t)
	resp, err := c.Do(t.Context(), "GET", "/signin?code="+code, nil, http.Header{"Accept": {htmlFirst}})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	body := fmt.Sprintf(`{"code":%q,"person":"ann","password":%q}`, code, hersBefore)
	if resp, err = c.Do(t.Context(), "POST", "/v1/login/first", strings.NewReader(body), http.Header{"Content-Type": {"application/json"}}); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if cs := resp.Cookies(); len(cs) != 1 || cs[0].Name != access.CookieName || !cs[0].HttpOnly || !cs[0].Secure || cs[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookies are %v", cs)
	}
}
