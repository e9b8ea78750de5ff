package value

import (
	"context"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// percent is text % args.
func percent(format string, arg Value) (Value, error) {
	var b strings.Builder
	var args []Value
	single := true
	if t, ok := arg.(Tuple); ok {
		args, single = t, false
	} else {
		args = []Value{arg}
	}
	used := 0
	mapping := false
	next := func() (Value, error) {
		if used >= len(args) {
			return nil, &Error{Kind: "TypeError", Msg: "not enough arguments for format string"}
		}
		used++
		if err := defined(args[used-1]); err != nil {
			return nil, err
		}
		return args[used-1], nil
	}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			j := strings.IndexByte(format[i:], '%')
			if j < 0 {
				j = len(format) - i
			}
			b.WriteString(format[i : i+j])
			i += j - 1
			continue
		}
		i++
		sp := spec{fill: " ", prec: -1}
		var val Value
		have := false
		if i < len(format) && format[i] == '(' {
			depth, j := 1, i+1
			for ; j < len(format) && depth > 0; j++ {
				switch format[j] {
				case '(':
					depth++
				case ')':
					depth--
				}
			}
			if depth > 0 {
				return nil, valueError("incomplete format key")
			}
			key := format[i+1 : j-1]
			i = j
			d, isDict, err := AsDict(arg)
			if err != nil {
				return nil, err
			}
			if !isDict {
				return nil, &Error{Kind: "TypeError", Msg: "format requires a mapping"}
			}
			v, ok := d.Get(key)
			if !ok {
				return nil, &Error{Kind: "KeyError", Msg: Repr(key)}
			}
			if err := defined(v); err != nil {
				return nil, err
			}
			val, have, mapping = v, true, true
		}
	flags:
		for ; i < len(format); i++ {
			switch format[i] {
			case '-':
				sp.align = '<'
			case '+':
				sp.sign = '+'
			case ' ':
				if sp.sign == 0 {
					sp.sign = ' '
				}
			case '0':
				sp.zero = true
			case '#':
				sp.alt = true
			default:
				break flags
			}
		}
		count := func() (int, error) {
			if i < len(format) && format[i] == '*' {
				i++
				v, err := next()
				if err != nil {
					return 0, err
				}
				n, ok := AsInt(v)
				if !ok {
					return 0, &Error{Kind: "TypeError", Msg: "* wants int"}
				}
				if n > MaxString || n < -MaxString {
					return 0, tooLarge("string")
				}
				return int(n), nil
			}
			n := 0
			for i < len(format) && format[i] >= '0' && format[i] <= '9' {
				if n = n*10 + int(format[i]-'0'); n > MaxString {
					return 0, tooLarge("string")
				}
				i++
			}
			return n, nil
		}
		var err error
		if sp.width, err = count(); err != nil {
			return nil, err
		}
		if sp.width < 0 {
			sp.align, sp.width = '<', -sp.width
		}
		if i < len(format) && format[i] == '.' {
			i++
			if sp.prec, err = count(); err != nil {
				return nil, err
			}
			sp.prec = max(sp.prec, 0)
		}
		for i < len(format) && strings.IndexByte("hlL", format[i]) >= 0 {
			i++
		}
		if i >= len(format) {
			return nil, valueError("incomplete format")
		}
		c := format[i]
		if c == '%' {
			b.WriteByte('%')
			continue
		}
		if !have {
			if val, err = next(); err != nil {
				return nil, err
			}
		}
		s, err := percentOne(c, val, sp, i)
		if err != nil {
			return nil, err
		}
		b.WriteString(s)
		if b.Len() > MaxString {
			return nil, tooLarge("string")
		}
	}
	if !mapping && used < len(args) {
		_, isDict := arg.(*Dict)
		_, isMap := arg.(Mapping)
		_, isList := arg.(*List)
		if !single || !isDict && !isMap && !isList {
			return nil, &Error{Kind: "TypeError", Msg: "not all arguments converted during string formatting"}
		}
	}
	return b.String(), nil
}

