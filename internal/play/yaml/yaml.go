// Package yaml reads YAML 1.1 as PyYAML's safe loader resolves it, with the
// position of every node kept, and writes it as PyYAML does.
package yaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	goyaml "go.yaml.in/yaml/v4"

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

// Node is one value of a document and where it stands. A node that an alias
// refers to is there once and shared.
type Node struct {
	Pos    api.Place
	Kind   Kind
	Tag    string      // a tag of the application's: "!vault", "!unsafe"; "" otherwise
	Scalar value.Value // a scalar's value; under an application's tag its text
	Text   string      // a scalar as written, unquoted
	Style  Style       // how a scalar is written
	Items  []*Node     // of a sequence
	Pairs  []Pair      // of a mapping: each key once, merge keys already merged in

	// Duplicates are keys that stand again later in the same mapping; the
	// last one counts.
	Duplicates []Duplicate

	shared bool
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

// Limits on what a file may hold.
const (
	maxSize  = 64 << 20
	maxDepth = 150
	maxNodes = 5_000_000 // with aliases counted at every place where they stand
)

// Parse reads all documents of src. An error is an *api.Error with place and
// remedy. An empty source has no documents.
func Parse(file string, src []byte) ([]*Node, error) {
	if len(src) > maxSize {
		return nil, &api.Error{Code: api.CodeTooLarge, Message: "the file is larger than 64 MiB", Place: &api.Place{File: file}}
	}
	if err := checkText(file, src); err != nil {
		return nil, err
	}
	for range maxSlashes {
		docs, err := parse(file, src)
		at, ok := slashEscape(src, err)
		if !ok {
			return docs, err
		}
		src = slices.Concat(src[:at], []byte(`\x2f`), src[at+2:])
	}
	return parse(file, src)
}

// maxSlashes bounds how many "\/" are looked for one by one.
const maxSlashes = 200

// slashEscape finds a "\/" that the parser does not know, as JSON allows it.
func slashEscape(src []byte, err error) (int, bool) {
	var e *api.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "unknown escape character") {
		return 0, false
	}
	at := 0
	for range e.Place.Line - 1 {
		at += bytes.IndexByte(src[at:], '\n') + 1
	}
	line, _, _ := bytes.Cut(src[at:], []byte("\n"))
	rs := []rune(string(line))
	at += len(string(rs[:min(e.Place.Column-1, len(rs))]))
	for _, i := range []int{at, at - 1} {
		if i >= 0 && bytes.HasPrefix(src[i:], []byte(`\/`)) {
			return i, true
		}
	}
	return 0, false
}

func parse(file string, src []byte) ([]*Node, error) {
	loader, err := goyaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		return nil, convertError(file, src, err)
	}
	var docs []*Node
	for {
		var n goyaml.Node
		err := load(loader, &n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, convertError(file, src, err)
		}
		c := &converter{file: file, done: map[*goyaml.Node]*Node{}, size: map[*Node]int{}}
		doc, err := c.node(&n, 0)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
}

// load reads one document; a panic of the parser is an error like others.
func load(l *goyaml.Loader, n *goyaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot read the document: %v", r)
		}
	}()
	return l.Load(n)
}

func checkText(file string, src []byte) error {
	if utf8.Valid(src) || bytes.HasPrefix(src, []byte{0xff, 0xfe}) || bytes.HasPrefix(src, []byte{0xfe, 0xff}) {
		return nil
	}
	line, col := 1, 1
	for len(src) > 0 {
		r, n := utf8.DecodeRune(src)
		if r == utf8.RuneError && n == 1 {
			break
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
		src = src[n:]
	}
	return &api.Error{Code: api.CodeInvalid, Message: "cannot parse YAML: the text is not UTF-8 here",
		Place: &api.Place{File: file, Line: line, Column: col}, Remedy: "save the file as UTF-8"}
}

func convertError(file string, src []byte, err error) error {
	e := &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: file, Line: 1, Column: 1}}
	var le *goyaml.LoadError
	if errors.As(err, &le) {
		e.Message = "cannot parse YAML: " + le.Message
		if le.Mark.Line > 0 {
			e.Place.Line, e.Place.Column = le.Mark.Line, max(le.Mark.Column, 1)
		} else if le.ContextMark.Line > 0 {
			e.Place.Line, e.Place.Column = le.ContextMark.Line, max(le.ContextMark.Column, 1)
		}
		if le.ContextMsg != "" && le.ContextMark.Line > 0 {
			e.Message += fmt.Sprintf(" (%s from line %d)", le.ContextMsg, le.ContextMark.Line)
		}
		e.Remedy = remedy(le.Message, lineOf(src, e.Place.Line))
	} else {
		e.Message = "cannot parse YAML: " + err.Error()
	}
	return e
}

func lineOf(src []byte, line int) string {
	for i := 1; i < line; i++ {
		j := bytes.IndexByte(src, '\n')
		if j < 0 {
			return ""
		}
		src = src[j+1:]
	}
	s, _, _ := bytes.Cut(src, []byte("\n"))
	return string(s)
}

