package domain

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"drover/api"
)

// maxDepth bounds how deep a document may nest.
const maxDepth = 64

// Decode reads a request's body into v, strictly: see DecodeBytes.
func Decode(r *http.Request, v any) error {
	b, err := ReadBody(r)
	if err != nil {
		return err
	}
	return DecodeBytes(b, v)
}

// ReadBody reads all of a request's body; the server limits its size.
func ReadBody(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, BodyError(err)
	}
	return b, nil
}

// BodyError explains why a request's body could not be read.
func BodyError(err error) error {
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return api.Errorf(api.CodeTooLarge, "the request's body is over the limit of %s", size(over.Limit)).
			WithRemedy("send less at once")
	}
	return api.Errorf(api.CodeInvalid, "cannot read the request's body: %v", err).WithRemedy("send it again")
}

// size is a number of bytes as people write it.
func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// DecodeBytes decodes JSON into v and refuses what v does not have: an unknown
// field, a wrong type, a value out of range and a field given twice are each
// an *api.Error with the field's path and, for a misspelt name, the one that
// was meant. Names are matched in their exact case. A number in a field of any
// type is a json.Number, so that a large one stays exact and a whole one whole.
func DecodeBytes(b []byte, v any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return api.Errorf(api.CodeInvalid, "the body is empty").WithRemedy("send a JSON object")
	}
	p := parser{dec: json.NewDecoder(bytes.NewReader(b)), src: b}
	p.dec.UseNumber()
	doc, err := p.value(nil, 0)
	if err != nil {
		return err
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return p.syntax("there is more behind the JSON value")
	}
	t := reflect.TypeOf(v).Elem()
	if err := check(doc, t, ""); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return api.Errorf(api.CodeInvalid, "cannot read the body: %v", err)
	}
	return nil
}

// parser reads JSON into maps, lists and scalars, and sees fields given twice.
type parser struct {
	dec *json.Decoder
	src []byte
}

func (p *parser) syntax(what string) error {
	at := int(min(p.dec.InputOffset(), int64(len(p.src))))
	line := 1 + bytes.Count(p.src[:at], []byte("\n"))
	col := at - bytes.LastIndexByte(p.src[:at], '\n')
	return api.Errorf(api.CodeInvalid, "the body is not JSON: %s at line %d, column %d", what, line, col).WithRemedy("check quotes, commas and braces there")
}

// spot is where in the document the parser is. It is written out only for an
// error: a path for every value would let a long name cost its length again for
// each value below it.
type spot struct {
	above *spot
	name  string // of a field
	index int    // in a list, when there is no name
	list  bool
}

// maxField bounds the path in an error.
const maxField = 200

func (s *spot) String() string {
	if s == nil {
		return ""
	}
	path := s.above.String()
	if s.list {
		path += fmt.Sprintf("[%d]", s.index)
	} else {
		path = join(path, s.name)
	}
	if len(path) > maxField {
		path = strings.ToValidUTF8(path[:maxField], "") + "…"
	}
	return path
}

