package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"drover/api"
	"drover/internal/store"
)

// Options of an Access; Store is required.
type Options struct {
	Store *store.Store // with Kinds
	Now   func() time.Time
	Log   *slog.Logger
	// Hashers is how many passwords are hashed at once (46 MiB each); 2 if 0.
	Hashers int
	// SessionLife of a sign-in; 12 h if 0.
	SessionLife time.Duration
}

// Access answers who is asking.
type Access struct {
	o         Options
	people    *store.Table[api.Person, *api.Person]
	tokens    *store.Table[api.Token, *api.Token]
	secrets   *store.Table[secret, *secret]
	passwords *store.Table[password, *password]
	sessions  *store.Table[session, *session]
	links     *store.Table[secret, *secret]
	hasher    *hasher
	limits    *limits
	origins   *http.CrossOriginProtection
	ends      ends
}

// New makes an Access.
func New(o Options) *Access {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hashers == 0 {
		o.Hashers = 2
	}
	if o.SessionLife == 0 {
		o.SessionLife = 12 * time.Hour
	}
	return &Access{
		o:         o,
		people:    store.TableOf[api.Person](o.Store, "person"),
		tokens:    store.TableOf[api.Token](o.Store, "token"),
		secrets:   store.TableOf[secret](o.Store, "token-secret"),
		passwords: store.TableOf[password](o.Store, "password"),
		sessions:  store.TableOf[session](o.Store, "session"),
		links:     store.TableOf[secret](o.Store, "one-time-link"),
		hasher:    newHasher(o.Hashers),
		limits:    newLimits(),
		origins:   http.NewCrossOriginProtection(),
		ends:      ends{next: make(chan struct{})},
	}
}

// Kinds are the kinds to give to store.New: "person", "token" and the private ones.
func Kinds() []store.Kind {
	return []store.Kind{
		{Name: "person", New: func() api.Object { return new(api.Person) }},
		{Name: "token", New: func() api.Object { return new(api.Token) }},
		{Name: "token-secret", New: func() api.Object { return new(secret) }},
		{Name: "password", New: func() api.Object { return new(password) }},
		{Name: "session", New: func() api.Object { return new(session) }},
		{Name: "one-time-link", New: func() api.Object { return new(secret) }},
	}
}

// PublicKinds are the names of those that the generic API may serve.
func PublicKinds() []string { return []string{"person", "token"} }

// secret is the hash of a token's secret, under the token's name, or of a one-time link's.
type secret struct {
	api.Meta
	Spec struct {
		Of      string    `json:"of"`   // UID of the token
		Hash    []byte    `json:"hash"` // SHA-256: the secret itself is random and long
		Expires time.Time `json:"expires,omitzero"`
	} `json:"spec"`
}

// Validate implements api.Object.
func (s *secret) Validate() error { return api.ValidName(s.Name) }

// session is a sign-in, under the hash of its secret.
type session struct {
	api.Meta
	Spec struct {
		Person  string    `json:"person"`
		Of      string    `json:"of"` // UID of the person
		Expires time.Time `json:"expires"`
		Remote  string    `json:"remote,omitempty"`
		Agent   string    `json:"agent,omitempty"` // what the browser says it is
	} `json:"spec"`
	Status struct {
		Used time.Time `json:"used,omitzero"` // to some minutes
	} `json:"status"`
}

// Validate implements api.Object.
func (s *session) Validate() error { return api.ValidName(s.Name) }

// Identity is who a request comes from.
type Identity struct {
	Person  string // empty for a program's token
	Token   string // name of the token used, if one was
	Session string // id of the session used, if one was
	Role    api.Role
	Expires time.Time // when the credential ends; zero: never
}

// Actor is the name for the audit: the person, or "token/NAME".
func (i Identity) Actor() string {
	if i.Person != "" {
		return i.Person
	}
	return "token/" + i.Token
}

