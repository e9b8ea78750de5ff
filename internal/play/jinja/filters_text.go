package jinja

import (
	"html"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"drover/internal/play/value"
)

// text makes a filter of a function on strings.
func text(f func(string) value.Value) Filter {
	return func(c *Call) (value.Value, error) {
		if err := c.Rest().Check(0); err != nil {
			return nil, err
		}
		s, err := c.Text()
		if err != nil {
			return nil, err
		}
		return f(s), nil
	}
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// Escape makes text safe within HTML.
func Escape(s string) string { return htmlEscaper.Replace(s) }

func titleWords(s string) string {
	var b strings.Builder
	start := true
	for _, r := range s {
		switch {
		case r == '-' || r == '(' || r == '{' || r == '[' || r == '<' || unicode.IsSpace(r):
			start = true
			b.WriteRune(r)
		case start:
			start = false
			b.WriteString(value.Upper(string(r)))
		default:
			b.WriteString(strings.ToLower(string(r)))
		}
	}
	return b.String()
}

func fTrim(c *Call) (value.Value, error) {
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	a := c.Rest()
	if err := a.Check(0, "chars"); err != nil {
		return nil, err
	}
	v, _, err := value.CallMethod(s, "strip", []value.Value{a.Or(0, "chars", nil)}, nil)
	return v, err
}

func fReplace(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(2, "old", "new", "count"); err != nil {
		return nil, err
	}
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	n, err := a.Int(2, "count", -1)
	if err != nil {
		return nil, err
	}
	return value.Replace(s, value.Str(a.Or(0, "old", "")), value.Str(a.Or(1, "new", "")), int(n))
}

func fCenter(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "width"); err != nil {
		return nil, err
	}
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	v, _, err := value.CallMethod(s, "center", []value.Value{a.Or(0, "width", int64(80))}, nil)
	return v, err
}

func fIndent(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "width", "first", "blank"); err != nil {
		return nil, err
	}
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	pad, isStr := value.StrOf(a.Or(0, "width", int64(4)))
	if !isStr {
		n, err := a.Int(0, "width", 4)
		if err != nil {
			return nil, err
		}
		if n > 10_000 {
			return nil, tooLong()
		}
		pad = strings.Repeat(" ", int(max(n, 0)))
	}
	first, err := a.Bool(1, "first", false)
	if err != nil {
		return nil, err
	}
	blank, err := a.Bool(2, "blank", false)
	if err != nil {
		return nil, err
	}
	lines := value.SplitLines(s+"\n", false)
	if len(lines)*len(pad)+len(s) > value.MaxString {
		return nil, tooLong()
	}
	var b strings.Builder
	for i, l := range lines {
		line := l.(string)
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == 0 && first || i > 0 && (blank || line != "") {
			b.WriteString(pad)
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

func fTruncate(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "length", "killwords", "end", "leeway"); err != nil {
		return nil, err
	}
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	n, err := a.Int(0, "length", 255)
	if err != nil {
		return nil, err
	}
	kill, err := a.Bool(1, "killwords", false)
	if err != nil {
		return nil, err
	}
	end, err := a.String(2, "end", "...")
	if err != nil {
		return nil, err
	}
	leeway, err := a.Int(3, "leeway", 5)
	if err != nil {
		return nil, err
	}
	r := []rune(s)
	tail := int64(utf8.RuneCountInString(end))
	if n < tail {
		return nil, &value.Error{Kind: "AssertionError", Msg: "expected length >= " + value.Str(tail) + ", got " + value.Str(n)}
	}
	if int64(len(r)) <= n+leeway {
		return s, nil
	}
	cut := string(r[:n-tail])
	if !kill {
		if i := strings.LastIndexByte(cut, ' '); i >= 0 {
			cut = cut[:i]
		}
	}
	return cut + end, nil
}

func fWordCount(c *Call) (value.Value, error) {
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	n, in := int64(0), false
	for _, r := range s {
		w := r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
		if w && !in {
			n++
		}
		in = w
	}
	return n, nil
}

func fWordWrap(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "width", "break_long_words", "wrapstring", "break_on_hyphens"); err != nil {
		return nil, err
	}
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	width, err := a.Int(0, "width", 79)
	if err != nil {
		return nil, err
	}
	if width <= 0 {
		return nil, &value.Error{Kind: "ValueError", Msg: "invalid width " + value.Str(width) + " (must be > 0)"}
	}
	long, err := a.Bool(1, "break_long_words", true)
	if err != nil {
		return nil, err
	}
	hyphens, err := a.Bool(3, "break_on_hyphens", true)
	if err != nil {
		return nil, err
	}
	wrap := "\n"
	if v := a.Or(2, "wrapstring", nil); v != nil {
		wrap = value.Str(v)
	}
	var out []string
	for _, l := range value.SplitLines(s, false) {
		out = append(out, strings.Join(wrapLine(l.(string), int(width), long, hyphens), wrap))
	}
	return strings.Join(out, wrap), nil
}

