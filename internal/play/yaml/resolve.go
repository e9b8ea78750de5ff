package yaml

import (
	"encoding/base64"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"drover/internal/play/value"
)

var (
	intForm   = regexp.MustCompile(`^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatForm = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	timeForm  = regexp.MustCompile(`^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?(?:[ \t]*(Z|([-+])([0-9]{1,2})(?::?([0-9]{2}))?))?)?$`)
	dateForm  = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
)

// The kinds of plain scalars, by YAML 1.1's tags.
const (
	tagStr       = "str"
	tagNull      = "null"
	tagBool      = "bool"
	tagInt       = "int"
	tagFloat     = "float"
	tagTimestamp = "timestamp"
	tagMerge     = "merge"
	tagValue     = "value"
)

// resolve tells what a plain scalar is.
func resolve(s string) string {
	if s == "" {
		return tagNull
	}
	switch c := s[0]; {
	case c == '~' || c == 'n' || c == 'N':
		switch s {
		case "~", "null", "Null", "NULL":
			return tagNull
		}
	case c == '<':
		if s == "<<" {
			return tagMerge
		}
		return tagStr
	case c == '=':
		if s == "=" {
			return tagValue
		}
		return tagStr
	}
	switch s {
	case "yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE", "on", "On", "ON", "off", "Off", "OFF":
		return tagBool
	}
	if c := s[0]; c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' {
		switch {
		case intForm.MatchString(s):
			return tagInt
		case floatForm.MatchString(s):
			return tagFloat
		case c >= '0' && c <= '9' && timeForm.MatchString(s) && (len(s) > 10 || dateForm.MatchString(s)):
			return tagTimestamp
		}
	}
	return tagStr
}

// construct makes the value of a scalar that has a tag.
func construct(tag, s string) (value.Value, bool) {
	switch tag {
	case tagNull:
		return nil, true
	case tagBool:
		switch strings.ToLower(s) {
		case "yes", "true", "on":
			return true, true
		case "no", "false", "off":
			return false, true
		}
		return nil, false
	case tagInt:
		return makeInt(s)
	case tagFloat:
		return makeFloat(s)
	case tagTimestamp:
		return makeTime(s)
	case "binary":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
		return b, err == nil
	}
	return s, true
}

func makeInt(s string) (value.Value, bool) {
	s = strings.ReplaceAll(s, "_", "")
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = "-"
		}
		s = s[1:]
	}
	base := 10
	switch {
	case s == "0":
	case strings.HasPrefix(s, "0b"):
		s, base = s[2:], 2
	case strings.HasPrefix(s, "0x"):
		s, base = s[2:], 16
	case strings.HasPrefix(s, "0"):
		s, base = s[1:], 8
	case strings.Contains(s, ":"):
		total := new(big.Int)
		for p := range strings.SplitSeq(s, ":") {
			n, ok := new(big.Int).SetString(p, 10)
			if !ok {
				return nil, false
			}
			total.Add(total.Mul(total, big.NewInt(60)), n)
		}
		if sign != "" {
			total.Neg(total)
		}
		return value.Int(total), true
	}
	if i, err := strconv.ParseInt(sign+s, base, 64); err == nil {
		return i, true
	}
	n, ok := new(big.Int).SetString(sign+s, base)
	if !ok || len(s) > 5000 {
		return nil, false
	}
	return value.Int(n), true
}

func makeFloat(s string) (value.Value, bool) {
	s = strings.ToLower(strings.ReplaceAll(s, "_", ""))
	sign := 1.0
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	switch {
	case s == ".inf":
		return sign * math.Inf(1), true
	case s == ".nan":
		return math.NaN(), true
	case strings.Contains(s, ":"):
		total := 0.0
		for p := range strings.SplitSeq(s, ":") {
			f, err := strconv.ParseFloat(p, 64)
			if err != nil {
				return nil, false
			}
			total = total*60 + f
		}
		return sign * total, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && f == 0 {
		return nil, false
	}
	return sign * f, true
}

func makeTime(s string) (value.Value, bool) {
	m := timeForm.FindStringSubmatch(s)
	if m == nil {
		return nil, false
	}
	num := func(i int) int { n, _ := strconv.Atoi(m[i]); return n }
	y, mo, d := num(1), num(2), num(3)
	if mo < 1 || mo > 12 || d < 1 || d > time.Date(y, time.Month(mo)+1, 0, 0, 0, 0, 0, time.UTC).Day() || y == 0 {
		return nil, false
	}
	if m[4] == "" {
		return value.Time{T: time.Date(y, time.Month(mo), d, 0, 0, 0, 0, time.UTC), DateOnly: true, Naive: true}, true
	}
	if num(4) > 23 || num(5) > 59 || num(6) > 59 {
		return nil, false
	}
	frac := (m[7] + "000000")[:6]
	us, _ := strconv.Atoi(frac)
	loc, naive := time.UTC, m[8] == ""
	if m[9] != "" {
		off := num(10)*3600 + num(11)*60
		if m[9] == "-" {
			off = -off
		}
		if off != 0 {
			loc = time.FixedZone("", off)
		}
	}
	return value.Time{T: time.Date(y, time.Month(mo), d, num(4), num(5), num(6), us*1000, loc), Naive: naive}, true
}

// tagWords says what a tag asks for.
var tagWords = map[string]string{tagInt: "a whole number", tagFloat: "a number", tagBool: "true or false", tagTimestamp: "a date",
	"binary": "base64 text"}
