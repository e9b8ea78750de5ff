package yaml

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"strings"

	"drover/internal/play/value"
)

// DumpOptions are PyYAML's.
type DumpOptions struct {
	Indent        int  // 0: 2
	Width         int  // 0: 80; below 0: no limit
	FlowStyle     int  // DefaultFlow, BlockStyle or FlowOnly
	SortKeys      bool // Python's default is to sort
	AllowUnicode  bool
	ExplicitStart bool
	ExplicitEnd   bool
	DefaultStyle  byte // 0, '\'', '"', '|' or '>'
}

// How collections are written.
const (
	DefaultFlow = iota // collections of scalars only in flow style, others in block style
	BlockStyle
	FlowOnly
)

// Dump writes v as PyYAML's safe dumper does, with libyaml's emitter.
func Dump(v value.Value, o DumpOptions) (string, error) {
	r := representer{o: o}
	n, err := r.represent(v, 0)
	if err != nil {
		return "", err
	}
	e := newEmitter(o)
	if o.ExplicitStart {
		e.indicator("---", true, false, false)
	}
	if err := e.node(n, context{root: true}); err != nil {
		return "", err
	}
	e.writeIndent()
	if o.ExplicitEnd {
		e.indicator("...", true, false, false)
		e.writeIndent()
	} else if e.openEnded {
		e.indicator("...", true, false, false)
		e.writeIndent()
	}
	return string(e.b), nil
}

// doc is a value on its way to text.
type doc struct {
	kind     Kind
	text     string
	tag      string // what a plain text must resolve to
	explicit string // a tag to write: "!!binary", "!!set"
	style    byte
	items    []*doc
	keys     []*doc
	flow     bool
}

type representer struct{ o DumpOptions }

func (r *representer) scalar(tag, text string) *doc {
	return &doc{tag: tag, text: text, style: r.o.DefaultStyle}
}

func (r *representer) represent(v value.Value, depth int) (*doc, error) {
	if depth > value.MaxDepth {
		return nil, &value.Error{Kind: "RecursionError", Msg: "cannot write YAML: the value is nested too deeply"}
	}
	switch x := v.(type) {
	case nil:
		return r.scalar(tagNull, "null"), nil
	case bool:
		if x {
			return r.scalar(tagBool, "true"), nil
		}
		return r.scalar(tagBool, "false"), nil
	case int64, *big.Int:
		return r.scalar(tagInt, value.Repr(x)), nil
	case float64:
		s := value.Repr(x)
		switch {
		case math.IsNaN(x):
			s = ".nan"
		case math.IsInf(x, 1):
			s = ".inf"
		case math.IsInf(x, -1):
			s = "-.inf"
		case !strings.Contains(s, ".") && strings.Contains(s, "e"):
			s = strings.Replace(s, "e", ".0e", 1)
		}
		return r.scalar(tagFloat, s), nil
	case string:
		return r.scalar(tagStr, x), nil
	case value.Unsafe:
		return r.scalar(tagStr, string(x)), nil
	case []byte:
		enc := base64.StdEncoding.EncodeToString(x)
		var lines []string
		for len(enc) > 76 {
			lines, enc = append(lines, enc[:76]), enc[76:]
		}
		d := &doc{tag: "binary", text: strings.Join(append(lines, enc), "\n") + "\n", style: '|', explicit: "!!binary"}
		return d, nil
	case value.Time:
		if x.DateOnly {
			return r.scalar(tagTimestamp, value.Str(x)), nil
		}
		return r.scalar(tagTimestamp, value.Str(x)), nil
	case *value.List:
		return r.seq(x.Items, depth)
	case value.Tuple:
		return r.seq(x, depth)
	case *value.View:
		return r.seq(x.Items, depth)
	case value.Range:
		items, err := value.Iter(x)
		if err != nil {
			return nil, err
		}
		return r.seq(items, depth)
	case *value.Undefined:
		return nil, x.Use()
	}
	if d, ok, err := value.AsDict(v); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return r.mapping(d, depth)
	}
	if it, ok := v.(interface{ Iter() ([]value.Value, error) }); ok {
		items, err := it.Iter()
		if err != nil {
			return nil, err
		}
		return r.seq(items, depth)
	}
	return nil, &value.Error{Kind: "RepresenterError", Msg: fmt.Sprintf("cannot represent an object: a value of type %s", value.TypeName(v))}
}

