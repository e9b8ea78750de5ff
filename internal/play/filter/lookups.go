package filter

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"path"
	"slices"
	"strings"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func (s *set) lookups() map[string]Lookup {
	return map[string]Lookup{
		"items": lItems, "list": lList, "dict": lDict, "nested": lNested, "cartesian": lNested, "together": lTogether,
		"subelements": lSubelements, "sequence": lSequence, "indexed_items": lIndexed, "flattened": lFlattened,
		"random_choice": lRandomChoice, "env": lEnv, "file": lFile, "unvault": lUnvault, "first_found": lFirstFound,
		"fileglob": lFileglob, "vars": lVars, "varnames": lVarnames, "pipe": lPipe, "lines": lLines, "url": lURL,
		"password": lPassword, "ini": lINI, "csvfile": lCSV, "inventory_hostnames": lHostnames, "template": lTemplate,
	}
}

func (c *LookupCall) args() *value.Args { return &value.Args{Name: c.Name, Kw: c.Kwargs} }

func (c *LookupCall) option(name string, def value.Value) value.Value {
	return c.args().Or(-1, name, def)
}

func (c *LookupCall) text(name, def string) string {
	v := c.option(name, nil)
	if v == nil {
		return def
	}
	return value.Str(v)
}

func (c *LookupCall) flag(name string, def bool) bool {
	v := c.option(name, nil)
	if v == nil {
		return def
	}
	return truthOf(v)
}

// words are the terms as text.
func (c *LookupCall) words() ([]string, error) {
	var out []string
	for _, t := range c.Terms {
		if l, ok := listItems(t); ok {
			for _, e := range l {
				out = append(out, value.Str(e))
			}
			continue
		}
		s, ok := value.StrOf(t)
		if !ok {
			return nil, filterError("a term must be a string, not " + value.TypeName(t) + ": " + value.Repr(t))
		}
		out = append(out, s)
	}
	return out, nil
}

// oneLevel puts the elements of lists among terms in their place.
func oneLevel(terms []value.Value) []value.Value {
	out := []value.Value{}
	for _, t := range terms {
		if l, ok := listItems(t); ok {
			out = append(out, l...)
		} else {
			out = append(out, t)
		}
	}
	return out
}

func lItems(c *LookupCall) ([]value.Value, error) { return oneLevel(c.Terms), nil }

func lList(c *LookupCall) ([]value.Value, error) { return slices.Clone(c.Terms), nil }

func lDict(c *LookupCall) ([]value.Value, error) {
	terms := c.Terms
	out := []value.Value{}
	for _, t := range oneLevel(terms) {
		d, ok, err := value.AsDict(t)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &plain{"with_dict expects a dict"}
		}
		for _, e := range d.Items() {
			out = append(out, value.DictOf("key", e.Key, "value", e.Value))
		}
	}
	return out, nil
}

func termLists(terms []value.Value, flat bool) [][]value.Value {
	var lists [][]value.Value
	for _, t := range terms {
		l, ok := listItems(t)
		if !ok {
			l = []value.Value{t}
		}
		if flat {
			l = oneLevel(l)
		}
		lists = append(lists, l)
	}
	return lists
}

func lNested(c *LookupCall) ([]value.Value, error) {
	if len(c.Terms) == 0 {
		return nil, filterError("with_nested requires at least one element in the nested list")
	}
	rows, err := cartesian(termLists(c.Terms, false))
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		rows[i] = &value.List{Items: oneLevel(r.(value.Tuple))}
	}
	return rows, nil
}

func lTogether(c *LookupCall) ([]value.Value, error) {
	if len(c.Terms) == 0 {
		return nil, filterError("with_together requires at least one element in each list")
	}
	lists := termLists(c.Terms, false)
	n := 0
	for _, l := range lists {
		n = max(n, len(l))
	}
	out := []value.Value{}
	for i := range n {
		row := &value.List{}
		for _, l := range lists {
			var v value.Value
			if i < len(l) {
				v = l[i]
			}
			if inner, ok := listItems(v); ok {
				row.Items = append(row.Items, inner...)
			} else {
				row.Items = append(row.Items, v)
			}
		}
		out = append(out, row)
	}
	return out, nil
}

