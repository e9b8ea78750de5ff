package filter

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func (s *set) numberFilters() map[string]jinja.Filter {
	return map[string]jinja.Filter{
		"human_readable": fHumanReadable, "human_to_bytes": fHumanToBytes, "log": fLog, "pow": fPow, "root": fRoot,
		"random": s.random, "shuffle": s.shuffle, "strftime": s.strftime, "to_datetime": fToDatetime,
	}
}

func numberArg(v value.Value) (float64, error) {
	f, ok := value.AsFloat(v)
	if !ok {
		return 0, &value.Error{Kind: "TypeError", Msg: "must be real number, not " + value.TypeName(v)}
	}
	return f, nil
}

func fLog(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "base"); err != nil {
		return nil, err
	}
	x, err := numberArg(c.In())
	if err != nil {
		return nil, filterError("log() can only be used on numbers: " + err.Error())
	}
	if x <= 0 {
		return nil, &value.Error{Kind: "ValueError", Msg: "math domain error"}
	}
	base, err := numberArg(a.Or(0, "base", math.E))
	if err != nil {
		return nil, err
	}
	switch base {
	case 10:
		return math.Log10(x), nil
	case math.E:
		return math.Log(x), nil
	}
	return math.Log(x) / math.Log(base), nil
}

func fPow(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "y"); err != nil {
		return nil, err
	}
	x, err := numberArg(c.In())
	if err != nil {
		return nil, filterError("pow() can only be used on numbers: " + err.Error())
	}
	y, err := numberArg(a.Or(0, "y", nil))
	if err != nil {
		return nil, filterError("pow() can only be used on numbers: " + err.Error())
	}
	return math.Pow(x, y), nil
}

func fRoot(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "base"); err != nil {
		return nil, err
	}
	x, err := numberArg(c.In())
	if err != nil {
		return nil, filterError("root() can only be used on numbers: " + err.Error())
	}
	base, err := numberArg(a.Or(0, "base", int64(2)))
	if err != nil {
		return nil, filterError("root() can only be used on numbers: " + err.Error())
	}
	switch base {
	case 2:
		return math.Sqrt(x), nil
	case 3:
		return math.Cbrt(x), nil
	}
	r := math.Pow(x, 1/base)
	if n := math.Round(r); math.Pow(n, base) == x {
		return n, nil
	}
	return r, nil
}

// sizes are the units of bytes, the largest first.
var sizes = []struct {
	unit  string
	power uint
}{{"Y", 80}, {"Z", 70}, {"E", 60}, {"P", 50}, {"T", 40}, {"G", 30}, {"M", 20}, {"K", 10}, {"B", 0}}

func fHumanReadable(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "isbits", "unit"); err != nil {
		return nil, err
	}
	v := c.In()
	if s, ok := value.StrOf(v); ok {
		n, err := value.ParseFloat(s)
		if err != nil {
			return nil, filterError("human_readable() failed on bad input: " + err.Error())
		}
		v = n
	}
	f, err := numberArg(v)
	if err != nil {
		return nil, filterError("human_readable() failed on bad input: " + err.Error())
	}
	bits, err := a.Bool(0, "isbits", false)
	if err != nil {
		return nil, err
	}
	unit := ""
	if u := a.Or(1, "unit", nil); u != nil {
		unit = strings.ToUpper(value.Str(u))
	}
	base := "Bytes"
	if bits {
		base = "bits"
	}
	suffix, limit := "", 1.0
	for _, s := range sizes {
		l := math.Ldexp(1, int(s.power))
		suffix, limit = s.unit, l
		if unit == "" && f >= l || unit != "" && unit[:1] == s.unit {
			break
		}
	}
	if limit != 1 {
		suffix += base[:1]
	} else {
		suffix = base
	}
	return strconv.FormatFloat(f/limit, 'f', 2, 64) + " " + suffix, nil
}

var humanForm = regexp.MustCompile(`^\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]+)?$`)

func fHumanToBytes(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "default_unit", "isbits"); err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	bits, err := a.Bool(1, "isbits", false)
	if err != nil {
		return nil, err
	}
	m := humanForm.FindStringSubmatch(in)
	if m == nil {
		return nil, filterError("human_to_bytes() failed on bad input: human_to_bytes() can't interpret following string: " + in)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return nil, filterError("human_to_bytes() can't interpret following number: " + m[1])
	}
	unit := m[2]
	if unit == "" {
		if u := a.Or(0, "default_unit", nil); u != nil {
			unit = value.Str(u)
		}
	}
	if unit == "" {
		return int64(math.RoundToEven(n)), nil
	}
	i := slices.IndexFunc(sizes, func(s struct {
		unit  string
		power uint
	}) bool {
		return s.unit == strings.ToUpper(unit[:1])
	})
	class, long := "B", "byte"
	if bits {
		class, long = "b", "bit"
	}
	prefixes := map[string]string{"Y": "yotta", "Z": "zetta", "E": "exa", "P": "peta", "T": "tera", "G": "giga", "M": "mega", "K": "kilo", "B": ""}
	bad := func() (value.Value, error) {
		return nil, filterError("human_to_bytes() failed to convert " + in + " (unit = " + unit + "). The suffix must be one of Y, Z, E, P, T, G, M, K, B")
	}
	if i < 0 {
		return bad()
	}
	if len(unit) > 1 {
		rest := unit[1:]
		if rest != class && strings.ToLower(unit) != prefixes[sizes[i].unit]+long {
			return bad()
		}
	}
	return int64(math.RoundToEven(n * math.Ldexp(1, int(sizes[i].power)))), nil
}

func (s *set) strftime(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "second", "utc"); err != nil {
		return nil, err
	}
	format, err := input(c)
	if err != nil {
		return nil, err
	}
	t := s.o.Now()
	if sec := a.Or(0, "second", nil); sec != nil {
		f, ok := value.AsFloat(sec)
		if !ok {
			txt, isStr := value.StrOf(sec)
			if f, err = value.ParseFloat(txt); !isStr || err != nil {
				return nil, filterError("Invalid value for epoch value (" + value.Str(sec) + ")")
			}
		}
		whole := math.Floor(f)
		t = time.Unix(int64(whole), int64((f-whole)*1e9)).In(t.Location())
	}
	utc, err := a.Bool(1, "utc", false)
	if err != nil {
		return nil, err
	}
	if utc {
		t = t.In(time.FixedZone("GMT", 0))
	}
	return value.Strftime(t, format), nil
}

func fToDatetime(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "format"); err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	format, err := a.String(0, "format", "%Y-%m-%d %H:%M:%S")
	if err != nil {
		return nil, err
	}
	t, err := value.Strptime(in, format)
	return t, err
}
