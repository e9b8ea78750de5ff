package server

import (
	"strings"

	"drover/api"
)

// selector picks objects by their labels: `env=prod,tier!=db,rack`.
type selector []requirement

type requirement struct {
	key, value string
	op         byte // '=', '!' for !=, 'e' for "has the label", 'n' for "has it not"
}

// parseSelector reads a selector; the empty one picks everything.
func parseSelector(s string) (selector, error) {
	var sel selector
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		req := requirement{op: 'e', key: part}
		if k, v, ok := strings.Cut(part, "!="); ok {
			req = requirement{op: '!', key: k, value: v}
		} else if k, v, ok := strings.Cut(part, "="); ok {
			req = requirement{op: '=', key: k, value: strings.TrimPrefix(v, "=")}
		} else if k, ok := strings.CutPrefix(part, "!"); ok {
			req = requirement{op: 'n', key: k}
		}
		req.key, req.value = strings.TrimSpace(req.key), strings.TrimSpace(req.value)
		if req.key == "" || strings.ContainsAny(req.key+req.value, "=! \t()<>") {
			return nil, &api.Error{Code: api.CodeInvalid, Field: "selector", Message: "cannot read the selector at " + quote(part),
				Remedy: "write label=value, label!=value, label or !label, joined by commas"}
		}
		sel = append(sel, req)
	}
	return sel, nil
}

func quote(s string) string { return "\"" + s + "\"" }

// matches reports whether an object's labels fulfil every part.
func (s selector) matches(labels map[string]string) bool {
	for _, r := range s {
		v, has := labels[r.key]
		switch r.op {
		case '=':
			if !has || v != r.value {
				return false
			}
		case '!':
			if has && v == r.value {
				return false
			}
		case 'e':
			if !has {
				return false
			}
		case 'n':
			if has {
				return false
			}
		}
	}
	return true
}

const maxLabel = 253

// checkLabels refuses labels that no selector could name.
func checkLabels(labels map[string]string) error {
	for k, v := range labels {
		if k == "" || len(k) > maxLabel || len(v) > maxLabel || strings.ContainsAny(k+v, "=!, \t\n()<>") {
			return &api.Error{Code: api.CodeInvalid, Field: "labels." + k, Message: "this is not a label",
				Remedy: "use at most 253 characters without spaces, commas, '=', '!' and brackets, in name and value"}
		}
	}
	return nil
}
