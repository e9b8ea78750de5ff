package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"drover/api"
)

func TestDecodeRefusesWhatTheTypeHasNot(t *testing.T) {
	for _, tt := range []struct {
		name, in, field, message, remedy string
	}{
		{"unknown field", `{"name":"a","spec":{"adress":"x"}}`, "spec.adress", `no field "adress"`, `did you mean "address"?`},
		{"unknown, nothing near", `{"zzzzzz":1}`, "zzzzzz", "no field", "use one of: created"},
		{"wrong case", `{"Name":"a"}`, "Name", "no field", `did you mean "name"?`},
		{"wrong type", `{"spec":{"paused":"yes"}}`, "spec.paused", "this is text, it must be true or false", ""},
		{"wrong type of a label", `{"labels":{"env":1}}`, "labels.env", "this is a number, it must be text", ""},
		{"list for object", `{"spec":[]}`, "spec", "this is a list, it must be an object", ""},
		{"fraction", `{"generation":1.5}`, "generation", "1.5 is not a whole number", ""},
		{"range", `{"generation":99999999999999999999}`, "generation", "out of range", ""},
		{"time", `{"created":"yesterday"}`, "created", "is not a time", "RFC 3339"},
		{"twice", `{"name":"a","name":"b"}`, "name", "given twice", ""},
		{"inside a list", `{"status":{"groups":["a",2]}}`, "status.groups[1]", "this is a number", ""},
		{"empty", ` `, "", "the body is empty", ""},
		{"torn", `{"name":"a"`, "", "ends too early", ""},
		{"syntax", "{\n\"name\" 1}", "", "line 2", ""},
		{"more behind", `{} {}`, "", "more behind", ""},
		{"not an object", `[1]`, "", "the body is a list", ""},
		{"deep", `{"status":{"facts":` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100) + "}}", "status.facts", "nests deeper", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := DecodeBytes([]byte(tt.in), &api.Host{})
			var e *api.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *api.Error", err)
			}
			if e.Code != api.CodeInvalid || !strings.HasPrefix(e.Field, tt.field) || !strings.Contains(e.Message, tt.message) || !strings.Contains(e.Remedy, tt.remedy) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestDecodeTakesWhatTheTypeHas(t *testing.T) {
	in := `{"kind":"host","name":"web-1","labels":{"env":"prod"},"created":"2024-05-01T10:00:00Z","spec":{"paused":true},"status":{"connected":false,"facts":{"a":[1,{"b":null}]}}}`
	var got, want api.Host
	if err := DecodeBytes([]byte(in), &got); err != nil {
		t.Fatal(err)
	}
	if err := plain([]byte(in), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeKeepsNumbersExact(t *testing.T) {
	var got struct{ Vars map[string]any }
	if err := DecodeBytes([]byte(`{"Vars":{"large":9007199254740993,"point":3.0}}`), &got); err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"large": json.Number("9007199254740993"), "point": json.Number("3.0")}; !reflect.DeepEqual(got.Vars, want) {
		t.Errorf("got %v, want %v", got.Vars, want)
	}
}

// plain is the standard decoder, with numbers as they are written.
func plain(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"a","spec":{"address":"x"},"labels":{"a":"b"}}`))
	f.Add([]byte(`{"created":"2024-05-01T10:00:00Z","generation":1e3}`))
	f.Add([]byte(`[{"a":[]}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var strict, loose api.Host
		err := DecodeBytes(b, &strict)
		if err == nil {
			// What is taken strictly, the standard decoder reads the same.
			if e := plain(b, &loose); e != nil || !reflect.DeepEqual(strict, loose) {
				t.Fatalf("strict took what loose reads as %+v, %v", loose, e)
			}
			return
		}
		var e *api.Error
		if !errors.As(err, &e) {
			t.Fatalf("%v is no *api.Error", err)
		}
	})
}

func TestNearest(t *testing.T) {
	kinds := []string{"host", "hosts", "revision", "token", "person"}
	for name, want := range map[string]string{"hsot": "host", "Host": "host", "tokn": "token", "revison": "revision", "xyz": "", "": ""} {
		if got := Nearest(name, kinds); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestAccess(t *testing.T) {
	viewer := &Identity{Actor: "v", Role: api.RoleViewer}
	admin := &Identity{Actor: "a", Role: api.RoleAdmin}
	for _, tt := range []struct {
		rule Access
		who  *Identity
		want api.Code
	}{
		{Access{}, admin, api.CodeForbidden},
		{Admin(), nil, api.CodeUnauthorized},
		{Admin(), viewer, api.CodeForbidden},
		{Admin(), admin, ""},
		{Operator(), viewer, api.CodeForbidden},
		{Viewer(), viewer, ""},
		{Viewer(), &Identity{Actor: "x"}, api.CodeForbidden},
		{SignedIn(), nil, api.CodeUnauthorized},
		{SignedIn(), viewer, ""},
		{Public("it says nothing"), nil, ""},
		{JoinToken(), nil, ""},
	} {
		err := tt.rule.Check(tt.who)
		if (err == nil) != (tt.want == "") || err != nil && api.CodeOf(err) != tt.want {
			t.Errorf("%s for %+v: %v, want %q", tt.rule, tt.who, err, tt.want)
		}
	}
	if !(Access{}).IsZero() || !Public("").IsZero() || Viewer().IsZero() {
		t.Error("IsZero does not tell rules from none")
	}
}