// May is nil if i has the role wanted, else CodeForbidden with a remedy.
func (i Identity) May(want api.Role) error {
	if i.Role.Allows(want) {
		return nil
	}
	return api.Errorf(api.CodeForbidden, "%s may not do this: it takes the role %s, and %s has the role %s", i.Actor(), want, i.Actor(), i.Role).
		WithRemedy("ask an administrator to do it or to give you the role")
}

func unauthorized(remedy, format string, args ...any) *api.Error {
	return api.Errorf(api.CodeUnauthorized, format, args...).WithRemedy("%s", remedy)
}

const signInRemedy = "sign in with `drover login`, or set DROVER_TOKEN to a valid token"

// Authenticate finds the identity behind a request: "Authorization: Bearer
// TOKEN", Basic with the token as the password (for git), or the session
// cookie. CodeUnauthorized with a remedy if there is none or it is wrong.
func (a *Access) Authenticate(ctx context.Context, r *http.Request) (Identity, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		if _, pass, ok := r.BasicAuth(); ok {
			return a.Check(ctx, pass)
		}
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Identity{}, unauthorized(signInRemedy, "cannot sign in: %.20q is no known way to authorize", scheme)
		}
		return a.Check(ctx, strings.TrimSpace(token))
	}
	c, err := r.Cookie(CookieName)
	if err != nil {
		return Identity{}, unauthorized(signInRemedy, "nobody is signed in")
	}
	// A browser sends the cookie along with what other sites make it ask.
	if err := a.origins.Check(r); err != nil {
		return Identity{}, api.Errorf(api.CodeForbidden, "this request comes from another site: %v", err).WithRemedy("use the console's own pages, or a token")
	}
	return a.session(ctx, c.Value)
}

// tokenPrefix begins every token, so that scanners find leaked ones.
const tokenPrefix = "drv_"

// ParseToken takes a token apart: drv_NAME_SECRET. It checks the form only.
func ParseToken(token string) (name, secret string, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return "", "", false
	}
	i := strings.LastIndexByte(rest, '_')
	if i < 1 || len(rest)-i-1 != secretLen || api.ValidName(rest[:i]) != nil || strings.Trim(rest[i+1:], secretChars) != "" {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

// secretLen characters of secretChars are 160 random bits.
const secretLen = 32

const secretChars = "0123456789abcdefghijklmnopqrstuv" // 32 of them

func newSecret() string {
	var b [secretLen]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = secretChars[b[i]%32]
	}
	return string(b[:])
}

func hashSecret(s string) []byte {
	h := sha256.Sum256([]byte("drover secret\n" + s))
	return h[:]
}

// lookup finds the token whose secret was given, whatever its state.
func (a *Access) lookup(ctx context.Context, token, what string) (*api.Token, error) {
	wrong := unauthorized("check that it was copied whole, or make a new one", "the %s is not known here", what)
	name, plain, ok := ParseToken(token)
	if !ok {
		return nil, unauthorized("copy it whole: drv_NAME_SECRET", "the %s has not the form of one", what)
	}
	t, err := a.tokens.Get(ctx, name)
	if err != nil && api.CodeOf(err) != api.CodeNotFound {
		return nil, err
	}
	s, err2 := a.secrets.Get(ctx, name)
	if err2 != nil && api.CodeOf(err2) != api.CodeNotFound {
		return nil, err2
	}
	if err != nil || err2 != nil {
		t, s = &api.Token{}, &secret{} // costs the same as a wrong secret
	}
	same := subtle.ConstantTimeCompare(s.Spec.Hash, hashSecret(plain)) == 1
	if !same || t.UID == "" || s.Spec.Of != t.UID {
		return nil, wrong
	}
	return t, nil
}

