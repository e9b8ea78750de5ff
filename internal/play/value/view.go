package value

// View is what dict.keys(), .values() and .items() return.
type View struct {
	Kind  string // dict_keys, dict_values, dict_items
	Items []Value
}

// Range is Python's range.
type Range struct{ Start, Stop, Step int64 }
