package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"
)

// FromJSON reads one JSON document and keeps the order of keys. As Python
// does it takes NaN, Infinity and -Infinity too, where they stand alone.
func FromJSON(src []byte) (Value, error) {
	if t := strings.TrimSpace(string(src[:min(len(src), 12)])); len(src) < 12 {
		switch t {
		case "NaN":
			return math.NaN(), nil
		case "Infinity":
			return math.Inf(1), nil
		case "-Infinity":
			return math.Inf(-1), nil
		}
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	v, err := readJSON(d, 0)
	if err != nil {
		return nil, jsonError(src, d, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, jsonError(src, d, errors.New("there is more after the end of the value"))
	}
	return v, nil
}

func jsonError(src []byte, d *json.Decoder, err error) error {
	at := d.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
		at = int64(len(src))
	}
	at = min(max(at, 0), int64(len(src)))
	before := src[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	col := int(at) - bytes.LastIndexByte(before, '\n')
	return &Error{Kind: "ValueError", Msg: fmt.Sprintf("cannot read JSON: line %d column %d: %v", line, max(col-1, 1), err)}
}

func readJSON(d *json.Decoder, depth int) (Value, error) {
	if depth > 10*MaxDepth {
		return nil, errors.New("it is nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch x := t.(type) {
	case json.Delim:
		if x == '[' {
			l := &List{Items: []Value{}}
			for d.More() {
				e, err := readJSON(d, depth+1)
				if err != nil {
					return nil, err
				}
				l.Items = append(l.Items, e)
			}
			_, err := d.Token()
			return l, err
		}
		o := NewDict()
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, ok := k.(string)
			if !ok {
				return nil, errors.New("a key must be a string")
			}
			e, err := readJSON(d, depth+1)
			if err != nil {
				return nil, err
			}
			o.Set(key, e)
		}
		_, err := d.Token()
		return o, err
	case json.Number:
		return fromNumber(string(x)), nil
	}
	return t, nil
}

// JSONOptions are those of Python's json.dumps.
type JSONOptions struct {
	Indent      int    // spaces; below 0 means one line
	ItemSep     string // default ", ", with Indent ","
	KeySep      string // default ": "
	SortKeys    bool
	Unicode     bool // write characters above ASCII as they are
	SkipKeys    bool // leave out keys that are not basic types
	HTMLSafe    bool // escape <, >, & and ' for use within HTML
	IndentGiven bool // Indent 0 is meant: a line for each element
}

// ToJSON writes compact JSON in the order of keys.
func ToJSON(v Value) ([]byte, error) {
	return DumpJSON(v, JSONOptions{Indent: -1, ItemSep: ",", KeySep: ":", Unicode: true})
}

// DumpJSON writes JSON as json.dumps does.
func DumpJSON(v Value, o JSONOptions) ([]byte, error) {
	if o.Indent == 0 && !o.IndentGiven {
		o.Indent = -1
	}
	if o.ItemSep == "" {
		o.ItemSep = ", "
		if o.Indent >= 0 {
			o.ItemSep = ","
		}
	}
	if o.KeySep == "" {
		o.KeySep = ": "
	}
	w := jsonWriter{o: o}
	if err := w.write(v, 0); err != nil {
		return nil, err
	}
	return w.b, nil
}

type jsonWriter struct {
	b []byte
	o JSONOptions
}

func (w *jsonWriter) newline(depth int) {
	if w.o.Indent >= 0 {
		w.b = append(w.b, '\n')
		for range w.o.Indent * depth {
			w.b = append(w.b, ' ')
		}
	}
}

func (w *jsonWriter) write(v Value, depth int) error {
	if depth > MaxDepth {
		return &Error{Kind: "ValueError", Msg: "Circular reference detected"}
	}
	if len(w.b) > MaxString {
		return tooLarge("JSON text")
	}
	switch x := v.(type) {
	case nil:
		w.b = append(w.b, "null"...)
	case bool:
		if x {
			w.b = append(w.b, "true"...)
		} else {
			w.b = append(w.b, "false"...)
		}
	case float64:
		switch {
		case math.IsNaN(x):
			w.b = append(w.b, "NaN"...)
		case math.IsInf(x, 1):
			w.b = append(w.b, "Infinity"...)
		case math.IsInf(x, -1):
			w.b = append(w.b, "-Infinity"...)
		default:
			w.b = appendFloat(w.b, x)
		}
	case int64, *big.Int:
		w.b = append(w.b, Repr(x)...)
	case string:
		w.quote(x)
	case Unsafe:
		w.quote(string(x))
	case []byte:
		w.quote(string(x))
	case Time:
		w.quote(x.isoformat())
	case *Undefined:
		return x.Use()
	case *List:
		return w.list(x.Items, depth)
	case Tuple:
		return w.list(x, depth)
	case *View:
		return w.list(x.Items, depth)
	case Range:
		items, err := Iter(x)
		if err != nil {
			return err
		}
		return w.list(items, depth)
	case *Dict:
		return w.dict(x.Items(), depth)
	case Mapping:
		items, err := mappingItems(x)
		if err != nil {
			return err
		}
		return w.dict(items, depth)
	default:
		return &Error{Kind: "TypeError", Msg: "Object of type " + TypeName(v) + " is not JSON serializable"}
	}
	return nil
}

func (w *jsonWriter) list(items []Value, depth int) error {
	if len(items) == 0 {
		w.b = append(w.b, "[]"...)
		return nil
	}
	w.b = append(w.b, '[')
	for i, e := range items {
		if i > 0 {
			w.b = append(w.b, w.o.ItemSep...)
		}
		w.newline(depth + 1)
		if err := w.write(e, depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.b = append(w.b, ']')
	return nil
}

func (w *jsonWriter) dict(items []Item, depth int) error {
	if w.o.SortKeys {
		items = slices.Clone(items)
		var failed error
		slices.SortStableFunc(items, func(a, b Item) int {
			c, err := Compare(a.Key, b.Key)
			if err != nil {
				failed = err
			}
			return c
		})
		if failed != nil {
			// Python refuses to sort mixed keys; by their text is more useful.
			slices.SortStableFunc(items, func(a, b Item) int { return strings.Compare(jsonKey(a.Key), jsonKey(b.Key)) })
		}
	}
	if len(items) == 0 {
		w.b = append(w.b, "{}"...)
		return nil
	}
	w.b = append(w.b, '{')
	first := true
	for _, e := range items {
		switch e.Key.(type) {
		case nil, bool, int64, *big.Int, float64, string, Unsafe:
		default:
			if w.o.SkipKeys {
				continue
			}
			return &Error{Kind: "TypeError", Msg: "keys must be str, int, float, bool or None, not " + TypeName(e.Key)}
		}
		if !first {
			w.b = append(w.b, w.o.ItemSep...)
		}
		first = false
		w.newline(depth + 1)
		w.quote(jsonKey(e.Key))
		w.b = append(w.b, w.o.KeySep...)
		if err := w.write(e.Value, depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.b = append(w.b, '}')
	return nil
}

const hexDigits = "0123456789abcdef"

func (w *jsonWriter) quote(s string) {
	b := append(w.b, '"')
	start := 0
	flush := func(i int) { b = append(b, s[start:i]...) }
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if w.o.Unicode && (r != utf8.RuneError || n > 1) {
				i += n
				continue
			}
			flush(i)
			if r >= 0x10000 {
				r -= 0x10000
				b = appendU(appendU(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
			} else {
				b = appendU(b, r)
			}
			i += n
			start = i
			continue
		}
		esc := ""
		switch c {
		case '"':
			esc = `\"`
		case '\\':
			esc = `\\`
		case '\n':
			esc = `\n`
		case '\r':
			esc = `\r`
		case '\t':
			esc = `\t`
		case '\b':
			esc = `\b`
		case '\f':
			esc = `\f`
		case '<', '>', '&', '\'':
			if w.o.HTMLSafe {
				esc = `\u00` + string(hexDigits[c>>4]) + string(hexDigits[c&15])
			}
		default:
			if c < 0x20 {
				esc = `\u00` + string(hexDigits[c>>4]) + string(hexDigits[c&15])
			} else if c == 0x7f && !w.o.Unicode {
				esc = "\x7f"
			}
		}
		if esc == "" {
			i++
			continue
		}
		flush(i)
		b = append(b, esc...)
		i++
		start = i
	}
	flush(len(s))
	w.b = append(b, '"')
}

func appendU(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

func tooLarge(what string) error {
	return &Error{Kind: "OverflowError", Msg: "the " + what + " would be larger than this engine allows"}
}