func (r *representer) flow(simple bool) bool {
	switch r.o.FlowStyle {
	case BlockStyle:
		return false
	case FlowOnly:
		return true
	}
	return simple
}

func (r *representer) seq(items []value.Value, depth int) (*doc, error) {
	d := &doc{kind: Seq}
	simple := true
	for _, e := range items {
		c, err := r.represent(e, depth+1)
		if err != nil {
			return nil, err
		}
		simple = simple && c.kind == Scalar && c.style == 0
		d.items = append(d.items, c)
	}
	d.flow = r.flow(simple)
	return d, nil
}

func (r *representer) mapping(m *value.Dict, depth int) (*doc, error) {
	d := &doc{kind: Map}
	keys := m.Keys()
	if r.o.SortKeys {
		sorted := append([]value.Value(nil), keys...)
		// As PyYAML: keys that have no order stay as they are.
		if value.Sort(sorted, nil, false) == nil {
			keys = sorted
		}
	}
	simple := true
	for _, k := range keys {
		v, _ := m.Get(k)
		kd, err := r.represent(k, depth+1)
		if err != nil {
			return nil, err
		}
		vd, err := r.represent(v, depth+1)
		if err != nil {
			return nil, err
		}
		simple = simple && kd.kind == Scalar && kd.style == 0 && vd.kind == Scalar && vd.style == 0
		d.keys = append(d.keys, kd)
		d.items = append(d.items, vd)
	}
	d.flow = r.flow(simple)
	return d, nil
}

// context is where a node stands.
type context struct {
	root, seq, mapping, simpleKey bool
}

type emitter struct {
	o          DumpOptions
	b          []byte
	best       int // indent
	width      int
	indents    []int
	indent     int // -1: none yet
	flowLevel  int
	column     int
	whitespace bool
	indention  bool
	openEnded  bool
}

func newEmitter(o DumpOptions) *emitter {
	e := &emitter{o: o, best: 2, width: 80, indent: -1, whitespace: true, indention: true}
	if o.Indent > 1 && o.Indent < 10 {
		e.best = o.Indent
	}
	if o.Width > e.best*2 {
		e.width = o.Width
	} else if o.Width < 0 {
		e.width = math.MaxInt
	}
	return e
}

func (e *emitter) write(s string) {
	e.b = append(e.b, s...)
	e.column += len([]rune(s))
}

func (e *emitter) indicator(s string, need, whitespace, indention bool) {
	if !e.whitespace && need {
		s = " " + s
	}
	e.whitespace = whitespace
	e.indention = e.indention && indention
	e.openEnded = false
	e.write(s)
}

func (e *emitter) lineBreak() {
	e.b = append(e.b, '\n')
	e.whitespace, e.indention, e.column = true, true, 0
}

func (e *emitter) writeIndent() {
	n := max(e.indent, 0)
	if !e.indention || e.column > n || e.column == n && !e.whitespace {
		e.lineBreak()
	}
	if e.column < n {
		e.whitespace = true
		e.write(strings.Repeat(" ", n-e.column))
	}
}

func (e *emitter) push(flow, indentless bool) {
	e.indents = append(e.indents, e.indent)
	switch {
	case e.indent < 0:
		e.indent = 0
		if flow {
			e.indent = e.best
		}
	case !indentless:
		e.indent += e.best
	}
}

