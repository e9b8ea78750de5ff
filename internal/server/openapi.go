package server

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/store"
)

// Document is the OpenAPI document of a server with these rooms, without one
// that runs. It opens a server in a folder of its own that is removed again.
func Document(ctx context.Context, version string, rooms []domain.Room) (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "drover-openapi-")
	if err != nil {
		return nil, fmt.Errorf("cannot make the description of the API: %w", err)
	}
	defer os.RemoveAll(dir)
	s, err := New(ctx, Config{DataDir: dir, Backend: store.Memory(), Rooms: rooms, Version: version})
	if err != nil {
		return nil, fmt.Errorf("cannot make the description of the API: %w", err)
	}
	return s.openapi, s.Close()
}

// document is the document of the assembled table.
func (s *Server) document() ([]byte, error) {
	docs, err := readComments(api.Source)
	if err != nil {
		return nil, err
	}
	return document(orDefault(s.cfg.Version, "dev"), s.table.sorted(), docs)
}

// listOf as a Response is a List of that object.
type listOf struct{ item api.Object }

// node is a piece of the document; encoding/json sorts its keys, so that the
// document of one build is always the same.
type node = map[string]any

// document builds the OpenAPI 3.1 document from the route table and the types.
func document(version string, routes []domain.Route, docs comments) ([]byte, error) {
	b := &schemas{defs: node{}, docs: docs, types: map[string]reflect.Type{}, answers: map[reflect.Type]bool{}}
	b.answer(reflect.TypeFor[api.Error]())
	for _, r := range routes {
		if !r.Internal {
			b.answered(r)
		}
	}
	paths := node{}
	tags := map[string]bool{}
	for _, r := range routes {
		if r.Internal {
			continue
		}
		path := openPath(r.Path)
		item, _ := paths[path].(node)
		if item == nil {
			item = node{}
			paths[path] = item
		}
		op := b.operation(r)
		tags[op["tags"].([]string)[0]] = true
		item[strings.ToLower(r.Method)] = op
	}
	b.ref(reflect.TypeFor[api.Error]())
	var tagList []node
	for _, t := range slices.Sorted(mapKeys(tags)) {
		tagList = append(tagList, node{"name": t})
	}
	return json.MarshalIndent(node{
		"openapi": "3.1.0",
		"info": node{"title": "Drover", "version": version, "license": node{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Every answer that is an error is an Error. Every operation says in x-drover-access who may use it."},
		"servers":    []node{{"url": "/"}},
		"tags":       tagList,
		"paths":      paths,
		"components": node{"schemas": b.defs, "securitySchemes": node{"token": node{"type": "http", "scheme": "bearer", "description": "A token of `drover token create` or `drover login`."}}},
	}, "", " ")
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var pathParam = regexp.MustCompile(`\{([a-zA-Z0-9_]+)(\.\.\.)?\}`)

// openPath is a mux pattern as OpenAPI writes it.
func openPath(p string) string {
	return pathParam.ReplaceAllString(strings.TrimSuffix(p, "{$}"), "{$1}")
}

func (b *schemas) operation(r domain.Route) node {
	summary, rest, _ := strings.Cut(r.Doc, "\n")
	op := node{"summary": strings.TrimSpace(summary), "operationId": operationID(r), "tags": []string{tagOf(r.Path)}, "x-drover-access": r.Access.String()}
	if rest = strings.TrimSpace(rest); rest != "" {
		op["description"] = rest
	}
	if r.Access.NeedsIdentity() || r.Access.String() == "join-token" {
		op["security"] = []node{{"token": []string{}}}
	} else {
		op["security"] = []node{}
	}
	var params []node
	for _, m := range pathParam.FindAllStringSubmatch(r.Path, -1) {
		params = append(params, node{"name": m[1], "in": "path", "required": true, "schema": node{"type": "string"}})
	}
	for _, q := range r.Query {
		t := q.Type
		if t == "" {
			t = domain.String
		}
		params = append(params, node{"name": q.Name, "in": "query", "description": q.Doc, "schema": node{"type": string(t)}})
	}
	if params != nil {
		op["parameters"] = params
	}
	if r.Request != nil {
		media := "application/json"
		if r.Method == "PATCH" {
			media = "application/merge-patch+json"
		}
		op["requestBody"] = node{"required": true, "content": node{media: node{"schema": b.of(reflect.TypeOf(r.Request))}}}
	}
	op["responses"] = b.responses(r)
	return op
}

func (b *schemas) responses(r domain.Route) node {
	responses := node{"default": node{"description": "An error.", "content": node{"application/json": node{"schema": node{"$ref": "#/components/schemas/Error"}}}}}
	if r.Response == nil {
		if r.Method == "GET" {
			responses["200"] = node{"description": "Done."}
		} else {
			responses["2XX"] = node{"description": "Done."}
		}
		return responses
	}
	content := node{"application/json": node{"schema": b.response(r.Response)}}
	if r.Stream {
		stream := node{"schema": node{"type": "string"}}
		if len(r.Events) > 0 {
			events := node{}
			for name, v := range r.Events {
				events[name] = b.of(reflect.TypeOf(v))
			}
			stream["x-drover-events"] = events
		}
		content["text/event-stream"] = stream
	}
	status := "200"
	if r.Method != "GET" {
		status = "2XX"
	}
	responses[status] = node{"description": "Done.", "content": content}
	return responses
}

func (b *schemas) response(v any) node {
	l, ok := v.(listOf)
	if !ok {
		return b.of(reflect.TypeOf(v))
	}
	return node{"type": "object", "required": []string{"items", "revision"}, "properties": node{
		"items":    node{"type": "array", "items": b.of(reflect.TypeOf(l.item))},
		"revision": node{"type": "integer", "format": "int64", "description": "Watch from here to go on after this list."},
		"continue": node{"type": "string", "description": "Ask again with ?continue= for the next page; not there on the last."},
	}}
}

// operationID names an operation for generated clients: "get_v1_hosts_name".
func operationID(r domain.Route) string {
	clean := strings.Trim(regexp.MustCompile(`[^a-zA-Z0-9]+`).ReplaceAllString(r.Path, "_"), "_")
	return strings.ToLower(r.Method) + "_" + clean
}

func tagOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) > 1 && parts[0] == "v1" {
		return parts[1]
	}
	return "server"
}

// schemas turns Go types into JSON Schema, named types once under components.
type schemas struct {
	defs  node
	docs  comments
	types map[string]reflect.Type
	// answers are the structs that an answer may hold: their fields are there
	// unless they may be left out when empty. Of what only requests hold a
	// field may always be left out.
	answers map[reflect.Type]bool
}

// answered notes what a route's answers hold.
func (b *schemas) answered(r domain.Route) {
	if l, ok := r.Response.(listOf); ok {
		b.answer(reflect.TypeOf(l.item))
	} else if r.Response != nil {
		b.answer(reflect.TypeOf(r.Response))
	}
	for _, v := range r.Events {
		b.answer(reflect.TypeOf(v))
	}
}

func (b *schemas) answer(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		b.answer(t.Elem())
	case reflect.Struct:
		if b.answers[t] || t == reflect.TypeFor[time.Time]() {
			return
		}
		b.answers[t] = true
		for _, f := range domain.Fields(t) {
			b.answer(f.Type)
		}
	}
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

func (b *schemas) of(t reflect.Type) node {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return node{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[time.Duration]():
		return node{"type": "integer", "format": "int64", "description": "nanoseconds"}
	case t == reflect.TypeFor[json.RawMessage](), t.Kind() == reflect.Interface:
		return node{}
	case t.Implements(textMarshaler) && t.Kind() != reflect.Pointer:
		return node{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.of(t.Elem())
	case reflect.Struct:
		return b.ref(t)
	case reflect.Map:
		return node{"type": "object", "additionalProperties": b.of(t.Elem())}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return node{"type": "string", "contentEncoding": "base64"}
		}
		return node{"type": "array", "items": b.of(t.Elem())}
	case reflect.String:
		return node{"type": "string"}
	case reflect.Bool:
		return node{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return node{"type": "number"}
	case reflect.Int32, reflect.Int16, reflect.Int8, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return node{"type": "integer"}
	}
	return node{"type": "integer", "format": "int64"}
}

// ref puts a struct under components, once, and points there.
func (b *schemas) ref(t reflect.Type) node {
	name := t.Name()
	if name == "" {
		return b.object(t)
	}
	if other, taken := b.types[name]; taken && other != t {
		// Two packages have a type of this name: the later one says whose it is.
		pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	if _, there := b.types[name]; !there {
		b.types[name] = t
		b.defs[name] = node{} // a type may hold itself
		b.defs[name] = b.object(t)
	}
	return node{"$ref": "#/components/schemas/" + name}
}

func (b *schemas) object(t reflect.Type) node {
	props := node{}
	var required []string
	for name, f := range domain.Fields(t) {
		s := b.of(f.Type)
		if doc := b.docs[f.Owner+"."+f.GoName]; doc != "" {
			if _, isRef := s["$ref"]; isRef {
				s = node{"$ref": s["$ref"], "description": doc}
			} else {
				s["description"] = doc
			}
		}
		props[name] = s
		// An object that is sent needs no status, and a list's items are the same type.
		if b.answers[t] && !f.Optional && name != "status" {
			required = append(required, name)
		}
	}
	o := node{"type": "object", "properties": props}
	if doc := b.docs[t.Name()]; doc != "" {
		o["description"] = doc
	}
	if required != nil {
		slices.Sort(required)
		o["required"] = required
	}
	return o
}

// checkDocument is what every OpenAPI document must hold; it is checked when
// the server is assembled, so that a wrong one is never served.
func checkDocument(doc []byte) error {
	var d struct {
		OpenAPI    string
		Info       struct{ Title, Version string }
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return fmt.Errorf("the OpenAPI document is not JSON: %w", err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info.Title == "" || d.Info.Version == "" || len(d.Paths) == 0 {
		return fmt.Errorf("the OpenAPI document lacks version, title or paths")
	}
	for _, m := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllSubmatch(doc, -1) {
		if _, ok := d.Components.Schemas[string(m[1])]; !ok {
			return fmt.Errorf("the OpenAPI document refers to the schema %s, which is not there", m[1])
		}
	}
	return nil
}
