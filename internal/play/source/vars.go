package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"drover/api"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// Decode turns a node into a value, opening vaulted text.
func Decode(n *yaml.Node, vault *Vault, report func(error)) value.Value {
	if n == nil {
		return nil
	}
	v, err := n.Decode(func(m *yaml.Node) (value.Value, bool, error) {
		if m.Tag != "!vault" && m.Tag != "!vault-encrypted" {
			return nil, false, nil
		}
		text, _ := value.StrOf(m.Scalar)
		plain, err := vault.Decrypt([]byte(text))
		if err != nil {
			at := m.Pos
			if vault.Refuses() {
				report(vault.Closed("this value", at, err))
			}
			return &value.Undefined{Hint: "cannot open the vaulted value: " + err.Error(),
				Err: &api.Error{Code: api.CodeInvalid, Message: "cannot open the vaulted value: " + err.Error(), Place: &at}}, true, nil
		}
		return string(plain), true, nil
	})
	if err != nil {
		report(err)
	}
	return v
}

// KeyText is a key as text.
func KeyText(n *yaml.Node) string {
	if s, ok := value.StrOf(n.Scalar); ok && n.Kind == yaml.Scalar {
		return s
	}
	return value.Str(n.Value())
}

// ReadYAML reads YAML (or JSON, which is YAML), opening a vaulted file first.
func ReadYAML(files Files, file string, vault *Vault) ([]*yaml.Node, error) {
	src, err := files.ReadFile(file)
	if err != nil {
		return nil, FileError(file, err)
	}
	if IsVault(src) {
		if src, err = vault.Decrypt(src); err != nil {
			if vault.Refuses() {
				return nil, vault.Closed("the file", api.Place{File: file, Line: 1, Column: 1}, err)
			}
			return nil, &api.Error{Code: api.CodeInvalid, Message: "cannot read the vaulted file: " + err.Error(), Place: &api.Place{File: file},
				Remedy: "give the password with --vault-password-file or --ask-vault-pass"}
		}
	}
	return yaml.Parse(file, src)
}

// FileError says that a file cannot be read.
func FileError(file string, err error) *api.Error {
	var pe *fs.PathError
	msg := err.Error()
	if errors.As(err, &pe) {
		msg = pe.Err.Error()
	}
	return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("cannot read %s: %s", file, msg), Place: &api.Place{File: file}}
}

// Join is name below dir, or name itself when it is absolute.
func Join(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

// KindName is the shape of a node, in words.
func KindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.Seq:
		return "list"
	case yaml.Map:
		return "dictionary"
	}
	return value.TypeName(n.Scalar)
}

// Problems are several errors in one.
type Problems []*api.Error

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, e := range p {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the errors to errors.As.
func (p Problems) Unwrap() []error {
	out := make([]error, len(p))
	for i, e := range p {
		out[i] = e
	}
	return out
}

// VarFiles lists the variable files below a folder, sorted.
func VarFiles(files Files, dir string) []string {
	list, err := files.ReadDir(dir)
	if err != nil {
		return nil
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	var out []string
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), "~") {
			continue
		}
		if IsDir(files, name) {
			out = append(out, VarFiles(files, name)...)
			continue
		}
		switch path.Ext(name) {
		case "", ".yml", ".yaml", ".json":
			out = append(out, name)
		}
	}
	return out
}

// Vars is the dictionary of variables that a file holds.
func Vars(file string, docs []*yaml.Node, vault *Vault) (*value.Dict, error) {
	if len(docs) == 0 || docs[0] == nil {
		return value.NewDict(), nil
	}
	var errs Problems
	v := Decode(docs[0], vault, func(err error) {
		errs = append(errs, ProblemsOf(err)...)
	})
	if len(errs) > 0 {
		return nil, errs
	}
	switch v := v.(type) {
	case nil:
		return value.NewDict(), nil
	case *value.Dict:
		return v, nil
	}
	at := docs[0].Pos
	return nil, &api.Error{Code: api.CodeInvalid, Place: &at, Message: fmt.Sprintf("%s must be a dictionary of variables, not a %s", path.Base(file), KindName(docs[0])), Remedy: "write name: value lines"}
}

// ProblemsOf is err as a list of problems with places where it has them.
func ProblemsOf(err error) Problems {
	var e *api.Error
	var ps Problems
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ps):
		return ps
	case errors.As(err, &e):
		return Problems{e}
	}
	return Problems{{Code: api.CodeInvalid, Message: err.Error()}}
}
