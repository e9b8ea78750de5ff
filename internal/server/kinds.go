package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"sort"
	"strconv"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/store"
)

// Limits of a list.
const (
	defaultPage = 1000
	maxPage     = 5000
)

// casRetries is how often a write that named no revision is tried again when
// the object changed in between.
const casRetries = 8

// resultHeader says what a write did: created, changed or unchanged.
const resultHeader = "X-Drover-Result"

// List is the answer to a list: objects by name.
type List struct {
	Items    []api.Object `json:"items"`
	Revision int64        `json:"revision"`           // watch from here to go on after this list
	Continue string       `json:"continue,omitempty"` // ask again with ?continue= for the next page; empty on the last
}

// kindAPI is the generic API of one kind.
type kindAPI struct {
	s    *Server
	kind domain.Kind
	rows *store.Untyped
}

// verbs are what the API offers for the kind.
func verbs(k domain.Kind) []string {
	v := []string{"get", "list", "watch"}
	if k.ReadOnly {
		return v
	}
	if !k.NoCreate {
		v = append(v, "create")
	}
	if !k.NoUpdate {
		v = append(v, "update", "patch")
	}
	if !k.NoDelete {
		v = append(v, "delete")
	}
	return v
}

// routes are the generic routes of a kind.
func (k *kindAPI) routes() []domain.Route {
	all, one := "/v1/"+k.kind.Plural, "/v1/"+k.kind.Plural+"/{name}"
	empty := k.kind.New()
	dry := domain.Param{Name: "dry-run", Type: domain.Boolean, Doc: "check, and answer with what would be stored, but store nothing"}
	rs := []domain.Route{
		{Method: "GET", Path: all, Access: k.kind.Read, Doc: "List " + k.kind.Plural + ", or watch them.\n\n" + k.kind.Doc, Response: listOf{empty}, Handle: k.list, Stream: true,
			Query: []domain.Param{
				{Name: "selector", Doc: "labels to select by: label=value, label!=value, label or !label, joined by commas"},
				{Name: "limit", Type: domain.Integer, Doc: fmt.Sprintf("objects in one answer; %d if not given, at most %d", defaultPage, maxPage)},
				{Name: "continue", Doc: "where the next page begins, from the page before"},
				{Name: "watch", Type: domain.Boolean, Doc: "answer with server-sent events: resync, put, synced, delete; Last-Event-ID resumes"},
				{Name: "from", Type: domain.Integer, Doc: "watch changes after this revision only"},
			}},
		{Method: "GET", Path: one, Access: k.kind.Read, Doc: "Read one " + k.kind.Name + ".", Response: empty, Handle: k.get},
		{Method: "GET", Path: one + "/history", Access: k.kind.Read, Doc: "Who changed a " + k.kind.Name + ", the newest first, as the audit has it.", Response: api.ObjectHistory{}, Handle: k.history,
			Query: []domain.Param{{Name: "limit", Type: domain.Integer, Doc: fmt.Sprintf("the newest so many; 200 if not given, at most %d", maxHistory)}}},
	}
	if k.kind.ReadOnly {
		return rs
	}
	if !k.kind.NoCreate {
		rs = append(rs, domain.Route{Method: "POST", Path: all, Access: k.kind.Write, Doc: "Create a " + k.kind.Name + ".", Request: empty, Response: empty, Handle: k.create, Query: []domain.Param{dry}})
	}
	if !k.kind.NoUpdate {
		what := "Create or replace a "
		if k.kind.NoCreate {
			what = "Replace a "
		}
		doc := what + k.kind.Name + ".\n\nA revision in the body must be the stored one. The status is not taken. The header X-Drover-Result says created, changed or unchanged."
		rs = append(rs,
			domain.Route{Method: "PUT", Path: one, Access: k.kind.Write, Doc: doc, Request: empty, Response: empty, Handle: k.put, Query: []domain.Param{dry}},
			domain.Route{Method: "PATCH", Path: one, Access: k.kind.Write, Doc: "Change a " + k.kind.Name + " by a merge patch (RFC 7396).", Request: map[string]any{}, Response: empty, Handle: k.patch, Query: []domain.Param{dry}})
	}
	if !k.kind.NoDelete {
		rs = append(rs, domain.Route{Method: "DELETE", Path: one, Access: k.kind.Write, Doc: "Delete a " + k.kind.Name + ".", Handle: k.delete,
			Query: []domain.Param{{Name: "revision", Type: domain.Integer, Doc: "delete it only if it is still at this revision"}}})
	}
	return rs
}

