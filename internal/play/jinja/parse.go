package jinja

import (
	"fmt"
	"slices"
	"strings"

	"drover/internal/play/value"
)

// maxNesting bounds how deep brackets and blocks stand in each other, and how
// long a chain of operators is: evaluation recurses over both.
const (
	maxNesting = 200
	maxChain   = 5000
)

type parser struct {
	toks     []token
	i        int
	depth    int
	tree     *tree
	assigned map[string]bool
	open     []openTag // the blocks that are open here
}

type openTag struct {
	name string
	pos  int
}

func parseTemplate(src string, o *Options) (*tree, error) {
	src = newlines(src)
	toks, err := lexTemplate(src, o)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks, tree: &tree{src: src}, assigned: map[string]bool{}}
	body, _, err := p.body(nil)
	if err != nil {
		return nil, err
	}
	p.tree.body = body
	p.finish()
	return p.tree, nil
}

func parseExpr(src string) (*tree, expr, error) {
	src = newlines(src)
	toks, err := lexExpr(src)
	if err != nil {
		return nil, nil, err
	}
	p := &parser{toks: toks, tree: &tree{src: src}, assigned: map[string]bool{}}
	if p.cur().kind == tEOF {
		return nil, nil, fail(0, "an expression is expected, there is none")
	}
	x, err := p.expression()
	if err != nil {
		return nil, nil, err
	}
	if t := p.cur(); t.kind != tEOF {
		return nil, nil, fail(t.pos, "unexpected "+t.describe()+" after the expression")
	}
	p.finish()
	return p.tree, x, nil
}

// finish drops the names that the template sets itself.
func (p *parser) finish() {
	guarded := map[string]bool{}
	for _, u := range p.tree.uses {
		if u.guarded {
			guarded[u.name] = true
		}
	}
	kept := p.tree.uses[:0]
	for _, u := range p.tree.uses {
		if u.kind == 'n' {
			if p.assigned[u.name] {
				continue
			}
			u.guarded = guarded[u.name]
		}
		kept = append(kept, u)
	}
	p.tree.uses = kept
}

func (p *parser) cur() token { return p.toks[p.i] }
func (p *parser) next() token {
	t := p.toks[p.i]
	if p.i < len(p.toks)-1 {
		p.i++
	}
	return t
}
func (p *parser) peek() token { return p.toks[min(p.i+1, len(p.toks)-1)] }

func (p *parser) isOp(op string) bool   { t := p.cur(); return t.kind == tOp && t.text == op }
func (p *parser) isName(n string) bool  { t := p.cur(); return t.kind == tName && t.text == n }
func (p *parser) skipOp(op string) bool { return p.skip(p.isOp(op)) }
func (p *parser) skipName(n string) bool {
	return p.skip(p.isName(n))
}
func (p *parser) skip(ok bool) bool {
	if ok {
		p.next()
	}
	return ok
}

func (p *parser) wantOp(op string) (token, error) {
	if !p.isOp(op) {
		return token{}, p.expected("'" + op + "'")
	}
	return p.next(), nil
}

func (p *parser) wantName() (token, error) {
	if p.cur().kind != tName {
		return token{}, p.expected("a name")
	}
	return p.next(), nil
}

func (p *parser) wantKind(k tokenKind) error {
	if p.cur().kind != k {
		return p.expected(token{kind: k}.describe())
	}
	p.next()
	return nil
}

func (p *parser) expected(what string) error {
	t := p.cur()
	if t.kind == tName && p.i > 0 && p.toks[p.i-1].kind == tName {
		return &syntax{pos: t.pos, msg: "expected token " + what + ", got " + t.describe(), remedy: "an operator may be missing before it"}
	}
	return fail(t.pos, "expected token "+what+", got "+t.describe())
}

func (p *parser) enter(pos int) error {
	if p.depth++; p.depth > maxNesting {
		return fail(pos, "the template is nested too deeply")
	}
	return nil
}