func percentOne(c byte, val Value, sp spec, at int) (string, error) {
	text := func(s string) string {
		if sp.prec >= 0 {
			if r := []rune(s); len(r) > sp.prec {
				s = string(r[:sp.prec])
			}
		}
		if sp.align == 0 {
			sp.align = '>'
		}
		sp.zero = false
		return sp.pad("", s)
	}
	switch c {
	case 's':
		b, err := AppendStr(nil, val)
		return text(string(b)), err
	case 'r':
		return text(Repr(val)), nil
	case 'a':
		return text(strconv.QuoteToASCII(Str(val))), nil
	case 'c':
		if s, ok := StrOf(val); ok && utf8.RuneCountInString(s) == 1 {
			return text(s), nil
		}
		if n, ok := AsInt(val); ok && n >= 0 && n < 0x110000 {
			return text(string(rune(n))), nil
		}
		return "", &Error{Kind: "TypeError", Msg: "%c requires int or char"}
	case 'd', 'i', 'u', 'x', 'X', 'o':
		n, ok := number(val)
		if !ok {
			want := "a real number is required"
			if strings.IndexByte("xXo", c) >= 0 {
				want = "an integer is required"
			}
			return "", &Error{Kind: "TypeError", Msg: "%" + string(c) + " format: " + want + ", not " + TypeName(val)}
		}
		if n.kind == 'f' {
			if strings.IndexByte("xXo", c) >= 0 {
				return "", &Error{Kind: "TypeError", Msg: "%" + string(c) + " format: an integer is required, not float"}
			}
			if math.IsNaN(n.f) || math.IsInf(n.f, 0) {
				return "", valueError("cannot convert float to integer")
			}
			v, _ := big.NewFloat(math.Trunc(n.f)).Int(nil)
			n = num{kind: 'b', b: v}
		}
		sp.typ = c
		if c == 'i' || c == 'u' {
			sp.typ = 'd'
		}
		return sp.percentInt(n.big()), nil
	case 'f', 'F', 'e', 'E', 'g', 'G':
		f, ok := AsFloat(val)
		if !ok {
			return "", &Error{Kind: "TypeError", Msg: "must be real number, not " + TypeName(val)}
		}
		sp.typ = c
		if sp.align == '<' {
			sp.zero = false
		}
		return sp.float(f), nil
	}
	return "", valueError("unsupported format character '" + string(c) + "' (0x" + strconv.FormatInt(int64(c), 16) + ") at index " + strconv.Itoa(at))
}

func (sp spec) percentInt(n *big.Int) string {
	if sp.prec > 0 {
		digits := new(big.Int).Abs(n).Text(intBase(sp.typ))
		if len(digits) < sp.prec {
			digits = strings.Repeat("0", sp.prec-len(digits)) + digits
		}
		sign := ""
		if n.Sign() < 0 {
			sign = "-"
		} else if sp.sign != 0 {
			sign = string(sp.sign)
		}
		if sp.typ == 'X' {
			digits = strings.ToUpper(digits)
		}
		if sp.align == 0 {
			sp.align = '>'
		}
		if sp.zero {
			return sp.pad(sign, digits)
		}
		return sp.pad("", sign+digits)
	}
	if sp.align == '<' {
		sp.zero = false
	}
	return sp.integer(n)
}

// spec is a format specification: [[fill]align][sign][#][0][width][,][.prec][type].
type spec struct {
	fill  string
	align byte // < > = ^, 0 for the type's own
	sign  byte
	alt   bool
	zero  bool
	width int
	group byte
	prec  int // -1: none
	typ   byte
}

func parseSpec(s string) (spec, error) {
	sp := spec{fill: " ", prec: -1}
	orig := s
	if s == "" {
		return sp, nil
	}
	_, n := utf8.DecodeRuneInString(s)
	if len(s) > n && strings.IndexByte("<>=^", s[n]) >= 0 {
		sp.fill, sp.align = s[:n], s[n]
		s = s[n+1:]
	} else if strings.IndexByte("<>=^", s[0]) >= 0 {
		sp.align = s[0]
		s = s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		if s[0] != '-' {
			sp.sign = s[0]
		}
		s = s[1:]
	}
	s = strings.TrimPrefix(s, "z")
	if strings.HasPrefix(s, "#") {
		sp.alt = true
		s = s[1:]
	}
	if strings.HasPrefix(s, "0") {
		sp.zero = true
		if sp.align == 0 {
			sp.fill = "0"
			sp.align = 0
		}
		s = s[1:]
	}
	num := func() (int, error) {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		if i > 8 {
			return 0, tooLarge("string")
		}
		n, _ := strconv.Atoi(s[:i])
		s = s[i:]
		if n > MaxString {
			return 0, tooLarge("string")
		}
		return n, nil
	}
	var err error
	if sp.width, err = num(); err != nil {
		return sp, err
	}
	if s != "" && (s[0] == ',' || s[0] == '_') {
		sp.group = s[0]
		s = s[1:]
	}
	if strings.HasPrefix(s, ".") {
		s = s[1:]
		if s == "" || s[0] < '0' || s[0] > '9' {
			return sp, valueError("Format specifier missing precision")
		}
		if sp.prec, err = num(); err != nil {
			return sp, err
		}
	}
	if len(s) > 1 {
		return sp, valueError("Invalid format specifier '" + orig + "'")
	}
	if s != "" {
		sp.typ = s[0]
	}
	return sp, nil
}

