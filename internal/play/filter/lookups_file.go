package filter

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drover/internal/play/value"
)

func lURL(c *LookupCall) ([]value.Value, error) {
	if c.Options.Fetch == nil {
		return nil, filterError("addresses cannot be fetched here: fetch on the host, with a task of uri or get_url, and register what it returns")
	}
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		r := Request{URL: w, Method: "GET", Username: c.text("username", ""), Password: c.text("password", ""),
			SkipVerify: !c.flag("validate_certs", true), Headers: map[string]string{}, Timeout: 10 * time.Second}
		if f, ok := value.AsFloat(c.option("timeout", nil)); ok {
			r.Timeout = time.Duration(f * float64(time.Second))
		}
		if h, ok := c.option("headers", nil).(*value.Dict); ok {
			for _, e := range h.Items() {
				r.Headers[value.Str(e.Key)] = value.Str(e.Value)
			}
		}
		b, err := c.Options.Fetch(c.Ctx, r)
		if err != nil {
			return nil, &plain{fmt.Sprintf("Failed lookup url for %s : %v", w, err)}
		}
		if c.flag("split_lines", true) {
			out = append(out, value.SplitLines(string(b), false)...)
		} else {
			out = append(out, string(b))
		}
	}
	return out, nil
}

// charSets are the names that `chars` of password may list.
var charSets = map[string]string{
	"ascii_letters":   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
	"ascii_lowercase": "abcdefghijklmnopqrstuvwxyz", "ascii_uppercase": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
	"digits": "0123456789", "hexdigits": "0123456789abcdefABCDEF", "octdigits": "01234567",
	"punctuation": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "whitespace": " \t\n\r\v\f",
}

// passwordChars is the alphabet of a list of names of sets and of characters.
func passwordChars(names []string) string {
	var b strings.Builder
	for _, n := range names {
		if s, ok := charSets[n]; ok {
			b.WriteString(s)
		} else {
			b.WriteString(n)
		}
	}
	set := []byte(strings.NewReplacer(`"`, "", "'", "").Replace(b.String()))
	slices.Sort(set)
	return string(slices.Compact(set))
}

