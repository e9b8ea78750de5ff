package module

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"drover/api"
)

// Map is the result as Ansible registers it: one flat dictionary of JSON values.
func (r *Result) Map() map[string]any {
	out := make(map[string]any, len(r.Values)+6)
	for k, v := range r.Values {
		out[k] = v
	}
	for _, k := range []string{"stdout", "stderr"} {
		if s, ok := out[k].(string); ok {
			if _, ok := out[k+"_lines"]; !ok {
				out[k+"_lines"] = splitLines(s)
			}
		}
	}
	out["changed"] = r.Changed
	if r.Failed {
		out["failed"] = true
	}
	if r.Skipped {
		out["skipped"] = true
	}
	if _, ok := out["msg"]; !ok && r.Msg != "" {
		out["msg"] = r.Msg
	}
	if _, ok := out["diff"]; !ok && len(r.Diff) > 0 {
		list := make([]any, len(r.Diff))
		for i, d := range r.Diff {
			list[i] = diffMap(d)
		}
		out["diff"] = list
	}
	if len(r.Facts) > 0 {
		facts := make(map[string]any, len(r.Facts))
		for k, v := range r.Facts {
			facts[factName(k)] = v
		}
		out["ansible_facts"] = facts
	}
	if len(r.Warnings) > 0 {
		list := make([]any, len(r.Warnings))
		for i, w := range r.Warnings {
			list[i] = w
		}
		out["warnings"] = list
	}
	return out
}

// factName is a fact's name as modules tell it: what setup finds has a prefix,
// what other modules look up has none.
func factName(k string) string {
	switch {
	case k == "packages", k == "services", k == "gather_subset", k == "module_setup", strings.HasPrefix(k, "getent_"):
		return k
	}
	return "ansible_" + k
}

func diffMap(d api.Diff) map[string]any {
	m := map[string]any{}
	if d.Prepared != "" {
		m["prepared"] = d.Prepared
		return m
	}
	m["before"], m["after"] = d.Before, d.After
	if d.BeforeHeader != "" {
		m["before_header"] = d.BeforeHeader
	}
	if d.AfterHeader != "" {
		m["after_header"] = d.AfterHeader
	}
	return m
}

// splitLines are the lines of a text without their ends, as a list of JSON values.
func splitLines(s string) []any {
	out := []any{}
	if s == "" {
		return out
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.TrimSuffix(s, "\n")
	for _, l := range strings.Split(s, "\n") {
		out = append(out, l)
	}
	return out
}

// addDiff adds the before and after of a text file.
func (r *Result) addDiff(header, before, after string) {
	r.Diff = append(r.Diff, api.Diff{BeforeHeader: header, AfterHeader: header, Before: before, After: after})
}

// attrDiff adds the before and after of attributes: the registered variable
// gets dictionaries, people get them as text, as Ansible shows them.
func (r *Result) attrDiff(before, after map[string]any) {
	r.Diff = append(r.Diff, api.Diff{Before: jsonText(before), After: jsonText(after)})
}

func jsonText(v map[string]any) string {
	b, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		return ""
	}
	return string(b) + "\n"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func validJSON(b []byte) bool { return json.Valid(b) }