// pad fills body to the width; the prefix (a sign) stays in front of zeros.
func (sp spec) pad(prefix, body string) string {
	n := sp.width - utf8.RuneCountInString(prefix) - utf8.RuneCountInString(body)
	if n <= 0 {
		return prefix + body
	}
	if sp.zero && sp.align == 0 || sp.zero && sp.fill == " " && sp.align == '>' {
		return prefix + strings.Repeat("0", n) + body
	}
	switch sp.align {
	case '<':
		return prefix + body + strings.Repeat(sp.fill, n)
	case '^':
		return strings.Repeat(sp.fill, n/2) + prefix + body + strings.Repeat(sp.fill, n-n/2)
	case '=':
		return prefix + strings.Repeat(sp.fill, n) + body
	}
	return strings.Repeat(sp.fill, n) + prefix + body
}

func intBase(typ byte) int {
	switch typ {
	case 'b':
		return 2
	case 'o':
		return 8
	case 'x', 'X':
		return 16
	}
	return 10
}

func (sp spec) signOf(neg bool) string {
	if neg {
		return "-"
	}
	if sp.sign != 0 {
		return string(sp.sign)
	}
	return ""
}

func (sp spec) integer(n *big.Int) string {
	digits := new(big.Int).Abs(n).Text(intBase(sp.typ))
	prefix := sp.signOf(n.Sign() < 0)
	if sp.alt && sp.typ != 'd' && sp.typ != 0 && sp.typ != 'n' {
		prefix += "0" + string(sp.typ)
	}
	if sp.typ == 'X' {
		digits = strings.ToUpper(digits)
	}
	every := 3
	if intBase(sp.typ) != 10 {
		every = 4
	}
	digits = sp.grouped(digits, every, len(prefix))
	return sp.pad(prefix, digits)
}

// grouped puts separators into digits; zeros that fill the width get them too.
func (sp spec) grouped(digits string, every, prefix int) string {
	if sp.group == 0 {
		return digits
	}
	put := func(d string) string {
		var b strings.Builder
		for i, c := range d {
			if i > 0 && (len(d)-i)%every == 0 {
				b.WriteByte(sp.group)
			}
			b.WriteRune(c)
		}
		return b.String()
	}
	out := put(digits)
	if sp.zero && sp.align == 0 {
		for len(out)+prefix < sp.width {
			digits = "0" + digits
			out = put(digits)
		}
	}
	return out
}

func (sp spec) float(f float64) string {
	prefix := sp.signOf(math.Signbit(f) && !math.IsNaN(f))
	a := math.Abs(f)
	prec := sp.prec
	var s string
	upper := sp.typ == 'E' || sp.typ == 'G' || sp.typ == 'F'
	suffix := ""
	switch typ := sp.typ; {
	case math.IsNaN(f):
		s = "nan"
	case math.IsInf(f, 0):
		s = "inf"
	case typ == '%':
		if prec < 0 {
			prec = 6
		}
		s = strconv.FormatFloat(a*100, 'f', prec, 64)
		suffix = "%"
	case typ == 'f' || typ == 'F':
		if prec < 0 {
			prec = 6
		}
		s = strconv.FormatFloat(a, 'f', prec, 64)
	case typ == 'e' || typ == 'E':
		if prec < 0 {
			prec = 6
		}
		s = strconv.FormatFloat(a, 'e', prec, 64)
	case typ == 'g' || typ == 'G' || typ == 'n' || prec >= 0:
		s = general(a, prec, sp.alt, typ == 0)
	default:
		s = string(appendFloat(nil, a))
	}
	if sp.alt && prec == 0 && !strings.Contains(s, ".") && !math.IsInf(f, 0) && !math.IsNaN(f) {
		if i := strings.IndexByte(s, 'e'); i >= 0 {
			s = s[:i] + "." + s[i:]
		} else {
			s += "."
		}
	}
	if upper {
		s = strings.ToUpper(s)
	}
	if sp.group != 0 {
		whole, rest := s, ""
		if i := strings.IndexAny(s, ".eE"); i >= 0 {
			whole, rest = s[:i], s[i:]
		}
		inner := sp
		inner.width -= len(rest) + len(suffix)
		s = inner.grouped(whole, 3, len(prefix)) + rest
	}
	return sp.pad(prefix, s+suffix)
}

