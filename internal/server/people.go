package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"drover/api"
	"drover/internal/access"
	"drover/internal/domain"
)

// LoginRequest signs a person in.
type LoginRequest struct {
	Person   string `json:"person"`
	Password string `json:"password"`
	// Token asks for a token, for programs such as the CLI, instead of a
	// browser's session cookie. Note says what it is for.
	Token bool   `json:"token,omitempty"`
	Note  string `json:"note,omitempty"`
}

// FirstLoginRequest makes the first administrator by the one-time code that
// the server printed.
type FirstLoginRequest struct {
	Code string `json:"code"`
	LoginRequest
}

// LoginResponse says who has signed in.
type LoginResponse struct {
	Person    string    `json:"person"`
	Role      api.Role  `json:"role"`
	Token     string    `json:"token,omitempty"`     // the secret, if one was asked for; it is shown this once
	TokenName string    `json:"tokenName,omitempty"` // to revoke it by
	Expires   time.Time `json:"expires"`
}

// LogoutRequest ends what the request was signed in with.
type LogoutRequest struct{}

// NewPerson is a person with a first password.
type NewPerson struct {
	api.Person
	Password string `json:"password"`
}

// NewPassword changes a password.
type NewPassword struct {
	Old string `json:"old,omitempty"` // needed for one's own
	New string `json:"new"`
}

// NewToken is a token with its secret, which is shown this once.
type NewToken struct {
	api.Token
	Secret string `json:"secret"`
}

// cliTokenLife is how long the token of a signed-in CLI lives.
const cliTokenLife = 30 * 24 * time.Hour

// maxLogin bounds what anybody may send to sign in.
const maxLogin = 16 << 10

// accessDomain is what the server itself hands over: people and tokens.
func (s *Server) accessDomain() domain.Domain {
	return domain.Domain{Name: "access", Doc: "Who may do what.",
		Kinds: []domain.Kind{
			{Name: "person", Plural: "people", Short: []string{"persons"}, Doc: "Somebody who signs in with a password.", New: func() api.Object { return &api.Person{} },
				Read: domain.Admin(), Write: domain.Admin(), NoCreate: true, Made: "make one by `drover person create NAME --role ROLE`, which asks for the password",
				BeforeWrite: func(ctx context.Context, old, o api.Object) error {
					p := o.(*api.Person)
					if p.Spec.Role == api.RoleAdmin && !p.Spec.Disabled {
						return nil
					}
					return s.keepAdmin(ctx, p.Name)
				},
				BeforeDelete: func(ctx context.Context, o api.Object) error { return s.keepAdmin(ctx, o.Metadata().Name) },
				Delete:       s.access.DeletePerson},
			{Name: "token", Plural: "tokens", Doc: "What a program or a signed-in CLI proves itself with, or what a host joins with.", New: func() api.Object { return &api.Token{} },
				Read: domain.Operator(), Write: domain.Admin(), NoCreate: true, NoUpdate: true, Delete: s.access.DeleteToken,
				Made: "make one by `drover token create NAME --role ROLE`, or by `drover token join` for a host, which prints the secret once"},
		},
		Routes: []domain.Route{
			{Method: "POST", Path: "/v1/login", Access: domain.Public("it checks the password; attempts are limited"), Doc: "Sign in with a password.", Request: LoginRequest{}, Response: LoginResponse{}, MaxBody: maxLogin, Handle: s.login},
			{Method: "POST", Path: "/v1/login/first", Access: domain.Public("it checks the one-time code, which ends with its use"), Doc: "Make the first administrator.\n\nThe code is in the link that the server prints at its start while there is no administrator.",
				Request: FirstLoginRequest{}, Response: LoginResponse{}, MaxBody: maxLogin, Handle: s.firstLogin},
			{Method: "POST", Path: "/v1/logout", Access: domain.SignedIn(), Doc: "Sign out: end the session, or revoke the token, that the request shows.", Handle: s.logout},
			{Method: "GET", Path: "/v1/sessions", Access: domain.SignedIn(), Doc: "What one is signed in with: browsers' sessions, and tokens of programs such as `drover login`.", Response: api.SessionList{}, Handle: s.listSessions},
			{Method: "DELETE", Path: "/v1/sessions", Access: domain.SignedIn(), Doc: "Sign out everywhere: end all of one's own sessions, also the one that asks. Tokens that were made for programs stay.", Handle: s.endSessions},
			{Method: "DELETE", Path: "/v1/sessions/{id}", Access: domain.SignedIn(), Doc: "End one of one's own sessions.", Handle: s.endSession},
			{Method: "POST", Path: "/v1/people", Access: domain.Admin(), Doc: "Create a person with a password.", Request: NewPerson{}, Response: &api.Person{}, Handle: s.createPerson},
			{Method: "POST", Path: "/v1/people/{name}/password", Access: domain.SignedIn(), Doc: "Change a password: one's own, or as an administrator anybody's. It ends all that the person has signed in with; a browser in which one's own was changed gets a new session.", Request: NewPassword{}, Handle: s.setPassword},
			{Method: "POST", Path: "/v1/tokens", Access: domain.SignedIn(), Doc: "Create a token; its secret is in the answer and never shown again.\n\nAdministrators make any; operators make join tokens; everybody makes tokens for themselves, of at most their own role.",
				Request: &api.Token{}, Response: NewToken{}, Handle: s.createToken},
			{Method: "DELETE", Path: "/v1/tokens/{name}", Access: domain.SignedIn(), Doc: "Revoke a token: one's own, a join token as an operator, any as an administrator.", Handle: s.deleteToken},
		},
	}
}

