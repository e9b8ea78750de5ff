package yaml

import (
	"encoding/base64"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	yaml4 "go.yaml.in/yaml/v4"

	"drover/internal/play/value"
)

// The forms of https://yaml.org/type/, as PyYAML reads them: exponents of
// floats need a sign and a point, and base 60 is allowed.
var (
	intForm   = regexp.MustCompile(`^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatForm = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// resolve is the value of a plain scalar. Dates stay text: Ansible shows them so.
func resolve(s string) value.Value {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false
	}
	if c := s[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return s
	}
	if intForm.MatchString(s) {
		if v, ok := parseInt(s); ok {
			return v
		}
		return s
	}
	if floatForm.MatchString(s) {
		if v, ok := parseFloat(s); ok {
			return v
		}
	}
	return s
}

func sign(s string) (negative bool, digits string) {
	s = strings.ReplaceAll(s, "_", "")
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return true, rest
	}
	return false, strings.TrimPrefix(s, "+")
}

func parseInt(s string) (value.Value, bool) {
	negative, digits := sign(s)
	n := new(big.Int)
	ok := true
	switch {
	case strings.Contains(digits, ":"):
		for _, part := range strings.Split(digits, ":") {
			p, good := new(big.Int).SetString(part, 10)
			if !good {
				return nil, false
			}
			n.Add(n.Mul(n, big.NewInt(60)), p)
		}
	case strings.HasPrefix(digits, "0b"):
		_, ok = n.SetString(digits[2:], 2)
	case strings.HasPrefix(digits, "0x"):
		_, ok = n.SetString(digits[2:], 16)
	case len(digits) > 1 && digits[0] == '0':
		_, ok = n.SetString(digits, 8)
	default:
		_, ok = n.SetString(digits, 10)
	}
	if !ok {
		return nil, false
	}
	if negative {
		n.Neg(n)
	}
	if n.IsInt64() {
		return n.Int64(), true
	}
	return n, true
}

func parseFloat(s string) (value.Value, bool) {
	negative, digits := sign(s)
	factor := 1.0
	if negative {
		factor = -1
	}
	switch strings.ToLower(digits) {
	case ".inf":
		return math.Inf(int(factor)), true
	case ".nan":
		return math.NaN(), true
	}
	if strings.Contains(digits, ":") {
		total := 0.0
		for _, part := range strings.Split(digits, ":") {
			p, err := strconv.ParseFloat(part, 64)
			if err != nil {
				return nil, false
			}
			total = total*60 + p
		}
		return factor * total, true
	}
	f, err := strconv.ParseFloat(digits, 64)
	return factor * f, err == nil || math.IsInf(f, 0)
}

// tagged is the value of a scalar with one of YAML's own tags.
func (c *converter) tagged(n *yaml4.Node) (value.Value, error) {
	wrong := func(kind string) error {
		return c.fail(n, "write it without the tag, or write a "+kind, "cannot read %q as a %s", n.Value, kind)
	}
	switch tag := n.ShortTag(); tag {
	case "!!int":
		if v, ok := parseInt(n.Value); ok && intForm.MatchString(n.Value) {
			return v, nil
		}
		return nil, wrong("whole number")
	case "!!float":
		if v, ok := parseFloat(n.Value); ok {
			return v, nil
		}
		return nil, wrong("number")
	case "!!bool":
		if v, ok := resolve(strings.ToLower(n.Value)).(bool); ok {
			return v, nil
		}
		return nil, wrong("boolean")
	case "!!null":
		return nil, nil
	case "!!binary":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			return nil, wrong("base64 text")
		}
		return b, nil
	case "!!str", "!!timestamp", "!!merge", "!!value", "", "!":
		return n.Value, nil
	default:
		return nil, c.fail(n, "use the tags of YAML 1.1, !vault or !unsafe", "unknown tag %s", tag)
	}
}
