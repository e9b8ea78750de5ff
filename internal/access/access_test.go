package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/api"
	"drover/internal/access"
	"drover/internal/store"
)

type world struct {
	*access.Access
	store *store.Store
	hosts *store.Table[api.Host, *api.Host]
	now   atomic.Int64 // nanoseconds
}

func (w *world) pass(d time.Duration) { w.now.Add(int64(d)) }

func newWorld(t *testing.T) *world {
	b := store.Memory()
	t.Cleanup(func() { b.Close() })
	kinds := append(access.Kinds(), store.Kind{Name: "host", New: func() api.Object { return new(api.Host) }})
	s := store.New(b, kinds...)
	t.Cleanup(s.Close)
	w := &world{store: s, hosts: store.TableOf[api.Host](s, "host")}
	w.now.Store(time.Now().UnixNano())
	w.Access = access.New(access.Options{Store: s, Now: func() time.Time { return time.Unix(0, w.now.Load()) }})
	return w
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError(t *testing.T, err error, code api.Code, words string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, words) || e.Remedy == "" {
		t.Fatalf("got %v, want %s with %q and a remedy", err, code, words)
	}
}

const pass = "four words make one"

func person(name string, role api.Role) *api.Person {
	return &api.Person{Meta: api.Meta{Name: name}, Spec: api.PersonSpec{Role: role}}
}