// Check is Authenticate of a bare token.
func (a *Access) Check(ctx context.Context, token string) (Identity, error) {
	t, err := a.lookup(ctx, token, "token")
	if err != nil {
		return Identity{}, err
	}
	if t.Spec.Join {
		return Identity{}, unauthorized(signInRemedy, "the token %q can only enrol a host", t.Name)
	}
	now := a.o.Now()
	if e := t.Spec.Expires; !e.IsZero() && !now.Before(e) {
		return Identity{}, unauthorized("make a new one with `drover token`", "the token %q expired at %s", t.Name, e.UTC().Format(time.RFC3339))
	}
	id := Identity{Token: t.Name, Role: t.Spec.Role, Expires: t.Spec.Expires}
	if t.Spec.Person != "" {
		p, err := a.person(ctx, t.Spec.Person)
		if err != nil {
			return Identity{}, err
		}
		id.Person = p.Name
		if !p.Spec.Role.Allows(id.Role) { // a token never has more than its person
			id.Role = p.Spec.Role
		}
	}
	if minute := now.UTC().Truncate(time.Minute); t.Status.Used.Before(minute) {
		_, err := a.tokens.UpdateStatus(ctx, t.Name, func(t *api.Token) error {
			if !t.Status.Used.Before(minute) {
				return errNothing
			}
			t.Status.Used = minute
			return nil
		})
		if err != nil && !errors.Is(err, errNothing) {
			a.o.Log.Warn("cannot note the use of a token", "token", t.Name, "err", err)
		}
	}
	return id, nil
}

var errNothing = errors.New("nothing to do")

// person is one who may act.
func (a *Access) person(ctx context.Context, name string) (*api.Person, error) {
	p, err := a.people.Get(ctx, name)
	if api.CodeOf(err) == api.CodeNotFound && err != nil {
		return nil, unauthorized("ask an administrator", "there is no person %q any more", name)
	}
	if err != nil {
		return nil, err
	}
	if p.Spec.Disabled {
		return nil, unauthorized("ask an administrator", "the person %q is disabled", name)
	}
	return p, nil
}

// CreateToken makes a token (t.Name may be empty for a random one) and
// returns its secret form, once. A join token expires after a day unless it says otherwise.
func (a *Access) CreateToken(ctx context.Context, t *api.Token) (string, error) {
	if t.Name == "" {
		t.Name = "t" + newSecret()[:10]
	}
	if t.Spec.Join {
		t.Spec.Role, t.Spec.Person = "", ""
		if t.Spec.Host != "" {
			if err := api.ValidName(t.Spec.Host); err != nil {
				return "", err
			}
		}
		if t.Spec.Expires.IsZero() {
			t.Spec.Expires = a.o.Now().UTC().Add(24 * time.Hour).Truncate(time.Second)
		}
	}
	if e := t.Spec.Expires; !e.IsZero() && !e.After(a.o.Now()) {
		return "", &api.Error{Code: api.CodeInvalid, Field: "spec.expires", Message: "cannot make a token that has expired already", Remedy: "give a time to come"}
	}
	if p := t.Spec.Person; p != "" {
		if _, err := a.people.Get(ctx, p); err != nil {
			return "", err
		}
	}
	plain := newSecret()
	t.UID, t.Status = store.NewUID(), api.TokenStatus{}
	s := &secret{Meta: api.Meta{Name: t.Name}}
	s.Spec.Of, s.Spec.Hash = t.UID, hashSecret(plain)
	if err := a.o.Store.Commit(ctx, a.tokens.ToCreate(t), a.secrets.ToPut(s)); err != nil {
		return "", err
	}
	return tokenPrefix + t.Name + "_" + plain, nil
}

// DeleteToken revokes a token.
func (a *Access) DeleteToken(ctx context.Context, name string) error {
	if err := a.tokens.Delete(ctx, name); err != nil {
		return err
	}
	a.ends.tell()
	return ignoreMissing(a.secrets.Delete(ctx, name))
}

func ignoreMissing(err error) error {
	if err != nil && api.CodeOf(err) == api.CodeNotFound {
		return nil
	}
	return err
}

const joinRemedy = "make a new one by `drover token join`"