// keepAdmin refuses to take away the last administrator.
func (s *Server) keepAdmin(ctx context.Context, name string) error {
	others, was := 0, false
	err := s.people.Scan(ctx, func(p *api.Person) error {
		if p.Spec.Role == api.RoleAdmin && !p.Spec.Disabled {
			if p.Name == name {
				was = true
			} else {
				others++
			}
		}
		return nil
	})
	if err != nil || others > 0 || !was {
		return err
	}
	return api.Errorf(api.CodeInvalid, "%s is the last administrator", name).WithRemedy("make somebody else an administrator first")
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	var in LoginRequest
	if err := domain.Decode(r, &in); err != nil {
		return err
	}
	domain.Note(r.Context(), "person/"+in.Person, "")
	session, err := s.access.SignIn(r.Context(), in.Person, in.Password, from(r))
	if err != nil {
		return err
	}
	return s.signedIn(w, r, session, in)
}

func (s *Server) firstLogin(w http.ResponseWriter, r *http.Request) error {
	var in FirstLoginRequest
	if err := domain.Decode(r, &in); err != nil {
		return err
	}
	domain.Note(r.Context(), "person/"+in.Person, "first administrator")
	session, err := s.access.RedeemLink(r.Context(), in.Code, in.Person, in.Password, from(r))
	if err != nil {
		return err
	}
	return s.signedIn(w, r, session, in.LoginRequest)
}

