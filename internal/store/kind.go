package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"drover/api"
)

// schema is what the store needs to know of a kind's type.
type schema struct {
	name   string
	new    func() api.Object
	typ    reflect.Type // the struct
	meta   int          // index of the embedded api.Meta
	status int          // index of Status, or -1
}

func newSchema(k Kind) *schema {
	s := &schema{name: k.Name, new: k.New, typ: reflect.TypeOf(k.New()).Elem(), meta: -1, status: -1}
	for i := range s.typ.NumField() {
		switch f := s.typ.Field(i); {
		case f.Anonymous && f.Type == reflect.TypeFor[api.Meta]():
			s.meta = i
		case f.Name == "Status":
			s.status = i
		}
	}
	if s.meta < 0 {
		panic(fmt.Sprintf("store: kind %q: %s does not embed api.Meta", k.Name, s.typ))
	}
	return s
}

func (s *schema) key(name string) string { return s.prefix() + name }
func (s *schema) prefix() string         { return "o/" + s.name + "/" }

func elem(o api.Object) reflect.Value { return reflect.ValueOf(o).Elem() }

// copyStatus gives dst the status of src; both are private copies.
func (s *schema) copyStatus(dst, src api.Object) {
	if s.status >= 0 {
		elem(dst).Field(s.status).Set(elem(src).Field(s.status))
	}
}

// clearStatus forgets the status of o.
func (s *schema) clearStatus(o api.Object) {
	if s.status >= 0 {
		elem(o).Field(s.status).SetZero()
	}
}

// sameSpec reports whether two objects differ in nothing but Meta and Status,
// compared as they are stored.
func (s *schema) sameSpec(a, b api.Object) (bool, error) {
	for i := range s.typ.NumField() {
		if i == s.meta || i == s.status || !s.typ.Field(i).IsExported() {
			continue
		}
		x, err := json.Marshal(elem(a).Field(i).Interface())
		if err != nil {
			return false, err
		}
		y, err := json.Marshal(elem(b).Field(i).Interface())
		if err != nil || !bytes.Equal(x, y) {
			return false, err
		}
	}
	return true, nil
}

// encode is the stored form: JSON without the Revision, which the backend keeps.
func (s *schema) encode(o api.Object) ([]byte, error) {
	m := o.Metadata()
	rev := m.Revision
	m.Revision = 0
	raw, err := json.Marshal(o)
	m.Revision = rev
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "cannot store %s %q: %v", s.name, m.Name, err)
	}
	if len(raw) > MaxObject {
		return nil, api.Errorf(api.CodeTooLarge, "cannot store %s %q: it is %d bytes as JSON, the limit is %d", s.name, m.Name, len(raw), MaxObject).
			WithRemedy("make it smaller, or split it")
	}
	return raw, nil
}

func (s *schema) decode(raw []byte, rev int64) (api.Object, error) {
	o := s.new()
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, err
	}
	o.Metadata().Revision = rev
	return o, nil
}
