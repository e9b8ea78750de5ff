package jinja

import (
	"slices"
)

// expression reads one expression, without bare tuples.
func (p *parser) expression() (expr, error) {
	if err := p.enter(p.cur().pos); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	for n := 0; p.isName("if"); n++ {
		if n > maxChain {
			return nil, fail(p.cur().pos, "the expression is too long")
		}
		pos := p.next().pos
		test, err := p.or()
		if err != nil {
			return nil, err
		}
		c := &condExpr{at: at(pos), then: x, test: test}
		if p.skipName("else") {
			if c.els, err = p.expression(); err != nil {
				return nil, err
			}
		}
		x = c
	}
	return x, nil
}

// tuple reads expressions with commas between them; cond allows "a if b".
func (p *parser) tuple(cond bool, end []string) (expr, error) {
	one := p.expression
	if !cond {
		one = p.or
	}
	first := p.cur()
	if p.tupleEnd(end) {
		return nil, p.expected("an expression")
	}
	x, err := one()
	if err != nil || !p.isOp(",") {
		return x, err
	}
	t := &tupleExpr{at: at(first.pos), items: []expr{x}}
	for p.skipOp(",") {
		if p.tupleEnd(end) {
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

func (p *parser) tupleEnd(end []string) bool {
	t := p.cur()
	switch t.kind {
	case tVarEnd, tBlockEnd, tEOF:
		return true
	case tOp:
		return t.text == ")"
	case tName:
		return slices.Contains(end, t.text)
	}
	return false
}

func (p *parser) or() (expr, error) {
	x, err := p.and()
	for n := 0; err == nil && p.isName("or"); n++ {
		if n > maxChain {
			return nil, fail(p.cur().pos, "the expression is too long")
		}
		pos := p.next().pos
		var r expr
		if r, err = p.and(); err == nil {
			x = &orExpr{binExpr{at(pos), "or", x, r}}
		}
	}
	return x, err
}

func (p *parser) and() (expr, error) {
	x, err := p.not()
	for n := 0; err == nil && p.isName("and"); n++ {
		if n > maxChain {
			return nil, fail(p.cur().pos, "the expression is too long")
		}
		pos := p.next().pos
		var r expr
		if r, err = p.not(); err == nil {
			x = &andExpr{binExpr{at(pos), "and", x, r}}
		}
	}
	return x, err
}

func (p *parser) not() (expr, error) {
	if p.isName("not") {
		t := p.next()
		if err := p.enter(t.pos); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		x, err := p.not()
		return &notExpr{at(t.pos), x}, err
	}
	return p.compare()
}

func (p *parser) compare() (expr, error) {
	x, err := p.sum()
	if err != nil {
		return nil, err
	}
	var c *compareExpr
	for n := 0; ; n++ {
		t := p.cur()
		op := ""
		switch {
		case t.kind == tOp:
			switch t.text {
			case "==", "!=", "<", "<=", ">", ">=":
				op = t.text
			}
		case p.isName("in"):
			op = "in"
		case p.isName("not") && p.peek().kind == tName && p.peek().text == "in":
			p.next()
			op = "not in"
		}
		if op == "" {
			break
		}
		if n > maxChain {
			return nil, fail(t.pos, "the expression is too long")
		}
		p.next()
		r, err := p.sum()
		if err != nil {
			return nil, err
		}
		if c == nil {
			c = &compareExpr{at: at(t.pos), first: x}
		}
		c.ops = append(c.ops, compareOp{op, r})
	}
	if c != nil {
		return c, nil
	}
	return x, nil
}

// binary reads a chain of left-associative operators.
func (p *parser) binary(next func() (expr, error), ops ...string) (expr, error) {
	x, err := next()
	for n := 0; err == nil; n++ {
		t := p.cur()
		if t.kind != tOp || !slices.Contains(ops, t.text) {
			break
		}
		if n > maxChain {
			return nil, fail(t.pos, "the expression is too long")
		}
		p.next()
		var r expr
		if r, err = next(); err == nil {
			x = &binExpr{at(t.pos), t.text, x, r}
		}
	}
	return x, err
}

func (p *parser) sum() (expr, error) { return p.binary(p.concat, "+", "-") }

func (p *parser) concat() (expr, error) {
	x, err := p.product()
	if err != nil || !p.isOp("~") {
		return x, err
	}
	c := &concatEx{at: at(p.cur().pos), parts: []expr{x}}
	for p.skipOp("~") {
		r, err := p.product()
		if err != nil {
			return nil, err
		}
		c.parts = append(c.parts, r)
	}
	return c, nil
}

func (p *parser) product() (expr, error) { return p.binary(p.power, "*", "/", "//", "%") }

func (p *parser) power() (expr, error) {
	return p.binary(func() (expr, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (expr, error) {
	t := p.cur()
	if err := p.enter(t.pos); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	var x expr
	var err error
	if p.isOp("-") || p.isOp("+") {
		p.next()
		if x, err = p.unary(false); err != nil {
			return nil, err
		}
		x = &unaryExpr{at(t.pos), t.text[0], x}
	} else if x, err = p.primary(); err != nil {
		return nil, err
	}
	if x, err = p.postfix(x); err != nil || !filters {
		return x, err
	}
	for n := 0; ; n++ {
		if n > maxChain {
			return nil, fail(p.cur().pos, "the expression is too long")
		}
		switch {
		case p.skipOp("|"):
			x, err = p.filter(x)
		case p.isName("is"):
			x, err = p.test(x)
		case p.isOp("("):
			x, err = p.call(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) primary() (expr, error) {
	t := p.cur()
	switch t.kind {
	case tName:
		p.next()
		switch t.text {
		case "true", "True":
			return constant(t.pos, true), nil
		case "false", "False":
			return constant(t.pos, false), nil
		case "none", "None":
			return constant(t.pos, nil), nil
		}
		p.tree.uses = append(p.tree.uses, mention{kind: 'n', name: t.text, pos: t.pos})
		return &nameExpr{at(t.pos), t.text}, nil
	case tString:
		p.next()
		s := t.val.(string)
		for p.cur().kind == tString {
			s += p.next().val.(string)
		}
		return constant(t.pos, s), nil
	case tInt, tFloat:
		p.next()
		return constant(t.pos, t.val), nil
	case tOp:
		switch t.text {
		case "(":
			p.next()
			if p.skipOp(")") {
				return &tupleExpr{at: at(t.pos)}, nil
			}
			x, err := p.tuple(true, nil)
			if err != nil {
				return nil, err
			}
			_, err = p.wantOp(")")
			return x, err
		case "[":
			p.next()
			l := &listExpr{at: at(t.pos)}
			for !p.isOp("]") {
				if len(l.items) > 0 {
					if _, err := p.wantOp(","); err != nil {
						return nil, err
					}
					if p.isOp("]") {
						break
					}
				}
				x, err := p.expression()
				if err != nil {
					return nil, err
				}
				l.items = append(l.items, x)
			}
			p.next()
			return l, nil
		case "{":
			return p.dict()
		}
	}
	return nil, fail(t.pos, "unexpected "+t.describe())
}

func (p *parser) dict() (expr, error) {
	d := &dictExpr{at: at(p.next().pos)}
	for !p.isOp("}") {
		if len(d.keys) > 0 {
			if _, err := p.wantOp(","); err != nil {
				return nil, err
			}
			if p.isOp("}") {
				break
			}
		}
		k, err := p.expression()
		if err != nil {
			return nil, err
		}
		if _, err := p.wantOp(":"); err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		d.keys = append(d.keys, k)
		d.vals = append(d.vals, v)
	}
	p.next()
	return d, nil
}

func (p *parser) postfix(x expr) (expr, error) {
	var err error
	for n := 0; err == nil; n++ {
		t := p.cur()
		if t.kind != tOp {
			return x, nil
		}
		if n > maxChain {
			return nil, fail(t.pos, "the expression is too long")
		}
		switch t.text {
		case ".":
			p.next()
			n := p.next()
			switch n.kind {
			case tName:
				x = &attrExpr{at(n.pos), x, n.text}
			case tInt:
				x = &itemExpr{at(n.pos), x, constant(n.pos, n.val)}
			default:
				return nil, fail(n.pos, "expected name or number")
			}
		case "[":
			x, err = p.subscript(x)
		case "(":
			x, err = p.call(x)
		default:
			return x, nil
		}
	}
	return nil, err
}

func (p *parser) subscript(x expr) (expr, error) {
	t := p.next()
	var items []expr
	comma := false
	for {
		e, err := p.subscribed(x, t)
		if err != nil {
			return nil, err
		}
		items = append(items, e)
		if !p.skipOp(",") {
			break
		}
		comma = true
		if p.isOp("]") {
			break
		}
	}
	if _, err := p.wantOp("]"); err != nil {
		return nil, err
	}
	if len(items) == 1 && !comma {
		if s, ok := items[0].(*sliceExpr); ok {
			return s, nil
		}
		return &itemExpr{at(t.pos), x, items[0]}, nil
	}
	return &itemExpr{at(t.pos), x, &tupleExpr{at(t.pos), items}}, nil
}

// subscribed reads an index or a slice.
func (p *parser) subscribed(x expr, open token) (expr, error) {
	var parts [3]expr
	var err error
	if !p.isOp(":") {
		if p.isOp("]") {
			return nil, p.expected("an index")
		}
		if parts[0], err = p.expression(); err != nil {
			return nil, err
		}
		if !p.isOp(":") {
			return parts[0], nil
		}
	}
	for i := 1; i < 3 && p.skipOp(":"); i++ {
		if p.isOp(":") || p.isOp("]") || p.isOp(",") {
			continue
		}
		if parts[i], err = p.expression(); err != nil {
			return nil, err
		}
	}
	return &sliceExpr{at(open.pos), x, parts[0], parts[1], parts[2]}, nil
}

func (p *parser) call(fn expr) (expr, error) {
	pos := p.cur().pos
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	if n, ok := fn.(*nameExpr); ok {
		p.noteCall(n, args)
	}
	return &callExpr{at(pos), fn, args}, nil
}

// noteCall records lookups, and that a name is called.
func (p *parser) noteCall(n *nameExpr, args callArgs) {
	for i := len(p.tree.uses) - 1; i >= 0; i-- {
		if u := &p.tree.uses[i]; u.kind == 'n' && u.pos == int(n.at) {
			u.called = true
			break
		}
	}
	switch n.name {
	case "lookup", "query", "q":
		if len(args.pos) > 0 {
			if c, ok := args.pos[0].(*constExpr); ok {
				if s, ok := c.val.(string); ok {
					p.tree.uses = append(p.tree.uses, mention{kind: 'l', name: s, pos: int(c.at)})
				}
			}
		}
	}
}

func (p *parser) arguments() (callArgs, error) {
	var a callArgs
	if _, err := p.wantOp("("); err != nil {
		return a, err
	}
	for first := true; !p.isOp(")"); first = false {
		if !first {
			if _, err := p.wantOp(","); err != nil {
				return a, err
			}
			if p.isOp(")") {
				break
			}
		}
		t := p.cur()
		switch {
		case p.skipOp("*"):
			if a.star != nil || a.dblStar != nil {
				return a, fail(t.pos, "invalid syntax for function call expression")
			}
			x, err := p.expression()
			if err != nil {
				return a, err
			}
			a.star = x
		case p.skipOp("**"):
			if a.dblStar != nil {
				return a, fail(t.pos, "invalid syntax for function call expression")
			}
			x, err := p.expression()
			if err != nil {
				return a, err
			}
			a.dblStar = x
		case t.kind == tName && p.peek().kind == tOp && p.peek().text == "=":
			if a.dblStar != nil || slices.Contains(a.names, t.text) {
				return a, fail(t.pos, "the argument '"+t.text+"' is given twice or after **")
			}
			p.next()
			p.next()
			x, err := p.expression()
			if err != nil {
				return a, err
			}
			a.names = append(a.names, t.text)
			a.named = append(a.named, x)
		default:
			if len(a.names) > 0 || a.star != nil || a.dblStar != nil {
				return a, fail(t.pos, "a positional argument follows a named one")
			}
			x, err := p.expression()
			if err != nil {
				return a, err
			}
			a.pos = append(a.pos, x)
		}
	}
	p.next()
	return a, nil
}

func (p *parser) dotted() (token, error) {
	t, err := p.wantName()
	for err == nil && p.isOp(".") {
		p.next()
		var n token
		n, err = p.wantName()
		t.text += "." + n.text
	}
	return t, err
}

func (p *parser) filter(in expr) (*filterExpr, error) {
	t, err := p.dotted()
	if err != nil {
		return nil, err
	}
	f := &filterExpr{at: at(t.pos), in: in, name: t.text}
	if p.isOp("(") {
		if f.args, err = p.arguments(); err != nil {
			return nil, err
		}
	}
	p.tree.uses = append(p.tree.uses, mention{kind: 'f', name: t.text, pos: t.pos})
	switch t.text {
	case "map", "select", "reject", "selectattr", "rejectattr":
		p.noteInner(t.text, f.args)
	case "default", "d", "ansible.builtin.default", "mandatory":
		p.guard(in)
	}
	return f, nil
}

// noteInner records the filter of map and the test of select.
func (p *parser) noteInner(name string, a callArgs) {
	i, kind := 0, byte('t')
	switch name {
	case "map":
		kind = 'f'
	case "selectattr", "rejectattr":
		i = 1
	}
	if len(a.pos) <= i {
		return
	}
	if c, ok := a.pos[i].(*constExpr); ok {
		if s, ok := c.val.(string); ok {
			p.tree.uses = append(p.tree.uses, mention{kind: kind, name: s, pos: int(c.at)})
		}
	}
}

// guard marks the variable that x starts from as one that may be missing.
func (p *parser) guard(x expr) {
	for {
		switch e := x.(type) {
		case *nameExpr:
			for i := len(p.tree.uses) - 1; i >= 0; i-- {
				if u := &p.tree.uses[i]; u.kind == 'n' && u.pos == int(e.at) {
					u.guarded = true
				}
			}
			return
		case *attrExpr:
			x = e.obj
		case *itemExpr:
			x = e.obj
		case *callExpr:
			x = e.fn
		case *filterExpr:
			x = e.in
		default:
			return
		}
	}
}

func (p *parser) test(in expr) (expr, error) {
	pos := p.next().pos
	negated := p.skipName("not")
	t, err := p.dotted()
	if err != nil {
		return nil, err
	}
	x := &testExpr{at: at(t.pos), in: in, name: t.text}
	c := p.cur()
	switch {
	case p.isOp("("):
		if x.args, err = p.arguments(); err != nil {
			return nil, err
		}
	case c.kind == tName && slices.Contains([]string{"else", "or", "and", "if", "in", "not", "recursive"}, c.text):
	case c.kind == tName && c.text == "is":
		return nil, fail(c.pos, "You cannot chain multiple tests with is")
	case c.kind == tName || c.kind == tString || c.kind == tInt || c.kind == tFloat || p.isOp("[") || p.isOp("{"):
		arg, err := p.primary()
		if err != nil {
			return nil, err
		}
		if arg, err = p.postfix(arg); err != nil {
			return nil, err
		}
		x.args.pos = []expr{arg}
	}
	p.tree.uses = append(p.tree.uses, mention{kind: 't', name: t.text, pos: t.pos})
	switch t.text {
	case "defined", "undefined":
		p.guard(in)
	}
	if negated {
		return &notExpr{at(pos), x}, nil
	}
	return x, nil
}
