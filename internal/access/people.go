package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"drover/api"
	"drover/internal/store"
)

// CreatePerson makes a person with a password.
func (a *Access) CreatePerson(ctx context.Context, p *api.Person, plain string) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if _, err := a.people.Get(ctx, p.Name); err == nil { // before the costly part
		return api.Errorf(api.CodeExists, "cannot create person %q: there is one already", p.Name).WithRemedy("choose another name, or set a new password")
	}
	w, err := a.newPassword(ctx, p.Name, plain)
	if err != nil {
		return err
	}
	p.UID = store.NewUID()
	w.Spec.Of = p.UID
	return a.o.Store.Commit(ctx, a.people.ToCreate(p), a.passwords.ToPut(w))
}

// SetPassword changes a person's password and ends all that the person signed
// in with before.
func (a *Access) SetPassword(ctx context.Context, person, plain string) error {
	p, err := a.people.Get(ctx, person)
	if err != nil {
		return err
	}
	w, err := a.newPassword(ctx, person, plain)
	if err != nil {
		return err
	}
	w.Spec.Of = p.UID
	if err := a.passwords.Put(ctx, w); err != nil {
		return err
	}
	return a.SignOutEverywhere(ctx, person)
}

func (a *Access) newPassword(ctx context.Context, person, plain string) (*password, error) {
	if n := utf8.RuneCountInString(plain); n < 10 || len(plain) > 1024 {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "password", Message: "cannot use this password: it must have 10 to 1024 characters", Remedy: "choose a longer one: a few words will do"}
	}
	if strings.Contains(strings.ToLower(plain), strings.ToLower(person)) && len(plain) < len(person)+8 {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "password", Message: "cannot use this password: it is little more than the name", Remedy: "choose another"}
	}
	w := &password{Meta: api.Meta{Name: person}}
	return w, a.hasher.set(ctx, w, plain)
}

// DeletePerson removes a person with password, tokens and sessions. The last
// administrator stays.
func (a *Access) DeletePerson(ctx context.Context, name string) error {
	if err := a.KeepsAdmin(ctx, name, nil); err != nil {
		return err
	}
	if err := a.people.Delete(ctx, name); err != nil {
		return err
	}
	errs := []error{ignoreMissing(a.passwords.Delete(ctx, name)), a.SignOutEverywhere(ctx, name)}
	errs = append(errs, a.tokens.Scan(ctx, func(t *api.Token) error {
		if t.Spec.Person == name {
			errs = append(errs, ignoreMissing(a.DeleteToken(ctx, t.Name)))
		}
		return nil
	}))
	return errors.Join(errs...)
}

// KeepsAdmin refuses a change of a person (next; nil if removed) that would
// leave no administrator. Call it before a generic write of a person.
func (a *Access) KeepsAdmin(ctx context.Context, name string, next *api.Person) error {
	was, others := false, false
	err := a.people.Scan(ctx, func(p *api.Person) error {
		admin := p.Spec.Role == api.RoleAdmin && !p.Spec.Disabled
		was = was || admin && p.Name == name
		others = others || admin && p.Name != name
		return nil
	})
	if err != nil || !was || others || next != nil && next.Spec.Role == api.RoleAdmin && !next.Spec.Disabled {
		return err
	}
	return api.Errorf(api.CodeInvalid, "cannot change person %q: no administrator would be left", name).WithRemedy("make somebody else an administrator first")
}

// SignIn checks a password. Wrong ones are rate-limited by person and by
// remote address; it takes as long for a person there is as for one there is not.
func (a *Access) SignIn(ctx context.Context, person, plain string, from From) (Session, error) {
	remote := from.host()
	refund, err := a.limits.take(person, remote, a.o.Now())
	if err != nil {
		return Session{}, err
	}
	p, err := a.people.Get(ctx, person)
	if err != nil && api.CodeOf(err) != api.CodeNotFound {
		return Session{}, err
	}
	w, err2 := a.passwords.Get(ctx, person)
	if err2 != nil && api.CodeOf(err2) != api.CodeNotFound {
		return Session{}, err2
	}
	known := err == nil && err2 == nil && w.Spec.Of == p.UID
	if !known {
		w = nobody()
	}
	ok, err := a.hasher.check(ctx, w, plain)
	if err != nil {
		refund() // it was not tried
		return Session{}, err
	}
	if !ok || !known {
		return Session{}, unauthorized("try again, or ask an administrator for a new password", "cannot sign in: the name or the password is wrong")
	}
	refund()
	if p.Spec.Disabled {
		return Session{}, unauthorized("ask an administrator", "the person %q is disabled", person)
	}
	return a.newSession(ctx, p, from)
}

const (
	linkName = "first-administrator"
	linkLife = 24 * time.Hour
)

// FirstLink returns the secret of a new one-time link while there is no
// administrator yet, good for a day, in place of an earlier one; "" when there is one.
func (a *Access) FirstLink(ctx context.Context) (string, error) {
	found := false
	err := a.people.Scan(ctx, func(p *api.Person) error {
		found = found || p.Spec.Role == api.RoleAdmin && !p.Spec.Disabled
		return nil
	})
	if err != nil || found {
		return "", err
	}
	plain := newSecret()
	s := &secret{Meta: api.Meta{Name: linkName}}
	s.Spec.Hash, s.Spec.Expires = hashSecret(plain), a.o.Now().UTC().Add(linkLife).Truncate(time.Second)
	if err := a.links.Put(ctx, s); err != nil {
		return "", err
	}
	return plain, nil
}

// RedeemLink makes the first administrator with the one-time secret, once, and signs in.
func (a *Access) RedeemLink(ctx context.Context, plain, name, pass string, from From) (Session, error) {
	const again = "restart the server while there is no administrator: it prints a new one"
	if err := api.ValidName(name); err != nil {
		return Session{}, err
	}
	l, err := a.links.Get(ctx, linkName)
	if err != nil && api.CodeOf(err) != api.CodeNotFound {
		return Session{}, err
	}
	if err != nil {
		return Session{}, unauthorized("sign in, or ask the administrator", "cannot use the one-time link: it was used already")
	}
	if subtle.ConstantTimeCompare(l.Spec.Hash, hashSecret(plain)) != 1 {
		return Session{}, unauthorized("copy it whole, or "+again, "cannot use the one-time link: it is wrong")
	}
	if !a.o.Now().Before(l.Spec.Expires) {
		return Session{}, unauthorized(again, "cannot use the one-time link: it expired at %s", l.Spec.Expires.UTC().Format(time.RFC3339))
	}
	w, err := a.newPassword(ctx, name, pass)
	if err != nil {
		return Session{}, err
	}
	p := &api.Person{Meta: api.Meta{Name: name, UID: store.NewUID()}, Spec: api.PersonSpec{Role: api.RoleAdmin}}
	w.Spec.Of = p.UID
	err = a.o.Store.Commit(ctx, a.links.ToDelete(linkName, l.Revision), a.people.ToCreate(p), a.passwords.ToPut(w))
	if c := api.CodeOf(err); err != nil && (c == api.CodeConflict || c == api.CodeNotFound) {
		return Session{}, unauthorized("sign in, or ask the administrator", "cannot use the one-time link: it was used already")
	}
	if err != nil {
		return Session{}, err
	}
	return a.newSession(ctx, p, from)
}
