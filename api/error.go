package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Code is the kind of an error, the same on both ends of every connection.
type Code string

// The few kinds of errors there are.
const (
	CodeInvalid      Code = "invalid"      // what was sent is wrong; sending it again will not help
	CodeUnauthorized Code = "unauthorized" // nobody is signed in, or the credential is wrong, used or expired
	CodeForbidden    Code = "forbidden"    // signed in, but may not do this
	CodeNotFound     Code = "not_found"    // there is no such object
	CodeExists       Code = "exists"       // there is one already
	CodeConflict     Code = "conflict"     // it changed since it was read: read again and retry
	CodeTooLarge     Code = "too_large"    // over a limit that the message names
	CodeUnavailable  Code = "unavailable"  // not now: retry later
	CodeInternal     Code = "internal"     // a fault of ours; the server's log has it under the request's id
)

// Error is what every API call, link message and check returns when it fails.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`         // "cannot …: …"
	Field   string `json:"field,omitempty"` // dotted path of the wrong field: "spec.labels.env"
	Place   *Place `json:"place,omitempty"` // where in the fleet repository
	Remedy  string `json:"remedy,omitempty"`
}

// Place is a position in a file; lines and columns count from 1.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is the form editors jump to: file:line:column.
func (p Place) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Place != nil {
		b.WriteString(e.Place.String())
		b.WriteString(": ")
	}
	if e.Remedy == "" {
		b.WriteString(e.Message)
	} else {
		b.WriteString(strings.TrimRight(e.Message, "."))
	}
	if e.Field != "" {
		fmt.Fprintf(&b, " (field %s)", e.Field)
	}
	if e.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(e.Remedy)
	}
	return b.String()
}

// Errorf makes an *Error of a kind.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithRemedy returns a copy that says what to do about it.
func (e *Error) WithRemedy(format string, args ...any) *Error {
	c := *e
	c.Remedy = fmt.Sprintf(format, args...)
	return &c
}

// CodeOf is the kind of err: that of the *Error in its chain, or CodeInternal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// HTTPStatus is the status an error of this kind travels under.
func (c Code) HTTPStatus() int {
	switch c {
	case CodeInvalid:
		return http.StatusUnprocessableEntity
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeExists, CodeConflict:
		return http.StatusConflict
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
