package value

// FromGo makes a value of Go's plain types, at any depth: maps with their
// keys sorted, slices, all numbers, json.Number. A Value stays as it is.
func FromGo(v any) Value { return v }

// ToGo makes what encoding/json takes: map[string]any, []any, string, bool,
// int64, float64, json.Number for big integers, nil.
func ToGo(v Value) any { return v }

// FromJSON reads one JSON document and keeps the order of keys.
func FromJSON(src []byte) (Value, error) { return nil, nil }

// ToJSON writes compact JSON in the order of keys.
func ToJSON(v Value) ([]byte, error) { return nil, nil }

// Repr is Python's repr().
func Repr(v Value) string { return "" }

// Str is Python's str().
func Str(v Value) string { return "" }

// Truth is Python's bool(); only something undefined has none.
func Truth(v Value) (bool, error) { return false, nil }

// Equal is Python's ==.
func Equal(a, b Value) bool { return false }

// Compare orders a and b as Python's < does; values without an order are an error.
func Compare(a, b Value) (int, error) { return 0, nil }

// TypeName is the name of v's class in Python: str, int, NoneType, dict …
func TypeName(v Value) string { return "" }
