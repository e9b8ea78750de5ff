package server

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strings"
)

// comments are what Go sources say of their types and fields: "Host" and
// "HostSpec.Paused".
type comments map[string]string

// readComments reads them from Go files.
func readComments(src fs.FS) (comments, error) {
	files, err := fs.Glob(src, "*.go")
	if err != nil {
		return nil, err
	}
	found := comments{}
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := fs.ReadFile(src, name)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(fset, name, b, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("cannot read the comments of %s: %w", name, err)
		}
		for _, d := range f.Decls {
			if gen, ok := d.(*ast.GenDecl); ok {
				found.add(gen)
			}
		}
	}
	return found, nil
}

func (c comments) add(gen *ast.GenDecl) {
	for _, spec := range gen.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		doc := t.Doc
		if doc == nil {
			doc = gen.Doc
		}
		c.set(t.Name.Name, doc)
		st, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range st.Fields.List {
			for _, n := range f.Names {
				c.set(t.Name.Name+"."+n.Name, f.Doc, f.Comment)
			}
		}
	}
}

func (c comments) set(name string, groups ...*ast.CommentGroup) {
	var parts []string
	for _, g := range groups {
		if g != nil {
			parts = append(parts, strings.Join(strings.Fields(g.Text()), " "))
		}
	}
	if len(parts) > 0 {
		c[name] = strings.Join(parts, " ")
	}
}
