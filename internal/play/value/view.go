package value

// View is what dict.keys(), .values() and .items() return.
type View struct {
	Kind  string // dict_keys, dict_values, dict_items
	Items []Value
}

// Range is Python's range.
type Range struct{ Start, Stop, Step int64 }

// Len is the number of elements.
func (r Range) Len() int64 {
	switch {
	case r.Step > 0 && r.Stop > r.Start:
		return (r.Stop - r.Start + r.Step - 1) / r.Step
	case r.Step < 0 && r.Stop < r.Start:
		return (r.Start - r.Stop - r.Step - 1) / -r.Step
	}
	return 0
}