func lSubelements(c *LookupCall) ([]value.Value, error) {
	if len(c.Terms) < 2 || len(c.Terms) > 3 {
		return nil, filterError("subelements lookup expects a list of two or three items")
	}
	skip := c.flag("skip_missing", false)
	if len(c.Terms) == 3 {
		d, ok := c.Terms[2].(*value.Dict)
		if !ok {
			return nil, filterError("the optional third item must be a dict with flags skip_missing")
		}
		v, _ := d.GetString("skip_missing")
		skip = truthOf(v)
	}
	items, err := elementsOf(c.Terms[0])
	if err != nil {
		return nil, filterError("first term must be a list or a dictionary of items, got '" + value.Repr(c.Terms[0]) + "'")
	}
	kept := items[:0:0]
	for _, e := range items {
		if d, ok, _ := value.AsDict(e); ok {
			if v, _ := d.GetString("skipped"); truthOf(v) {
				continue
			}
		}
		kept = append(kept, e)
	}
	pairs, err := subelements(kept, c.Terms[1], skip)
	if err != nil {
		return nil, err
	}
	// The lookup, unlike the filter, takes the list out of the item.
	keys := strings.Split(value.Str(c.Terms[1]), ".")
	var last, cut value.Value
	for _, p := range pairs {
		t := p.(value.Tuple)
		if last != t[0] {
			last, cut = t[0], without(t[0], keys)
		}
		t[0] = cut
	}
	return pairs, nil
}

// without copies a dictionary less the value at a path of keys.
func without(v value.Value, path []string) value.Value {
	d, ok := v.(*value.Dict)
	if !ok {
		return v
	}
	c := d.Copy()
	if len(path) == 1 {
		c.Delete(path[0])
	} else if inner, ok := c.GetString(path[0]); ok {
		c.Set(path[0], without(inner, path[1:]))
	}
	return c
}

func lIndexed(c *LookupCall) ([]value.Value, error) {
	out := []value.Value{}
	for i, v := range oneLevel(c.Terms) {
		out = append(out, value.Tuple{int64(i), v})
	}
	return out, nil
}

func lFlattened(c *LookupCall) ([]value.Value, error) {
	v, err := fFlatten(&jinja.Call{Ctx: c.Ctx, Name: "flattened", Args: []value.Value{&value.List{Items: c.Terms}}, Env: c.Env})
	if err != nil {
		return nil, err
	}
	return v.(*value.List).Items, nil
}

func lRandomChoice(c *LookupCall) ([]value.Value, error) {
	items := c.Terms
	if len(items) == 0 {
		return []value.Value{}, nil
	}
	return []value.Value{items[mrand.IntN(len(items))]}, nil
}

func lEnv(c *LookupCall) ([]value.Value, error) {
	out := []value.Value{}
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		f := strings.Fields(w)
		if len(f) == 0 {
			continue
		}
		if v, ok := c.Options.Getenv(f[0]); ok {
			out = append(out, v)
			continue
		}
		out = append(out, c.option("default", ""))
	}
	return out, nil
}

// find resolves a term to a file, or fails as Ansible does.
func (c *LookupCall) find(kind, name string) (string, error) {
	p, tried, ok := c.Options.Find(c.Call, kind, name)
	if !ok {
		return "", filterError("Unable to access the file '" + name + "': could not be found, searched in: " + strings.Join(tried, ", "))
	}
	return p, nil
}

func (c *LookupCall) read(kind, name string) ([]byte, error) {
	p, err := c.find(kind, name)
	if err != nil {
		return nil, err
	}
	b, err := c.Options.ReadFile(p)
	if err != nil {
		return nil, filterError("Unable to access the file '" + p + "': " + err.Error())
	}
	if strings.HasPrefix(string(b), "$ANSIBLE_VAULT;") && c.Options.Decrypt != nil {
		return c.Options.Decrypt(b)
	}
	return b, nil
}

func lFile(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		b, err := c.read("files", w)
		if err != nil {
			return nil, err
		}
		text := string(b)
		if c.flag("lstrip", false) {
			text = strings.TrimLeft(text, " \t\r\n")
		}
		if c.flag("rstrip", true) {
			text = strings.TrimRight(text, " \t\r\n\v\f")
		}
		out = append(out, text)
	}
	return out, nil
}