// general is the format g: prec significant digits, an exponent where the
// number is large or small.
func general(a float64, prec int, alt, point bool) string {
	if prec < 0 {
		prec = 6
	}
	if prec == 0 {
		prec = 1
	}
	e := strconv.FormatFloat(a, 'e', prec-1, 64)
	i := strings.IndexByte(e, 'e')
	exp, _ := strconv.Atoi(e[i+1:])
	limit := prec
	if point {
		limit-- // a float without a type keeps at least one digit behind the point
	}
	var s string
	if exp < -4 || exp >= max(limit, 1) && (exp >= prec || point) {
		mant := e[:i]
		if !alt && strings.Contains(mant, ".") {
			mant = strings.TrimRight(strings.TrimRight(mant, "0"), ".")
		}
		return mant + e[i:]
	}
	s = strconv.FormatFloat(a, 'f', max(prec-1-exp, 0), 64)
	if !alt && strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if point && !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Format is format(v, spec).
func Format(v Value, format string) (string, error) {
	if t, ok := v.(Time); ok && format != "" {
		return Strftime(t.T, format), nil
	}
	if format == "" {
		b, err := AppendStr(nil, v)
		return string(b), err
	}
	sp, err := parseSpec(format)
	if err != nil {
		return "", err
	}
	unknown := func() (string, error) {
		return "", valueError("Unknown format code '" + string(sp.typ) + "' for object of type '" + TypeName(v) + "'")
	}
	if s, ok := StrOf(v); ok {
		if sp.typ != 0 && sp.typ != 's' {
			return unknown()
		}
		if sp.align == '=' {
			return "", valueError("'=' alignment not allowed in string format specifier")
		}
		if sp.align == 0 {
			sp.align = '<'
		}
		if sp.prec >= 0 {
			if r := []rune(s); len(r) > sp.prec {
				s = string(r[:sp.prec])
			}
		}
		return sp.pad("", s), nil
	}
	if b, ok := v.(bool); ok && sp.typ == 0 {
		if b {
			return sp.pad("", "1"), nil
		}
		return sp.pad("", "0"), nil
	}
	n, ok := number(v)
	if !ok {
		if err := defined(v); err != nil {
			return "", err
		}
		return "", &Error{Kind: "TypeError", Msg: "unsupported format string passed to " + TypeName(v) + ".__format__"}
	}
	if n.kind == 'f' {
		if strings.IndexByte("\x00fFeEgGn%", sp.typ) < 0 {
			return unknown()
		}
		return sp.float(n.f), nil
	}
	switch sp.typ {
	case 0, 'd', 'n', 'b', 'o', 'x', 'X':
		if sp.prec >= 0 {
			return "", valueError("Precision not allowed in integer format specifier")
		}
		return sp.integer(n.big()), nil
	case 'c':
		if n.kind != 'i' || n.i < 0 || n.i > 0x10ffff {
			return "", &Error{Kind: "OverflowError", Msg: "%c arg not in range(0x110000)"}
		}
		if sp.align == 0 {
			sp.align = '<'
		}
		return sp.pad("", string(rune(n.i))), nil
	case 'f', 'F', 'e', 'E', 'g', 'G', '%':
		return sp.float(n.float()), nil
	}
	return unknown()
}

// formatStr is text.format(*args, **kw).
func formatStr(format string, args []Value, kw *Dict) (Value, error) {
	f := formatter{args: args, kw: kw}
	s, err := f.run(format, 2)
	return s, err
}

type formatter struct {
	args []Value
	kw   *Dict
	auto int
}

func (f *formatter) run(s string, depth int) (string, error) {
	if depth == 0 {
		return "", valueError("Max string recursion exceeded")
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case (c == '{' || c == '}') && i+1 < len(s) && s[i+1] == c:
			b.WriteByte(c)
			i += 2
		case c == '}':
			return "", valueError("Single '}' encountered in format string")
		case c == '{':
			level, j := 1, i+1
			for ; j < len(s) && level > 0; j++ {
				switch s[j] {
				case '{':
					level++
				case '}':
					level--
				}
			}
			if level > 0 {
				if i+1 == len(s) {
					return "", valueError("Single '{' encountered in format string")
				}
				return "", valueError("expected '}' before end of string")
			}
			out, err := f.field(s[i+1:j-1], depth)
			if err != nil {
				return "", err
			}
			if b.Len()+len(out) > MaxString {
				return "", tooLarge("string")
			}
			b.WriteString(out)
			i = j
		default:
			j := strings.IndexAny(s[i:], "{}")
			if j < 0 {
				j = len(s) - i
			}
			b.WriteString(s[i : i+j])
			i += j
		}
	}
	return b.String(), nil
}

