package server

import (
	"context"
	"net/http"
	"time"

	"drover/api"
	"drover/internal/access"
	"drover/internal/domain"
)

// from is where a sign-in comes from.
func from(r *http.Request) access.From {
	return access.From{Remote: domain.Remote(r.Context()), Agent: r.UserAgent()}
}

func forgetCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: access.CookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

func (s *Server) whoami(w http.ResponseWriter, r *http.Request) error {
	who := domain.WhoIs(r.Context())
	me := api.Me{Actor: who.Actor, Person: who.Person, Token: who.Token, Session: who.Session, Role: who.Role, Expires: who.Expires,
		Fleet: s.ca.Fleet(), Version: s.cfg.Version, Time: s.now().UTC()}
	if who.Person != "" {
		p, err := s.people.Get(r.Context(), who.Person)
		if err != nil {
			return err
		}
		me.FullName = p.Spec.FullName
	}
	return domain.WriteJSON(w, http.StatusOK, me)
}

// oneself is the person who asks; a program's token has no sessions.
func oneself(r *http.Request) (*domain.Identity, error) {
	who := domain.WhoIs(r.Context())
	if who.Person == "" {
		return nil, api.Errorf(api.CodeInvalid, "%s has no sessions: it is no person", who.Actor).WithRemedy("revoke the token by DELETE /v1/tokens/%s", who.Token)
	}
	return who, nil
}

func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) error {
	who := domain.WhoIs(r.Context())
	list := api.SessionList{Items: []api.Session{}}
	if who.Person != "" {
		var err error
		if list.Items, err = s.access.Sessions(r.Context(), access.Identity{Person: who.Person, Token: who.Token, Session: who.Session}); err != nil {
			return err
		}
	}
	return domain.WriteJSON(w, http.StatusOK, list)
}

func (s *Server) endSessions(w http.ResponseWriter, r *http.Request) error {
	who, err := oneself(r)
	if err != nil {
		return err
	}
	domain.Note(r.Context(), "person/"+who.Person, "signed out everywhere")
	if err := s.access.SignOutEverywhere(r.Context(), who.Person); err != nil {
		return err
	}
	if who.Session != "" {
		forgetCookie(w)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request) error {
	who, err := oneself(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	domain.Note(r.Context(), "person/"+who.Person, "ended the session "+id)
	if err := s.access.EndSession(r.Context(), who.Person, id); err != nil {
		return err
	}
	if who.Session == id {
		forgetCookie(w)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// lookAgain is how often those who follow a stream are looked at, beside the
// times when a credential is ended: somebody may also be given another role.
const lookAgain = 15 * time.Second

// whileAdmitted is ctx that ends when r would not be let in any more: what is
// shown to somebody ends with what they were let in by.
func (s *Server) whileAdmitted(ctx context.Context, rt domain.Route, r *http.Request) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with ctx; the caller waits for it
		defer close(done)
		tick := time.NewTicker(lookAgain)
		defer tick.Stop()
		for {
			ended := s.access.Ended()
			// One that was ended before the call above is noticed here.
			if _, err := s.admit(rt, r.WithContext(ctx)); err != nil && ctx.Err() == nil {
				if code := api.CodeOf(err); code == api.CodeUnauthorized || code == api.CodeForbidden {
					cancel()
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-ended:
			case <-tick.C:
			}
		}
	}()
	return ctx, func() { cancel(); <-done }
}