func lPassword(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		p, err := c.password(w)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (c *LookupCall) password(term string) (value.Value, error) {
	file := ""
	opt := map[string]value.Value{}
	for i, part := range SplitArgs(term) {
		k, v, ok := strings.Cut(part, "=")
		if i == 0 || !ok {
			if file != "" {
				file += " "
			}
			file += part
			continue
		}
		opt[k] = Unquote(v)
	}
	for _, e := range c.Kwargs.Items() {
		opt[value.Str(e.Key)] = e.Value
	}
	length := int64(20)
	names := []string{"ascii_letters", "digits", ".,:-_"}
	encrypt, ident := "", ""
	var seed value.Value
	for k, v := range opt {
		switch k {
		case "length":
			n, err := value.ParseInt(value.Str(v), 10)
			if err != nil {
				return nil, filterError("length must be a number")
			}
			length, _ = value.AsInt(n)
		case "chars":
			if l, ok := listItems(v); ok {
				names = nil
				for _, e := range l {
					names = append(names, value.Str(e))
				}
			} else {
				// Two commas in a row stand for the comma itself.
				text := value.Str(v)
				names = nil
				if strings.Contains(text, ",,") {
					names = append(names, ",")
				}
				for n := range strings.SplitSeq(strings.ReplaceAll(text, ",,", ","), ",") {
					if n != "" {
						names = append(names, n)
					}
				}
			}
		case "encrypt":
			if v != nil && v != false && value.Str(v) != "" {
				encrypt = value.Str(v)
			}
		case "ident":
			ident = value.Str(v)
		case "seed":
			seed = v
		default:
			return nil, filterError("Unrecognized parameter(s) given to password lookup: " + k)
		}
	}
	set := passwordChars(names)
	if set == "" || length < 1 || length > 100_000 {
		return nil, filterError("a password needs a length from 1 to 100000 and characters to choose from")
	}
	plainText, salt := "", ""
	keep := file != "/dev/null"
	target := file
	have := false
	if keep {
		p, tried, ok := c.Options.Find(c.Call, "", file)
		switch {
		case ok:
			target, have = p, true
		case len(tried) > 0:
			target = tried[len(tried)-1]
		}
		if have {
			b, err := c.Options.ReadFile(target)
			if err != nil {
				return nil, filterError("cannot read the password file " + target + ": " + err.Error())
			}
			plainText = strings.TrimRight(string(b), " \t\r\n")
			if i := strings.LastIndex(plainText, " ident="); i >= 0 {
				ident, plainText = plainText[i+7:], plainText[:i]
			}
			if i := strings.LastIndex(plainText, " salt="); i >= 0 {
				salt, plainText = plainText[i+6:], plainText[:i]
			}
		}
	}
	changed := false
	if !have {
		plainText, changed = draw(int(length), set, seed), true
	}
	if encrypt != "" && salt == "" {
		n := 8
		if encrypt == "bcrypt" || encrypt == "blowfish" {
			n = 22
		}
		salt, changed = draw(n, strings.ReplaceAll(strings.ReplaceAll(saltChars, ".", ""), "/", ""), seed), true
	}
	if changed && keep {
		content := plainText
		if encrypt != "" {
			content += " salt=" + salt
			if ident != "" {
				content += " ident=" + ident
			}
		}
		if err := c.Options.WriteFile(target, []byte(content+"\n")); err != nil {
			return nil, filterError("cannot write the password file " + target + ": " + err.Error())
		}
	}
	if encrypt == "" {
		return plainText, nil
	}
	encrypt = strings.TrimSuffix(encrypt, "_crypt")
	args := []value.Value{plainText, encrypt, salt}
	kw := value.NewDict()
	if ident != "" {
		kw.Set("ident", ident)
	}
	return c.Filter("password_hash", args, kw)
}

// WritePrivate writes a file that only its owner may read, whole or not at all.
func WritePrivate(name string, data []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".password-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func lINI(c *LookupCall) ([]value.Value, error) {
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	for _, w := range words {
		opt := map[string]string{"type": c.text("type", "ini"), "file": c.text("file", "ansible.ini"), "section": c.text("section", "global"),
			"default": c.text("default", ""), "encoding": "utf-8"}
		re := c.flag("re", false)
		key := w
		if strings.Contains(w, "=") {
			for i, part := range SplitArgs(w) {
				k, v, ok := strings.Cut(part, "=")
				switch {
				case i == 0 && !ok:
					key = part
				case ok && k == "re":
					re = truthOf(v)
				case ok:
					if _, known := opt[k]; !known {
						return nil, filterError(fmt.Sprintf("%q is not a valid option.", k))
					}
					opt[k] = v
				}
			}
		}
		b, err := c.read("files", opt["file"])
		if err != nil {
			return nil, err
		}
		sections, err := parseINI(string(b), opt["type"] == "properties", c.flag("case_sensitive", false), c.flag("allow_none", false))
		if err != nil {
			return nil, err
		}
		name := opt["section"]
		if opt["type"] == "properties" {
			name = "java_properties"
		}
		sec := sections[name]
		if re {
			p, err := c.set.re.compile(key, true, false)
			if err != nil {
				return nil, err
			}
			for _, e := range sec.Items() {
				m, err := p.re.FindStringMatch(value.Str(e.Key))
				if err != nil {
					return nil, p.err(err)
				}
				if m != nil && m.Index == 0 {
					out = append(out, e.Value)
				}
			}
			continue
		}
		if !c.flag("case_sensitive", false) {
			key = strings.ToLower(key)
		}
		v, ok := sec.GetString(key)
		if !ok {
			v = opt["default"]
		}
		out = append(out, v)
	}
	return out, nil
}

// parseINI reads what Python's configparser does, without interpolation.
func parseINI(src string, properties, keepCase, allowNone bool) (map[string]*value.Dict, error) {
	out := map[string]*value.Dict{}
	def := value.NewDict()
	var cur *value.Dict
	if properties {
		cur = value.NewDict()
		out["java_properties"] = cur
	}
	last := ""
	sc := bufio.NewScanner(strings.NewReader(src))
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		t := strings.TrimSpace(line)
		if t == "" || t[0] == '#' || t[0] == ';' {
			continue
		}
		if t[0] == '[' && strings.HasSuffix(t, "]") {
			name := t[1 : len(t)-1]
			if name == "DEFAULT" {
				cur = def
				continue
			}
			if out[name] == nil {
				out[name] = value.NewDict()
			}
			cur, last = out[name], ""
			continue
		}
		if cur == nil {
			return nil, filterError(fmt.Sprintf("File contains no section headers: line %d: %q", n, line))
		}
		if (line[0] == ' ' || line[0] == '\t') && last != "" {
			v, _ := cur.GetString(last)
			cur.Set(last, value.Str(v)+"\n"+t)
			continue
		}
		i := strings.IndexAny(t, "=:")
		if i < 0 {
			if !allowNone {
				return nil, filterError(fmt.Sprintf("Source contains parsing errors: line %d: %q", n, line))
			}
			cur.Set(t, nil)
			continue
		}
		last = strings.TrimSpace(t[:i])
		if !keepCase {
			last = strings.ToLower(last)
		}
		cur.Set(last, strings.TrimSpace(t[i+1:]))
	}
	for _, sec := range out {
		for _, e := range def.Items() {
			if !sec.Has(e.Key) {
				sec.Set(e.Key, e.Value)
			}
		}
	}
	return out, sc.Err()
}

