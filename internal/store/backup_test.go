package store_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"drover/api"
	"drover/internal/store"
)

func TestBackup(t *testing.T) {
	ctx := t.Context()
	b := memory(t)
	_, things := open(t, b)
	var many []*thing
	for i := range 150 {
		many = append(many, newThing(fmt.Sprintf("t%03d", i), i))
	}
	must(t, things.PutMany(ctx, many))
	var buf bytes.Buffer
	if n, err := store.Export(ctx, b, &buf); n != 150 || err != nil {
		t.Fatal(n, err)
	}
	raw := buf.String()

	to := memory(t)
	for name, bad := range map[string]string{"cut off": raw[:len(raw)/2], "without its end": raw[:strings.LastIndex(raw, `{"end"`)], "lacking an object": raw[strings.IndexByte(raw, '\n')+1:], "empty": "", "another file": `{"a":1}`} {
		_, err := store.Import(ctx, to, strings.NewReader(bad))
		if wantCode(t, err, api.CodeInvalid).Remedy == "" {
			t.Errorf("%s: no remedy", name)
		}
		if kvs, _, _ := to.List(ctx, ""); len(kvs) != 0 {
			t.Fatalf("%s: %d objects were written", name, len(kvs))
		}
	}
	if n, err := store.Import(ctx, to, strings.NewReader(raw)); n != 150 || err != nil {
		t.Fatal(n, err)
	}
	_, restored := open(t, to)
	got, _, err := restored.List(ctx)
	must(t, err)
	if d := cmp.Diff(many, got, cmpopts.IgnoreFields(api.Meta{}, "Revision")); d != "" {
		t.Fatal(d)
	}
	_, err = store.Import(ctx, to, strings.NewReader(raw))
	wantCode(t, err, api.CodeConflict)
}
