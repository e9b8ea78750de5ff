package value

import (
	"fmt"
	"strings"
	"time"
)

// Time is datetime.datetime, or datetime.date when DateOnly.
type Time struct {
	T        time.Time
	DateOnly bool
	Naive    bool // without a zone
}

// Delta is datetime.timedelta, in microseconds.
type Delta int64

func (t Time) add(d Delta) Time {
	t.T = t.T.Add(time.Duration(d) * time.Microsecond)
	if t.DateOnly {
		t.T = t.T.Truncate(24 * time.Hour)
	}
	return t
}

// Repr prints as Python's repr.
func (t Time) Repr() string {
	y, m, d := t.T.Date()
	if t.DateOnly {
		return fmt.Sprintf("datetime.date(%d, %d, %d)", y, m, d)
	}
	s := fmt.Sprintf("datetime.datetime(%d, %d, %d, %d, %d", y, m, d, t.T.Hour(), t.T.Minute())
	us := t.T.Nanosecond() / 1000
	if t.T.Second() != 0 || us != 0 {
		s += fmt.Sprintf(", %d", t.T.Second())
	}
	if us != 0 {
		s += fmt.Sprintf(", %d", us)
	}
	if !t.Naive {
		_, off := t.T.Zone()
		if off == 0 {
			s += ", tzinfo=datetime.timezone.utc"
		} else {
			s += ", tzinfo=datetime.timezone(" + Delta(off*1e6).Repr() + ")"
		}
	}
	return s + ")"
}

func (t Time) str() string { return t.iso(" ") }

func (t Time) isoformat() string { return t.iso("T") }

func (t Time) iso(sep string) string {
	if t.DateOnly {
		return t.T.Format("2006-01-02")
	}
	s := t.T.Format("2006-01-02" + sep + "15:04:05")
	if us := t.T.Nanosecond() / 1000; us != 0 {
		s += fmt.Sprintf(".%06d", us)
	}
	if !t.Naive {
		s += t.T.Format("-07:00")
	}
	return s
}

func (t Time) attr(name string) (Value, bool) {
	fn := func(f func() Value) (Value, bool) {
		return method(func(a *Args) (Value, error) { return f(), a.Check(0) }, "datetime."+name), true
	}
	switch name {
	case "year":
		return int64(t.T.Year()), true
	case "month":
		return int64(t.T.Month()), true
	case "day":
		return int64(t.T.Day()), true
	case "weekday":
		return fn(func() Value { return int64(t.T.Weekday()+6) % 7 })
	case "isoweekday":
		return fn(func() Value { return int64(t.T.Weekday()+6)%7 + 1 })
	case "isoformat":
		return method(func(a *Args) (Value, error) {
			sep, err := a.String(0, "sep", "T")
			return t.iso(sep), err
		}, "isoformat"), true
	case "ctime":
		return fn(func() Value { return t.T.Format("Mon Jan _2 15:04:05 2006") })
	case "toordinal":
		return fn(func() Value { return t.T.Unix()/86400 + 719163 })
	case "strftime":
		return method(func(a *Args) (Value, error) {
			f, err := a.String(0, "format", "")
			return Strftime(t.T, f), err
		}, "strftime"), true
	}
	if t.DateOnly {
		return nil, false
	}
	switch name {
	case "hour":
		return int64(t.T.Hour()), true
	case "minute":
		return int64(t.T.Minute()), true
	case "second":
		return int64(t.T.Second()), true
	case "microsecond":
		return int64(t.T.Nanosecond() / 1000), true
	case "tzinfo":
		if t.Naive {
			return nil, true
		}
		return t.T.Format("UTC-07:00"), true
	case "timestamp":
		return fn(func() Value { return float64(t.T.UnixMicro()) / 1e6 })
	case "date":
		return fn(func() Value {
			y, m, d := t.T.Date()
			return Time{T: time.Date(y, m, d, 0, 0, 0, 0, time.UTC), DateOnly: true, Naive: true}
		})
	case "replace":
		return method(t.replace, "replace"), true
	}
	return nil, false
}

func (t Time) replace(a *Args) (Value, error) {
	names := []string{"year", "month", "day", "hour", "minute", "second", "microsecond"}
	vals := []int64{int64(t.T.Year()), int64(t.T.Month()), int64(t.T.Day()), int64(t.T.Hour()), int64(t.T.Minute()),
		int64(t.T.Second()), int64(t.T.Nanosecond() / 1000)}
	if err := a.Check(0, append(names, "tzinfo")...); err != nil {
		return nil, err
	}
	for i, n := range names {
		v, err := a.Int(i, n, vals[i])
		if err != nil {
			return nil, err
		}
		vals[i] = v
	}
	r := t
	r.T = time.Date(int(vals[0]), time.Month(vals[1]), int(vals[2]), int(vals[3]), int(vals[4]), int(vals[5]), int(vals[6])*1000, t.T.Location())
	if z, ok := a.Kw.Get("tzinfo"); ok && z == nil {
		r.Naive = true
	}
	return r, nil
}