// view is an object as it is served; o is never changed. What a kind's View
// changes are fields of the object itself, so it gets a copy of no more.
func (k *kindAPI) view(o api.Object) api.Object {
	if k.kind.View == nil {
		return o
	}
	own := reflect.New(reflect.TypeOf(o).Elem())
	own.Elem().Set(reflect.ValueOf(o).Elem())
	v := own.Interface().(api.Object)
	k.kind.View(v)
	return v
}

func (k *kindAPI) get(w http.ResponseWriter, r *http.Request) error {
	o, err := k.rows.Get(r.Context(), r.PathValue("name"))
	if err != nil {
		return k.explain(r.Context(), r.PathValue("name"), err)
	}
	if k.kind.View != nil {
		k.kind.View(o)
	}
	w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(o.Metadata().Revision, 10)))
	return domain.WriteJSON(w, http.StatusOK, o)
}

// explain adds the name that was meant to a not-found.
func (k *kindAPI) explain(ctx context.Context, name string, err error) error {
	if api.CodeOf(err) != api.CodeNotFound {
		return err
	}
	e := api.Errorf(api.CodeNotFound, "there is no %s %q", k.kind.Name, name)
	objs, _, lerr := k.rows.List(ctx)
	if lerr != nil {
		return e
	}
	names := make([]string, 0, min(len(objs), maxPage))
	for _, o := range objs[:min(len(objs), maxPage)] {
		names = append(names, o.Metadata().Name)
	}
	if near := domain.Nearest(name, names); near != "" {
		return e.WithRemedy("did you mean %q?", near)
	}
	return e.WithRemedy("see `drover get %s` for those there are", k.kind.Plural)
}

func (k *kindAPI) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	sel, err := parseSelector(q.Get("selector"))
	if err != nil {
		return err
	}
	watch, err := flagParam(q, "watch")
	if err != nil {
		return err
	}
	if watch {
		return k.watch(w, r, sel)
	}
	domain.Bound(w)
	limit, err := intParam(q.Get("limit"), "limit", defaultPage)
	if err != nil {
		return err
	}
	if limit < 1 || limit > maxPage {
		return &api.Error{Code: api.CodeInvalid, Field: "limit", Message: fmt.Sprintf("a page has 1 to %d objects", maxPage), Remedy: "use continue for more"}
	}
	objs, rev, err := k.rows.List(r.Context())
	if err != nil {
		return err
	}
	var items []api.Object
	next := ""
	after := q.Get("continue")
	begin := sort.Search(len(objs), func(i int) bool { return objs[i].Metadata().Name > after })
	for _, o := range objs[begin:] {
		if !sel.matches(o.Metadata().Labels) {
			continue
		}
		if len(items) == int(limit) {
			next = items[len(items)-1].Metadata().Name
			break
		}
		items = append(items, o)
	}
	return k.writeList(w, items, rev, next)
}

// writeList writes a List piece by piece, for it may be several megabytes.
func (k *kindAPI) writeList(w http.ResponseWriter, items []api.Object, rev int64, next string) error {
	out := bufio.NewWriterSize(w, 32<<10)
	for i, o := range items {
		b, err := json.Marshal(k.view(o))
		if err != nil && i == 0 {
			return fmt.Errorf("cannot encode the answer: %w", err)
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the answer has begun: it must not look whole
		}
		if i == 0 {
			domain.BeginJSON(w, http.StatusOK)
			_, _ = out.WriteString(`{"items":[`)
		} else {
			_ = out.WriteByte(',')
		}
		_, _ = out.Write(b)
	}
	if len(items) == 0 {
		return domain.WriteJSON(w, http.StatusOK, List{Items: []api.Object{}, Revision: rev, Continue: next})
	}
	fmt.Fprintf(out, `],"revision":%d`, rev)
	if next != "" {
		fmt.Fprintf(out, `,"continue":%q`, next) // a name needs no other quoting
	}
	_, _ = out.WriteString("}\n")
	_ = out.Flush() // nobody can be told when the other end has gone
	return nil
}

// decode reads an object that somebody sends; name is that of the path, if any.
func (k *kindAPI) decode(b []byte, name string) (api.Object, error) {
	o := k.kind.New()
	if err := domain.DecodeBytes(b, o); err != nil {
		return nil, err
	}
	m := o.Metadata()
	if m.Kind != "" && m.Kind != k.kind.Name {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "kind", Message: fmt.Sprintf("this is a %s, not a %s", m.Kind, k.kind.Name),
			Remedy: "send it where its kind belongs"}
	}
	m.Kind = k.kind.Name
	if name != "" && m.Name != "" && m.Name != name {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "name", Message: fmt.Sprintf("the body says %q, the path %q", m.Name, name), Remedy: "use one name; an object cannot be renamed"}
	}
	if name != "" {
		m.Name = name
	}
	return o, nil
}