// signedIn answers a sign-in by a cookie or a token.
func (s *Server) signedIn(w http.ResponseWriter, r *http.Request, session access.Session, in LoginRequest) error {
	out := LoginResponse{Person: session.Identity.Person, Role: session.Identity.Role, Expires: session.Expires}
	if !in.Token {
		http.SetCookie(w, session.Cookie())
		return domain.WriteJSON(w, http.StatusOK, out)
	}
	// The session was only the proof of the password.
	if err := s.access.SignOut(r.Context(), session.Secret); err != nil {
		return err
	}
	note := in.Note
	if note == "" {
		note = "signed-in program"
	}
	t := &api.Token{Meta: api.Meta{Kind: "token", Name: out.Person + "-" + newRequestID()}, Spec: api.TokenSpec{Person: out.Person, Role: out.Role, Expires: s.now().Add(cliTokenLife).UTC(), Note: note, SignIn: true}}
	secret, err := s.access.CreateToken(r.Context(), t)
	if err != nil {
		return err
	}
	out.Token, out.TokenName, out.Expires = secret, t.Name, t.Spec.Expires
	return domain.WriteJSON(w, http.StatusOK, out)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	who := domain.WhoIs(r.Context())
	if who.Token != "" {
		domain.Note(r.Context(), "token/"+who.Token, "")
		if err := s.access.DeleteToken(r.Context(), who.Token); err != nil {
			return err
		}
	} else if c, err := r.Cookie(access.CookieName); err == nil {
		if err := s.access.SignOut(r.Context(), c.Value); err != nil {
			return err
		}
		forgetCookie(w)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) createPerson(w http.ResponseWriter, r *http.Request) error {
	var in NewPerson
	if err := domain.Decode(r, &in); err != nil {
		return err
	}
	domain.Note(r.Context(), "person/"+in.Name, "")
	p := &api.Person{Meta: api.Meta{Kind: "person", Name: in.Name, Labels: in.Labels}, Spec: in.Spec}
	if err := errors.Join(p.Validate(), checkLabels(p.Labels)); err != nil {
		return err
	}
	if err := s.access.CreatePerson(r.Context(), p, in.Password); err != nil {
		return err
	}
	return domain.WriteJSON(w, http.StatusCreated, p)
}

func (s *Server) setPassword(w http.ResponseWriter, r *http.Request) error {
	var in NewPassword
	if err := domain.Decode(r, &in); err != nil {
		return err
	}
	who, name := domain.WhoIs(r.Context()), r.PathValue("name")
	domain.Note(r.Context(), "person/"+name, "password")
	if who.Person == name {
		// A stolen session or token must not be able to keep the account.
		session, err := s.access.SignIn(r.Context(), name, in.Old, from(r))
		if err != nil {
			return err
		}
		if err := s.access.SignOut(r.Context(), session.Secret); err != nil {
			return err
		}
	} else if !who.Role.Allows(api.RoleAdmin) {
		return api.Errorf(api.CodeForbidden, "only administrators change somebody else's password").WithRemedy("ask an administrator")
	}
	if err := s.access.SetPassword(r.Context(), name, in.New); err != nil {
		return err
	}
	if who.Person == name && who.Session != "" {
		// Who has just shown the password goes on in this browser, by a session
		// that nobody can have a copy of.
		session, err := s.access.SignIn(r.Context(), name, in.New, from(r))
		if err != nil {
			return err
		}
		http.SetCookie(w, session.Cookie())
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) createToken(w http.ResponseWriter, r *http.Request) error {
	var in api.Token
	if err := domain.Decode(r, &in); err != nil {
		return err
	}
	t := &api.Token{Meta: api.Meta{Kind: "token", Name: in.Name, Labels: in.Labels}, Spec: in.Spec}
	t.Spec.SignIn = false
	if err := s.mayCreate(domain.WhoIs(r.Context()), t.Spec); err != nil {
		return err
	}
	if err := checkLabels(t.Labels); err != nil {
		return err
	}
	if !t.Spec.Expires.IsZero() && t.Spec.Expires.Before(s.now()) {
		return &api.Error{Code: api.CodeInvalid, Field: "spec.expires", Message: "this time is past", Remedy: "name a later one"}
	}
	if t.Spec.Person != "" {
		p, err := s.people.Get(r.Context(), t.Spec.Person)
		if err != nil {
			return err
		}
		if !p.Spec.Role.Allows(t.Spec.Role) {
			return &api.Error{Code: api.CodeInvalid, Field: "spec.role", Message: p.Name + " has the role " + string(p.Spec.Role) + "; a token has at most its person's", Remedy: "use that role"}
		}
	}
	domain.Note(r.Context(), "token/"+t.Name, tokenDetail(t.Spec))
	secret, err := s.access.CreateToken(r.Context(), t)
	if err != nil {
		return err
	}
	domain.Note(r.Context(), "token/"+t.Name, tokenDetail(t.Spec))
	return domain.WriteJSON(w, http.StatusCreated, NewToken{Token: *t, Secret: secret})
}

func tokenDetail(t api.TokenSpec) string {
	switch {
	case t.Join && t.Host != "":
		return "join " + t.Host
	case t.Join:
		return "join"
	}
	return strings.TrimSpace("role " + string(t.Role) + " " + t.Person)
}

func (s *Server) mayCreate(who *domain.Identity, t api.TokenSpec) error {
	switch {
	case who.Role.Allows(api.RoleAdmin):
		return nil
	case t.Join && who.Role.Allows(api.RoleOperator):
		return nil
	case !t.Join && t.Person != "" && t.Person == who.Person && who.Role.Allows(t.Role):
		return nil
	}
	return api.Errorf(api.CodeForbidden, "%s with the role %s may not make this token", who.Actor, who.Role).
		WithRemedy("ask an administrator; you may make tokens for yourself with at most your own role")
}

func (s *Server) deleteToken(w http.ResponseWriter, r *http.Request) error {
	who, name := domain.WhoIs(r.Context()), r.PathValue("name")
	domain.Note(r.Context(), "token/"+name, "")
	t, err := s.tokens.Get(r.Context(), name)
	if err != nil {
		if api.CodeOf(err) == api.CodeNotFound && !who.Role.Allows(api.RoleOperator) {
			return forbiddenToken(who) // who may not list tokens must not learn their names
		}
		return err
	}
	own := t.Spec.Person != "" && t.Spec.Person == who.Person || who.Token == name
	if !who.Role.Allows(api.RoleAdmin) && !own && !(t.Spec.Join && who.Role.Allows(api.RoleOperator)) {
		return forbiddenToken(who)
	}
	if err := s.access.DeleteToken(r.Context(), name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func forbiddenToken(who *domain.Identity) error {
	return api.Errorf(api.CodeForbidden, "%s may not revoke this token", who.Actor).WithRemedy("ask an administrator")
}