func lCSV(c *LookupCall) ([]value.Value, error) {
	out := []value.Value{}
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		opt := map[string]string{"file": c.text("file", "ansible.csv"), "delimiter": c.text("delimiter", "TAB"), "col": c.text("col", "1"),
			"keycol": c.text("keycol", "0"), "default": c.text("default", ""), "encoding": "utf-8"}
		key := ""
		for i, part := range SplitArgs(w) {
			k, v, ok := strings.Cut(part, "=")
			if i == 0 {
				key = Unquote(part)
				continue
			}
			if _, known := opt[k]; !ok || !known {
				return nil, filterError(fmt.Sprintf("%q is not a valid option", part))
			}
			opt[k] = Unquote(v)
		}
		if key == "" {
			return nil, filterError("Search key is required but was not found")
		}
		b, err := c.read("files", opt["file"])
		if err != nil {
			return nil, err
		}
		if opt["delimiter"] == "TAB" || opt["delimiter"] == `\t` {
			opt["delimiter"] = "\t"
		}
		r := csv.NewReader(strings.NewReader(string(b)))
		r.FieldsPerRecord, r.LazyQuotes = -1, true
		r.Comma = []rune(opt["delimiter"] + "\t")[0]
		col, err1 := value.ParseInt(opt["col"], 10)
		keycol, err2 := value.ParseInt(opt["keycol"], 10)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		ci, _ := value.AsInt(col)
		ki, _ := value.AsInt(keycol)
		var found value.Value = opt["default"]
		for {
			row, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, filterError("csvfile: " + err.Error())
			}
			if ki >= 0 && ki < int64(len(row)) && row[ki] == key && ci >= 0 && ci < int64(len(row)) {
				found = row[ci]
				break
			}
		}
		out = append(out, found)
	}
	return out, nil
}

// readlink tells where a symbolic link leads, where links can be read.
func (s *set) readlink(p string) (string, bool) {
	i, err := s.o.Stat(p, false)
	if err != nil || i.Mode()&fs.ModeSymlink == 0 {
		return "", false
	}
	t, err := s.o.Readlink(p)
	return t, err == nil
}
