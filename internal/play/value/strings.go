package value

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// strMethod finds a method of str.
func strMethod(name string) builtin {
	switch name {
	case "capitalize", "casefold", "lower", "swapcase", "title", "upper", "isalnum", "isalpha", "isascii", "isdecimal",
		"isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper":
		return func(r Value, a *Args) (Value, error) {
			s, _ := StrOf(r)
			return simpleStr(name, s), a.Check(0)
		}
	case "strip", "lstrip", "rstrip":
		return strip
	case "split", "rsplit":
		return split
	case "join":
		return func(r Value, a *Args) (Value, error) {
			s, _ := StrOf(r)
			if err := a.Check(1, "iterable"); err != nil {
				return nil, err
			}
			return Join(s, a.Pos[0])
		}
	case "replace":
		return replace
	case "startswith", "endswith":
		return startsEnds
	case "find", "rfind", "index", "rindex", "count":
		return find
	case "splitlines":
		return func(r Value, a *Args) (Value, error) {
			s, _ := StrOf(r)
			keep, err := a.Bool(0, "keepends", false)
			return &List{Items: SplitLines(s, keep)}, err
		}
	case "partition", "rpartition":
		return partition
	case "center", "ljust", "rjust", "zfill":
		return justify
	case "format":
		return func(r Value, a *Args) (Value, error) {
			s, _ := StrOf(r)
			return formatStr(s, a.Pos, a.Kw)
		}
	case "format_map":
		return func(r Value, a *Args) (Value, error) {
			s, _ := StrOf(r)
			if err := a.Check(1, "mapping"); err != nil {
				return nil, err
			}
			d, ok, err := AsDict(a.Pos[0])
			if !ok {
				return nil, a.wrong("mapping", "a dict", a.Pos[0])
			}
			if err != nil {
				return nil, err
			}
			return formatStr(s, nil, d)
		}
	case "removeprefix", "removesuffix":
		return func(r Value, a *Args) (Value, error) {
			s, _ := StrOf(r)
			if err := a.Check(1, ""); err != nil {
				return nil, err
			}
			p, err := a.String(0, "", "")
			if a.Name == "removeprefix" {
				return strings.TrimPrefix(s, p), err
			}
			return strings.TrimSuffix(s, p), err
		}
	case "expandtabs":
		return expandTabs
	case "encode":
		return func(r Value, a *Args) (Value, error) {
			s, _ := StrOf(r)
			enc, err := a.String(0, "encoding", "utf-8")
			if err != nil {
				return nil, err
			}
			return Encode(s, enc)
		}
	case "translate":
		return translate
	case "maketrans":
		return makeTrans
	}
	return nil
}

func simpleStr(name, s string) Value {
	switch name {
	case "lower":
		return Lower(s)
	case "upper":
		return Upper(s)
	case "casefold":
		return Lower(strings.ReplaceAll(s, "ß", "ss"))
	case "capitalize":
		return Capitalize(s)
	case "title":
		return titleCase(s)
	case "swapcase":
		return strings.Map(func(r rune) rune {
			if unicode.IsUpper(r) {
				return unicode.ToLower(r)
			}
			return unicode.ToUpper(r)
		}, s)
	case "isascii":
		return ascii(s)
	case "isidentifier":
		for i, r := range s {
			if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
				return false
			}
		}
		return s != ""
	case "isprintable":
		return all(s, true, printable)
	case "isalnum":
		return all(s, false, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
	case "isalpha":
		return all(s, false, unicode.IsLetter)
	case "isdecimal":
		return all(s, false, func(r rune) bool { return unicode.Is(unicode.Nd, r) })
	case "isdigit":
		return all(s, false, func(r rune) bool {
			return unicode.Is(unicode.Nd, r) || r == '²' || r == '³' || r == '¹' || r >= 0x2070 && r <= 0x2089
		})
	case "isnumeric":
		return all(s, false, unicode.IsNumber)
	case "isspace":
		return all(s, false, isSpace)
	case "islower", "isupper":
		good, bad := unicode.IsLower, unicode.IsUpper
		if name == "isupper" {
			good, bad = bad, good
		}
		cased := false
		for _, r := range s {
			if bad(r) || unicode.IsTitle(r) {
				return false
			}
			cased = cased || good(r)
		}
		return cased
	}
	// istitle
	prev, cased := false, false
	for _, r := range s {
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			if prev {
				return false
			}
			prev, cased = true, true
		case unicode.IsLower(r):
			if !prev {
				return false
			}
			cased = true
		default:
			prev = false
		}
	}
	return cased
}