func (e *emitter) pop() {
	e.indent = e.indents[len(e.indents)-1]
	e.indents = e.indents[:len(e.indents)-1]
}

func (e *emitter) node(d *doc, c context) error {
	if len(e.b) > value.MaxString {
		return &value.Error{Kind: "OverflowError", Msg: "the YAML text would be larger than this engine allows"}
	}
	switch d.kind {
	case Seq:
		if e.flowLevel > 0 || d.flow || len(d.items) == 0 {
			return e.flowSeq(d)
		}
		return e.blockSeq(d, c)
	case Map:
		if e.flowLevel > 0 || d.flow || len(d.items) == 0 {
			return e.flowMap(d)
		}
		return e.blockMap(d)
	}
	e.scalar(d, c)
	return nil
}

func (e *emitter) flowSeq(d *doc) error {
	e.indicator("[", true, true, false)
	e.flowLevel++
	e.push(true, false)
	for i, c := range d.items {
		if i > 0 {
			e.indicator(",", false, false, false)
		}
		if e.column > e.width {
			e.writeIndent()
		}
		if err := e.node(c, context{seq: true}); err != nil {
			return err
		}
	}
	e.pop()
	e.flowLevel--
	e.indicator("]", false, false, false)
	return nil
}

func (e *emitter) flowMap(d *doc) error {
	e.indicator("{", true, true, false)
	e.flowLevel++
	e.push(true, false)
	for i, k := range d.keys {
		if i > 0 {
			e.indicator(",", false, false, false)
		}
		if e.column > e.width {
			e.writeIndent()
		}
		if e.simpleKey(k) {
			if err := e.node(k, context{mapping: true, simpleKey: true}); err != nil {
				return err
			}
			e.indicator(":", false, false, false)
		} else {
			e.indicator("?", true, false, false)
			if err := e.node(k, context{mapping: true}); err != nil {
				return err
			}
			if e.column > e.width {
				e.writeIndent()
			}
			e.indicator(":", true, false, false)
		}
		if err := e.node(d.items[i], context{mapping: true}); err != nil {
			return err
		}
	}
	e.pop()
	e.flowLevel--
	e.indicator("}", false, false, false)
	return nil
}

func (e *emitter) blockSeq(d *doc, c context) error {
	e.push(false, c.mapping && !e.indention)
	for _, item := range d.items {
		e.writeIndent()
		e.indicator("-", true, false, true)
		if err := e.node(item, context{seq: true}); err != nil {
			return err
		}
	}
	e.pop()
	return nil
}

func (e *emitter) blockMap(d *doc) error {
	e.push(false, false)
	for i, k := range d.keys {
		e.writeIndent()
		if e.simpleKey(k) {
			if err := e.node(k, context{mapping: true, simpleKey: true}); err != nil {
				return err
			}
			e.indicator(":", false, false, false)
		} else {
			e.indicator("?", true, false, true)
			if err := e.node(k, context{mapping: true}); err != nil {
				return err
			}
			e.writeIndent()
			e.indicator(":", true, false, true)
		}
		if err := e.node(d.items[i], context{mapping: true}); err != nil {
			return err
		}
	}
	e.pop()
	return nil
}

func (e *emitter) simpleKey(d *doc) bool {
	if d.kind != Scalar {
		return len(d.items) == 0
	}
	n := len([]rune(d.text)) + len(d.explicit)
	return n < 128 && !strings.ContainsAny(d.text, "\n\u0085\u2028\u2029")
}

func (e *emitter) scalar(d *doc, c context) {
	a := analyze(d.text, e.o.AllowUnicode)
	style := e.style(d, a, c)
	if d.explicit != "" {
		e.indicator(d.explicit, true, false, false)
	} else if style != 0 && d.tag != tagStr {
		e.indicator("!", true, false, false)
	}
	split := !c.simpleKey
	e.push(true, false)
	defer e.pop()
	switch style {
	case '"':
		e.doubleQuoted(d.text, split)
	case '\'':
		e.singleQuoted(d.text, split)
	case '|':
		e.literal(d.text)
	case '>':
		e.folded(d.text)
	default:
		e.plain(d.text, split)
	}
}

