package value

import "time"

// Time is datetime.datetime, or datetime.date when DateOnly.
type Time struct {
	T        time.Time
	DateOnly bool
	Naive    bool // without a zone
}

// Repr prints as Python does.
func (t Time) Repr() string { return t.T.String() }

// Delta is datetime.timedelta, in microseconds.
type Delta int64

// Repr prints as Python does.
func (d Delta) Repr() string { return "" }