func remedy(msg, line string) string {
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		return "indent with spaces instead of tabs"
	case strings.Contains(line, "{{") && !strings.Contains(line, `"`) && !strings.Contains(line, "'"):
		return `put quotes around a value that begins with a template: "{{ … }}"`
	case strings.Contains(msg, "mapping values are not allowed"):
		return `check the indentation, and put quotes around text that contains ": "`
	case strings.Contains(msg, "could not find expected ':'"), strings.Contains(msg, "did not find expected key"):
		return "check the indentation of this line and of the ones above, and that each key ends in ':'"
	case strings.Contains(msg, "cannot start any token"):
		return "put quotes around text that begins with a special character such as @, ` or %"
	case strings.Contains(msg, "unexpected end of stream"), strings.Contains(msg, "document indicator"):
		return "a quote or bracket that was opened before is not closed"
	case strings.Contains(msg, "unknown anchor"):
		return "define the anchor with & before it is used"
	}
	return "check the indentation and the quotes around this line"
}

type converter struct {
	file string
	done map[*goyaml.Node]*Node
	open []*goyaml.Node
	size map[*Node]int // nodes below, aliases counted each time; shared ones only
	n    int
}

func (c *converter) fail(n *goyaml.Node, remedy, format string, args ...any) error {
	return &api.Error{Code: api.CodeInvalid, Message: "cannot parse YAML: " + fmt.Sprintf(format, args...),
		Place: &api.Place{File: c.file, Line: n.Line, Column: n.Column}, Remedy: remedy}
}

func (c *converter) node(n *goyaml.Node, depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, c.fail(n, "", "it is nested too deeply")
	}
	switch n.Kind {
	case goyaml.DocumentNode:
		if len(n.Content) == 0 {
			return &Node{Pos: api.Place{File: c.file, Line: max(n.Line, 1), Column: 1}}, nil
		}
		return c.node(n.Content[0], depth)
	case goyaml.AliasNode:
		for _, o := range c.open {
			if o == n.Alias {
				return nil, c.fail(n, "break the circle: an alias must not stand within what it refers to", "'*%s' contains itself", n.Value)
			}
		}
		t, ok := c.done[n.Alias]
		if !ok {
			var err error
			if t, err = c.node(n.Alias, depth+1); err != nil {
				return nil, err
			}
		} else if c.n += c.size[t]; c.n > maxNodes {
			return nil, c.fail(n, "", "the aliases expand to more than %d values", maxNodes)
		}
		t.shared = true
		return t, nil
	}
	if c.n++; c.n > maxNodes {
		return nil, c.fail(n, "", "it holds more than %d values", maxNodes)
	}
	out := &Node{Pos: api.Place{File: c.file, Line: n.Line, Column: n.Column}}
	tag := ""
	if n.Style&goyaml.TaggedStyle != 0 {
		tag = strings.TrimPrefix(strings.TrimPrefix(n.Tag, "tag:yaml.org,2002:"), "!!")
		if strings.HasPrefix(tag, "!") && tag != "!" {
			out.Tag, tag = tag, ""
		}
	}
	before := c.n
	if n.Anchor != "" {
		c.open = append(c.open, n)
		defer func() {
			c.open = c.open[:len(c.open)-1]
			c.done[n] = out
			c.size[out] = c.n - before + 1
		}()
	}
	var err error
	switch n.Kind {
	case goyaml.SequenceNode:
		out.Kind = Seq
		out.Items = make([]*Node, len(n.Content))
		for i, e := range n.Content {
			if out.Items[i], err = c.node(e, depth+1); err != nil {
				return nil, err
			}
		}
		if tag == "omap" || tag == "pairs" || tag == "set" || tag == "map" || tag == "str" {
			if tag != "omap" && tag != "pairs" {
				return nil, c.fail(n, "", "expected another kind of node for !!%s than a sequence", tag)
			}
		}
	case goyaml.MappingNode:
		out.Kind = Map
		err = c.mapping(n, out, depth)
	default:
		err = c.scalar(n, out, tag)
	}
	return out, err
}

func (c *converter) scalar(n *goyaml.Node, out *Node, tag string) error {
	out.Text = n.Value
	switch {
	case n.Style&goyaml.SingleQuotedStyle != 0:
		out.Style = SingleQuoted
	case n.Style&goyaml.DoubleQuotedStyle != 0:
		out.Style = DoubleQuoted
	case n.Style&goyaml.LiteralStyle != 0:
		out.Style = Literal
	case n.Style&goyaml.FoldedStyle != 0:
		out.Style = Folded
	}
	if out.Tag != "" {
		out.Scalar = n.Value
		return nil
	}
	switch tag {
	case "":
		if out.Style != Plain {
			out.Scalar = n.Value
			return nil
		}
		tag = resolve(n.Value)
	case "!":
		out.Scalar = n.Value
		return nil
	}
	v, ok := construct(tag, n.Value)
	if !ok {
		return c.fail(n, "write "+tagWords[tag]+", or put quotes around it if it is text", "%q is not a valid %s", n.Value, tag)
	}
	out.Scalar = v
	return nil
}