func all(s string, empty bool, f func(rune) bool) bool {
	if s == "" {
		return empty
	}
	for _, r := range s {
		if !f(r) {
			return false
		}
	}
	return true
}

// Upper is str.upper().
func Upper(s string) string {
	if !ascii(s) {
		s = strings.NewReplacer("ß", "SS", "ﬁ", "FI", "ﬂ", "FL", "ﬀ", "FF", "ŉ", "ʼN").Replace(s)
	}
	return strings.ToUpper(s)
}

// Lower is str.lower().
func Lower(s string) string {
	if strings.ContainsRune(s, 'Σ') || strings.ContainsRune(s, 'İ') {
		rs := []rune(s)
		var b strings.Builder
		for i, r := range rs {
			switch {
			case r == 'İ':
				b.WriteString("i̇")
			case r == 'Σ' && i > 0 && unicode.IsLetter(rs[i-1]) && (i+1 == len(rs) || !unicode.IsLetter(rs[i+1])):
				b.WriteRune('ς')
			default:
				b.WriteRune(unicode.ToLower(r))
			}
		}
		return b.String()
	}
	return strings.ToLower(s)
}

// Capitalize is str.capitalize().
func Capitalize(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	first := s[:n]
	if first == "ß" {
		return "Ss" + Lower(s[n:])
	}
	return strings.ToTitle(first) + Lower(s[n:])
}