func (d Delta) parts() (days, seconds, micros int64) {
	const day = 86400 * 1e6
	days = int64(d) / day
	rest := int64(d) % day
	if rest < 0 {
		days--
		rest += day
	}
	return days, rest / 1e6, rest % 1e6
}

// Repr prints as Python's repr.
func (d Delta) Repr() string {
	days, s, us := d.parts()
	var parts []string
	for _, p := range []struct {
		n    int64
		name string
	}{{days, "days"}, {s, "seconds"}, {us, "microseconds"}} {
		if p.n != 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", p.name, p.n))
		}
	}
	if len(parts) == 0 {
		return "datetime.timedelta(0)"
	}
	return "datetime.timedelta(" + strings.Join(parts, ", ") + ")"
}

func (d Delta) str() string {
	days, s, us := d.parts()
	out := ""
	if days != 0 {
		out = fmt.Sprintf("%d day", days)
		if days != 1 && days != -1 {
			out += "s"
		}
		out += ", "
	}
	out += fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	if us != 0 {
		out += fmt.Sprintf(".%06d", us)
	}
	return out
}

func (d Delta) attr(name string) (Value, bool) {
	days, s, us := d.parts()
	switch name {
	case "days":
		return days, true
	case "seconds":
		return s, true
	case "microseconds":
		return us, true
	case "total_seconds":
		return method(func(a *Args) (Value, error) { return float64(d) / 1e6, a.Check(0) }, name), true
	}
	return nil, false
}

// Strftime formats as C's strftime in the C locale.
func Strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		strip := false
		if format[i] == '-' && i+1 < len(format) {
			strip = true
			i++
		}
		s := strftimeOne(t, format[i])
		if strip {
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
		}
		b.WriteString(s)
	}
	return b.String()
}

func strftimeOne(t time.Time, c byte) string {
	yday := t.YearDay()
	wday := int(t.Weekday())
	switch c {
	case 'a':
		return t.Format("Mon")
	case 'A':
		return t.Format("Monday")
	case 'b', 'h':
		return t.Format("Jan")
	case 'B':
		return t.Format("January")
	case 'c':
		return t.Format("Mon Jan _2 15:04:05 2006")
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100)
	case 'd':
		return t.Format("02")
	case 'D', 'x':
		return t.Format("01/02/06")
	case 'e':
		return t.Format("_2")
	case 'F':
		return t.Format("2006-01-02")
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000)
	case 'G':
		y, _ := t.ISOWeek()
		return fmt.Sprintf("%d", y)
	case 'g':
		y, _ := t.ISOWeek()
		return fmt.Sprintf("%02d", y%100)
	case 'H':
		return t.Format("15")
	case 'I':
		return t.Format("03")
	case 'j':
		return fmt.Sprintf("%03d", yday)
	case 'k':
		return fmt.Sprintf("%2d", t.Hour())
	case 'l':
		return fmt.Sprintf("%2d", (t.Hour()+11)%12+1)
	case 'm':
		return t.Format("01")
	case 'M':
		return t.Format("04")
	case 'n':
		return "\n"
	case 'p':
		return t.Format("PM")
	case 'P':
		return t.Format("pm")
	case 'r':
		return t.Format("03:04:05 PM")
	case 'R':
		return t.Format("15:04")
	case 's':
		return fmt.Sprintf("%d", t.Unix())
	case 'S':
		return t.Format("05")
	case 't':
		return "\t"
	case 'T', 'X':
		return t.Format("15:04:05")
	case 'u':
		return fmt.Sprintf("%d", (wday+6)%7+1)
	case 'U':
		return fmt.Sprintf("%02d", (yday+6-wday)/7)
	case 'V':
		_, w := t.ISOWeek()
		return fmt.Sprintf("%02d", w)
	case 'w':
		return fmt.Sprintf("%d", wday)
	case 'W':
		return fmt.Sprintf("%02d", (yday+6-(wday+6)%7)/7)
	case 'y':
		return t.Format("06")
	case 'Y':
		return fmt.Sprintf("%d", t.Year())
	case 'z':
		return t.Format("-0700")
	case 'Z':
		return t.Format("MST")
	case '%':
		return "%"
	}
	return "%" + string(c)
}

