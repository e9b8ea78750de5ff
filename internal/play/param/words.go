package param

import (
	"errors"
	"slices"
	"strings"
)

// SplitWords splits a command line into words as a POSIX shell would, quotes
// and backslashes included; nothing is expanded and # starts no comment.
func SplitWords(s string) ([]string, error) {
	var words []string
	var b strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'':
			if c == '\'' {
				quote = 0
			} else {
				b.WriteByte(c)
			}
		case quote == '"':
			switch {
			case c == '"':
				quote = 0
			case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
				i++
				b.WriteByte(s[i])
			default:
				b.WriteByte(c)
			}
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == '\\':
			if i+1 == len(s) {
				return nil, errors.New("No escaped character")
			}
			i++
			b.WriteByte(s[i])
			in = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, errors.New("No closing quotation")
	}
	if in {
		words = append(words, b.String())
	}
	return words, nil
}

// Quote quotes a word for a shell.
func Quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// FreeForm splits the free text of a task (`creates=/x chdir=/tmp make all`)
// into the text itself and the key=value words whose key is in names. The
// text keeps its quotes and spaces. Quoted values lose their quotes.
func FreeForm(text string, names []string) (rest string, args map[string]string) {
	args = map[string]string{}
	var kept strings.Builder
	for i := 0; i < len(text); {
		start := i
		for i < len(text) && IsSpace(text[i]) {
			i++
		}
		gap := text[start:i]
		word := i
		i = WordEnd(text, i)
		w := text[word:i]
		if k, v, ok := strings.Cut(w, "="); ok && slices.Contains(names, k) {
			args[k] = unquote(v)
			continue
		}
		kept.WriteString(gap)
		kept.WriteString(w)
	}
	return strings.TrimSpace(kept.String()), args
}

// SplitFreeForm turns `module: text` into arguments: for a module that takes free
// text the key=value words it knows and the rest as _raw_params, for any
// other all key=value words, and what is none as _raw_params.
func (m *Spec) SplitFreeForm(text string) map[string]any {
	out := map[string]any{}
	names := m.FreeFormArgs
	if m.FreeForm == "" {
		for i := 0; i < len(text); {
			for i < len(text) && IsSpace(text[i]) {
				i++
			}
			start := i
			i = WordEnd(text, i)
			if k, _, ok := strings.Cut(text[start:i], "="); ok && isName(k) {
				names = append(names, k)
			}
		}
	}
	rest, args := FreeForm(text, names)
	for k, v := range args {
		out[k] = v
	}
	if rest != "" {
		out[RawParams] = rest
	}
	return out
}

func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

// IsSpace reports whether a byte is white space between words.
func IsSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// WordEnd is where the word that starts at i ends; quotes and templates hold
// spaces together.
func WordEnd(s string, i int) int {
	quote, depth := byte(0), 0
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' && i+1 < len(s) {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '\\' && i+1 < len(s):
			i++
		case strings.HasPrefix(s[i:], "{{"), strings.HasPrefix(s[i:], "{%"):
			depth++
			i++
		case depth > 0 && (strings.HasPrefix(s[i:], "}}") || strings.HasPrefix(s[i:], "%}")):
			depth--
			i++
		case depth > 0:
		case c == '\'' || c == '"':
			quote = c
		case IsSpace(c):
			return i
		}
	}
	return i
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