func lUnvault(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		b, err := c.read("files", w)
		if err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	return out, nil
}

func lTemplate(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		p, err := c.find("templates", w)
		if err != nil {
			return nil, err
		}
		b, err := c.Options.ReadFile(p)
		if err != nil {
			return nil, err
		}
		o := jinja.Options{TrimBlocks: c.flag("trim_blocks", true), LstripBlocks: c.flag("lstrip_blocks", false), KeepTrailingNewline: true}
		o.Place.File = p
		t, err := c.Env.Template(string(b), o)
		if err != nil {
			return nil, err
		}
		var scope jinja.Scope = c.Scope
		if d, ok := c.option("template_vars", nil).(*value.Dict); ok {
			scope = overlay{scope, d}
		}
		text, err := t.Render(c.Ctx, scope)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

// overlay is a scope with further variables on top.
type overlay struct {
	jinja.Scope
	over *value.Dict
}

// Var returns one variable.
func (o overlay) Var(name string) (value.Value, bool, error) {
	if v, ok := o.over.GetString(name); ok {
		return v, true, nil
	}
	return o.Scope.Var(name)
}

func lFirstFound(c *LookupCall) ([]value.Value, error) {
	type candidate struct{ dir, name string }
	var all []candidate
	skip := c.flag("skip", false)
	split := func(v value.Value, seps string) []string {
		if l, ok := listItems(v); ok {
			var out []string
			for _, e := range l {
				if _, undef := e.(*value.Undefined); !undef {
					out = append(out, value.Str(e))
				}
			}
			return out
		}
		if v == nil {
			return nil
		}
		return strings.FieldsFunc(value.Str(v), func(r rune) bool { return strings.ContainsRune(seps, r) })
	}
	add := func(files, paths []string) {
		if len(paths) == 0 {
			paths = []string{""}
		}
		for _, p := range paths {
			for _, f := range files {
				all = append(all, candidate{strings.TrimSpace(p), strings.TrimSpace(f)})
			}
		}
	}
	if c.Kwargs.Has("files") {
		add(split(c.option("files", nil), ",;"), split(c.option("paths", nil), ",:;"))
	}
	var walk func(terms []value.Value) error
	walk = func(terms []value.Value) error {
		for _, t := range terms {
			switch x := t.(type) {
			case *value.Undefined:
			case *value.Dict:
				files, _ := x.GetString("files")
				paths, _ := x.GetString("paths")
				if s, ok := x.GetString("skip"); ok {
					skip = truthOf(s)
				}
				fs, ps := split(files, ",;"), split(paths, ",:;")
				if len(fs) == 0 {
					// Paths alone are what is looked for.
					for _, p := range ps {
						all = append(all, candidate{"", p})
					}
					continue
				}
				add(fs, ps)
			case *value.List:
				if err := walk(x.Items); err != nil {
					return err
				}
			case value.Tuple:
				if err := walk(x); err != nil {
					return err
				}
			default:
				name, ok := value.StrOf(t)
				if !ok {
					return filterError("Invalid term supplied, can handle string, mapping or list of strings but got: " + value.TypeName(t) + " for " + value.Repr(t))
				}
				add([]string{name}, split(c.option("paths", nil), ",:;"))
			}
		}
		return nil
	}
	if err := walk(c.Terms); err != nil {
		return nil, err
	}
	kinds := []string{"files", "templates", "vars"}
	for _, f := range all {
		name := f.name
		if f.dir != "" && !strings.HasPrefix(name, "/") {
			name = path.Join(f.dir, name)
		}
		for _, k := range kinds {
			if p, _, ok := c.Options.Find(c.Call, k, name); ok {
				return []value.Value{p}, nil
			}
			if strings.HasPrefix(name, "/") {
				break
			}
		}
	}
	if skip {
		return []value.Value{}, nil
	}
	return nil, filterError("No file was found when using first_found.")
}

func lFileglob(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		dir, base := path.Split(w)
		dir = strings.TrimSuffix(dir, "/")
		if strings.HasPrefix(w, "/") && dir == "" {
			dir = "/"
		}
		if !strings.HasPrefix(dir, "/") {
			if dir == "" {
				dir = "."
			}
			p, _, ok := c.Options.Find(c.Call, "files", dir)
			if !ok {
				continue
			}
			dir = p
		}
		found, err := c.set.glob(dir, base)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// glob lists the files of a folder whose names match.
func (s *set) glob(dir, pattern string) ([]value.Value, error) {
	entries, err := s.o.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	out := []value.Value{}
	pattern = strings.ReplaceAll(pattern, "[!", "[^")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(pattern, ".") {
			continue
		}
		ok, err := path.Match(pattern, e.Name())
		if err != nil || !ok {
			continue
		}
		p := path.Join(dir, e.Name())
		if i, err := s.o.Stat(p, true); err == nil && i.Mode().IsRegular() {
			out = append(out, p)
		}
	}
	return out, nil
}

func (s *set) fileglobFilter(c *jinja.Call) (value.Value, error) {
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	dir, base := path.Split(in)
	if dir == "" {
		dir = "."
	}
	items, err := s.glob(path.Clean(dir), base)
	return &value.List{Items: items}, err
}

func lVars(c *LookupCall) ([]value.Value, error) {
	out := []value.Value{}
	for _, t := range c.Terms {
		name, ok := value.StrOf(t)
		if !ok {
			return nil, filterError("Invalid setting identifier, '" + value.Str(t) + "' is not a string, its a " + value.TypeName(t))
		}
		v, ok, err := c.Scope.Var(name)
		if err != nil {
			return nil, err
		}
		if u, undef := v.(*value.Undefined); undef || !ok {
			if d, has := c.Kwargs.Get("default"); has {
				out = append(out, d)
				continue
			}
			if undef && u.Err != nil {
				return nil, u.Use()
			}
			return nil, (&value.Undefined{Name: name, Hint: "No variable named '" + name + "' was found."}).Use()
		}
		out = append(out, v)
	}
	return out, nil
}

func lVarnames(c *LookupCall) ([]value.Value, error) {
	ns, ok := c.Scope.(jinja.NamedScope)
	if !ok {
		return nil, filterError("variables cannot be listed here")
	}
	names := ns.Names()
	slices.Sort(names)
	names = slices.Compact(names)
	out := []value.Value{}
	for _, t := range c.Terms {
		src, ok := value.StrOf(t)
		if !ok {
			return nil, filterError("Invalid setting identifier, '" + value.Str(t) + "' is not a string, it's a " + value.TypeName(t))
		}
		p, err := c.set.re.compile(src, false, false)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			m, err := p.re.MatchString(n)
			if err != nil {
				return nil, p.err(err)
			}
			if m {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

func (c *LookupCall) command(term string) (string, error) {
	if c.Options.Run == nil {
		return "", filterError("commands cannot be run here: run them on the host, with a task of command or shell, and register what it returns")
	}
	b, err := c.Options.Run(c.Ctx, term)
	if err != nil {
		return "", &plain{fmt.Sprintf("lookup_plugin.%s(%s) returned an error: %v", c.Name, term, err)}
	}
	return string(b), nil
}

func lPipe(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		text, err := c.command(w)
		if err != nil {
			return nil, err
		}
		out = append(out, strings.TrimRight(text, " \t\r\n\v\f"))
	}
	return out, nil
}

func lLines(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		text, err := c.command(w)
		if err != nil {
			return nil, err
		}
		out = append(out, value.SplitLines(text, false)...)
	}
	return out, nil
}

func lHostnames(c *LookupCall) ([]value.Value, error) {
	if c.Options.Hosts == nil {
		return nil, filterError("there is no inventory here")
	}
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	hosts, err := c.Options.Hosts(c.Call, strings.Join(words, ","))
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, h := range hosts {
		out = append(out, h)
	}
	return out, nil
}

// draw makes a random text of n characters of set.
func draw(n int, set string, seed value.Value) string {
	if seed != nil {
		t := newTwister(seed)
		b := make([]byte, n)
		for i := range b {
			b[i] = set[t.below(int64(len(set)))]
		}
		return string(b)
	}
	// Bytes beyond the last whole multiple of len(set) are thrown away, so
	// that every character is equally likely.
	limit := 256 - 256%len(set)
	out := make([]byte, 0, n)
	buf := make([]byte, 64)
	for len(out) < n {
		rand.Read(buf)
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, set[int(b)%len(set)])
			}
		}
	}
	return string(out)
}