// CheckJoin says whether a join token would do for that host, without using it.
func (a *Access) CheckJoin(ctx context.Context, token, host string) (*api.Token, error) {
	t, err := a.lookup(ctx, token, "join token")
	if err != nil {
		var e *api.Error
		if errors.As(err, &e) && e.Code == api.CodeUnauthorized {
			return nil, e.WithRemedy("check that it was copied whole, or %s", joinRemedy)
		}
		return nil, err
	}
	switch now := a.o.Now(); {
	case !t.Spec.Join:
		return nil, unauthorized(joinRemedy, "the token %q is no join token", t.Name)
	case !t.Status.Used.IsZero():
		return nil, unauthorized(joinRemedy, "the join token %q was used already, by host %q at %s", t.Name, t.Status.UsedBy, t.Status.Used.UTC().Format(time.RFC3339))
	case !now.Before(t.Spec.Expires):
		return nil, unauthorized(joinRemedy, "the join token %q expired at %s", t.Name, t.Spec.Expires.UTC().Format(time.RFC3339))
	case t.Spec.Host != "" && t.Spec.Host != host:
		return nil, api.Errorf(api.CodeForbidden, "the join token %q is for host %q, not for %q", t.Name, t.Spec.Host, host).WithRemedy("join as that host, or %s", joinRemedy)
	}
	return t, nil
}

// UseJoin uses a join token up for a host, once: in one transaction with the
// changes given (the host's own creation). If those fail, it is not used up.
func (a *Access) UseJoin(ctx context.Context, token, host string, with ...store.Change) error {
	for try := 0; ; try++ {
		t, err := a.CheckJoin(ctx, token, host)
		if err != nil {
			return err
		}
		rev := t.Revision
		t.Status = api.TokenStatus{Used: a.o.Now().UTC().Truncate(time.Second), UsedBy: host}
		changes := append([]store.Change{a.tokens.ToPutPart(t, store.Status)}, with...)
		if err = a.o.Store.Commit(ctx, changes...); err == nil {
			return nil
		}
		// Somebody may have been faster with the token, or only with its labels.
		now, err2 := a.CheckJoin(ctx, token, host)
		if err2 != nil && api.CodeOf(err2) == api.CodeUnauthorized {
			return err2
		}
		if err2 != nil || now.Revision == rev || try == 3 {
			return err
		}
	}
}

// Sweep removes what is of no more use: sessions that have expired, join
// tokens a day after their use or expiry, hashes without their owner.
func (a *Access) Sweep(ctx context.Context) error {
	now := a.o.Now()
	day := now.Add(-24 * time.Hour)
	var errs []error
	drop := func(err error) { errs = append(errs, ignoreMissing(err)) }
	errs = append(errs, a.sessions.Scan(ctx, func(s *session) error {
		if !now.Before(s.Spec.Expires) {
			drop(a.sessions.Delete(ctx, s.Name))
		}
		return nil
	}))
	errs = append(errs, a.tokens.Scan(ctx, func(t *api.Token) error {
		if t.Spec.Join && (t.Spec.Expires.Before(day) || !t.Status.Used.IsZero() && t.Status.Used.Before(day)) {
			drop(a.DeleteToken(ctx, t.Name))
		}
		return nil
	}))
	errs = append(errs, a.secrets.Scan(ctx, func(s *secret) error {
		if t, err := a.tokens.Get(ctx, s.Name); err != nil && api.CodeOf(err) == api.CodeNotFound || err == nil && t.UID != s.Spec.Of {
			drop(a.secrets.DeleteAt(ctx, s.Name, s.Revision))
		}
		return nil
	}))
	errs = append(errs, a.passwords.Scan(ctx, func(p *password) error {
		if who, err := a.people.Get(ctx, p.Name); err != nil && api.CodeOf(err) == api.CodeNotFound || err == nil && who.UID != p.Spec.Of {
			drop(a.passwords.DeleteAt(ctx, p.Name, p.Revision))
		}
		return nil
	}))
	a.limits.sweep(now)
	return errors.Join(errs...)
}

// sessionName is the name of the session with that secret.
func sessionName(plain string) string { return hex.EncodeToString(hashSecret(plain)) }

func newSessionSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