func TestTokens(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	tok := &api.Token{Meta: api.Meta{Name: "ci_1"}, Spec: api.TokenSpec{Role: api.RoleOperator, Expires: time.Unix(0, w.now.Load()).Add(time.Hour)}}
	secret := must(w.CreateToken(ctx, tok))(t)
	if !strings.HasPrefix(secret, "drv_ci_1_") {
		t.Fatal(secret)
	}
	id := must(w.Check(ctx, secret))(t)
	if id.Actor() != "token/ci_1" || id.Role != api.RoleOperator || id.May(api.RoleViewer) != nil {
		t.Fatalf("%+v", id)
	}
	wantError(t, id.May(api.RoleAdmin), api.CodeForbidden, "takes the role admin")
	stored := must(w.store.Kind("token"))(t)
	if o := must(stored.Get(ctx, "ci_1"))(t).(*api.Token); time.Unix(0, w.now.Load()).Sub(o.Status.Used) >= time.Minute {
		t.Errorf("the use is noted at %s", o.Status.Used)
	}
	for name, bad := range map[string]string{"last letter": secret[:len(secret)-1] + "~", "other secret": secret[:len(secret)-1] + string(rot(secret[len(secret)-1])), "other name": strings.Replace(secret, "ci_1", "ci_2", 1), "empty": "", "half": secret[:20]} {
		if _, err := w.Check(ctx, bad); api.CodeOf(err) != api.CodeUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.pass(2 * time.Hour)
	_, err := w.Check(ctx, secret)
	wantError(t, err, api.CodeUnauthorized, "expired at")

	// A name used again does not revive the old secret.
	again := &api.Token{Meta: api.Meta{Name: "p"}, Spec: api.TokenSpec{Role: api.RoleViewer}}
	old := must(w.CreateToken(ctx, again))(t)
	if err := stored.Delete(ctx, "p", 0); err != nil { // by the generic API
		t.Fatal(err)
	}
	if err := stored.Create(ctx, &api.Token{Meta: api.Meta{Name: "p", UID: again.UID}, Spec: api.TokenSpec{Role: api.RoleAdmin}}, store.Spec); err != nil {
		t.Fatal(err)
	}
	_, err = w.Check(ctx, old)
	wantError(t, err, api.CodeUnauthorized, "not known")
	if _, err := w.CreateToken(ctx, &api.Token{Meta: api.Meta{Name: "p"}, Spec: api.TokenSpec{Role: api.RoleViewer}}); api.CodeOf(err) != api.CodeExists {
		t.Fatal(err)
	}
}

func rot(b byte) byte {
	if b == 'a' {
		return 'b'
	}
	return 'a'
}

// A token has no more than its person, and nothing once that one is gone.
func TestPersonsToken(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	if err := w.CreatePerson(ctx, person("kim", api.RoleOperator), pass); err != nil {
		t.Fatal(err)
	}
	secret := must(w.CreateToken(ctx, &api.Token{Spec: api.TokenSpec{Person: "kim", Role: api.RoleAdmin}}))(t)
	if id := must(w.Check(ctx, secret))(t); id.Role != api.RoleOperator || id.Actor() != "kim" {
		t.Fatalf("%+v", id)
	}
	people := store.TableOf[api.Person](w.store, "person")
	must(people.Update(ctx, "kim", func(p *api.Person) error { p.Spec.Disabled = true; return nil }))(t)
	_, err := w.Check(ctx, secret)
	wantError(t, err, api.CodeUnauthorized, "disabled")
	if err := w.DeletePerson(ctx, "kim"); err != nil {
		t.Fatal(err)
	}
	_, err = w.Check(ctx, secret)
	wantError(t, err, api.CodeUnauthorized, "not known")
}

func TestJoinTokens(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	join := func(host string) string {
		return must(w.CreateToken(ctx, &api.Token{Spec: api.TokenSpec{Join: true, Host: host}}))(t)
	}
	host := func(name string) store.Change { return w.hosts.ToCreate(&api.Host{Meta: api.Meta{Name: name}}) }
	a := join("")
	_, err := w.Check(ctx, a)
	wantError(t, err, api.CodeUnauthorized, "can only enrol")
	if err := w.UseJoin(ctx, a, "web-1", host("web-1")); err != nil {
		t.Fatal(err)
	}
	must(w.hosts.Get(ctx, "web-1"))(t)
	wantError(t, w.UseJoin(ctx, a, "web-2", host("web-2")), api.CodeUnauthorized, `used already, by host "web-1"`)

	// What fails with it leaves it unused.
	b := join("")
	if err := w.UseJoin(ctx, b, "web-1", host("web-1")); api.CodeOf(err) != api.CodeExists {
		t.Fatal(err)
	}
	if err := w.UseJoin(ctx, b, "web-2", host("web-2")); err != nil {
		t.Fatal(err)
	}
	wantError(t, w.UseJoin(ctx, join("db-1"), "db-2", host("db-2")), api.CodeForbidden, `is for host "db-1"`)
	c := join("")
	w.pass(25 * time.Hour)
	wantError(t, w.UseJoin(ctx, c, "web-3", host("web-3")), api.CodeUnauthorized, "expired at")
	wantError(t, w.UseJoin(ctx, c[:len(c)-1]+string(rot(c[len(c)-1])), "web-3"), api.CodeUnauthorized, "not known")
	wantError(t, w.UseJoin(ctx, "nonsense", "web-3"), api.CodeUnauthorized, "form")
	plain := must(w.CreateToken(ctx, &api.Token{Spec: api.TokenSpec{Role: api.RoleAdmin}}))(t)
	wantError(t, w.UseJoin(ctx, plain, "web-3"), api.CodeUnauthorized, "no join token")

	w.pass(25 * time.Hour)
	if err := w.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	left, _, err := store.TableOf[api.Token](w.store, "token").List(ctx)
	if err != nil || len(left) != 1 {
		t.Fatalf("%d tokens are left after the sweep, %v", len(left), err)
	}
}

// Many hosts at once with one token: one is let in.
func TestJoinTokenOnce(t *testing.T) {
	w := newWorld(t)
	secret := must(w.CreateToken(t.Context(), &api.Token{Spec: api.TokenSpec{Join: true}}))(t)
	var in atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprint("web-", i)
			err := w.UseJoin(context.Background(), secret, name, w.hosts.ToCreate(&api.Host{Meta: api.Meta{Name: name}}))
			if err == nil {
				in.Add(1)
			} else if api.CodeOf(err) != api.CodeUnauthorized {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	hosts, _, err := w.hosts.List(t.Context())
	if in.Load() != 1 || err != nil || len(hosts) != 1 {
		t.Fatalf("%d were let in, %d hosts, %v", in.Load(), len(hosts), err)
	}
}

func TestSignIn(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	for _, bad := range []string{"short", strings.Repeat("x", 2000), "kim1234567"} {
		if err := w.CreatePerson(ctx, person("kim123456", api.RoleViewer), bad); bad != "kim1234567" && api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("password %.10q: %v", bad, err)
		}
	}
	if err := w.CreatePerson(ctx, person("kim", api.RoleOperator), pass); err != nil {
		t.Fatal(err)
	}
	s := must(w.SignIn(ctx, "kim", pass, access.From{Remote: "192.0.2.1:1234"}))(t)
	c := s.Cookie()
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Value == "" {
		t.Fatalf("%+v", c)
	}
	r := httptest.NewRequest("GET", "/v1/hosts", nil)
	r.AddCookie(c)
	if id := must(w.Authenticate(ctx, r))(t); id.Person != "kim" || id.Role != api.RoleOperator {
		t.Fatalf("%+v", id)
	}
	r = httptest.NewRequest("POST", "/v1/hosts", nil)
	r.AddCookie(c)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	_, err := w.Authenticate(ctx, r)
	wantError(t, err, api.CodeForbidden, "another site")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	must(w.Authenticate(ctx, r))(t)
	_, err = w.SignIn(ctx, "kim", pass+"x", access.From{Remote: "192.0.2.1:1"})
	wantError(t, err, api.CodeUnauthorized, "name or the password is wrong")
	_, err2 := w.SignIn(ctx, "nobody", pass, access.From{Remote: "192.0.2.1:1"})
	if err2 == nil || err2.Error() != err.Error() {
		t.Fatalf("an unknown person is told apart: %v", err2)
	}
	if err := w.SetPassword(ctx, "kim", "another long one"); err != nil {
		t.Fatal(err)
	}
	_, err = w.Authenticate(ctx, r)
	wantError(t, err, api.CodeUnauthorized, "session has ended")
	s = must(w.SignIn(ctx, "kim", "another long one", access.From{Remote: "192.0.2.1:1"}))(t)
	r = httptest.NewRequest("GET", "/", nil)
	r.AddCookie(s.Cookie())
	w.pass(13 * time.Hour)
	_, err = w.Authenticate(ctx, r)
	wantError(t, err, api.CodeUnauthorized, "session expired")
	if err := w.SignOut(ctx, s.Secret); err != nil {
		t.Fatal(err)
	}
}

func TestAuthenticate(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	secret := must(w.CreateToken(ctx, &api.Token{Meta: api.Meta{Name: "x"}, Spec: api.TokenSpec{Role: api.RoleViewer}}))(t)
	for _, c := range []struct {
		name string
		set  func(*http.Request)
		want string
	}{
		{"nothing", func(*http.Request) {}, "nobody is signed in"},
		{"bearer", func(r *http.Request) { r.Header.Set("Authorization", "bearer "+secret) }, ""},
		{"basic, as git does", func(r *http.Request) { r.SetBasicAuth("anything", secret) }, ""},
		{"other scheme", func(r *http.Request) { r.Header.Set("Authorization", "Digest x") }, "no known way"},
		{"wrong cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: access.CookieName, Value: "x"}) }, "session has ended"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		c.set(r)
		id, err := w.Authenticate(ctx, r)
		if c.want == "" && (err != nil || id.Token != "x") {
			t.Errorf("%s: %+v, %v", c.name, id, err)
		}
		if c.want != "" {
			wantError(t, err, api.CodeUnauthorized, c.want)
		}
	}
}

func TestRateLimit(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	if err := w.CreatePerson(ctx, person("kim", api.RoleViewer), pass); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, err := w.SignIn(ctx, "kim", "wrong password", access.From{Remote: "192.0.2.1:1"})
		wantError(t, err, api.CodeUnauthorized, "wrong")
	}
	_, err := w.SignIn(ctx, "kim", pass, access.From{Remote: "192.0.2.1:1"})
	wantError(t, err, api.CodeUnavailable, "too many wrong passwords")
	must(w.SignIn(ctx, "kim", pass, access.From{Remote: "192.0.2.2:1"}))(t) // from elsewhere
	w.pass(10 * time.Second)
	must(w.SignIn(ctx, "kim", pass, access.From{Remote: "192.0.2.1:1"}))(t)
}

// Many sign-ins at once are hashed a few at a time, and beyond a queue turned away.
func TestManySignIns(t *testing.T) {
	w := newWorld(t)
	var refused, wrong atomic.Int32
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			_, err := w.SignIn(context.Background(), fmt.Sprint("p", i), "some password", access.From{Remote: fmt.Sprintf("192.0.2.%d:1", i)})
			switch api.CodeOf(err) {
			case api.CodeUnavailable:
				refused.Add(1)
			case api.CodeUnauthorized:
				wrong.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wrong.Load() < 34 || refused.Load()+wrong.Load() != 60 {
		t.Fatalf("%d refused, %d checked", refused.Load(), wrong.Load())
	}
}

func TestFirstLink(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	stale := must(w.FirstLink(ctx))(t)
	link := must(w.FirstLink(ctx))(t)
	if link == "" || link == stale {
		t.Fatal(link)
	}
	_, err := w.RedeemLink(ctx, stale, "admin", pass, access.From{})
	wantError(t, err, api.CodeUnauthorized, "it is wrong")
	_, err = w.RedeemLink(ctx, link, "admin", "short", access.From{})
	wantError(t, err, api.CodeInvalid, "10 to 1024")
	w.pass(25 * time.Hour)
	_, err = w.RedeemLink(ctx, link, "admin", pass, access.From{})
	wantError(t, err, api.CodeUnauthorized, "expired")
	link = must(w.FirstLink(ctx))(t)
	var in atomic.Int32
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s, err := w.RedeemLink(context.Background(), link, fmt.Sprint("admin", i), pass, access.From{})
			if err == nil && s.Identity.Role == api.RoleAdmin {
				in.Add(1)
			} else if api.CodeOf(err) != api.CodeUnauthorized {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Fatalf("the one-time link made %d administrators", in.Load())
	}
	if l := must(w.FirstLink(ctx))(t); l != "" {
		t.Fatal("a link though there is an administrator")
	}
	people, _, _ := store.TableOf[api.Person](w.store, "person").List(ctx)
	wantError(t, w.DeletePerson(ctx, people[0].Name), api.CodeInvalid, "no administrator would be left")
}

// What is stored holds no secret.
func TestNothingInClear(t *testing.T) {
	ctx := t.Context()
	b := store.Memory()
	defer b.Close()
	s := store.New(b, access.Kinds()...)
	defer s.Close()
	a := access.New(access.Options{Store: s})
	link := must(a.FirstLink(ctx))(t)
	session := must(a.RedeemLink(ctx, link, "admin", pass, access.From{}))(t)
	token := must(a.CreateToken(ctx, &api.Token{Spec: api.TokenSpec{Role: api.RoleViewer}}))(t)
	kvs, _, err := b.List(ctx, "")
	if err != nil || len(kvs) < 4 {
		t.Fatal(len(kvs), err)
	}
	_, plain, _ := access.ParseToken(token)
	for _, kv := range kvs {
		for _, secret := range []string{link, session.Secret, plain, pass} {
			if strings.Contains(string(kv.Value)+kv.Key, secret) {
				t.Errorf("%s holds a secret", kv.Key)
			}
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("drv_a_0123456789abcdefghijklmnopqrstuv")
	f.Add("drv_a_b_0123456789abcdefghijklmnopqrstuv")
	f.Add("drv__")
	f.Fuzz(func(t *testing.T, s string) {
		name, secret, ok := access.ParseToken(s)
		if ok && ("drv_"+name+"_"+secret != s || api.ValidName(name) != nil || len(secret) != 32) {
			t.Fatalf("%q is %q and %q", s, name, secret)
		}
	})
}
