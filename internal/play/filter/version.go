package filter

import (
	"regexp"
	"strconv"
	"strings"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func tVersion(c *jinja.Call) (bool, error) {
	a := c.Rest()
	if err := a.Check(1, "version", "operator", "strict", "version_type"); err != nil {
		return false, err
	}
	op, err := a.String(1, "operator", "eq")
	if err != nil {
		return false, err
	}
	other := a.Or(0, "version", nil)
	kind := "loose"
	if v := a.Or(2, "strict", nil); v != nil && truthOf(v) {
		kind = "strict"
	}
	if v := a.Or(3, "version_type", nil); v != nil {
		if a.Or(2, "strict", nil) != nil {
			return false, filterError("Cannot specify both 'strict' and 'version_type'")
		}
		kind = value.Str(v)
	}
	x, y := value.Str(c.In()), value.Str(other)
	if x == "" || c.In() == nil {
		return false, filterError("Input version value cannot be empty")
	}
	if y == "" || other == nil {
		return false, filterError("Version parameter to compare against cannot be empty")
	}
	cmp, err := compareVersions(kind, x, y)
	if err != nil {
		return false, err
	}
	switch op {
	case "==", "=", "eq":
		return cmp == 0, nil
	case "!=", "<>", "ne":
		return cmp != 0, nil
	case "<", "lt":
		return cmp < 0, nil
	case "<=", "le":
		return cmp <= 0, nil
	case ">", "gt":
		return cmp > 0, nil
	case ">=", "ge":
		return cmp >= 0, nil
	}
	return false, filterError("Invalid operator type (" + op + "). Must be one of ==, =, eq, <, lt, <=, le, >, gt, >=, ge, !=, <>, ne")
}

func compareVersions(kind, x, y string) (int, error) {
	switch kind {
	case "loose":
		// A mix of numbers and words at one place has no order, as in Python.
		c, err := value.Compare(looseVersion(x), looseVersion(y))
		if err != nil {
			return 0, filterError("Version comparison failed: " + err.Error())
		}
		return c, nil
	case "strict":
		return compareKeys(x, y, strictVersion)
	case "semver", "semantic":
		return compareKeys(x, y, semanticVersion)
	case "pep440":
		return compareKeys(x, y, pep440Version)
	}
	return 0, filterError("Invalid version type (" + kind + "). Must be one of loose, strict, semver, semantic, pep440")
}

func compareKeys(x, y string, key func(string) (value.Value, error)) (int, error) {
	a, err := key(x)
	if err != nil {
		return 0, err
	}
	b, err := key(y)
	if err != nil {
		return 0, err
	}
	return value.Compare(a, b)
}

// looseVersion cuts a version into numbers, words and what is between points.
func looseVersion(s string) value.Value {
	l := &value.List{}
	kind := func(c byte) int {
		switch {
		case c >= '0' && c <= '9':
			return 1
		case c >= 'a' && c <= 'z':
			return 2
		case c == '.':
			return 3
		}
		return 4
	}
	for i := 0; i < len(s); {
		j := i + 1
		k := kind(s[i])
		for k != 3 && j < len(s) && kind(s[j]) == k {
			j++
		}
		if k == 1 {
			n, _ := value.ParseInt(strings.TrimLeft(s[i:j-1], "0")+s[j-1:j], 10)
			l.Items = append(l.Items, n)
		} else if k != 3 {
			l.Items = append(l.Items, s[i:j])
		}
		i = j
	}
	return l
}

var strictForm = regexp.MustCompile(`^(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?$`)

func number(s string) value.Value {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func strictVersion(s string) (value.Value, error) {
	m := strictForm.FindStringSubmatch(s)
	if m == nil {
		return nil, filterError("Version comparison failed: invalid version number '" + s + "'")
	}
	pre := value.Tuple{"z", int64(0)} // a release comes after its a and b
	if m[4] != "" {
		pre = value.Tuple{m[4], number(m[5])}
	}
	return value.Tuple{number(m[1]), number(m[2]), number(m[3]), pre}, nil
}

var semverForm = regexp.MustCompile(`^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$`)

func semanticVersion(s string) (value.Value, error) {
	m := semverForm.FindStringSubmatch(s)
	if m == nil {
		return nil, filterError("Version comparison failed: invalid semantic version '" + s + "'")
	}
	pre := value.Tuple{}
	release := int64(1)
	if m[4] != "" {
		release = 0
		for p := range strings.SplitSeq(m[4], ".") {
			if strings.Trim(p, "0123456789") == "" {
				pre = append(pre, value.Tuple{int64(0), number(p), ""})
			} else {
				pre = append(pre, value.Tuple{int64(1), int64(0), p})
			}
		}
	}
	return value.Tuple{number(m[1]), number(m[2]), number(m[3]), release, pre}, nil
}

var pep440Form = regexp.MustCompile(`(?i)^\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?(?:(?:-(\d+))|(?:[-_.]?(post|rev|r)[-_.]?(\d*)))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$`)

func pep440Version(s string) (value.Value, error) {
	m := pep440Form.FindStringSubmatch(s)
	if m == nil {
		return nil, filterError("Version comparison failed: Invalid version: '" + s + "'")
	}
	release := value.Tuple{}
	for p := range strings.SplitSeq(m[2], ".") {
		release = append(release, number(p))
	}
	for len(release) > 1 && release[len(release)-1] == int64(0) {
		release = release[:len(release)-1]
	}
	isPost, isDev := m[5] != "" || m[6] != "", m[8] != ""
	pre := value.Tuple{int64(9), int64(0)}
	switch strings.ToLower(m[3]) {
	case "a", "alpha":
		pre = value.Tuple{int64(1), number(m[4])}
	case "b", "beta":
		pre = value.Tuple{int64(2), number(m[4])}
	case "c", "rc", "pre", "preview":
		pre = value.Tuple{int64(3), number(m[4])}
	default:
		if isDev && !isPost {
			pre = value.Tuple{int64(0), int64(0)}
		}
	}
	post := int64(-1)
	if isPost {
		n, _ := number(m[5] + m[7]).(int64)
		post = n
	}
	dev := value.Tuple{int64(1), int64(0)}
	if isDev {
		dev = value.Tuple{int64(0), number(m[9])}
	}
	local := value.Tuple{}
	if m[10] != "" {
		for _, p := range strings.FieldsFunc(strings.ToLower(m[10]), func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
			if strings.Trim(p, "0123456789") == "" {
				local = append(local, value.Tuple{int64(1), number(p), ""})
			} else {
				local = append(local, value.Tuple{int64(0), int64(0), p})
			}
		}
	}
	return value.Tuple{number(m[1]), release, pre, post, dev, local}, nil
}
