package playwire_test

import (
	"math"
	"math/big"
	"reflect"
	"testing"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/playwire"
)

func TestNumbersStayWhatTheyAre(t *testing.T) {
	in := map[string]any{
		"rc": int64(0), "ratio": 3.0, "small": 0.25, "large": 1e21, "negative": -2.0, "most": int64(math.MaxInt64), "none": nil, "text": "1.0 <b>",
		"list": []any{int64(1), 1.0, map[string]any{"x": 2.0, "y": int64(2)}}, "plain": map[string]any{"a": true},
	}
	before := reflect.ValueOf(in["list"]).Index(1).Interface()
	b, err := playwire.Encode(engine.Event{Kind: engine.EventResult, Host: "h", Result: &api.TaskResult{Status: "ok", Result: in}, Stats: map[string]any{"s": 1.0}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := playwire.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(e.Result.Result, in) || e.Stats["s"] != 1.0 || e.Host != "h" {
		t.Errorf("got %#v\nwant %#v", e.Result.Result, in)
	}
	if before != 1.0 {
		t.Error("the event itself was changed")
	}
}

func TestNumbersBeyondJSON(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	b, err := playwire.Encode(engine.Event{Result: &api.TaskResult{Result: map[string]any{"n": math.NaN(), "i": math.Inf(-1), "b": huge}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := playwire.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := playwire.Encode(e)
	if err != nil || string(again) != string(b) {
		t.Errorf("%v: %s became %s", err, b, again)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"Kind":"result","Result":{"name":"x","status":"ok","result":{"a":1.0,"b":[1e3,2,"x"],"c":12345678901234567890}}}`))
	f.Add([]byte(`{"Stats":{"a":-0.0}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := playwire.Decode(b)
		if err != nil {
			return
		}
		first, err := playwire.Encode(e)
		if err != nil {
			t.Fatalf("cannot encode what was decoded from %q: %v", b, err)
		}
		if e, err = playwire.Decode(first); err != nil {
			t.Fatal(err)
		}
		second, err := playwire.Encode(e)
		if err != nil || string(first) != string(second) {
			t.Fatalf("%s became %s (%v)", first, second, err)
		}
	})
}