func (f *formatter) field(s string, depth int) (string, error) {
	name, conv, spec := s, byte(0), ""
	level := 0
scan:
	for i := range len(s) {
		switch s[i] {
		case '[':
			level++
		case ']':
			level--
		case '!', ':':
			if level > 0 {
				continue
			}
			name = s[:i]
			rest := s[i:]
			if rest[0] == '!' {
				if len(rest) < 2 {
					return "", valueError("end of string while looking for conversion specifier")
				}
				conv = rest[1]
				rest = rest[2:]
				if rest != "" && rest[0] != ':' {
					return "", valueError("expected ':' after conversion specifier")
				}
			}
			if rest != "" {
				spec = rest[1:]
			}
			break scan
		}
	}
	v, err := f.lookup(name)
	if err != nil {
		return "", err
	}
	if err := defined(v); err != nil {
		return "", err
	}
	switch conv {
	case 's':
		v = Str(v)
	case 'r', 'a':
		v = Repr(v)
	case 0:
	default:
		return "", valueError("Unknown conversion specifier '" + string(conv) + "'")
	}
	if strings.ContainsAny(spec, "{}") {
		if spec, err = f.run(spec, depth-1); err != nil {
			return "", err
		}
	}
	return Format(v, spec)
}

func (f *formatter) lookup(name string) (Value, error) {
	end := strings.IndexAny(name, ".[")
	if end < 0 {
		end = len(name)
	}
	head, rest := name[:end], name[end:]
	var v Value
	if head == "" {
		head = strconv.Itoa(f.auto)
		f.auto++
	}
	if n, err := strconv.Atoi(head); err == nil {
		if n < 0 || n >= len(f.args) {
			return nil, &Error{Kind: "IndexError", Msg: "Replacement index " + head + " out of range for positional args tuple"}
		}
		v = f.args[n]
	} else {
		x, ok := f.kw.Get(head)
		if !ok {
			return nil, &Error{Kind: "KeyError", Msg: Repr(head)}
		}
		v = x
	}
	for rest != "" {
		if rest[0] == '.' {
			rest = rest[1:]
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			attr := rest[:end]
			rest = rest[end:]
			x, ok, err := Attr(v, attr)
			if err != nil {
				return nil, err
			}
			if !ok || strings.HasPrefix(attr, "_") {
				return nil, &Error{Kind: "AttributeError", Msg: "'" + TypeName(v) + "' object has no attribute '" + attr + "'"}
			}
			v = x
			continue
		}
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return nil, valueError("Missing ']' in format string")
		}
		var key Value = rest[1:end]
		if n, err := strconv.ParseInt(rest[1:end], 10, 64); err == nil {
			key = n
		}
		rest = rest[end+1:]
		x, ok, err := GetItem(v, key)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &Error{Kind: "KeyError", Msg: Repr(key)}
		}
		v = x
	}
	return v, nil
}

// CallKey makes a key function of a template's callable.
func CallKey(ctx context.Context, f Value) func(Value) (Value, error) {
	return func(v Value) (Value, error) { return Call(ctx, f, []Value{v}, nil) }
}
