package jinja

import "drover/internal/play/value"

// An expr evaluates to a value.
type expr interface {
	eval(s *state) (value.Value, error)
	offset() int
}

// A stmt writes output and sets variables.
type stmt interface {
	exec(s *state) error
}

// at is where a node stands: a byte offset into the source.
type at int

func (a at) offset() int { return int(a) }

type (
	constExpr struct {
		at
		val value.Value
	}
	nameExpr struct {
		at
		name string
	}
	attrExpr struct {
		at
		obj  expr
		name string
	}
	itemExpr struct {
		at
		obj, key expr
	}
	sliceExpr struct {
		at
		obj, start, stop, step expr // nil: left out
	}
	callExpr struct {
		at
		fn   expr
		args callArgs
	}
	filterExpr struct {
		at
		in   expr // nil in a filter block
		name string
		args callArgs
	}
	testExpr struct {
		at
		in   expr
		name string
		args callArgs
	}
	notExpr struct {
		at
		x expr
	}
	unaryExpr struct {
		at
		op byte
		x  expr
	}
	binExpr struct {
		at
		op   string // + - * / // % **
		l, r expr
	}
	andExpr  struct{ binExpr }
	orExpr   struct{ binExpr }
	concatEx struct {
		at
		parts []expr
	}
	compareExpr struct {
		at
		first expr
		ops   []compareOp
	}
	condExpr struct {
		at
		test, then, els expr // els nil: undefined
	}
	listExpr struct {
		at
		items []expr
	}
	tupleExpr struct {
		at
		items []expr
	}
	dictExpr struct {
		at
		keys, vals []expr
	}
	// namespaceExpr is a target only: ns.name.
	namespaceExpr struct {
		at
		ns, name string
	}
)

type compareOp struct {
	op string // == != < <= > >= in "not in"
	x  expr
}

type callArgs struct {
	pos     []expr
	names   []string
	named   []expr
	star    expr // *args
	dblStar expr // **kwargs
}

type (
	textStmt struct{ text string }
	outStmt  struct{ x expr }
	ifStmt   struct {
		tests []expr
		thens [][]stmt
		els   []stmt
	}
	forStmt struct {
		at
		target    expr
		iter      expr
		cond      expr
		body, els []stmt
		recursive bool
		usesLoop  bool
	}
	setStmt struct {
		at
		target expr
		x      expr
	}
	setBlock struct {
		at
		target  expr
		filters []*filterExpr
		body    []stmt
	}
	withStmt struct {
		names []expr
		vals  []expr
		body  []stmt
	}
	macroStmt struct {
		at
		name     string
		params   []string
		defaults []expr // for the last len(defaults) params
		body     []stmt
		varargs, kwargs,
		caller bool // the body mentions them
	}
	callStmt struct {
		at
		macro *macroStmt // the block as a function
		call  expr
	}
	filterStmt struct {
		filters []*filterExpr
		body    []stmt
	}
	blockStmt struct {
		at
		name             string
		scoped, required bool
		body             []stmt
	}
	extendsStmt struct {
		at
		parent expr
	}
	includeStmt struct {
		at
		name          expr
		ignoreMissing bool
		withContext   bool
	}
	importStmt struct {
		at
		name        expr
		target      string
		withContext bool
	}
	fromStmt struct {
		at
		name        expr
		names       []string
		aliases     []string
		withContext bool
	}
	doStmt       struct{ x expr }
	scopeStmt    struct{ body []stmt }
	breakStmt    struct{}
	continueStmt struct{}
)

// tree is a parsed template.
type tree struct {
	src    string
	body   []stmt
	blocks map[string]*blockStmt
	order  []string // blocks in the order of the source
	uses   []mention
}

// mention is one use of a name, filter, test or lookup.
type mention struct {
	kind    byte // 'f' filter, 't' test, 'l' lookup, 'n' name
	name    string
	pos     int
	guarded bool
	called  bool
}

// place turns an offset into line and column, both from 1.
func (t *tree) place(pos int) (line, col int) {
	return position(t.src, pos)
}

func position(src string, pos int) (line, col int) {
	pos = min(max(pos, 0), len(src))
	line, start := 1, 0
	for i := 0; i < pos; i++ {
		if src[i] == '\n' {
			line++
			start = i + 1
		}
	}
	col = 1
	for range src[start:pos] {
		col++
	}
	return line, col
}