func (p *parser) value(at *spot, depth int) (any, error) {
	if depth > maxDepth {
		return nil, &api.Error{Code: api.CodeInvalid, Field: at.String(), Message: fmt.Sprintf("the body nests deeper than %d", maxDepth)}
	}
	tok, err := p.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, p.syntax("it ends too early")
		}
		return nil, p.syntax(strings.TrimPrefix(err.Error(), "json: "))
	}
	delim, ok := tok.(json.Delim)
	switch {
	case !ok:
		return tok, nil
	case delim == '{':
		return p.object(at, depth)
	case delim == '[':
		list := []any{}
		for p.dec.More() {
			v, err := p.value(&spot{above: at, index: len(list), list: true}, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, p.close()
	}
	return nil, p.syntax("unexpected " + delim.String())
}

func (p *parser) object(at *spot, depth int) (any, error) {
	m := map[string]any{}
	for p.dec.More() {
		tok, err := p.dec.Token()
		key, ok := tok.(string)
		if err != nil || !ok {
			return nil, p.syntax("a field's name is missing")
		}
		sub := &spot{above: at, name: key}
		if _, twice := m[key]; twice {
			return nil, &api.Error{Code: api.CodeInvalid, Field: sub.String(), Message: "the field is given twice", Remedy: "keep one of them"}
		}
		if m[key], err = p.value(sub, depth+1); err != nil {
			return nil, err
		}
	}
	return m, p.close()
}

func (p *parser) close() error {
	if _, err := p.dec.Token(); err != nil {
		return p.syntax("it ends too early")
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// check compares a decoded value with the type it is meant for.
func check(v any, t reflect.Type, path string) error {
	if v == nil {
		return nil // null is the zero value
	}
	if reflect.PointerTo(t).Implements(jsonUnmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return checkOwn(v, t, path)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return check(v, t.Elem(), path)
	case reflect.Interface:
		return nil
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return wrongType(v, "an object", path)
		}
		return checkStruct(m, t, path)
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			return wrongType(v, "an object", path)
		}
		for k, e := range m {
			if err := check(e, t.Elem(), join(path, k)); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			if _, ok := v.(string); !ok {
				return wrongType(v, "text in base64", path)
			}
			return checkOwn(v, t, path)
		}
		list, ok := v.([]any)
		if !ok {
			return wrongType(v, "a list", path)
		}
		for i, e := range list {
			if err := check(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case reflect.String:
		if _, ok := v.(string); !ok {
			return wrongType(v, "text", path)
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return wrongType(v, "true or false", path)
		}
	default:
		return checkNumber(v, t, path)
	}
	return nil
}

func checkNumber(v any, t reflect.Type, path string) error {
	n, ok := v.(json.Number)
	if !ok {
		return wrongType(v, "a number", path)
	}
	var err error
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		_, err = strconv.ParseInt(n.String(), 10, t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		_, err = strconv.ParseUint(n.String(), 10, t.Bits())
	case reflect.Float32, reflect.Float64:
		_, err = strconv.ParseFloat(n.String(), t.Bits())
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, strconv.ErrRange) {
		return &api.Error{Code: api.CodeInvalid, Field: path, Message: fmt.Sprintf("%s is out of range", n)}
	}
	return &api.Error{Code: api.CodeInvalid, Field: path, Message: fmt.Sprintf("%s is not a whole number", n), Remedy: "use a whole number"}
}

// checkOwn asks a type that reads itself, such as a time.
func checkOwn(v any, t reflect.Type, path string) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot check field %s: %w", path, err)
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err == nil {
		return nil
	}
	want, remedy := t.String(), ""
	switch {
	case t.String() == "time.Time":
		want, remedy = "a time", `use RFC 3339, such as "2006-01-02T15:04:05Z"`
	case t.Kind() == reflect.Slice:
		want = "text in base64"
	}
	text := string(raw)
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return &api.Error{Code: api.CodeInvalid, Field: path, Message: fmt.Sprintf("%s is not %s", text, want), Remedy: remedy}
}

func wrongType(v any, want, path string) error {
	got := "an object"
	switch v.(type) {
	case string:
		got = "text"
	case bool:
		got = "true or false"
	case json.Number:
		got = "a number"
	case []any:
		got = "a list"
	}
	e := &api.Error{Code: api.CodeInvalid, Field: path, Message: fmt.Sprintf("this is %s, it must be %s", got, want)}
	if path == "" {
		e.Message = fmt.Sprintf("the body is %s, it must be %s", got, want)
	}
	return e
}

func checkStruct(m map[string]any, t reflect.Type, path string) error {
	fields := Fields(t)
	for name, v := range m {
		f, ok := fields[name]
		if !ok {
			names := make([]string, 0, len(fields))
			for n := range fields {
				names = append(names, n)
			}
			e := &api.Error{Code: api.CodeInvalid, Field: join(path, name), Message: fmt.Sprintf("there is no field %q here", name),
				Remedy: "use one of: " + strings.Join(sorted(names), ", ")}
			if near := Nearest(name, names); near != "" {
				e.Remedy = fmt.Sprintf("did you mean %q?", near)
			}
			return e
		}
		if err := check(v, f.Type, join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// Field is one field of a struct as JSON has it.
type Field struct {
	Name     string
	Type     reflect.Type
	Optional bool   // omitempty or omitzero
	Owner    string // name of the struct type that declares it
	GoName   string
}

// Fields are the fields of a struct by their JSON names, those of embedded
// structs included.
func Fields(t reflect.Type) map[string]Field {
	fields := map[string]Field{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, opts, _ := strings.Cut(tag, ",")
		if name == "-" && opts == "" {
			continue
		}
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				for n, sub := range Fields(inner) {
					if _, outer := fields[n]; !outer {
						fields[n] = sub
					}
				}
				continue
			}
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields[name] = Field{Name: name, Type: f.Type, Owner: t.Name(), GoName: f.Name,
			Optional: strings.Contains(opts, "omitempty") || strings.Contains(opts, "omitzero")}
	}
	return fields
}