// settle gives an object what only the server decides, from the stored one.
func (k *kindAPI) settle(ctx context.Context, old, o api.Object) error {
	m := o.Metadata()
	if err := checkLabels(m.Labels); err != nil {
		return err
	}
	status := reflect.ValueOf(o).Elem().FieldByName("Status")
	if status.IsValid() {
		status.SetZero()
	}
	rev := m.Revision
	if old == nil {
		m.UID, m.Generation, m.Created, m.Updated = "", 0, k.s.now(), k.s.now()
		m.Created, m.Updated = m.Created.UTC(), m.Updated.UTC()
	} else {
		was := old.Metadata()
		m.UID, m.Generation, m.Created, m.Updated = was.UID, was.Generation, was.Created, was.Updated
		if status.IsValid() {
			status.Set(reflect.ValueOf(old).Elem().FieldByName("Status"))
		}
	}
	m.Revision = rev
	if err := o.Validate(); err != nil {
		return err
	}
	if k.kind.BeforeWrite != nil {
		return k.kind.BeforeWrite(ctx, old, o)
	}
	return nil
}

func (k *kindAPI) create(w http.ResponseWriter, r *http.Request) error {
	b, err := domain.ReadBody(r)
	if err != nil {
		return err
	}
	o, err := k.decode(b, "")
	if err != nil {
		return err
	}
	domain.Note(r.Context(), k.kind.Name+"/"+o.Metadata().Name, "")
	o.Metadata().Revision = 0
	if err := k.settle(r.Context(), nil, o); err != nil {
		return err
	}
	dry, err := boolParam(r.URL.Query().Get("dry-run"), "dry-run")
	if err != nil {
		return err
	}
	if dry {
		if _, err := k.rows.Get(r.Context(), o.Metadata().Name); err == nil {
			return api.Errorf(api.CodeExists, "there is a %s %q already", k.kind.Name, o.Metadata().Name)
		}
	} else if err := k.rows.Create(r.Context(), o, store.Spec); err != nil {
		return err
	}
	return k.done(w, r, nil, o, "created", dry)
}

func (k *kindAPI) put(w http.ResponseWriter, r *http.Request) error {
	b, err := domain.ReadBody(r)
	if err != nil {
		return err
	}
	return k.write(w, r, func(api.Object) (api.Object, error) { return k.decode(b, r.PathValue("name")) })
}

func (k *kindAPI) patch(w http.ResponseWriter, r *http.Request) error {
	b, err := domain.ReadBody(r)
	if err != nil {
		return err
	}
	var patch map[string]any
	if err := domain.DecodeBytes(b, &patch); err != nil {
		return err
	}
	name := r.PathValue("name")
	return k.write(w, r, func(old api.Object) (api.Object, error) {
		if old == nil {
			return nil, k.explain(r.Context(), name, api.Errorf(api.CodeNotFound, ""))
		}
		merged, err := mergePatch(old, b)
		if err != nil {
			return nil, err
		}
		o, err := k.decode(merged, name)
		if err != nil {
			return nil, err
		}
		if _, given := patch["revision"]; !given {
			o.Metadata().Revision = 0
		}
		return o, nil
	})
}

// write stores what make gives for the object that is there. A write that
// names a revision is tried once; others again when they lose a race.
func (k *kindAPI) write(w http.ResponseWriter, r *http.Request, make func(old api.Object) (api.Object, error)) error {
	ctx, name := r.Context(), r.PathValue("name")
	domain.Note(ctx, k.kind.Name+"/"+name, "")
	dry, err := boolParam(r.URL.Query().Get("dry-run"), "dry-run")
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		old, err := k.rows.Get(ctx, name)
		if api.CodeOf(err) == api.CodeNotFound {
			old, err = nil, nil
		}
		if err != nil {
			return err
		}
		o, err := make(old)
		if err != nil {
			return err
		}
		if old == nil && k.kind.NoCreate {
			err := k.explain(ctx, name, api.Errorf(api.CodeNotFound, ""))
			var e *api.Error
			if k.kind.Made != "" && api.CodeOf(err) == api.CodeNotFound && errors.As(err, &e) {
				return e.WithRemedy("%s", k.kind.Made)
			}
			return err
		}
		given := o.Metadata().Revision
		if given != 0 && (old == nil || given != old.Metadata().Revision) {
			return stale(k.kind.Name, name)
		}
		if err := k.settle(ctx, old, o); err != nil {
			return err
		}
		result, err := k.store(ctx, old, o, dry)
		switch code := api.CodeOf(err); {
		case err == nil:
			return k.done(w, r, old, o, result, dry)
		case given == 0 && try < casRetries && (code == api.CodeConflict || code == api.CodeExists || code == api.CodeNotFound):
			continue
		}
		return err
	}
}

