// Package playwire carries a run's events from the server to whoever asked for
// the play, such that they print there as if the play had run there: whole
// numbers stay whole numbers, and 3.0 stays 3.0.
package playwire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"drover/internal/play/engine"
)

// Options say what whoever reads the events wants to see.
type Options struct {
	Verbosity int  // as -v: with 0, what tasks returned is told of those only that fail or are there to show it
	Diff      bool // as -D
}

// For leaves out of an event what its reader does not print. Facts alone are
// larger than all else that a play has to say.
func (o Options) For(e engine.Event) engine.Event {
	if e.Result == nil {
		return e
	}
	r := *e.Result
	r.Changes = nil
	if !o.Diff {
		r.Diff = nil
	}
	if o.Verbosity == 0 && !e.Verbose && r.Status != "failed" && r.Status != "unreachable" {
		r.Result = nil
	}
	e.Result = &r
	return e
}

// Encode writes an event as JSON.
func Encode(e engine.Event) ([]byte, error) {
	if e.Result != nil && e.Result.Result != nil {
		r := *e.Result
		r.Result, _ = plain(r.Result).(map[string]any)
		e.Result = &r
	}
	if e.Stats != nil {
		e.Stats, _ = plain(e.Stats).(map[string]any)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("cannot encode an event of the play: %w", err)
	}
	return b, nil
}

// plain is v with floats that JSON alone would turn into whole numbers, or
// refuse, written out. Maps and lists without any are v's own.
func plain(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) {
			return "nan"
		}
		if math.IsInf(v, 0) {
			return strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, 64), "+")
		}
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return json.Number(s)
	case map[string]any:
		if !hasFloat(v) {
			return v
		}
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = plain(x)
		}
		return out
	case []any:
		if !hasFloat(v) {
			return v
		}
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = plain(x)
		}
		return out
	}
	return v
}

func hasFloat(v any) bool {
	switch v := v.(type) {
	case float64:
		return true
	case map[string]any:
		for _, x := range v {
			if hasFloat(x) {
				return true
			}
		}
	case []any:
		for _, x := range v {
			if hasFloat(x) {
				return true
			}
		}
	}
	return false
}

// Join makes one message of several encoded events.
func Join(events [][]byte) []byte {
	return slices.Concat([]byte("["), bytes.Join(events, []byte(",")), []byte("]"))
}

// Decode reads a message of Join.
func Decode(b []byte) ([]engine.Event, error) {
	var list []engine.Event
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("cannot read the events of the play: %w", err)
	}
	for _, e := range list {
		if e.Result != nil {
			numbers(e.Result.Result)
		}
		numbers(e.Stats)
	}
	return list, nil
}

// numbers turns JSON's numbers into int64 and float64, in place.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		s := v.String()
		if strings.ContainsAny(s, ".eE") {
			if f, err := strconv.ParseFloat(s, 64); err == nil {
				return f
			}
			return v
		}
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i
		}
		return v // larger than any int64: printed as it is
	case map[string]any:
		for k, x := range v {
			v[k] = numbers(x)
		}
	case []any:
		for i, x := range v {
			v[i] = numbers(x)
		}
	}
	return v
}