// wrapLine breaks a line at blanks, and behind hyphens between letters, so
// that no part is longer than width.
func wrapLine(s string, width int, breakLong, hyphens bool) []string {
	chunks := wrapChunks(s, hyphens)
	var lines []string
	for len(chunks) > 0 {
		var cur []string
		n := 0
		if strings.TrimSpace(chunks[0]) == "" && len(lines) > 0 {
			chunks = chunks[1:]
		}
		for len(chunks) > 0 {
			l := utf8.RuneCountInString(chunks[0])
			if n+l > width {
				break
			}
			cur = append(cur, chunks[0])
			n += l
			chunks = chunks[1:]
		}
		if len(chunks) > 0 && utf8.RuneCountInString(chunks[0]) > width {
			room := max(width-n, 1)
			if breakLong {
				r := []rune(chunks[0])
				end := room
				if hyphens && len(r) > room {
					if h := strings.LastIndexByte(string(r[:room]), '-'); h > 0 && strings.Trim(string(r[:h]), "-") != "" {
						end = utf8.RuneCountInString(string(r[:room])[:h]) + 1
					}
				}
				cur = append(cur, string(r[:end]))
				chunks[0] = string(r[end:])
			} else if len(cur) == 0 {
				cur = append(cur, chunks[0])
				chunks = chunks[1:]
			}
		}
		if len(cur) > 0 && strings.TrimSpace(cur[len(cur)-1]) == "" {
			cur = cur[:len(cur)-1]
		}
		if len(cur) > 0 {
			lines = append(lines, strings.Join(cur, ""))
		}
	}
	return lines
}

func wrapChunks(s string, hyphens bool) []string {
	var out []string
	rs := []rune(s)
	start := 0
	cut := func(i int) {
		if i > start {
			out = append(out, string(rs[start:i]))
			start = i
		}
	}
	letter := func(i int) bool { return i >= 0 && i < len(rs) && unicode.IsLetter(rs[i]) }
	word := func(i int) bool {
		return i >= 0 && i < len(rs) && (letter(i) || unicode.IsDigit(rs[i]) || rs[i] == '_')
	}
	for i := range rs {
		if i > start && unicode.IsSpace(rs[i]) != unicode.IsSpace(rs[i-1]) {
			cut(i)
		}
		if hyphens && rs[i] == '-' && letter(i-1) && word(i-2) && i-2 >= start && word(i+1) && letter(i+2) {
			cut(i + 1)
		}
	}
	cut(len(rs))
	return out
}

func fStripTags(c *Call) (value.Value, error) {
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	for {
		i := strings.Index(s, "<!--")
		if i < 0 {
			break
		}
		j := strings.Index(s[i:], "-->")
		if j < 0 {
			break
		}
		s = s[:i] + s[i+j+3:]
	}
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			break
		}
		s = s[:i] + s[i+j+1:]
	}
	return html.UnescapeString(strings.Join(strings.Fields(s), " ")), nil
}

func fFileSize(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "binary"); err != nil {
		return nil, err
	}
	binary, err := a.Bool(0, "binary", false)
	if err != nil {
		return nil, err
	}
	v, err := toFloat(c.In())
	if err != nil {
		return nil, err
	}
	base, names := 1000.0, []string{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}
	if binary {
		base, names = 1024, []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}
	}
	if v == 1 {
		return "1 Byte", nil
	}
	if v < base {
		return strconv.FormatInt(int64(v), 10) + " Bytes", nil
	}
	unit := base
	for i, n := range names {
		unit *= base
		if v < unit || i == len(names)-1 {
			return strconv.FormatFloat(base*v/unit, 'f', 1, 64) + " " + n, nil
		}
	}
	return nil, nil
}

func toFloat(v value.Value) (float64, error) {
	if s, ok := value.StrOf(v); ok {
		return value.ParseFloat(s)
	}
	if f, ok := value.AsFloat(v); ok {
		return f, nil
	}
	return 0, &value.Error{Kind: "TypeError", Msg: "float() argument must be a string or a real number, not '" + value.TypeName(v) + "'"}
}

