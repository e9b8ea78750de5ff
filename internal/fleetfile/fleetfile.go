// Package fleetfile reads fleet.yml, the one file of the fleet repository that
// is Drover's own: the fleet's name and where its parts are. Every field has a
// default, so that a repository without the file works; a field that does not
// exist is refused, because a misspelt one would be silently ignored.
package fleetfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"drover/api"

	yaml "go.yaml.in/yaml/v4"
)

// Name is the file's path in the repository.
const Name = "fleet.yml"

// maxSize bounds the file; a real one has a dozen lines.
const maxSize = 64 << 10

// File is what fleet.yml says, with defaults filled in.
type File struct {
	Name      string   // the fleet's name, for people
	Inventory []string // paths of inventory files or folders
	Playbook  string   // the playbook that is the desired state of every host; "" when there is none yet
	Places    map[string]api.Place
}

// Load reads fleet.yml from a tree and finds what it leaves open: inventory/,
// inventory.yml, inventory.ini or hosts; site.yml or playbooks/site.yml.
func Load(tree fs.FS) (*File, error) {
	src, err := fs.ReadFile(tree, Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read %s: %w", Name, err)
	}
	f, err := Parse(src)
	if err != nil {
		return nil, err
	}
	if len(f.Inventory) == 0 {
		for _, c := range []string{"inventory", "inventory.yml", "inventory.yaml", "inventory.ini", "hosts", "hosts.yml", "hosts.ini"} {
			if exists(tree, c) {
				f.Inventory = []string{c}
				break
			}
		}
	}
	for i, p := range f.Inventory {
		if !exists(tree, p) {
			return nil, f.wrong("inventory", fmt.Sprintf("inventory[%d]", i), fmt.Sprintf("there is no %q in the repository", p), "name a file or folder that is there, relative to the repository's root")
		}
	}
	if f.Playbook == "" {
		for _, c := range []string{"site.yml", "playbooks/site.yml", "site.yaml", "playbooks/site.yaml"} {
			if exists(tree, c) {
				f.Playbook = c
				break
			}
		}
	} else if st, err := fs.Stat(tree, f.Playbook); err != nil || st.IsDir() {
		return nil, f.wrong("playbook", "playbook", fmt.Sprintf("there is no playbook %q in the repository", f.Playbook), "name a playbook that is there, relative to the repository's root")
	}
	return f, nil
}

func exists(tree fs.FS, p string) bool {
	_, err := fs.Stat(tree, p)
	return err == nil
}

func (f *File) wrong(key, field, msg, remedy string) *api.Error {
	p := f.Places[key]
	return &api.Error{Code: api.CodeInvalid, Message: msg, Field: field, Place: &p, Remedy: remedy}
}

var fields = []string{"name", "inventory", "playbook"}

// Parse reads the text of fleet.yml.
func Parse(src []byte) (*File, error) {
	f := &File{Places: map[string]api.Place{}}
	if len(src) > maxSize {
		return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("it is larger than %d KB", maxSize>>10),
			Place: &api.Place{File: Name}, Remedy: "it holds the fleet's few settings only"}
	}
	var doc yaml.Node
	if err := unmarshal(src, &doc); err != nil {
		return nil, err
	}
	if doc.Kind == 0 || len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return f, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, at(top, "", "it is not a mapping of settings", "write one `setting: value` a line")
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, val := top.Content[i], top.Content[i+1]
		if _, twice := f.Places[key.Value]; twice {
			return nil, at(key, key.Value, fmt.Sprintf("%q is there twice", key.Value), "keep one of them")
		}
		f.Places[key.Value] = api.Place{File: Name, Line: val.Line, Column: val.Column}
		var err *api.Error
		switch key.Value {
		case "name":
			f.Name, err = text(val, "name")
		case "inventory":
			f.Inventory, err = inventory(val)
		case "playbook":
			if f.Playbook, err = text(val, "playbook"); err == nil {
				f.Playbook, err = inside(val, "playbook", f.Playbook)
			}
		default:
			remedy := "the settings are " + strings.Join(fields, ", ")
			if near := nearest(key.Value); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			err = at(key, key.Value, fmt.Sprintf("there is no setting %q", key.Value), remedy)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

var lineOf = regexp.MustCompile(`line (\d+)(?:, column (\d+))?`)

// unmarshal reads YAML; the library's parser may panic on broken input.
func unmarshal(src []byte, doc *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		if err == nil {
			return
		}
		place := &api.Place{File: Name, Line: 1, Column: 1}
		if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
			place.Line, _ = strconv.Atoi(m[1])
			if m[2] != "" {
				place.Column, _ = strconv.Atoi(m[2])
			}
		}
		msg := strings.TrimPrefix(err.Error(), "yaml: ")
		err = &api.Error{Code: api.CodeInvalid, Message: "it is not YAML: " + msg, Place: place, Remedy: "mend the syntax; values with ':' or '#' need quotes"}
	}()
	return yaml.Unmarshal(src, doc)
}

func at(n *yaml.Node, field, msg, remedy string) *api.Error {
	return &api.Error{Code: api.CodeInvalid, Message: msg, Field: field, Place: &api.Place{File: Name, Line: n.Line, Column: n.Column}, Remedy: remedy}
}

func text(n *yaml.Node, field string) (string, *api.Error) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
		return "", at(n, field, fmt.Sprintf("%s is not text", field), fmt.Sprintf("write `%s: …` with a word or a quoted text", field))
	}
	return n.Value, nil
}

func inside(n *yaml.Node, field, p string) (string, *api.Error) {
	clean := path.Clean(p)
	if !fs.ValidPath(clean) {
		return "", at(n, field, fmt.Sprintf("%q leads out of the repository", p), "give a path relative to the repository's root")
	}
	return clean, nil
}

func inventory(n *yaml.Node) ([]string, *api.Error) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var out []string
	for _, it := range items {
		s, err := text(it, "inventory")
		if err == nil {
			s, err = inside(it, "inventory", s)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// nearest is the setting that was probably meant, or "".
func nearest(word string) string {
	type cand struct {
		name string
		dist int
	}
	var cs []cand
	for _, f := range fields {
		cs = append(cs, cand{f, distance(strings.ToLower(word), f)})
	}
	sort.SliceStable(cs, func(i, j int) bool { return cs[i].dist < cs[j].dist })
	if cs[0].dist <= 1+len(cs[0].name)/3 {
		return cs[0].name
	}
	return ""
}

// distance counts the single letters to change, bounded by cutting long words.
func distance(a, b string) int {
	if len(a) > 32 {
		return 32
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diag, row[j] = row[j], min(diag+cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
