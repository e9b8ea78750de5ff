package engine

import (
	"strings"

	"drover/api"
	"drover/internal/play/value"
)

// token is a piece of a free-form argument text, with the blanks before it.
type token struct {
	blank, text string
}

// splitArgs splits at blanks outside of quotes and templates. Quotes stay.
func splitArgs(s string) ([]token, error) {
	var out []token
	var blank, cur strings.Builder
	depth, print := 0, byte(0) // nesting of {{ }}, {% %}, {# #}; open quote
	flush := func() {
		if cur.Len() > 0 {
			out = append(out, token{blank.String(), cur.String()})
			blank.Reset()
			cur.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		two := ""
		if i+1 < len(s) {
			two = s[i : i+2]
		}
		switch {
		case print == 0 && (two == "{{" || two == "{%" || two == "{#"):
			depth++
			cur.WriteString(two)
			i++
			continue
		case depth > 0 && print == 0 && (two == "}}" || two == "%}" || two == "#}"):
			depth--
			cur.WriteString(two)
			i++
			continue
		case c == '\\' && i+1 < len(s) && depth == 0:
			cur.WriteByte(c)
			i++
			cur.WriteByte(s[i])
			continue
		case print != 0:
			if c == print {
				print = 0
			}
		case c == '"' || c == '\'':
			print = c
		case (c == ' ' || c == '\t' || c == '\n' || c == '\r') && depth == 0:
			flush()
			blank.WriteByte(c)
			continue
		}
		cur.WriteByte(c)
	}
	flush()
	if print != 0 || depth != 0 {
		return nil, api.Errorf(api.CodeInvalid, "failed at splitting arguments, either an unbalanced jinja2 block or quotes: %s", s)
	}
	return out, nil
}

// keyValue splits a token at its first '=' when what stands before it can be a name.
func keyValue(tok string) (k, v string, ok bool) {
	k, v, ok = strings.Cut(tok, "=")
	if !ok || k == "" {
		return "", "", false
	}
	for _, r := range k {
		if !(r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return "", "", false
		}
	}
	return k, unquote(v), true
}

func unquote(s string) string {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[0] == s[len(s)-1] && (len(s) < 3 || s[len(s)-2] != '\\') {
		return s[1 : len(s)-1]
	}
	return s
}

// freeText reports whether the task's action takes free text, and which
// parameters may stand in it.
func (t *Task) freeText() (takes bool, inside func(string) bool) {
	if params, ok := ownActions[t.action]; ok {
		for _, p := range params {
			if p == "_" {
				takes = true
			}
		}
		return takes, func(string) bool { return true }
	}
	if t.mod != nil && t.mod.FreeForm != "" {
		names := map[string]bool{}
		for _, n := range t.mod.FreeFormArgs {
			names[n] = true
		}
		return true, func(k string) bool { return names[k] }
	}
	return false, func(string) bool { return true }
}

// freeForm reads `module: text`: k=v pairs, and free text where the action takes it.
func (l *loader) freeForm(t *Task, s string, at api.Place) {
	if t.args == nil {
		t.args = value.NewDict()
		t.argPlace = map[string]api.Place{}
	}
	if strings.TrimSpace(s) == "" {
		return
	}
	t.argsText = true
	takes, inside := t.freeText()
	toks, err := splitArgs(s)
	if err != nil {
		e := *err.(*api.Error)
		e.Place = &at
		e.Remedy = "quote the value, or write the arguments as key: value lines"
		l.add(&e)
		return
	}
	var raw strings.Builder
	for _, tok := range toks {
		k, v, ok := keyValue(tok.text)
		if ok && inside(k) {
			t.args.Set(k, v)
			t.argPlace[k] = at
			continue
		}
		if raw.Len() > 0 {
			raw.WriteString(tok.blank)
		}
		raw.WriteString(tok.text)
	}
	if raw.Len() == 0 {
		return
	}
	text := raw.String()
	if !takes && len(toks) == 1 && holdsTemplate(text) && strings.HasPrefix(text, "{{") {
		t.argsLit = &lit{v: text, at: at, tmpl: true}
		return
	}
	if takes && ownActions[t.action] != nil {
		text = unquote(text)
	}
	t.args.Set("_raw_params", text)
}

// KeyValues reads "k=v k2='v 2'" as -e does: values are text.
func KeyValues(s string) (map[string]any, error) {
	toks, err := splitArgs(s)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, t := range toks {
		k, v, ok := keyValue(t.text)
		if !ok {
			return nil, api.Errorf(api.CodeInvalid, "%q is not key=value", t.text).WithRemedy("quote values with blanks")
		}
		out[k] = v
	}
	return out, nil
}
