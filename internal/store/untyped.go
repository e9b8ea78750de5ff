package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"drover/api"
)

// Untyped is access to one kind as api.Objects, for the generic API; an
// object's JSON is json.Marshal of it.
type Untyped struct {
	c *cache
}

// UntypedEvent is one event of an untyped watch. Its Object is shared and must not be changed.
type UntypedEvent = Event[api.Object]

// Get reads one object: a copy.
func (u *Untyped) Get(ctx context.Context, name string) (api.Object, error) {
	o, err := u.c.read(ctx, name)
	if err != nil {
		return nil, err
	}
	return cloneObject(o), nil
}

// List reads all objects by name (shared: not to be changed) and the revision to watch from.
func (u *Untyped) List(ctx context.Context) ([]api.Object, int64, error) {
	if err := u.c.wait(ctx); err != nil {
		return nil, 0, err
	}
	all, rev := u.c.list()
	return all, rev, nil
}

// New is a new zero object of the kind.
func (u *Untyped) New() api.Object { return u.c.new() }

// Decode reads an object's JSON. Unknown fields, wrong types, another kind and
// trailing data are CodeInvalid and name the field.
func (u *Untyped) Decode(raw []byte) (api.Object, error) {
	if len(raw) > MaxObject {
		return nil, api.Errorf(api.CodeTooLarge, "cannot read the %s: it is %d bytes, the limit is %d", u.c.name, len(raw), MaxObject)
	}
	o := u.c.new()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(o)
	if err == nil {
		if _, err2 := d.Token(); !errors.Is(err2, io.EOF) {
			err = errors.New("there is more after the object")
		}
	}
	if err != nil {
		e := api.Errorf(api.CodeInvalid, "cannot read the %s: %v", u.c.name, err)
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			e = api.Errorf(api.CodeInvalid, "cannot read the %s: %s is not a %s", u.c.name, wrong.Value, wrong.Type)
			e.Field = wrong.Field
		} else if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			e = api.Errorf(api.CodeInvalid, "cannot read the %s: there is no field %s", u.c.name, field)
			e.Field = strings.Trim(field, `"`)
		}
		return nil, e
	}
	if k := o.Metadata().Kind; k != "" && k != u.c.name {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "kind",
			Message: fmt.Sprintf("cannot read the %s: it says it is a %q", u.c.name, k), Remedy: "write kind: " + u.c.name}
	}
	return o, nil
}

// Create writes a new object; CodeExists if there is one. With Spec, the status begins empty.
func (u *Untyped) Create(ctx context.Context, o api.Object, part Part) error {
	if err := u.check(o); err != nil {
		return err
	}
	return u.c.store.Commit(ctx, Change{cache: u.c, act: actCreate, part: part, obj: o, name: o.Metadata().Name})
}

// Put creates or replaces; a Revision in o must be the stored one. created
// tells which it was. o becomes the whole stored object.
func (u *Untyped) Put(ctx context.Context, o api.Object, part Part) (created bool, err error) {
	if err := u.check(o); err != nil {
		return false, err
	}
	ch := u.ToPut(o, part)
	ch.created = &created
	err = u.c.store.Commit(ctx, ch)
	return created, err
}

func (u *Untyped) check(o api.Object) error {
	if elem(o).Type() != u.c.typ {
		return api.Errorf(api.CodeInternal, "cannot store a %T as %s", o, u.c.name)
	}
	return nil
}

// Delete removes an object, at that revision unless rev is 0.
func (u *Untyped) Delete(ctx context.Context, name string, rev int64) error {
	return u.c.store.Commit(ctx, Change{cache: u.c, act: actDelete, name: name, rev: rev})
}

// Watch is as for tables, but the events' objects are shared.
func (u *Untyped) Watch(ctx context.Context, from int64) <-chan UntypedEvent {
	return watchChan(ctx, u.c, from, func(o api.Object) api.Object { return o })
}

// ToPut is a Put for Store.Commit.
func (u *Untyped) ToPut(o api.Object, part Part) Change {
	return Change{cache: u.c, act: actPut, part: part, obj: o, name: o.Metadata().Name}
}