// ToInt is int(v): numbers are cut off, text is read.
func ToInt(v value.Value, base int) (value.Value, error) {
	switch x := v.(type) {
	case string, value.Unsafe:
		s, _ := value.StrOf(x)
		return value.ParseInt(s, base)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, &value.Error{Kind: "OverflowError", Msg: "cannot convert float infinity to integer"}
		}
		b, _ := big.NewFloat(math.Trunc(x)).Int(nil)
		return value.Int(b), nil
	case bool:
		n, _ := value.AsInt(x)
		return n, nil
	case int64, *big.Int:
		return x, nil
	}
	return nil, &value.Error{Kind: "TypeError", Msg: "int() argument must be a string, a bytes-like object or a real number, not '" + value.TypeName(v) + "'"}
}

func fInt(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "default", "base"); err != nil {
		return nil, err
	}
	base, err := a.Int(1, "base", 10)
	if err != nil {
		return nil, err
	}
	v, err := ToInt(c.In(), int(base))
	if err == nil {
		return v, nil
	}
	if f, err := toFloat(c.In()); err == nil {
		if v, err := ToInt(f, 10); err == nil {
			return v, nil
		}
	}
	return a.Or(0, "default", int64(0)), nil
}

func fFloat(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "default"); err != nil {
		return nil, err
	}
	if f, err := toFloat(c.In()); err == nil {
		return f, nil
	}
	return a.Or(0, "default", 0.0), nil
}

func fAbs(c *Call) (value.Value, error) {
	f, ok := value.AsFloat(c.In())
	if !ok {
		return nil, &value.Error{Kind: "TypeError", Msg: "bad operand type for abs(): '" + value.TypeName(c.In()) + "'"}
	}
	if f < 0 {
		return value.Neg(c.In())
	}
	return value.Pos(c.In())
}

func fRound(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "precision", "method"); err != nil {
		return nil, err
	}
	prec, err := a.Int(0, "precision", 0)
	if err != nil {
		return nil, err
	}
	method, err := a.String(1, "method", "common")
	if err != nil {
		return nil, err
	}
	f, ok := value.AsFloat(c.In())
	if !ok {
		return nil, &value.Error{Kind: "TypeError", Msg: "type " + value.TypeName(c.In()) + " doesn't define __round__ method"}
	}
	switch method {
	case "common":
		return roundTo(c.In(), f, int(min(max(prec, -400), 400)))
	case "ceil", "floor":
		p := math.Pow(10, float64(prec))
		if method == "ceil" {
			return math.Ceil(f*p) / p, nil
		}
		return math.Floor(f*p) / p, nil
	}
	return nil, argError("method must be common, ceil or floor")
}

func roundTo(v value.Value, f float64, prec int) (value.Value, error) {
	if _, isFloat := v.(float64); !isFloat {
		if prec >= 0 {
			return value.Pos(v)
		}
		p := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-prec)), nil)
		q, err := value.ParseInt(value.Str(v), 10)
		if err != nil {
			return nil, err
		}
		b, ok := q.(*big.Int)
		if !ok {
			b = big.NewInt(q.(int64))
		}
		half := new(big.Int).Quo(p, big.NewInt(2))
		div, mod := new(big.Int).DivMod(b, p, new(big.Int))
		if c := mod.Cmp(half); c > 0 || c == 0 && div.Bit(0) == 1 {
			div.Add(div, big.NewInt(1))
		}
		return value.Int(div.Mul(div, p)), nil
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return f, nil
	}
	if prec >= 0 {
		r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', prec, 64), 64)
		return r, err
	}
	p := math.Pow(10, float64(-prec))
	return math.RoundToEven(f/p) * p, nil
}

func fFormat(c *Call) (value.Value, error) {
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	if c.Kwargs.Len() > 0 {
		if len(c.Args) > 1 {
			return nil, argError("can't handle positional and keyword arguments at the same time")
		}
		return value.Mod(s, c.Kwargs)
	}
	return value.Mod(s, value.Tuple(c.Args[1:]))
}

func fXMLAttr(c *Call) (value.Value, error) {
	a := c.Rest()
	space, err := a.Bool(0, "autospace", true)
	if err != nil {
		return nil, err
	}
	pairs, err := dictPairs(c.In())
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, p := range pairs {
		t := p.(value.Tuple)
		if _, undef := t[1].(*value.Undefined); undef || t[1] == nil {
			continue
		}
		k := value.Str(t[0])
		if strings.ContainsAny(k, " \t\n/>=") {
			return nil, &value.Error{Kind: "ValueError", Msg: "Invalid character in attribute name: " + value.Repr(k)}
		}
		parts = append(parts, Escape(k)+`="`+Escape(value.Str(t[1]))+`"`)
	}
	out := strings.Join(parts, " ")
	if space && out != "" {
		out = " " + out
	}
	return out, nil
}

