package access

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"drover/api"
)

// Session is a sign-in of a person.
type Session struct {
	Identity Identity
	Secret   string // the cookie's value
	Expires  time.Time
}

// CookieName of the session cookie.
const CookieName = "drover_session"

// Cookie is the session as a cookie: HttpOnly, Secure, SameSite=Strict.
func (s Session) Cookie() *http.Cookie {
	return &http.Cookie{Name: CookieName, Value: s.Secret, Path: "/", Expires: s.Expires, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode}
}

// From is where a sign-in comes from.
type From struct {
	Remote string // address, with or without a port
	Agent  string // what the program says it is
}

func (f From) host() string {
	if host, _, err := net.SplitHostPort(f.Remote); err == nil {
		return host
	}
	return f.Remote
}

// maxAgent bounds what is kept of a browser's description of itself.
const maxAgent = 200

// sessionID is what a session is called where people see it: too little to be
// taken for the secret's hash, enough to tell sessions apart.
func sessionID(s *session) string { return s.Name[:12] }

func (a *Access) newSession(ctx context.Context, p *api.Person, from From) (Session, error) {
	plain := newSessionSecret()
	s := &session{Meta: api.Meta{Name: sessionName(plain)}}
	s.Spec.Person, s.Spec.Of, s.Spec.Remote, s.Spec.Agent = p.Name, p.UID, from.host(), cut(from.Agent, maxAgent)
	s.Spec.Expires = a.o.Now().UTC().Add(a.o.SessionLife).Truncate(time.Second)
	if err := a.sessions.Create(ctx, s); err != nil {
		return Session{}, err
	}
	return Session{Identity: Identity{Person: p.Name, Session: sessionID(s), Role: p.Spec.Role, Expires: s.Spec.Expires}, Secret: plain, Expires: s.Spec.Expires}, nil
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// usedEvery is how exactly the last use of a session is known.
const usedEvery = 5 * time.Minute

// session finds the identity behind a session's secret.
func (a *Access) session(ctx context.Context, plain string) (Identity, error) {
	s, err := a.sessions.Get(ctx, sessionName(plain))
	if err != nil {
		if api.CodeOf(err) == api.CodeNotFound {
			return Identity{}, unauthorized("sign in again", "the session has ended")
		}
		return Identity{}, err
	}
	now := a.o.Now()
	if !now.Before(s.Spec.Expires) {
		return Identity{}, unauthorized("sign in again", "the session expired at %s", s.Spec.Expires.UTC().Format(time.RFC3339))
	}
	p, err := a.person(ctx, s.Spec.Person)
	if err != nil {
		return Identity{}, err
	}
	if p.UID != s.Spec.Of {
		return Identity{}, unauthorized("sign in again", "the session has ended")
	}
	if used := now.UTC().Truncate(usedEvery); s.Status.Used.Before(used) {
		_, err := a.sessions.UpdateStatus(ctx, s.Name, func(s *session) error {
			if !s.Status.Used.Before(used) {
				return errNothing
			}
			s.Status.Used = used
			return nil
		})
		if err != nil && !errors.Is(err, errNothing) && api.CodeOf(err) != api.CodeNotFound {
			a.o.Log.Warn("cannot note the use of a session", "session", sessionID(s), "err", err)
		}
	}
	return Identity{Person: p.Name, Session: sessionID(s), Role: p.Spec.Role, Expires: s.Spec.Expires}, nil
}

// SignOut ends a session by its secret; one that has ended is fine.
func (a *Access) SignOut(ctx context.Context, plain string) error {
	defer a.ends.tell()
	return ignoreMissing(a.sessions.Delete(ctx, sessionName(plain)))
}

// Sessions are what a person is signed in with: browsers' sessions and the
// tokens that signing in made, the newest first. who is the person, as the
// request that asks has shown.
func (a *Access) Sessions(ctx context.Context, who Identity) ([]api.Session, error) {
	now := a.o.Now()
	out := []api.Session{}
	err := a.sessions.Scan(ctx, func(s *session) error {
		if s.Spec.Person == who.Person && now.Before(s.Spec.Expires) {
			out = append(out, api.Session{ID: sessionID(s), Kind: api.SessionBrowser, Created: s.Created, Expires: s.Spec.Expires, Used: s.Status.Used,
				Remote: s.Spec.Remote, Note: s.Spec.Agent, Current: who.Token == "" && who.Session == sessionID(s)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = a.tokens.Scan(ctx, func(t *api.Token) error {
		if a.signedIn(t, who.Person) && (t.Spec.Expires.IsZero() || now.Before(t.Spec.Expires)) {
			out = append(out, api.Session{ID: t.Name, Kind: api.SessionToken, Created: t.Created, Expires: t.Spec.Expires, Used: t.Status.Used,
				Note: t.Spec.Note, Current: who.Token == t.Name})
		}
		return nil
	})
	slices.SortFunc(out, func(x, y api.Session) int {
		return cmp.Or(y.Created.Compare(x.Created), cmp.Compare(x.ID, y.ID))
	})
	return out, err
}

// signedIn reports whether a token is of a person's own signing in, and not
// one that was made for a program.
func (a *Access) signedIn(t *api.Token, person string) bool {
	return t.Spec.SignIn && person != "" && t.Spec.Person == person
}

// EndSession ends one of what Sessions lists.
func (a *Access) EndSession(ctx context.Context, person, id string) error {
	found, err := a.end(ctx, person, func(name string) bool { return name == id })
	if err == nil && !found {
		return api.Errorf(api.CodeNotFound, "you have no session %q", id).WithRemedy("see GET /v1/sessions for those you have")
	}
	return err
}

// SignOutEverywhere ends all of what Sessions lists.
func (a *Access) SignOutEverywhere(ctx context.Context, person string) error {
	_, err := a.end(ctx, person, func(string) bool { return true })
	return err
}

func (a *Access) end(ctx context.Context, person string, which func(id string) bool) (found bool, err error) {
	defer a.ends.tell()
	var errs []error
	errs = append(errs, a.sessions.Scan(ctx, func(s *session) error {
		if s.Spec.Person == person && which(sessionID(s)) {
			found = true
			errs = append(errs, ignoreMissing(a.sessions.Delete(ctx, s.Name)))
		}
		return nil
	}))
	errs = append(errs, a.tokens.Scan(ctx, func(t *api.Token) error {
		if a.signedIn(t, person) && which(t.Name) {
			found = true
			errs = append(errs, ignoreMissing(a.DeleteToken(ctx, t.Name)))
		}
		return nil
	}))
	return found, errors.Join(errs...)
}

// ends tells those who follow something that a credential has ended.
type ends struct {
	mu   sync.Mutex
	next chan struct{}
}

func (e *ends) tell() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.next)
	e.next = make(chan struct{})
}

// Ended is closed when a session or token was ended after the call, whosever
// it is: who was let in by one should look again.
func (a *Access) Ended() <-chan struct{} {
	a.ends.mu.Lock()
	defer a.ends.mu.Unlock()
	return a.ends.next
}