// body reads statements until one of the tags in end; it returns the tag,
// with the parser behind its name.
func (p *parser) body(end []string) ([]stmt, string, error) {
	if err := p.enter(p.cur().pos); err != nil {
		return nil, "", err
	}
	defer func() { p.depth-- }()
	var out []stmt
	for {
		t := p.cur()
		switch t.kind {
		case tEOF:
			if end == nil {
				return out, "", nil
			}
			inner := p.open[len(p.open)-1]
			return nil, "", &syntax{pos: inner.pos, msg: fmt.Sprintf("Unexpected end of template: the block '%s' is not closed", inner.name),
				remedy: fmt.Sprintf("Jinja was looking for the following tags: '%s'", strings.Join(end, "' or '"))}
		case tData:
			p.next()
			out = append(out, &textStmt{t.text})
		case tVarBegin:
			p.next()
			x, err := p.tuple(true, nil)
			if err != nil {
				return nil, "", err
			}
			if err := p.wantKind(tVarEnd); err != nil {
				return nil, "", err
			}
			out = append(out, &outStmt{x})
		case tBlockBegin:
			p.next()
			tag := p.cur()
			if tag.kind != tName {
				return nil, "", fail(tag.pos, "tag name expected")
			}
			if slices.Contains(end, tag.text) {
				p.next()
				return out, tag.text, nil
			}
			s, err := p.statement()
			if err != nil {
				return nil, "", err
			}
			if s != nil {
				out = append(out, s)
			}
			if err := p.wantKind(tBlockEnd); err != nil {
				return nil, "", err
			}
		default:
			return nil, "", fail(t.pos, "unexpected "+t.describe())
		}
	}
}

// block reads a body up to one of the end tags, from behind the opening tag.
func (p *parser) block(name string, pos int, end ...string) ([]stmt, string, error) {
	if err := p.wantKind(tBlockEnd); err != nil {
		return nil, "", err
	}
	p.open = append(p.open, openTag{name, pos})
	b, tag, err := p.body(end)
	p.open = p.open[:len(p.open)-1]
	return b, tag, err
}

var tagNames = []string{"if", "elif", "else", "endif", "for", "endfor", "set", "endset", "block", "endblock", "extends", "include",
	"import", "from", "macro", "endmacro", "call", "endcall", "filter", "endfilter", "with", "endwith", "do", "break", "continue",
	"raw", "endraw", "autoescape", "endautoescape", "print"}

func (p *parser) statement() (stmt, error) {
	t := p.next()
	pos := at(t.pos)
	switch t.text {
	case "if":
		return p.ifStatement(t)
	case "for":
		return p.forStatement(t)
	case "set":
		return p.setStatement(t)
	case "with":
		return p.withStatement(t)
	case "macro":
		return p.macroStatement(t)
	case "call":
		return p.callStatement(t)
	case "block":
		return p.blockStatement(t)
	case "filter":
		f, err := p.filterChain()
		if err != nil {
			return nil, err
		}
		body, _, err := p.block("filter", t.pos, "endfilter")
		return &filterStmt{f, body}, err
	case "extends":
		x, err := p.expression()
		return &extendsStmt{pos, x}, err
	case "include":
		return p.includeStatement(pos)
	case "import":
		return p.importStatement(pos)
	case "from":
		return p.fromStatement(pos)
	case "do":
		x, err := p.tuple(true, nil)
		return &doStmt{x}, err
	case "print":
		x, err := p.tuple(true, nil)
		return &outStmt{x}, err
	case "autoescape":
		if _, err := p.expression(); err != nil {
			return nil, err
		}
		body, _, err := p.block("autoescape", t.pos, "endautoescape")
		return &scopeStmt{body}, err
	case "break", "continue":
		if !slices.ContainsFunc(p.open, func(o openTag) bool { return o.name == "for" }) {
			return nil, fail(t.pos, "'"+t.text+"' stands outside of a loop")
		}
		if t.text == "break" {
			return &breakStmt{}, nil
		}
		return &continueStmt{}, nil
	}
	e := &syntax{pos: t.pos, msg: "Encountered unknown tag '" + t.text + "'."}
	if len(p.open) > 0 {
		inner := p.open[len(p.open)-1]
		e.remedy = "The innermost block that needs to be closed is '" + inner.name + "'."
	}
	if near := Nearest(t.text, tagNames); near != "" && e.remedy == "" {
		e.remedy = "did you mean '" + near + "'?"
	}
	return nil, e
}