func fToJSON(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "indent"); err != nil {
		return nil, err
	}
	o := value.JSONOptions{Indent: -1, SortKeys: true, HTMLSafe: true}
	if v := a.Or(0, "indent", nil); v != nil {
		n, err := a.Int(0, "indent", 0)
		if err != nil {
			return nil, err
		}
		o.Indent, o.IndentGiven = int(min(max(n, 0), 100)), true
	}
	b, err := value.DumpJSON(c.In(), o)
	return string(b), err
}

// QuoteURL escapes all but unreserved characters and those in safe.
func QuoteURL(s, safe string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-~", c) >= 0 || strings.IndexByte(safe, c) >= 0 {
			b.WriteByte(c)
		} else {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

func fURLEncode(c *Call) (value.Value, error) {
	v := c.In()
	plus := func(v value.Value) string {
		return strings.ReplaceAll(QuoteURL(value.Str(v), " "), " ", "+")
	}
	var pairs []value.Value
	switch x := v.(type) {
	case *value.Dict, value.Mapping:
		p, err := dictPairs(x)
		if err != nil {
			return nil, err
		}
		pairs = p
	case *value.List, value.Tuple, *value.View:
		pairs, _ = value.Iter(x)
	default:
		return QuoteURL(value.Str(v), "/"), nil
	}
	var parts []string
	for _, p := range pairs {
		kv, err := value.Iter(p)
		if err != nil {
			return nil, err
		}
		if len(kv) != 2 {
			return nil, &value.Error{Kind: "ValueError", Msg: "urlencode needs pairs"}
		}
		parts = append(parts, plus(kv[0])+"="+plus(kv[1]))
	}
	return strings.Join(parts, "&"), nil
}

func fURLize(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "trim_url_limit", "nofollow", "target", "rel", "extra_schemes"); err != nil {
		return nil, err
	}
	s, err := c.Text()
	if err != nil {
		return nil, err
	}
	limit, err := a.Int(0, "trim_url_limit", -1)
	if err != nil {
		return nil, err
	}
	nofollow, err := a.Bool(1, "nofollow", false)
	if err != nil {
		return nil, err
	}
	rels := map[string]bool{"noopener": true}
	if r := a.Or(3, "rel", nil); r != nil {
		for _, f := range strings.Fields(value.Str(r)) {
			rels[f] = true
		}
	}
	if nofollow {
		rels["nofollow"] = true
	}
	var rel []string
	for _, r := range []string{"nofollow", "noopener", "noreferrer"} {
		if rels[r] {
			rel = append(rel, r)
		}
	}
	attrs := ` rel="` + strings.Join(rel, " ") + `"`
	if t := a.Or(2, "target", nil); t != nil {
		attrs += ` target="` + Escape(value.Str(t)) + `"`
	}
	shorten := func(u string) string {
		if r := []rune(u); limit >= 0 && int64(len(r)) > limit {
			return string(r[:limit]) + "..."
		}
		return u
	}
	var b strings.Builder
	for _, w := range splitKeep(Escape(s)) {
		head, mid, tail := "", w, ""
		for mid != "" && strings.ContainsAny(mid[:1], "(<") {
			head, mid = head+mid[:1], mid[1:]
		}
		for mid != "" && strings.ContainsAny(mid[len(mid)-1:], ").,>\n") {
			mid, tail = mid[:len(mid)-1], mid[len(mid)-1:]+tail
		}
		switch {
		case strings.HasPrefix(mid, "http://") && len(mid) > 7 || strings.HasPrefix(mid, "https://") && len(mid) > 8:
			mid = `<a href="` + mid + `"` + attrs + `>` + shorten(mid) + `</a>`
		case strings.HasPrefix(mid, "www.") && strings.Count(mid, ".") > 1,
			strings.IndexByte(mid, '@') < 0 && (strings.HasSuffix(mid, ".org") || strings.HasSuffix(mid, ".net") || strings.HasSuffix(mid, ".com")) && len(mid) > 4:
			mid = `<a href="https://` + mid + `"` + attrs + `>` + shorten(mid) + `</a>`
		case strings.Count(mid, "@") == 1 && !strings.HasPrefix(mid, "@") && strings.Contains(mid[strings.IndexByte(mid, '@'):], ".") && !strings.HasPrefix(mid, "www."):
			mid = `<a href="mailto:` + strings.TrimPrefix(mid, "mailto:") + `">` + mid + `</a>`
		}
		b.WriteString(head + mid + tail)
	}
	return b.String(), nil
}

