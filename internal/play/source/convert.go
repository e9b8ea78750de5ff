package source

import (
	"math/big"
	"strconv"
	"strings"

	"drover/internal/play/value"
)

// Bool reads a boolean as Ansible's keywords do.
func Bool(v value.Value) (bool, bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case int64:
		return v != 0, v == 0 || v == 1
	case float64:
		return v != 0, v == 0 || v == 1
	}
	if s, ok := value.StrOf(v); ok {
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "yes", "on", "1", "true", "t", "y", "1.0":
			return true, true
		case "no", "off", "0", "false", "f", "n", "0.0":
			return false, true
		}
	}
	return false, false
}

// Int reads a whole number.
func Int(v value.Value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case float64:
		return int64(v), true
	case *big.Int:
		return v.Int64(), v.IsInt64()
	}
	if s, ok := value.StrOf(v); ok {
		i, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		return i, err == nil
	}
	return 0, false
}

// Float reads a number; a percent sign is dropped.
func Float(v value.Value) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	if s, ok := value.StrOf(v); ok {
		f, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "%"), 64)
		return f, err == nil
	}
	return 0, false
}

// Dict makes a dictionary of Go values.
func Dict(m map[string]any) *value.Dict {
	if m == nil {
		return value.NewDict()
	}
	d, _ := value.FromGo(m).(*value.Dict)
	if d == nil {
		d = value.NewDict()
	}
	return d
}

// GoMap is a dictionary as JSON values.
func GoMap(d *value.Dict) map[string]any {
	m, _ := value.ToGo(d).(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	return m
}

// IsIdentifier reports whether s can name a variable.
func IsIdentifier(s string) bool {
	if s == "" {
		return false
	}
	for i, r := range s {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9' {
			continue
		}
		return false
	}
	return true
}
