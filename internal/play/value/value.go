// Package value holds Python's values as templates and playbooks know them:
// what they print as, when they are true, equal and ordered, and what their
// operators and methods do. A value is one of
//
//	nil                     None
//	bool, int64, *big.Int, float64
//	string, Unsafe, []byte
//	Tuple, *List, *Dict, *View, Range
//	Time, Delta             datetime.datetime, datetime.date and datetime.timedelta
//	*Undefined              a name that is not there
//	Func, Callable          what a template can call
//	Mapping                 a dictionary that is computed on demand (hostvars, vars)
//	Object                  anything else with attributes
//
// Nothing here starts a goroutine or reads a clock. A value is not safe for
// use from several goroutines while one of them changes it.
package value

import (
	"context"
	"math/big"
)

// Value is one of the types that the package comment lists.
type Value = any

// Tuple is Python's tuple.
type Tuple []Value

// List is Python's list: shared by reference, so that append is seen by all.
type List struct{ Items []Value }

// NewList makes a list of items; it keeps the slice.
func NewList(items ...Value) *List { return &List{Items: items} }

// Unsafe is a string that is never templated again. For every other purpose
// it is a plain string.
type Unsafe string

// Func is a function that a template can call.
type Func func(ctx context.Context, args []Value, kwargs *Dict) (Value, error)

// Callable is a value that can be called and has attributes too, as macros do.
type Callable interface {
	Call(ctx context.Context, args []Value, kwargs *Dict) (Value, error)
}

// Object is a value with attributes. Attr reports whether there is one.
type Object interface {
	Attr(name string) (Value, bool, error)
}

// Mapping is a dictionary whose values are made when they are read.
type Mapping interface {
	Lookup(key Value) (Value, bool, error)
	Keys() []Value
}

// Typer lets an Object say what type it is; others are "object".
type Typer interface{ TypeName() string }

// Reprer lets an Object say how it prints.
type Reprer interface{ Repr() string }

// Undefined stands for a name, attribute or item that is not there. Using it
// for anything but a test for being defined or a default is an error.
type Undefined struct {
	Name string // what was looked up, for messages
	Hint string // the whole message, where it is not the usual one
	Err  error  // the error that left the value undefined, if there was one
	Soft bool   // prints as nothing, is false and empty: an inline if without else
}

// Message says what is undefined.
func (u *Undefined) Message() string {
	switch {
	case u.Hint != "":
		return u.Hint
	case u.Err != nil:
		return u.Err.Error()
	case u.Name != "":
		return "'" + u.Name + "' is undefined"
	}
	return "the value is undefined"
}

// Use is the error of using u.
func (u *Undefined) Use() error { return &UndefinedError{Undefined: u} }

// UndefinedError is the use of something undefined.
type UndefinedError struct{ Undefined *Undefined }

func (e *UndefinedError) Error() string { return e.Undefined.Message() }
func (e *UndefinedError) Unwrap() error { return e.Undefined.Err }

// Error is an exception of Python's, by its class name.
type Error struct {
	Kind string // TypeError, ValueError, ZeroDivisionError, KeyError, IndexError, AttributeError, OverflowError
	Msg  string
}

func (e *Error) Error() string { return e.Msg }

// Limits on what one operation may make. They are far above what a playbook
// needs and far below what hurts the machine.
const (
	MaxString = 64 << 20  // bytes of one string
	MaxItems  = 4 << 20   // elements of one list or dictionary
	MaxBits   = 1 << 20   // bits of one integer
	MaxDepth  = 200       // nesting of a value that is compared, printed or copied
	MaxRange  = 1_000_000 // elements of one range
)

// StrOf returns the text of a string of either kind.
func StrOf(v Value) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case Unsafe:
		return string(s), true
	}
	return "", false
}

// Int makes the smallest representation of b: an int64 where it fits.
func Int(b *big.Int) Value {
	if b.IsInt64() {
		return b.Int64()
	}
	return b
}
