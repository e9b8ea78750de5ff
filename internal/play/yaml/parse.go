package yaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	yaml4 "go.yaml.in/yaml/v4"

	"drover/api"
)

// maxNodes bounds what one file may become once its aliases are followed, so
// that a few lines of them cannot fill the memory.
const maxNodes = 5_000_000

// Parse reads all documents of src. An error is an *api.Error with place and remedy.
func Parse(file string, src []byte) (docs []*Node, err error) {
	// A byte order mark is no content.
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	loader, err := yaml4.NewLoader(bytes.NewReader(src))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	defer func() {
		// The reader is a library's; what it does not expect must not end a server.
		if r := recover(); r != nil {
			docs, err = nil, &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: file}, Message: fmt.Sprintf("cannot parse YAML: %v", r)}
		}
	}()
	c := &converter{file: file}
	for {
		var n yaml4.Node
		err := loader.Load(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, syntaxError(file, src, err)
		}
		doc, err := c.node(&n)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
}

// syntaxError turns the library's error into one with a place and a remedy.
func syntaxError(file string, src []byte, err error) error {
	place := &api.Place{File: file}
	message := err.Error()
	var many *yaml4.LoadErrors
	var one *yaml4.LoadError
	if errors.As(err, &many) && len(many.Errors) > 0 {
		one = many.Errors[0]
	}
	if one != nil || errors.As(err, &one) {
		message = one.Message
		mark := one.Mark
		if mark.Line == 0 {
			mark = one.ContextMark
		}
		place.Line, place.Column = mark.Line, max(mark.Column, 1)
	}
	e := &api.Error{Code: api.CodeInvalid, Place: place, Message: "cannot parse YAML: " + message}
	e.Remedy = remedy(line(src, place.Line), place.Column, message)
	return e
}

func line(src []byte, n int) string {
	for i := 1; len(src) > 0; i++ {
		l, rest, _ := bytes.Cut(src, []byte("\n"))
		if i == n {
			return string(l)
		}
		src = rest
	}
	return ""
}

// remedy guesses what people meant by the mistakes they make most.
func remedy(line string, column int, message string) string {
	trimmed := strings.TrimSpace(line)
	_, val, _ := strings.Cut(trimmed, ": ")
	val = strings.TrimSpace(val)
	switch {
	case strings.Contains(line, "\t") && strings.TrimLeft(line, " \t") != strings.TrimLeft(line, " "):
		return "indent with spaces: YAML allows no tabs there"
	case strings.HasPrefix(val, "{{") || strings.HasPrefix(trimmed, "- {{"):
		return "put quotes around a value that begins with a template: \"{{ … }}\""
	case (strings.HasPrefix(val, "\"") || strings.HasPrefix(val, "'")) && strings.Contains(message, "did not find expected"):
		return "quotes that begin a value must also end it: put the whole value into quotes of the other kind"
	case strings.Contains(message, "mapping values are not allowed"):
		return "put quotes around a value that holds \": \", and check the indentation"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-'"):
		return "check the indentation of this line and the one before"
	case strings.Contains(message, "cannot start any token"):
		return "put quotes around a value that begins with @, ` or %"
	case strings.Contains(message, "unexpected end"), strings.Contains(message, "end of stream"):
		return "something that was opened (a quote, a bracket) is not closed"
	}
	return "check indentation, quotes and brackets here and on the line before"
}

// converter turns the library's nodes into ours.
type converter struct {
	file  string
	nodes int
	open  []*yaml4.Node // aliases being followed, to notice one within itself
}

func (c *converter) place(n *yaml4.Node) api.Place {
	return api.Place{File: c.file, Line: n.Line, Column: n.Column}
}

