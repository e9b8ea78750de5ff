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
	other, err := playwire.Encode(engine.Event{Host: "other"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := playwire.Decode(playwire.Join([][]byte{b, other}))
	if err != nil || len(list) != 2 || list[1].Host != "other" {
		t.Fatalf("%v, %v", list, err)
	}
	e := list[0]
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
	list, err := playwire.Decode(playwire.Join([][]byte{b}))
	if err != nil {
		t.Fatal(err)
	}
	again, err := playwire.Encode(list[0])
	if err != nil || string(again) != string(b) {
		t.Errorf("%v: %s became %s", err, b, again)
	}
}

func TestOnlyWhatIsPrintedIsSent(t *testing.T) {
	result := func(status string) engine.Event {
		return engine.Event{Kind: engine.EventResult, Result: &api.TaskResult{Status: status, Result: map[string]any{"stdout": "x"},
			Diff: []api.Diff{{After: "x"}}, Changes: []api.Change{{ID: "x"}}}}
	}
	verbose := result("ok")
	verbose.Verbose = true
	for _, c := range []struct {
		o            playwire.Options
		e            engine.Event
		result, diff bool
	}{
		{playwire.Options{}, result("changed"), false, false},
		{playwire.Options{Diff: true}, result("changed"), false, true},
		{playwire.Options{Verbosity: 1}, result("ok"), true, false},
		{playwire.Options{}, result("failed"), true, false},
		{playwire.Options{}, result("unreachable"), true, false},
		{playwire.Options{}, verbose, true, false},
	} {
		got := c.o.For(c.e)
		if (got.Result.Result != nil) != c.result || (got.Result.Diff != nil) != c.diff || got.Result.Changes != nil {
			t.Errorf("%+v of %s: %+v", c.o, c.e.Result.Status, got.Result)
		}
		if c.e.Result.Result == nil || c.e.Result.Changes == nil {
			t.Error("the engine's own event was changed")
		}
	}
	if e := (playwire.Options{}).For(engine.Event{Kind: engine.EventPlay}); e.Result != nil {
		t.Error("an event without a result got one")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`[{"Kind":"result","Result":{"name":"x","status":"ok","result":{"a":1.0,"b":[1e3,2,"x"],"c":12345678901234567890}}}]`))
	f.Add([]byte(`[{"Stats":{"a":-0.0}},{}]`))
	encode := func(t *testing.T, list []engine.Event) []byte {
		var parts [][]byte
		for _, e := range list {
			b, err := playwire.Encode(e)
			if err != nil {
				t.Fatalf("cannot encode what was decoded: %v", err)
			}
			parts = append(parts, b)
		}
		return playwire.Join(parts)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := playwire.Decode(b)
		if err != nil {
			return
		}
		first := encode(t, list)
		if list, err = playwire.Decode(first); err != nil {
			t.Fatal(err)
		}
		if second := encode(t, list); string(first) != string(second) {
			t.Fatalf("%s became %s", first, second)
		}
	})
}