// splitKeep cuts s between blanks and words; joined it is s again.
func splitKeep(s string) []string {
	var out []string
	start, was := 0, false
	for i, r := range s {
		sp := unicode.IsSpace(r)
		if i > start && sp != was {
			out = append(out, s[start:i])
			start = i
		}
		was = sp
	}
	return append(out, s[start:])
}

func fPprint(c *Call) (value.Value, error) {
	if err := c.Rest().Check(0, "verbose"); err != nil {
		return nil, err
	}
	return pformat(sortedDicts(c.In(), 0), 0, 0), nil
}

// sortedDicts orders the keys of dictionaries as pprint does.
func sortedDicts(v value.Value, depth int) value.Value {
	if depth > value.MaxDepth {
		return v
	}
	switch x := v.(type) {
	case *value.Dict:
		keys := x.Keys()
		_ = value.Sort(keys, nil, false)
		d := value.NewDict()
		for _, k := range keys {
			e, _ := x.Get(k)
			d.Set(k, sortedDicts(e, depth+1))
		}
		return d
	case *value.List:
		l := &value.List{}
		for _, e := range x.Items {
			l.Items = append(l.Items, sortedDicts(e, depth+1))
		}
		return l
	}
	return v
}

// pformat lays a value out in lines of 80 characters.
func pformat(v value.Value, indent, tail int) string {
	s := value.Repr(v)
	if utf8.RuneCountInString(s) <= 80-indent-tail {
		return s
	}
	pad := ",\n" + strings.Repeat(" ", indent+1)
	seq := func(items []value.Value, open, end string) string {
		var parts []string
		for i, e := range items {
			extra := 1
			if i == len(items)-1 {
				extra = len(end) + tail
			}
			parts = append(parts, pformat(e, indent+1, extra))
		}
		return open + strings.Join(parts, pad) + end
	}
	switch x := v.(type) {
	case *value.List:
		return seq(x.Items, "[", "]")
	case value.Tuple:
		if len(x) == 1 {
			return seq(x, "(", ",)")
		}
		return seq(x, "(", ")")
	case *value.Dict:
		var parts []string
		items := x.Items()
		for i, e := range items {
			k := value.Repr(e.Key) + ": "
			extra := 1
			if i == len(items)-1 {
				extra = 1 + tail
			}
			parts = append(parts, k+pformat(e.Value, indent+1+utf8.RuneCountInString(k), extra))
		}
		return "{" + strings.Join(parts, pad) + "}"
	}
	return s
}

func builtinFilters() map[string]Filter {
	identity := text(func(s string) value.Value { return s })
	escape := text(func(s string) value.Value { return Escape(s) })
	return map[string]Filter{
		"abs": fAbs, "attr": fAttr, "batch": fBatch, "center": fCenter, "count": fLength, "d": fDefault, "default": fDefault,
		"capitalize": text(func(s string) value.Value { return value.Capitalize(s) }),
		"dictsort":   fDictSort, "e": escape, "escape": escape, "forceescape": escape, "filesizeformat": fFileSize, "first": fFirst,
		"float": fFloat, "format": fFormat, "groupby": fGroupBy, "indent": fIndent, "int": fInt, "items": fItems, "join": fJoin,
		"last": fLast, "length": fLength, "list": fList, "lower": text(func(s string) value.Value { return value.Lower(s) }),
		"map": fMap, "max": fMinMax(1), "min": fMinMax(-1), "pprint": fPprint, "random": fRandom, "reject": fSelect(false, false),
		"rejectattr": fSelect(false, true), "replace": fReplace, "reverse": fReverse, "round": fRound, "safe": identity,
		"select": fSelect(true, false), "selectattr": fSelect(true, true), "slice": fSlice, "sort": fSort, "string": identity,
		"striptags": fStripTags, "sum": fSum, "title": text(func(s string) value.Value { return titleWords(s) }), "tojson": fToJSON,
		"trim": fTrim, "truncate": fTruncate, "unique": fUnique, "upper": text(func(s string) value.Value { return value.Upper(s) }),
		"urlencode": fURLEncode, "urlize": fURLize, "wordcount": fWordCount, "wordwrap": fWordWrap, "xmlattr": fXMLAttr,
	}
}