func titleCase(s string) string {
	prev := false
	return strings.Map(func(r rune) rune {
		was := prev
		prev = unicode.IsLetter(r)
		if was {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, s)
}

// Join is sep.join(items).
func Join(sep string, v Value) (Value, error) {
	items, err := Iter(v)
	if err != nil {
		return nil, err
	}
	n := 0
	parts := make([]string, len(items))
	for i, e := range items {
		s, ok := StrOf(e)
		if !ok {
			if err := defined(e); err != nil {
				return nil, err
			}
			return nil, &Error{Kind: "TypeError", Msg: "sequence item " + Str(int64(i)) + ": expected str instance, " + TypeName(e) + " found"}
		}
		n += len(s) + len(sep)
		if n > MaxString {
			return nil, tooLarge("string")
		}
		parts[i] = s
	}
	return strings.Join(parts, sep), nil
}

func strip(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(0, "chars"); err != nil {
		return nil, err
	}
	cut := isSpace
	if v, ok := a.Get(0, "chars"); ok && v != nil {
		set, ok := StrOf(v)
		if !ok {
			return nil, &Error{Kind: "TypeError", Msg: a.Name + " arg must be None or str"}
		}
		cut = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	switch a.Name {
	case "lstrip":
		return strings.TrimLeftFunc(s, cut), nil
	case "rstrip":
		return strings.TrimRightFunc(s, cut), nil
	}
	return strings.TrimFunc(s, cut), nil
}

func split(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(0, "sep", "maxsplit"); err != nil {
		return nil, err
	}
	n, err := a.Int(1, "maxsplit", -1)
	if err != nil {
		return nil, err
	}
	if n < 0 {
		n = math.MaxInt32
	}
	var parts []string
	if sep, ok := a.Get(0, "sep"); ok && sep != nil {
		t, ok := StrOf(sep)
		if !ok {
			return nil, a.wrong("sep", "str or None", sep)
		}
		if t == "" {
			return nil, valueError("empty separator")
		}
		if a.Name == "split" {
			parts = strings.SplitN(s, t, int(n)+1)
		} else {
			for int64(len(parts)) < n {
				i := strings.LastIndex(s, t)
				if i < 0 {
					break
				}
				parts = append(parts, s[i+len(t):])
				s = s[:i]
			}
			parts = append(parts, s)
			slices.Reverse(parts)
		}
	} else if a.Name == "split" {
		s = strings.TrimLeftFunc(s, isSpace)
		for s != "" {
			i := strings.IndexFunc(s, isSpace)
			if i < 0 || int64(len(parts)) == n {
				parts = append(parts, s)
				break
			}
			parts = append(parts, s[:i])
			s = strings.TrimLeftFunc(s[i:], isSpace)
		}
	} else {
		s = strings.TrimRightFunc(s, isSpace)
		for s != "" {
			i := strings.LastIndexFunc(s, isSpace)
			if i < 0 || int64(len(parts)) == n {
				parts = append(parts, s)
				break
			}
			_, w := utf8.DecodeRuneInString(s[i:])
			parts = append(parts, s[i+w:])
			s = strings.TrimRightFunc(s[:i], isSpace)
		}
		slices.Reverse(parts)
	}
	out := make([]Value, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return &List{Items: out}, nil
}

func replace(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(2, "old", "new", "count"); err != nil {
		return nil, err
	}
	from, err := a.String(0, "old", "")
	if err != nil {
		return nil, err
	}
	to, err := a.String(1, "new", "")
	if err != nil {
		return nil, err
	}
	n, err := a.Int(2, "count", -1)
	if err != nil {
		return nil, err
	}
	return Replace(s, from, to, int(n))
}

// Replace is str.replace(from, to, n); n below 0 means all.
func Replace(s, from, to string, n int) (Value, error) {
	if len(to) > len(from) {
		if m := strings.Count(s, from); m > 0 && len(s)+m*(len(to)-len(from)) > MaxString {
			return nil, tooLarge("string")
		}
	}
	return strings.Replace(s, from, to, n), nil
}

func startsEnds(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(1, "", "", ""); err != nil {
		return nil, err
	}
	if len(a.Pos) > 1 {
		stop := a.Or(2, "", nil)
		v, err := Slice(s, a.Pos[1], stop, nil)
		if err != nil {
			return nil, err
		}
		s = v.(string)
	}
	list := Tuple{a.Pos[0]}
	if t, ok := a.Pos[0].(Tuple); ok {
		list = t
	}
	for _, e := range list {
		p, ok := StrOf(e)
		if !ok {
			return nil, &Error{Kind: "TypeError", Msg: a.Name + " first arg must be str or a tuple of str, not " + TypeName(e)}
		}
		if a.Name == "startswith" && strings.HasPrefix(s, p) || a.Name == "endswith" && strings.HasSuffix(s, p) {
			return true, nil
		}
	}
	return false, nil
}

func find(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(1, "", "", ""); err != nil {
		return nil, err
	}
	sub, err := a.String(0, "sub", "")
	if err != nil {
		return nil, err
	}
	offset := int64(0)
	whole := s
	if len(a.Pos) > 1 {
		v, err := Slice(s, a.Pos[1], a.Or(2, "", nil), nil)
		if err != nil {
			return nil, err
		}
		s = v.(string)
		if i, ok := AsInt(a.Pos[1]); ok {
			n := int64(utf8.RuneCountInString(whole))
			if i < 0 {
				i = max(i+n, 0)
			}
			offset = i
			if i > n {
				s = "\x00"
			}
		}
	}
	var i int
	switch a.Name {
	case "count":
		return int64(strings.Count(s, sub)), nil
	case "find", "index":
		i = strings.Index(s, sub)
	default:
		i = strings.LastIndex(s, sub)
	}
	if i < 0 {
		if strings.HasSuffix(a.Name, "index") {
			return nil, valueError("substring not found")
		}
		return int64(-1), nil
	}
	return offset + int64(utf8.RuneCountInString(s[:i])), nil
}

// SplitLines is str.splitlines().
func SplitLines(s string, keep bool) []Value {
	out := []Value{}
	start := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch r {
		case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
			end := i + n
			if r == '\r' && end < len(s) && s[end] == '\n' {
				end++
			}
			if keep {
				out = append(out, s[start:end])
			} else {
				out = append(out, s[start:i])
			}
			i, start = end, end
			continue
		}
		i += n
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}

func partition(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(1, "sep"); err != nil {
		return nil, err
	}
	sep, err := a.String(0, "sep", "")
	if err != nil {
		return nil, err
	}
	if sep == "" {
		return nil, valueError("empty separator")
	}
	if a.Name == "partition" {
		if i := strings.Index(s, sep); i >= 0 {
			return Tuple{s[:i], sep, s[i+len(sep):]}, nil
		}
		return Tuple{s, "", ""}, nil
	}
	if i := strings.LastIndex(s, sep); i >= 0 {
		return Tuple{s[:i], sep, s[i+len(sep):]}, nil
	}
	return Tuple{"", "", s}, nil
}

func justify(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(1, "width", "fillchar"); err != nil {
		return nil, err
	}
	width, err := a.Int(0, "width", 0)
	if err != nil {
		return nil, err
	}
	fill, err := a.String(1, "fillchar", " ")
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(fill) != 1 {
		return nil, &Error{Kind: "TypeError", Msg: "The fill character must be exactly one character long"}
	}
	pad := width - int64(utf8.RuneCountInString(s))
	if pad <= 0 {
		return s, nil
	}
	if pad > MaxString {
		return nil, tooLarge("string")
	}
	switch a.Name {
	case "ljust":
		return s + strings.Repeat(fill, int(pad)), nil
	case "rjust":
		return strings.Repeat(fill, int(pad)) + s, nil
	case "zfill":
		sign := ""
		if s != "" && (s[0] == '-' || s[0] == '+') {
			sign, s = s[:1], s[1:]
		}
		return sign + strings.Repeat("0", int(pad)) + s, nil
	}
	left := pad/2 + pad&width&1
	return strings.Repeat(fill, int(left)) + s + strings.Repeat(fill, int(pad-left)), nil
}

func expandTabs(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	size, err := a.Int(0, "tabsize", 8)
	if err != nil {
		return nil, err
	}
	if size > 1000 {
		return nil, tooLarge("string")
	}
	var b strings.Builder
	col := int64(0)
	for _, c := range s {
		switch c {
		case '\t':
			if size > 0 {
				n := size - col%size
				b.WriteString(strings.Repeat(" ", int(n)))
				col += n
			}
		case '\n', '\r':
			col = 0
			b.WriteRune(c)
		default:
			col++
			b.WriteRune(c)
		}
	}
	return b.String(), nil
}

func translate(r Value, a *Args) (Value, error) {
	s, _ := StrOf(r)
	if err := a.Check(1, "table"); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, c := range s {
		v, ok, err := GetItem(a.Pos[0], int64(c))
		if err != nil {
			return nil, err
		}
		if !ok {
			b.WriteRune(c)
			continue
		}
		if i, isInt := v.(int64); isInt {
			b.WriteRune(rune(i))
		} else if t, isStr := StrOf(v); isStr {
			b.WriteString(t)
		}
	}
	return b.String(), nil
}

func makeTrans(_ Value, a *Args) (Value, error) {
	if err := a.Check(1, "", "", ""); err != nil {
		return nil, err
	}
	d := NewDict()
	if len(a.Pos) == 1 {
		src, ok := a.Pos[0].(*Dict)
		if !ok {
			return nil, a.wrong("", "a dict", a.Pos[0])
		}
		for _, e := range src.Items() {
			if s, ok := StrOf(e.Key); ok {
				r, _ := utf8.DecodeRuneInString(s)
				d.Set(int64(r), e.Value)
			} else {
				d.Set(e.Key, e.Value)
			}
		}
		return d, nil
	}
	from, err := a.String(0, "", "")
	if err != nil {
		return nil, err
	}
	to, err := a.String(1, "", "")
	if err != nil {
		return nil, err
	}
	drop, err := a.String(2, "", "")
	if err != nil {
		return nil, err
	}
	f, t := []rune(from), []rune(to)
	if len(f) != len(t) {
		return nil, valueError("the first two maketrans arguments must have equal length")
	}
	for i := range f {
		d.Set(int64(f[i]), int64(t[i]))
	}
	for _, r := range drop {
		d.Set(int64(r), nil)
	}
	return d, nil
}
