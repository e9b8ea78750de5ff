package api

import (
	"fmt"
	"regexp"
	"time"
)

// Meta is what every stored object carries.
type Meta struct {
	Kind   string            `json:"kind"`             // kind's name in lower case, singular: "host"
	Name   string            `json:"name"`             // unique within the kind, see ValidName
	UID    string            `json:"uid,omitempty"`    // set once at creation; a name used again gets a new one
	Labels map[string]string `json:"labels,omitempty"` // free key=value pairs to select by
	// Generation counts the changes of the specification; Revision is the
	// store's revision of the last write of any part. A write that carries a
	// Revision other than the stored one is refused with CodeConflict.
	Generation int64     `json:"generation,omitempty"`
	Revision   int64     `json:"revision,omitempty"`
	Created    time.Time `json:"created,omitzero"`
	Updated    time.Time `json:"updated,omitzero"`
}

// Metadata gives access to the embedded Meta of any object.
func (m *Meta) Metadata() *Meta { return m }

// Object is anything the store keeps and the API serves: a struct that embeds
// Meta and has `spec` and `status` fields.
type Object interface {
	Metadata() *Meta
	// Validate returns an *Error naming the field and the remedy, or nil.
	Validate() error
}

// Column is one column of a kind's table in the CLI and the console.
type Column struct {
	Head string `json:"head"`           // "STATE"
	Path string `json:"path"`           // dotted path into the object's JSON: "status.state"
	Wide bool   `json:"wide,omitempty"` // shown only where there is room
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?$`)

// ValidName reports whether name can name an object: letters, digits, '_',
// '.' and '-', at most 253 characters, not starting or ending in '.' or '-'.
func ValidName(name string) error {
	if validName.MatchString(name) {
		return nil
	}
	return &Error{Code: CodeInvalid, Field: "name",
		Message: fmt.Sprintf("%q is not a valid name", name),
		Remedy:  "use letters, digits, '_', '.' and '-', at most 253, beginning and ending with a letter, digit or '_'"}
}
