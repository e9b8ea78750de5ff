package machine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"drover/internal/play/param"
)

// ErrMode is told for every mode that is neither octal nor symbolic.
var ErrMode = errors.New("mode must be in octal or symbolic form")

// ModeError is a mode that cannot be read, with what is wrong in it.
type ModeError string

func (e ModeError) Error() string { return "bad symbolic permission for mode: " + string(e) }

// ParseMode turns a mode into permission bits (07777). cur are the bits now and
// dir tells whether it is a folder: symbolic forms (u=rw,g+X,o-w) start from
// them. umask is what a clause without u, g, o or a leaves away.
func ParseMode(mode any, cur uint32, dir bool, umask uint32) (uint32, error) {
	switch v := mode.(type) {
	case string:
		s := strings.TrimSpace(v)
		if s == "" {
			return 0, ErrMode
		}
		if isDigits(s) || strings.HasPrefix(s, "0o") {
			n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
			if err != nil || n > 0o7777 {
				return 0, ModeError(s)
			}
			return uint32(n), nil
		}
		return symbolicMode(s, cur&0o7777, dir, umask)
	}
	n, ok := param.ToInt(mode)
	if !ok || n < 0 || n > 0o7777 {
		return 0, ErrMode
	}
	return uint32(n), nil
}

func isDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

func symbolicMode(s string, cur uint32, dir bool, umask uint32) (uint32, error) {
	for clause := range strings.SplitSeq(s, ",") {
		i := strings.IndexAny(clause, "+-=")
		if i < 0 {
			return 0, ModeError(clause)
		}
		who, rest := clause[:i], clause[i:]
		mask := uint32(0)
		if who == "" {
			who, mask = "a", umask
		}
		if strings.Trim(who, "ugoa") != "" {
			return 0, ModeError(clause)
		}
		if strings.Contains(who, "a") {
			who = "ugo"
		}
		for rest != "" {
			op := rest[0]
			rest = rest[1:]
			end := strings.IndexAny(rest, "+-=")
			perms := rest
			if end >= 0 {
				perms, rest = rest[:end], rest[end:]
			} else {
				rest = ""
			}
			if strings.Trim(perms, "rwxXstugo") != "" || len(perms) > 1 && strings.ContainsAny(perms, "ugo") {
				return 0, ModeError(clause)
			}
			cur = applyClause(cur, who, op, perms, dir, mask)
		}
	}
	return cur, nil
}

func applyClause(cur uint32, who string, op byte, perms string, dir bool, mask uint32) uint32 {
	orig := cur
	for _, w := range who {
		shift := map[rune]uint{'u': 6, 'g': 3, 'o': 0}[w]
		var bits, special uint32
		for _, p := range perms {
			switch p {
			case 'r':
				bits |= 4
			case 'w':
				bits |= 2
			case 'x':
				bits |= 1
			case 'X':
				if dir || orig&0o111 != 0 {
					bits |= 1
				}
			case 's':
				switch w {
				case 'u':
					special |= 0o4000
				case 'g':
					special |= 0o2000
				}
			case 't':
				special |= 0o1000
			case 'u':
				bits |= orig >> 6 & 7
			case 'g':
				bits |= orig >> 3 & 7
			case 'o':
				bits |= orig & 7
			}
		}
		value := bits << shift &^ mask
		switch op {
		case '+':
			cur |= value | special
		case '-':
			cur &^= value | special
		case '=':
			clear := uint32(7) << shift
			switch w {
			case 'u':
				clear |= 0o4000
			case 'g':
				clear |= 0o2000
			case 'o':
				clear |= 0o1000
			}
			cur = cur&^clear | value | special
		}
	}
	return cur
}

// ModeString is a mode as Ansible returns it: "0644".
func ModeString(bits uint32) string { return fmt.Sprintf("0%03o", bits&0o7777) }