func stale(kind, name string) error {
	return api.Errorf(api.CodeConflict, "the %s %q has changed since it was read", kind, name).
		WithRemedy("read it again, make the change again, and retry; or leave the revision out")
}

// store writes o in place of old and says what that did.
func (k *kindAPI) store(ctx context.Context, old, o api.Object, dry bool) (string, error) {
	if old == nil {
		o.Metadata().Revision = 0
		if dry {
			return "created", nil
		}
		return "created", k.rows.Create(ctx, o, store.Spec)
	}
	o.Metadata().Revision = old.Metadata().Revision
	same, err := equal(old, o)
	if err != nil {
		return "", err
	}
	if same {
		return "unchanged", nil
	}
	if dry {
		return "changed", nil
	}
	_, err = k.rows.Put(ctx, o, store.Spec)
	return "changed", err
}

// done answers a write.
func (k *kindAPI) done(w http.ResponseWriter, r *http.Request, old, o api.Object, result string, dry bool) error {
	if !dry && result != "unchanged" && k.kind.AfterWrite != nil {
		k.kind.AfterWrite(r.Context(), old, o)
	}
	detail := result
	if dry {
		detail = "dry run: " + result
	}
	domain.Note(r.Context(), k.kind.Name+"/"+o.Metadata().Name, detail)
	if k.kind.View != nil {
		k.kind.View(o)
	}
	w.Header().Set(resultHeader, result)
	status := http.StatusOK
	if result == "created" && !dry {
		status = http.StatusCreated
		w.Header().Set("Location", "/v1/"+k.kind.Plural+"/"+o.Metadata().Name)
	}
	return domain.WriteJSON(w, status, o)
}

func (k *kindAPI) delete(w http.ResponseWriter, r *http.Request) error {
	ctx, name := r.Context(), r.PathValue("name")
	domain.Note(ctx, k.kind.Name+"/"+name, "")
	rev, err := intParam(r.URL.Query().Get("revision"), "revision", 0)
	if err != nil {
		return err
	}
	old, err := k.rows.Get(ctx, name)
	if err != nil {
		return k.explain(ctx, name, err)
	}
	if rev != 0 && old.Metadata().Revision != rev {
		return stale(k.kind.Name, name)
	}
	if k.kind.BeforeDelete != nil {
		if err := k.kind.BeforeDelete(ctx, old); err != nil {
			return err
		}
	}
	if k.kind.Delete != nil {
		err = k.kind.Delete(ctx, name)
	} else {
		err = k.rows.Delete(ctx, name, rev)
	}
	if err != nil {
		return k.explain(ctx, name, err)
	}
	if k.kind.AfterWrite != nil {
		k.kind.AfterWrite(ctx, old, nil)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// equal reports whether two objects are stored alike.
func equal(a, b api.Object) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, fmt.Errorf("cannot compare: %w", err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		return false, fmt.Errorf("cannot compare: %w", err)
	}
	return bytes.Equal(x, y), nil
}

// mergePatch applies a merge patch (RFC 7396) to an object and gives JSON.
func mergePatch(o api.Object, patch []byte) ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("cannot patch: %w", err)
	}
	var target, change any
	if err := errors.Join(unmarshalNumbers(b, &target), unmarshalNumbers(patch, &change)); err != nil {
		return nil, fmt.Errorf("cannot patch: %w", err)
	}
	return json.Marshal(merge(target, change))
}

func unmarshalNumbers(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

func merge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
			continue
		}
		t[k] = merge(t[k], v)
	}
	return t
}

func intParam(s, name string, otherwise int64) (int64, error) {
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, &api.Error{Code: api.CodeInvalid, Field: name, Message: fmt.Sprintf("%q is not a whole number of 0 or more", s)}
	}
	return n, nil
}

func boolParam(s, name string) (bool, error) {
	switch s {
	case "", "false", "0":
		return false, nil
	case "true", "1":
		return true, nil
	}
	return false, &api.Error{Code: api.CodeInvalid, Field: name, Message: fmt.Sprintf("%q is neither true nor false", s)}
}

// flagParam is boolParam of a parameter that may also stand alone: ?watch.
func flagParam(q url.Values, name string) (bool, error) {
	if q.Has(name) && q.Get(name) == "" {
		return true, nil
	}
	return boolParam(q.Get(name), name)
}