func (c *converter) fail(n *yaml4.Node, remedy, format string, args ...any) error {
	p := c.place(n)
	return &api.Error{Code: api.CodeInvalid, Place: &p, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

func (c *converter) node(n *yaml4.Node) (*Node, error) {
	if c.nodes++; c.nodes > maxNodes {
		return nil, c.fail(n, "use fewer aliases, or split the file", "the file has more than %d values once its aliases are followed", maxNodes)
	}
	switch n.Kind {
	case yaml4.DocumentNode:
		if len(n.Content) == 0 {
			return &Node{Pos: c.place(n)}, nil
		}
		return c.node(n.Content[0])
	case yaml4.AliasNode:
		for _, open := range c.open {
			if open == n.Alias {
				return nil, c.fail(n, "break the circle", "the alias *%s stands within what it refers to", n.Value)
			}
		}
		c.open = append(c.open, n.Alias)
		out, err := c.node(n.Alias)
		c.open = c.open[:len(c.open)-1]
		return out, err
	case yaml4.SequenceNode:
		return c.sequence(n)
	case yaml4.MappingNode:
		return c.mapping(n)
	case yaml4.ScalarNode:
		return c.scalar(n)
	}
	return &Node{Pos: c.place(n)}, nil // an empty document
}

func (c *converter) sequence(n *yaml4.Node) (*Node, error) {
	out := &Node{Pos: c.place(n), Kind: Seq, Tag: applicationTag(n), Items: make([]*Node, 0, len(n.Content))}
	for _, item := range n.Content {
		v, err := c.node(item)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

// mapping reads a mapping. Merge keys come first, as if their entries had been
// written at the top: the mapping's own entries, and maps that stand earlier in
// a list of merges, count more (https://yaml.org/type/merge.html).
func (c *converter) mapping(n *yaml4.Node) (*Node, error) {
	out := &Node{Pos: c.place(n), Kind: Map, Tag: applicationTag(n)}
	var merged, own []Pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if isMerge(k) {
			pairs, err := c.merge(v)
			if err != nil {
				return nil, err
			}
			merged = append(merged, pairs...)
			continue
		}
		key, err := c.node(k)
		if err != nil {
			return nil, err
		}
		if key.Kind != Scalar {
			return nil, c.fail(k, "put quotes around a key that begins with [ or {; a template as a key needs them too", "a key must be a scalar, not a list or a mapping")
		}
		val, err := c.node(v)
		if err != nil {
			return nil, err
		}
		own = append(own, Pair{Key: key, Value: val})
	}
	at := make(map[string]int, len(own)+len(merged))
	for _, p := range merged {
		// Earlier merges count more; the place of the first stays.
		if _, ok := at[keyID(p.Key)]; !ok {
			at[keyID(p.Key)] = len(out.Pairs)
			out.Pairs = append(out.Pairs, p)
		}
	}
	first := make(map[string]api.Place, len(own))
	for _, p := range own {
		id := keyID(p.Key)
		if before, ok := first[id]; ok {
			out.Duplicates = append(out.Duplicates, Duplicate{Key: p.Key.Text, Pos: p.Key.Pos, First: before})
		} else {
			first[id] = p.Key.Pos
		}
		if i, ok := at[id]; ok {
			out.Pairs[i] = p
			continue
		}
		at[id] = len(out.Pairs)
		out.Pairs = append(out.Pairs, p)
	}
	return out, nil
}

func isMerge(k *yaml4.Node) bool {
	return k.Kind == yaml4.ScalarNode && k.Value == "<<" && (k.Tag == "!!merge" || k.Style&(yaml4.SingleQuotedStyle|yaml4.DoubleQuotedStyle|yaml4.TaggedStyle) == 0)
}

func (c *converter) merge(v *yaml4.Node) ([]Pair, error) {
	from, err := c.node(v)
	if err != nil {
		return nil, err
	}
	sources := []*Node{from}
	if from.Kind == Seq {
		sources = from.Items
	}
	var pairs []Pair
	for _, s := range sources {
		if s.Kind != Map {
			return nil, c.fail(v, "give << an alias of a mapping, or a list of them", "only mappings can be merged")
		}
		pairs = append(pairs, s.Pairs...)
	}
	return pairs, nil
}

// keyID tells keys apart: 1 and "1" are two, 1 and 0x1 are one.
func keyID(k *Node) string { return fmt.Sprintf("%T %v", k.Scalar, k.Scalar) }

func applicationTag(n *yaml4.Node) string {
	if n.Style&yaml4.TaggedStyle == 0 && !strings.HasPrefix(n.Tag, "!") {
		return ""
	}
	if t := n.ShortTag(); strings.HasPrefix(t, "!") && !strings.HasPrefix(t, "!!") {
		return t
	}
	return ""
}

func (c *converter) scalar(n *yaml4.Node) (*Node, error) {
	out := &Node{Pos: c.place(n), Tag: applicationTag(n), Text: n.Value, Style: styleOf(n.Style)}
	if out.Tag != "" {
		out.Scalar = n.Value
		return out, nil
	}
	if n.Style&yaml4.TaggedStyle != 0 {
		v, err := c.tagged(n)
		out.Scalar = v
		return out, err
	}
	if out.Style == Plain {
		out.Scalar = resolve(n.Value)
	} else {
		out.Scalar = n.Value
	}
	return out, nil
}

func styleOf(s yaml4.Style) Style {
	switch {
	case s&yaml4.DoubleQuotedStyle != 0:
		return DoubleQuoted
	case s&yaml4.SingleQuotedStyle != 0:
		return SingleQuoted
	case s&yaml4.LiteralStyle != 0:
		return Literal
	case s&yaml4.FoldedStyle != 0:
		return Folded
	}
	return Plain
}