// mapping converts the entries of n: merged ones first, each key once.
func (c *converter) mapping(n *goyaml.Node, out *Node, depth int) error {
	type slot struct {
		at     int
		merged bool
	}
	index := value.NewDict()
	put := func(k, v *Node, merged bool) {
		key := k.key()
		if s, ok := index.Get(key); ok {
			sl := s.(*slot)
			if !sl.merged && !merged {
				out.Duplicates = append(out.Duplicates, Duplicate{Key: k.Text, Pos: k.Pos, First: out.Pairs[sl.at].Key.Pos})
			}
			sl.merged = merged
			old := out.Pairs[sl.at].Key
			if value.TypeName(old.key()) != value.TypeName(key) {
				k = old // 1 and true are one key, the one that came first
			}
			out.Pairs[sl.at] = Pair{k, v}
			return
		}
		index.Set(key, &slot{len(out.Pairs), merged})
		out.Pairs = append(out.Pairs, Pair{k, v})
	}
	var own []Pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, err := c.node(n.Content[i], depth+1)
		if err != nil {
			return err
		}
		v, err := c.node(n.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		if k.Kind == Scalar && k.Style == Plain && k.Tag == "" && k.Text == "<<" {
			list := []*Node{v}
			if v.Kind == Seq {
				list = v.Items
			} else if v.Kind != Map {
				return c.fail(n.Content[i+1], "write <<: *anchor, where the anchor names a mapping", "a merge key needs a mapping or a list of mappings")
			}
			for j := len(list) - 1; j >= 0; j-- {
				if list[j].Kind != Map {
					return c.fail(n.Content[i+1], "write <<: *anchor, where the anchor names a mapping", "a merge key needs a mapping or a list of mappings")
				}
				for _, p := range list[j].Pairs {
					put(p.Key, p.Value, true)
				}
			}
			continue
		}
		if k.Kind != Scalar {
			return c.fail(n.Content[i], `put quotes around a key or a value that begins with a template: "{{ … }}"`, "found unhashable key: a key must be a scalar")
		}
		own = append(own, Pair{k, v})
	}
	for _, p := range own {
		put(p.Key, p.Value, false)
	}
	return nil
}

// key is a scalar as a key.
func (n *Node) key() value.Value {
	if n.Tag != "" {
		return n.Text
	}
	return n.Scalar
}

// Value is the node as a value; text under !unsafe becomes value.Unsafe,
// under other tags of the application plain strings.
func (n *Node) Value() value.Value {
	v, _ := n.Decode(nil)
	return v
}

// Decode is Value with a say over tags: tag is called for each node that
// carries one and returns its value, or false to go on as Value does.
func (n *Node) Decode(tag func(*Node) (value.Value, bool, error)) (value.Value, error) {
	d := decoder{tag: tag}
	return d.decode(n, false)
}

type decoder struct {
	tag  func(*Node) (value.Value, bool, error)
	done map[*Node]value.Value
}

func (d *decoder) decode(n *Node, unsafe bool) (value.Value, error) {
	if n == nil {
		return nil, nil
	}
	if n.shared && !unsafe {
		if v, ok := d.done[n]; ok {
			return v, nil
		}
	}
	if n.Tag != "" && d.tag != nil {
		v, ok, err := d.tag(n)
		if ok || err != nil {
			return v, err
		}
	}
	unsafe = unsafe || n.Tag == "!unsafe"
	var out value.Value
	switch n.Kind {
	case Seq:
		l := &value.List{Items: make([]value.Value, len(n.Items))}
		for i, e := range n.Items {
			v, err := d.decode(e, unsafe)
			if err != nil {
				return nil, err
			}
			l.Items[i] = v
		}
		out = l
	case Map:
		m := value.NewDict()
		for _, p := range n.Pairs {
			v, err := d.decode(p.Value, unsafe)
			if err != nil {
				return nil, err
			}
			m.Set(p.Key.key(), v)
		}
		out = m
	default:
		out = n.Scalar
		if s, ok := out.(string); ok && unsafe {
			out = value.Unsafe(s)
		}
	}
	if n.shared && !unsafe {
		if d.done == nil {
			d.done = map[*Node]value.Value{}
		}
		d.done[n] = out
	}
	return out, nil
}

// Get is the value of a string key of a mapping, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, p := range n.Pairs {
		if s, ok := p.Key.key().(string); ok && s == key {
			return p.Value
		}
	}
	return nil
}

// AllDuplicates lists the duplicate keys of n and everything below it.
func (n *Node) AllDuplicates() []Duplicate {
	var out []Duplicate
	seen := map[*Node]bool{}
	var walk func(*Node)
	walk = func(n *Node) {
		if n == nil || n.shared && seen[n] {
			return
		}
		if n.shared {
			seen[n] = true
		}
		out = append(out, n.Duplicates...)
		for _, e := range n.Items {
			walk(e)
		}
		for _, p := range n.Pairs {
			walk(p.Value)
		}
	}
	walk(n)
	return out
}
