package filter

import (
	"io/fs"
	"math"
	"os"
	"path"
	"strings"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func (s *set) tests() map[string]jinja.Test {
	t := map[string]jinja.Test{
		"changed":  resultTest("changed", isChanged),
		"failed":   resultTest("failed", hasTrue("failed")),
		"success":  resultTest("success", func(d *value.Dict) (bool, error) { return negate(hasTrue("failed")(d)) }),
		"skipped":  resultTest("skipped", hasTrue("skipped")),
		"finished": resultTest("finished", hasTrue("finished")), "started": resultTest("started", hasTrue("started")),
		"timedout":    resultTest("timedout", isTimedOut),
		"unreachable": resultTest("unreachable", hasTrue("unreachable")),
		"reachable":   resultTest("reachable", func(d *value.Dict) (bool, error) { return negate(hasTrue("unreachable")(d)) }),
		"match":       s.regexTest("match"), "search": s.regexTest("search"), "regex": s.regexTest(""),
		"version": tVersion, "version_compare": tVersion,
		"contains": tContains, "any": tAny, "all": tAll, "subset": subsetTest(false), "issubset": subsetTest(false),
		"superset": subsetTest(true), "issuperset": subsetTest(true),
		"truthy": truthTest(true), "falsy": truthTest(false),
		"isnan": tNaN, "nan": tNaN, "vault_encrypted": tVaulted, "vaulted_file": s.vaultedFile,
		"uri": uriTest(""), "url": uriTest("url"), "urn": uriTest("urn"),
		"abs":    func(c *jinja.Call) (bool, error) { p, err := input(c); return strings.HasPrefix(p, "/"), err },
		"exists": s.fileTest(true, func(fs.FileInfo) bool { return true }), "link_exists": s.fileTest(false, func(fs.FileInfo) bool { return true }),
		"directory": s.fileTest(true, fs.FileInfo.IsDir),
		"file":      s.fileTest(true, func(i fs.FileInfo) bool { return i.Mode().IsRegular() }),
		"link":      s.fileTest(false, func(i fs.FileInfo) bool { return i.Mode()&fs.ModeSymlink != 0 }),
		"mount":     s.isMount, "same_file": s.sameFile,
	}
	for alias, name := range map[string]string{"change": "changed", "failure": "failed", "succeeded": "success", "successful": "success", "skip": "skipped",
		"is_abs": "abs", "is_dir": "directory", "is_file": "file", "is_link": "link", "is_mount": "mount", "is_same_file": "same_file"} {
		t[alias] = t[name]
	}
	for name, f := range t {
		t[name] = namedTest(name, f)
	}
	return t
}

func namedTest(name string, f jinja.Test) jinja.Test {
	return func(c *jinja.Call) (bool, error) {
		ok, err := f(c)
		if err != nil {
			return false, pluginError("test", name, err)
		}
		return ok, nil
	}
}

func negate(b bool, err error) (bool, error) { return !b, err }

func resultTest(name string, f func(d *value.Dict) (bool, error)) jinja.Test {
	return func(c *jinja.Call) (bool, error) {
		d, ok, err := value.AsDict(c.In())
		if err != nil {
			return false, err
		}
		if !ok {
			return false, filterError("The '" + name + "' test expects a dictionary")
		}
		return f(d)
	}
}

func hasTrue(key string) func(d *value.Dict) (bool, error) {
	return func(d *value.Dict) (bool, error) {
		v, ok := d.GetString(key)
		if !ok {
			return false, nil
		}
		return value.Truth(v)
	}
}

func isChanged(d *value.Dict) (bool, error) {
	if v, ok := d.GetString("changed"); ok {
		return value.Truth(v)
	}
	if v, ok := d.GetString("results"); ok {
		items, _ := listItems(v)
		for _, e := range items {
			if r, ok := e.(*value.Dict); ok {
				if c, err := hasTrue("changed")(r); c || err != nil {
					return c, err
				}
			}
		}
	}
	return false, nil
}

func isTimedOut(d *value.Dict) (bool, error) {
	v, ok := d.GetString("timedout")
	if !ok {
		return false, nil
	}
	if t, ok := v.(*value.Dict); ok {
		return hasTrue("period")(t)
	}
	return value.Truth(v)
}

func (s *set) regexTest(kind string) jinja.Test {
	return func(c *jinja.Call) (bool, error) {
		a := c.Rest()
		names := []string{"pattern", "ignorecase", "multiline"}
		if kind == "" {
			names = append(names, "match_type")
		}
		if err := a.Check(1, names...); err != nil {
			return false, err
		}
		in, err := input(c)
		if err != nil {
			return false, err
		}
		p, err := s.regexFor(a, 0, "pattern", 1, 2)
		if err != nil {
			return false, err
		}
		how := kind
		if how == "" {
			if how, err = a.String(3, "match_type", "search"); err != nil {
				return false, err
			}
		}
		m, err := p.re.FindStringMatch(in)
		if err != nil {
			return false, p.err(err)
		}
		switch how {
		case "match":
			// A later alternative may match at the start where the first match does not.
			if m != nil && m.Index != 0 {
				src, _ := a.String(0, "pattern", "")
				ic, _ := a.Bool(1, "ignorecase", false)
				ml, _ := a.Bool(2, "multiline", false)
				if p, err = s.re.compile(`\A(?:`+src+`)`, ic, ml); err != nil {
					return false, err
				}
				m, err = p.re.FindStringMatch(in)
				return m != nil, p.err(err)
			}
			return m != nil, nil
		case "fullmatch":
			src, _ := a.String(0, "pattern", "")
			if p, err = s.re.compile(`\A(?:`+src+`)\Z`, false, false); err != nil {
				return false, err
			}
			m, err = p.re.FindStringMatch(in)
			return m != nil, p.err(err)
		}
		return m != nil, nil
	}
}

func tContains(c *jinja.Call) (bool, error) {
	a := c.Rest()
	if err := a.Check(1, "value"); err != nil {
		return false, err
	}
	return value.Contains(c.In(), a.Or(0, "value", nil))
}

func tAny(c *jinja.Call) (bool, error) {
	items, err := c.List()
	for _, e := range items {
		if ok, err := value.Truth(e); ok || err != nil {
			return ok, err
		}
	}
	return false, err
}

func tAll(c *jinja.Call) (bool, error) {
	items, err := c.List()
	for _, e := range items {
		if ok, err := value.Truth(e); !ok || err != nil {
			return false, err
		}
	}
	return err == nil, err
}

func subsetTest(super bool) jinja.Test {
	return func(c *jinja.Call) (bool, error) {
		a := c.Rest()
		if err := a.Check(1, "b"); err != nil {
			return false, err
		}
		x, err := c.List()
		if err != nil {
			return false, err
		}
		y, err := value.Iter(a.Or(0, "b", nil))
		if err != nil {
			return false, err
		}
		if super {
			x, y = y, x
		}
		in := membership(y)
		for _, e := range x {
			if !in(e) {
				return false, nil
			}
		}
		return true, nil
	}
}

func truthTest(want bool) jinja.Test {
	return func(c *jinja.Call) (bool, error) {
		a := c.Rest()
		if err := a.Check(0, "convert_bool"); err != nil {
			return false, err
		}
		convert, err := a.Bool(0, "convert_bool", false)
		if err != nil {
			return false, err
		}
		v := c.In()
		if convert {
			if b, known := parseBool(v); known {
				v = b
			}
		}
		b, err := value.Truth(v)
		return b == want, err
	}
}

func tNaN(c *jinja.Call) (bool, error) {
	f, ok := value.AsFloat(c.In())
	if !ok {
		return false, filterError("isnan can only be used on numbers")
	}
	return math.IsNaN(f), nil
}

func tVaulted(c *jinja.Call) (bool, error) {
	in, ok := value.StrOf(c.In())
	return ok && strings.HasPrefix(in, "$ANSIBLE_VAULT"), nil
}

func (s *set) vaultedFile(c *jinja.Call) (bool, error) {
	p, err := input(c)
	if err != nil {
		return false, err
	}
	b, err := s.o.ReadFile(p)
	if err != nil {
		return false, filterError("cannot test whether " + p + " is vaulted: " + err.Error())
	}
	return strings.HasPrefix(string(b), "$ANSIBLE_VAULT"), nil
}

func uriTest(kind string) jinja.Test {
	return func(c *jinja.Call) (bool, error) {
		a := c.Rest()
		in, err := input(c)
		if err != nil {
			return false, err
		}
		d := splitURL(in)
		scheme, _ := d.GetString("scheme")
		netloc, _ := d.GetString("netloc")
		p, _ := d.GetString("path")
		if l, ok := listItems(a.Or(0, "schemes", nil)); ok && !contains(l, scheme) {
			return false, nil
		}
		switch kind {
		case "urn":
			return strings.EqualFold(scheme.(string), "urn") && p != "", nil
		case "url":
			return scheme != "" && netloc != "", nil
		}
		return scheme != "" && (p != "" || netloc != ""), nil
	}
}

func (s *set) fileTest(follow bool, f func(fs.FileInfo) bool) jinja.Test {
	return func(c *jinja.Call) (bool, error) {
		p, err := input(c)
		if err != nil {
			return false, err
		}
		i, err := s.o.Stat(p, follow)
		return err == nil && f(i), nil
	}
}

func (s *set) isMount(c *jinja.Call) (bool, error) {
	p, err := input(c)
	if err != nil {
		return false, err
	}
	a, err := s.o.Stat(p, false)
	if err != nil || !a.IsDir() {
		return false, nil
	}
	b, err := s.o.Stat(path.Join(p, ".."), false)
	return err == nil && (device(a) != device(b) || os.SameFile(a, b)), nil
}

func (s *set) sameFile(c *jinja.Call) (bool, error) {
	a := c.Rest()
	if err := a.Check(1, "path"); err != nil {
		return false, err
	}
	p, err := input(c)
	if err != nil {
		return false, err
	}
	q, err := a.String(0, "path", "")
	if err != nil {
		return false, err
	}
	i, err := s.o.Stat(p, true)
	if err != nil {
		return false, filterError("cannot look at " + p + ": " + err.Error())
	}
	j, err := s.o.Stat(q, true)
	if err != nil {
		return false, filterError("cannot look at " + q + ": " + err.Error())
	}
	return os.SameFile(i, j), nil
}