// Strptime parses as Python's datetime.strptime; the result has no zone
// unless the format has %z.
func Strptime(s, format string) (Time, error) {
	year, month, day, hour, minute, sec, micro, yday := 1900, 1, 1, 0, 0, 0, 0, 0
	pm, ampm, naive, epoch := false, false, true, int64(-1)
	loc := time.UTC
	fail := func() (Time, error) {
		return Time{}, &Error{Kind: "ValueError", Msg: fmt.Sprintf("time data %s does not match format %s", Repr(s), Repr(format))}
	}
	in := s
	digits := func(max int) (int, bool) {
		n, i := 0, 0
		for i < max && i < len(in) && in[i] >= '0' && in[i] <= '9' {
			n = n*10 + int(in[i]-'0')
			i++
		}
		in = in[i:]
		return n, i > 0
	}
	name := func(layouts ...string) (int, bool) {
		for _, layout := range layouts {
			for i := range 12 {
				var w string
				if layout[0] == 'J' {
					w = time.Month(i + 1).String()
				} else {
					w = time.Weekday(i % 7).String()
				}
				if len(layout) == 3 {
					w = w[:3]
				}
				if len(in) >= len(w) && strings.EqualFold(in[:len(w)], w) {
					in = in[len(w):]
					return i + 1, true
				}
			}
		}
		return 0, false
	}
	f := strings.NewReplacer("%D", "%m/%d/%y", "%F", "%Y-%m-%d", "%T", "%H:%M:%S", "%R", "%H:%M", "%c", "%a %b %d %H:%M:%S %Y",
		"%x", "%m/%d/%y", "%X", "%H:%M:%S").Replace(format)
	for i := 0; i < len(f); i++ {
		c := f[i]
		if isSpace(rune(c)) {
			in = strings.TrimLeftFunc(in, isSpace)
			continue
		}
		if c != '%' || i+1 == len(f) {
			if in == "" || in[0] != c {
				return fail()
			}
			in = in[1:]
			continue
		}
		i++
		ok := true
		switch f[i] {
		case 'Y':
			year, ok = digits(4)
		case 'y':
			if year, ok = digits(2); year < 69 {
				year += 2000
			} else {
				year += 1900
			}
		case 'm':
			month, ok = digits(2)
		case 'd', 'e':
			in = strings.TrimLeft(in, " ")
			day, ok = digits(2)
		case 'H':
			hour, ok = digits(2)
		case 'I':
			hour, ok = digits(2)
			ampm = true
		case 'M':
			minute, ok = digits(2)
		case 'S':
			sec, ok = digits(2)
		case 'j':
			yday, ok = digits(3)
		case 's':
			var n int
			n, ok = digits(12)
			epoch = int64(n)
		case 'f':
			before := len(in)
			micro, ok = digits(6)
			for n := before - len(in); n < 6; n++ {
				micro *= 10
			}
		case 'b', 'B', 'h':
			month, ok = name("January", "Jan")
		case 'a', 'A':
			_, ok = name("Sunday", "Sun")
		case 'p':
			ok = len(in) >= 2 && (strings.EqualFold(in[:2], "am") || strings.EqualFold(in[:2], "pm"))
			if ok {
				pm = in[0] == 'p' || in[0] == 'P'
				in = in[2:]
			}
		case 'z':
			naive = false
			if strings.HasPrefix(in, "Z") {
				in = in[1:]
				break
			}
			if in == "" || in[0] != '+' && in[0] != '-' {
				return fail()
			}
			sign := 1
			if in[0] == '-' {
				sign = -1
			}
			in = in[1:]
			h, ok1 := digits(2)
			in = strings.TrimPrefix(in, ":")
			m, ok2 := digits(2)
			ok = ok1 && ok2
			if h*60+m == 0 {
				break
			}
			loc = time.FixedZone("", sign*(h*3600+m*60))
		case 'Z':
			for _, z := range []string{"UTC", "GMT"} {
				if strings.HasPrefix(strings.ToUpper(in), z) {
					in = in[3:]
					break
				}
			}
		case '%':
			if ok = strings.HasPrefix(in, "%"); ok {
				in = in[1:]
			}
		default:
			return Time{}, &Error{Kind: "ValueError", Msg: fmt.Sprintf("'%c' is a bad directive in format %s", f[i], Repr(format))}
		}
		if !ok {
			return fail()
		}
	}
	if in != "" {
		return Time{}, &Error{Kind: "ValueError", Msg: "unconverted data remains: " + in}
	}
	if ampm {
		hour %= 12
		if pm {
			hour += 12
		}
	}
	if epoch >= 0 {
		return Time{T: time.Unix(epoch, 0).UTC(), Naive: true}, nil
	}
	if yday > 0 {
		month, day = 1, yday
	} else if month < 1 || month > 12 || day < 1 || day > time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return fail()
	}
	if hour > 23 || minute > 59 || sec > 61 {
		return fail()
	}
	return Time{T: time.Date(year, time.Month(month), day, hour, minute, sec, micro*1000, loc), Naive: naive}, nil
}