func (e *emitter) style(d *doc, a analysis, c context) byte {
	style := d.style
	if style == '"' {
		return '"'
	}
	if style == 0 && resolve(d.text) == d.tag {
		if !(c.simpleKey && (a.empty || a.multiline)) &&
			(e.flowLevel > 0 && a.flowPlain || e.flowLevel == 0 && a.blockPlain) {
			return 0
		}
	}
	if style == '|' || style == '>' {
		if e.flowLevel == 0 && !c.simpleKey && a.block {
			return style
		}
		return '"'
	}
	if a.single && !(c.simpleKey && a.multiline) {
		return '\''
	}
	return '"'
}

type analysis struct {
	empty, multiline, flowPlain, blockPlain, single, block bool
}

func isBreak(r rune) bool { return r == '\n' || r == 0x85 || r == 0x2028 || r == 0x2029 }

// printable tells what may stand in a plain or single-quoted scalar. As in
// libyaml that ends with the characters of 16 bits.
func printable(r rune) bool {
	return r == '\n' || r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd && r != 0xfeff
}

func isBlank(r rune) bool { return r == 0 || r == ' ' || r == '\t' || r == '\r' || isBreak(r) }

func analyze(s string, unicode bool) analysis {
	if s == "" {
		return analysis{empty: true, blockPlain: true, single: true}
	}
	rs := []rune(s)
	var blockInd, flowInd, breaks, special bool
	var leadSpace, leadBreak, trailSpace, trailBreak, breakSpace, spaceBreak bool
	if strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") {
		blockInd, flowInd = true, true
	}
	preceded := true
	prevSpace, prevBreak := false, false
	for i, r := range rs {
		followed := i+1 >= len(rs) || isBlank(rs[i+1])
		last := i == len(rs)-1
		if i == 0 {
			switch {
			case strings.ContainsRune("#,[]{}&*!|>'\"%@`", r):
				flowInd, blockInd = true, true
			case r == '?' || r == ':':
				flowInd = true
				blockInd = blockInd || followed
			case r == '-' && followed:
				flowInd, blockInd = true, true
			}
		} else {
			switch {
			case strings.ContainsRune(",?[]{}", r):
				flowInd = true
			case r == ':':
				flowInd = true
				blockInd = blockInd || followed
			case r == '#' && preceded:
				flowInd, blockInd = true, true
			}
		}
		if isBreak(r) {
			breaks = true
		}
		special = special || !printable(r) || r > 0x7e && !unicode
		switch {
		case r == ' ':
			leadSpace = leadSpace || i == 0
			trailSpace = trailSpace || last
			breakSpace = breakSpace || prevBreak
			prevSpace, prevBreak = true, false
		case isBreak(r):
			leadBreak = leadBreak || i == 0
			trailBreak = trailBreak || last
			spaceBreak = spaceBreak || prevSpace
			prevSpace, prevBreak = false, true
		default:
			prevSpace, prevBreak = false, false
		}
		preceded = isBlank(r)
	}
	a := analysis{multiline: breaks, flowPlain: true, blockPlain: true, single: true, block: true}
	if leadSpace || leadBreak || trailSpace || trailBreak {
		a.flowPlain, a.blockPlain = false, false
	}
	if trailSpace {
		a.block = false
	}
	if breakSpace {
		a.flowPlain, a.blockPlain, a.single = false, false, false
	}
	if spaceBreak || special {
		a.flowPlain, a.blockPlain, a.single, a.block = false, false, false, false
	}
	if breaks {
		a.flowPlain, a.blockPlain = false, false
	}
	if flowInd {
		a.flowPlain = false
	}
	if blockInd {
		a.blockPlain = false
	}
	return a
}
