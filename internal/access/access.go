// Package access knows who may do what: people with passwords, tokens,
// sessions, join tokens and the first administrator's one-time link.
//
// Secrets are shown once and stored as hashes only, in private kinds that the
// API never serves.
package access

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"drover/api"
	"drover/internal/store"
)

// Options of an Access; Store is required.
type Options struct {
	Store *store.Store // with Kinds
	Now   func() time.Time
	Log   *slog.Logger
	// Hashing at most this many passwords at once (46 MiB each); 2 if 0.
	Hashers int
	// SessionLife of a sign-in; 12 h if 0.
	SessionLife time.Duration
}

// Kinds are the kinds to give to store.New: "person", "token" and the private ones.
func Kinds() []store.Kind { return nil }

// PublicKinds are the names of those that the generic API may serve.
func PublicKinds() []string { return []string{"person", "token"} }

// Identity is who a request comes from.
type Identity struct {
	Person  string // empty for a program's token
	Token   string // name of the token used, if one was
	Session string // id of the session used, if one was
	Role    api.Role
}

// Actor is the name for the audit: the person, or "token/NAME".
func (i Identity) Actor() string { return "" }

// May is nil if i has the role wanted, else CodeForbidden with a remedy.
func (i Identity) May(want api.Role) error { return nil }

// Access answers who is asking.
type Access struct{}

// New makes an Access.
func New(o Options) *Access { return nil }

// Authenticate finds the identity behind a request: "Authorization: Bearer
// TOKEN", Basic with the token as the password (for git), or the session
// cookie. CodeUnauthorized with a remedy if there is none or it is wrong.
func (a *Access) Authenticate(ctx context.Context, r *http.Request) (Identity, error) {
	return Identity{}, nil
}

// Check is Authenticate of a bare token.
func (a *Access) Check(ctx context.Context, token string) (Identity, error) { return Identity{}, nil }

// CreateToken makes a token (t.Name may be empty for a random one) and returns its secret form, once.
func (a *Access) CreateToken(ctx context.Context, t *api.Token) (secret string, err error) {
	return "", nil
}

// DeleteToken revokes a token.
func (a *Access) DeleteToken(ctx context.Context, name string) error { return nil }

// CreatePerson makes a person with a password.
func (a *Access) CreatePerson(ctx context.Context, p *api.Person, password string) error { return nil }

// SetPassword changes a person's password and ends the person's sessions.
func (a *Access) SetPassword(ctx context.Context, person, password string) error { return nil }

// DeletePerson removes a person with password, tokens and sessions.
func (a *Access) DeletePerson(ctx context.Context, name string) error { return nil }

// Session is a sign-in of a person.
type Session struct {
	Identity Identity
	Secret   string // the cookie's value
	Expires  time.Time
}

// CookieName of the session cookie.
const CookieName = "drover_session"

// Cookie is the session as a cookie: HttpOnly, Secure, SameSite=Strict.
func (s Session) Cookie() *http.Cookie { return nil }

// SignIn checks a password. Wrong ones are rate-limited by person and by remote address.
func (a *Access) SignIn(ctx context.Context, person, password, remote string) (Session, error) {
	return Session{}, nil
}

// SignOut ends a session by its secret.
func (a *Access) SignOut(ctx context.Context, secret string) error { return nil }

// FirstLink returns the secret of a new one-time link while there is no
// administrator yet; "" when there is one.
func (a *Access) FirstLink(ctx context.Context) (secret string, err error) { return "", nil }

// RedeemLink makes the first administrator with the one-time secret, once, and signs in.
func (a *Access) RedeemLink(ctx context.Context, secret, name, password, remote string) (Session, error) {
	return Session{}, nil
}

// CheckJoin says whether a join token would do for that host, without using it.
func (a *Access) CheckJoin(ctx context.Context, token, host string) (*api.Token, error) {
	return nil, nil
}

// UseJoin uses a join token up for a host, once: in one transaction with the
// changes given (the host's own creation).
func (a *Access) UseJoin(ctx context.Context, token, host string, with ...store.Change) error {
	return nil
}

// Sweep removes what has expired: sessions, join tokens a week old. Call it now and then.
func (a *Access) Sweep(ctx context.Context) error { return nil }