func (p *parser) ifStatement(t token) (stmt, error) {
	s := &ifStmt{}
	for {
		x, err := p.tuple(false, nil)
		if err != nil {
			return nil, err
		}
		body, tag, err := p.block("if", t.pos, "elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		s.tests = append(s.tests, x)
		s.thens = append(s.thens, body)
		switch tag {
		case "elif":
			continue
		case "else":
			s.els, _, err = p.block("if", t.pos, "endif")
		}
		return s, err
	}
}

func (p *parser) forStatement(t token) (stmt, error) {
	s := &forStmt{at: at(t.pos)}
	var err error
	if s.target, err = p.target(true, false); err != nil {
		return nil, err
	}
	if !p.skipName("in") {
		return nil, p.expected("'in'")
	}
	if s.iter, err = p.tuple(false, []string{"recursive"}); err != nil {
		return nil, err
	}
	if p.skipName("if") {
		if s.cond, err = p.expression(); err != nil {
			return nil, err
		}
	}
	s.recursive = p.skipName("recursive")
	before := len(p.tree.uses)
	var tag string
	if s.body, tag, err = p.block("for", t.pos, "else", "endfor"); err != nil {
		return nil, err
	}
	if tag == "else" {
		s.els, _, err = p.block("else", t.pos, "endfor")
	}
	s.usesLoop = p.mentions(before, "loop")
	p.assigned["loop"] = true
	return s, err
}

// mentions tells whether a name was used since use number from.
func (p *parser) mentions(from int, name string) bool {
	for _, u := range p.tree.uses[from:] {
		if u.kind == 'n' && u.name == name {
			return true
		}
	}
	return false
}

// target reads what can be assigned to.
func (p *parser) target(tuple, namespace bool) (expr, error) {
	one := func() (expr, error) {
		if p.isOp("(") {
			if err := p.enter(p.cur().pos); err != nil {
				return nil, err
			}
			defer func() { p.depth-- }()
			open := p.next()
			x, err := p.target(true, namespace)
			if err != nil {
				return nil, err
			}
			_, err = p.wantOp(")")
			if n, ok := x.(*nameExpr); ok {
				n.at = at(open.pos)
			}
			return x, err
		}
		n, err := p.wantName()
		if err != nil {
			return nil, err
		}
		switch n.text {
		case "true", "false", "none", "True", "False", "None":
			return nil, fail(n.pos, "can't assign to '"+n.text+"'")
		}
		if namespace && p.skipOp(".") {
			attr, err := p.wantName()
			return &namespaceExpr{at(n.pos), n.text, attr.text}, err
		}
		p.assigned[n.text] = true
		return &nameExpr{at(n.pos), n.text}, nil
	}
	first, err := one()
	if err != nil || !tuple || !p.isOp(",") {
		return first, err
	}
	t := &tupleExpr{at: at(first.offset()), items: []expr{first}}
	for p.skipOp(",") {
		if c := p.cur(); c.kind != tName && !p.isOp("(") || c.text == "in" && c.kind == tName {
			break
		}
		x, err := one()
		if err != nil {
			return nil, err
		}
		t.items = append(t.items, x)
	}
	return t, nil
}

func (p *parser) setStatement(t token) (stmt, error) {
	target, err := p.target(true, true)
	if err != nil {
		return nil, err
	}
	if p.skipOp("=") {
		x, err := p.tuple(true, nil)
		return &setStmt{at(t.pos), target, x}, err
	}
	var filters []*filterExpr
	if p.isOp("|") {
		p.next()
		if filters, err = p.filterChain(); err != nil {
			return nil, err
		}
	}
	if p.cur().kind != tBlockEnd {
		return nil, p.expected("'='")
	}
	body, _, err := p.block("set", t.pos, "endset")
	return &setBlock{at(t.pos), target, filters, body}, err
}

func (p *parser) withStatement(t token) (stmt, error) {
	s := &withStmt{}
	for p.cur().kind != tBlockEnd {
		if len(s.names) > 0 {
			if _, err := p.wantOp(","); err != nil {
				return nil, err
			}
		}
		n, err := p.target(false, false)
		if err != nil {
			return nil, err
		}
		if _, err := p.wantOp("="); err != nil {
			return nil, err
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		s.names = append(s.names, n)
		s.vals = append(s.vals, x)
	}
	var err error
	s.body, _, err = p.block("with", t.pos, "endwith")
	return s, err
}

// signature reads "(a, b=1)".
func (p *parser) signature(m *macroStmt) error {
	if _, err := p.wantOp("("); err != nil {
		return err
	}
	for !p.isOp(")") {
		if len(m.params) > 0 {
			if _, err := p.wantOp(","); err != nil {
				return err
			}
			if p.isOp(")") {
				break
			}
		}
		n, err := p.wantName()
		if err != nil {
			return err
		}
		if slices.Contains(m.params, n.text) {
			return fail(n.pos, "the parameter '"+n.text+"' is there twice")
		}
		p.assigned[n.text] = true
		m.params = append(m.params, n.text)
		if p.skipOp("=") {
			x, err := p.expression()
			if err != nil {
				return err
			}
			m.defaults = append(m.defaults, x)
		} else if len(m.defaults) > 0 {
			return fail(n.pos, "non-default argument follows default argument")
		}
	}
	_, err := p.wantOp(")")
	return err
}

func (p *parser) macroBody(m *macroStmt, tag string, pos int) error {
	before := len(p.tree.uses)
	var err error
	m.body, _, err = p.block(tag, pos, "end"+tag)
	m.varargs = p.mentions(before, "varargs")
	m.kwargs = p.mentions(before, "kwargs")
	m.caller = p.mentions(before, "caller")
	for _, n := range []string{"varargs", "kwargs", "caller"} {
		p.assigned[n] = true
	}
	return err
}

func (p *parser) macroStatement(t token) (stmt, error) {
	n, err := p.wantName()
	if err != nil {
		return nil, err
	}
	m := &macroStmt{at: at(t.pos), name: n.text}
	p.assigned[n.text] = true
	if err := p.signature(m); err != nil {
		return nil, err
	}
	return m, p.macroBody(m, "macro", t.pos)
}

func (p *parser) callStatement(t token) (stmt, error) {
	m := &macroStmt{at: at(t.pos), name: "caller"}
	if p.isOp("(") {
		if err := p.signature(m); err != nil {
			return nil, err
		}
	}
	x, err := p.expression()
	if err != nil {
		return nil, err
	}
	if _, ok := x.(*callExpr); !ok {
		return nil, fail(t.pos, "expected call")
	}
	return &callStmt{at(t.pos), m, x}, p.macroBody(m, "call", t.pos)
}

func (p *parser) blockStatement(t token) (stmt, error) {
	n, err := p.wantName()
	if err != nil {
		return nil, err
	}
	b := &blockStmt{at: at(t.pos), name: n.text}
	for p.cur().kind == tName {
		switch m := p.next(); m.text {
		case "scoped":
			b.scoped = true
		case "required":
			b.required = true
		default:
			return nil, fail(m.pos, "unexpected "+m.describe()+" after the block's name")
		}
	}
	if p.tree.blocks[b.name] != nil {
		return nil, fail(n.pos, "block '"+b.name+"' defined twice")
	}
	if p.tree.blocks == nil {
		p.tree.blocks = map[string]*blockStmt{}
	}
	p.tree.blocks[b.name] = b
	p.tree.order = append(p.tree.order, b.name)
	p.assigned["super"], p.assigned["self"] = true, true
	if b.body, _, err = p.block("block", t.pos, "endblock"); err != nil {
		return nil, err
	}
	if b.required {
		for _, s := range b.body {
			if d, ok := s.(*textStmt); !ok || strings.TrimSpace(d.text) != "" {
				return nil, fail(t.pos, "Required blocks can only contain comments or whitespace")
			}
		}
	}
	if p.cur().kind == tName {
		if end := p.next(); end.text != b.name {
			return nil, &syntax{pos: end.pos, msg: "the end of block '" + b.name + "' names '" + end.text + "'", remedy: "blocks close in the order in which they opened"}
		}
	}
	return b, nil
}

// context reads "with context" or "without context".
func (p *parser) context(def bool) bool {
	if (p.isName("with") || p.isName("without")) && p.peek().kind == tName && p.peek().text == "context" {
		def = p.next().text == "with"
		p.next()
	}
	return def
}

func (p *parser) includeStatement(pos at) (stmt, error) {
	x, err := p.expression()
	if err != nil {
		return nil, err
	}
	s := &includeStmt{at: pos, name: x}
	if p.isName("ignore") && p.peek().text == "missing" {
		p.next()
		p.next()
		s.ignoreMissing = true
	}
	s.withContext = p.context(true)
	return s, nil
}

func (p *parser) importStatement(pos at) (stmt, error) {
	x, err := p.expression()
	if err != nil {
		return nil, err
	}
	if !p.skipName("as") {
		return nil, p.expected("'as'")
	}
	n, err := p.wantName()
	if err != nil {
		return nil, err
	}
	p.assigned[n.text] = true
	return &importStmt{pos, x, n.text, p.context(false)}, nil
}

func (p *parser) fromStatement(pos at) (stmt, error) {
	x, err := p.expression()
	if err != nil {
		return nil, err
	}
	if !p.skipName("import") {
		return nil, p.expected("'import'")
	}
	s := &fromStmt{at: pos, name: x}
	for {
		if len(s.names) > 0 {
			if !p.skipOp(",") {
				break
			}
			if p.cur().kind != tName {
				break
			}
		}
		if len(s.names) > 0 && (p.isName("with") || p.isName("without")) && p.peek().text == "context" {
			break
		}
		n, err := p.wantName()
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(n.text, "_") {
			return nil, fail(n.pos, "names starting with an underline can not be imported")
		}
		alias := n.text
		if p.skipName("as") {
			a, err := p.wantName()
			if err != nil {
				return nil, err
			}
			alias = a.text
		}
		p.assigned[alias] = true
		s.names = append(s.names, n.text)
		s.aliases = append(s.aliases, alias)
		if (p.isName("with") || p.isName("without")) && p.peek().text == "context" {
			break
		}
	}
	s.withContext = p.context(false)
	return s, nil
}

// filterChain reads "name(args) | name …" without a value in front.
func (p *parser) filterChain() ([]*filterExpr, error) {
	var out []*filterExpr
	for {
		f, err := p.filter(nil)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
		if !p.skipOp("|") {
			return out, nil
		}
	}
}

func constant(pos int, v value.Value) expr { return &constExpr{at(pos), v} }

// Nearest returns the name among names that name was probably meant to be, or "".
func Nearest(name string, names []string) string {
	best, dist := "", 1+len(name)/3
	for _, n := range names {
		if d := editDistance(name, n, dist); d <= dist && (d < dist || best == "") {
			best, dist = n, d
		}
	}
	return best
}

// editDistance counts edits between a and b; beyond limit it may say limit+1.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost = 1 + min(prev, row[j], row[j+1])
			}
			prev, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
