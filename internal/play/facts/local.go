package facts

import (
	"context"
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
)

// maxLocal bounds one local fact.
const maxLocal = 4 << 20

// local reads the facts that people put into files: JSON, INI, or programs
// that write one of these.
func (g *gathering) local() {
	out := map[string]any{}
	g.out["local"] = out
	dir := g.o.FactPath
	if dir == "" {
		dir = "/etc/ansible/facts.d"
	}
	files := g.list(dir)
	slices.Sort(files)
	for _, f := range files {
		if !strings.HasSuffix(f, ".fact") {
			continue
		}
		name := strings.TrimSuffix(f, ".fact")
		text, err := g.localText(path.Join(dir, f))
		if err == nil {
			out[name], err = parseLocal(text)
		}
		if err != nil {
			out[name] = "error loading facts as JSON or ini - please check content: " + path.Join(dir, f)
			g.warnings = append(g.warnings, "cannot read the local fact "+path.Join(dir, f)+": "+err.Error())
		}
	}
}

func (g *gathering) localText(file string) (string, error) {
	st, err := os.Stat(g.path(file))
	if err != nil {
		return "", err
	}
	if st.Mode()&0o111 != 0 && st.Mode().IsRegular() {
		if g.h.Exec == nil {
			return "", nil
		}
		ctx, cancel := context.WithTimeout(g.ctx, g.o.Timeout)
		defer cancel()
		b, err := g.h.Exec(ctx, file)
		return string(b), err
	}
	if st.Size() > maxLocal {
		return "", os.ErrInvalid
	}
	b, err := os.ReadFile(g.path(file))
	return string(b), err
}

// parseLocal reads JSON, or INI into a dictionary of dictionaries of text.
func parseLocal(text string) (any, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err == nil && !d.More() {
		return v, nil
	}
	return parseINI(text)
}

type iniError string

func (e iniError) Error() string { return string(e) }

// parseINI reads sections of key=value or key: value; an indented line goes on
// with the value before; keys are lower case.
func parseINI(text string) (map[string]any, error) {
	out := map[string]any{}
	var section map[string]any
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		trim := strings.TrimSpace(line)
		switch {
		case trim == "" || trim[0] == '#' || trim[0] == ';':
			continue
		case trim[0] == '[' && trim[len(trim)-1] == ']':
			name := trim[1 : len(trim)-1]
			had, ok := out[name].(map[string]any)
			if !ok {
				had = map[string]any{}
			}
			section, last = had, ""
			out[name] = section
		case section == nil:
			return nil, iniError("it is neither JSON nor INI: no section before " + trim)
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return nil, iniError("an indented line that continues nothing: " + trim)
			}
			section[last] = section[last].(string) + "\n" + trim
		default:
			i := strings.IndexAny(line, "=:")
			if i < 0 {
				return nil, iniError("no = in: " + trim)
			}
			last = strings.ToLower(strings.TrimSpace(line[:i]))
			section[last] = strings.TrimSpace(line[i+1:])
		}
	}
	return out, nil
}
