package inventory

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/api"
	"drover/internal/play/source"

	"github.com/dlclark/regexp2"
)

// Select lists the hosts that a pattern names, in the inventory's order:
// names, groups, wildcards, "~regex", "web[0:2]", joined by ":" or ",", with
// "!" for except and "&" for both.
func (inv *Inventory) Select(pattern string) ([]string, error) {
	hosts, _, err := inv.Match(pattern)
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = h.Name
	}
	return out, err
}

// Match also tells which parts matched nothing.
func (inv *Inventory) Match(pattern string) ([]*Host, []string, error) {
	return inv.matchParts(splitPattern(pattern))
}

func (inv *Inventory) matchParts(parts []string) ([]*Host, []string, error) {
	var include, both, except []string
	for _, p := range parts {
		switch {
		case p == "":
		case p[0] == '!':
			except = append(except, p)
		case p[0] == '&':
			both = append(both, p)
		default:
			include = append(include, p)
		}
	}
	if len(include) == 0 {
		include = []string{"all"}
	}
	var out []*Host
	var unmatched []string
	seen := map[string]bool{}
	for _, p := range include {
		hosts, err := inv.matchOne(p)
		if err != nil {
			return nil, nil, err
		}
		if len(hosts) == 0 && p != "all" {
			unmatched = append(unmatched, p)
		}
		for _, h := range hosts {
			if !seen[h.Name] {
				seen[h.Name] = true
				out = append(out, h)
			}
		}
	}
	for _, p := range append(both, except...) {
		hosts, err := inv.matchOne(p[1:])
		if err != nil {
			return nil, nil, err
		}
		set := map[string]bool{}
		for _, h := range hosts {
			set[h.Name] = true
		}
		out = slices.DeleteFunc(out, func(h *Host) bool { return set[h.Name] == (p[0] == '!') })
	}
	return out, unmatched, nil
}

// splitPattern splits at "," and ":", but leaves ranges, IPv6 addresses and
// regular expressions whole.
func splitPattern(s string) []string {
	var out []string
	if strings.Contains(s, ",") {
		for _, p := range strings.Split(s, ",") {
			if p = strings.TrimSpace(p); p != "" {
				out = append(out, splitPattern(p)...)
			}
		}
		return out
	}
	s = strings.TrimSpace(s)
	if strings.Count(s, ":") > 1 && ipv6Like.MatchString(s) {
		return []string{s}
	}
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[', '(':
			depth++
		case ']', ')':
			depth--
		case ':':
			if depth == 0 && !(i > start && s[start] == '~' && strings.HasSuffix(s[:i], "?")) {
				out = append(out, s[start:i])
				start = i + 1
			}
		}
	}
	out = append(out, s[start:])
	return slices.DeleteFunc(out, func(p string) bool { return strings.TrimSpace(p) == "" })
}

var ipv6Like = regexp.MustCompile(`^[0-9a-fA-F:.]*::[0-9a-fA-F:.]*$|^([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}$`)

var subscript = regexp.MustCompile(`^(.+)\[(?:(-?[0-9]+)|(-?[0-9]*)[:-](-?[0-9]*))\]$`)

// matchTimeout bounds the match of one name: a pattern may need exponential time.
const matchTimeout = time.Second

func (inv *Inventory) matchOne(p string) ([]*Host, error) {
	p = strings.TrimSpace(p)
	if strings.HasPrefix(p, "~") {
		re, err := regexp2.Compile(p[1:], regexp2.None)
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "cannot read the host pattern %q: %v", p, err)
		}
		re.MatchTimeout = matchTimeout
		var slow error // no match would be wrong: what the pattern excludes would be in
		found := inv.enumerate(func(n string) bool {
			if slow != nil {
				return false
			}
			m, err := re.FindStringMatch(n)
			slow = err
			return err == nil && m != nil && m.Index == 0
		}, p)
		if slow != nil {
			return nil, api.Errorf(api.CodeInvalid, "cannot use the host pattern %q: it takes too long to match", p).WithRemedy("use a simpler one, without a repetition of repetitions")
		}
		return found, nil
	}
	if inv.hosts[p] == nil && inv.groups[p] == nil {
		if m := subscript.FindStringSubmatch(p); m != nil {
			return inv.slicePattern(m)
		}
	}
	if strings.ContainsAny(p, "*?[") {
		if _, err := path.Match(p, ""); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "cannot read the host pattern %q: %v", p, err)
		}
		return inv.enumerate(func(n string) bool {
			ok, _ := path.Match(strings.ReplaceAll(p, "/", "\x00"), strings.ReplaceAll(n, "/", "\x00"))
			return ok
		}, p), nil
	}
	return inv.enumerate(func(n string) bool { return n == p }, p), nil
}

func (inv *Inventory) slicePattern(m []string) ([]*Host, error) {
	hosts, err := inv.matchOne(m[1])
	if err != nil || len(hosts) == 0 {
		return nil, err
	}
	at := func(s string, def int) int {
		if s == "" {
			return def
		}
		i, _ := strconv.Atoi(s)
		if i < 0 {
			i += len(hosts)
		}
		return i
	}
	if m[2] != "" {
		i := at(m[2], 0)
		if i < 0 || i >= len(hosts) {
			return nil, nil
		}
		return hosts[i : i+1], nil
	}
	from, to := max(0, at(m[3], 0)), min(at(m[4], len(hosts)-1)+1, len(hosts))
	if from >= to {
		return nil, nil
	}
	return hosts[from:to], nil
}

// enumerate lists the hosts of groups whose name matches, then hosts by name.
func (inv *Inventory) enumerate(match func(string) bool, p string) []*Host {
	var out []*Host
	seen := map[*Host]bool{}
	add := func(hs []*Host) {
		for _, h := range hs {
			if !seen[h] {
				seen[h] = true
				out = append(out, h)
			}
		}
	}
	groups := false
	for _, n := range inv.groupOrder {
		if match(n) {
			groups = true
			add(inv.HostsOf(inv.groups[n]))
		}
	}
	wild := strings.ContainsAny(p, "*?[") || strings.HasPrefix(p, "~")
	if !groups || wild {
		for _, n := range inv.order {
			if match(n) && !inv.hosts[n].Implicit {
				add([]*Host{inv.hosts[n]})
			}
		}
	}
	if len(out) == 0 && IsLocalName(p) {
		add([]*Host{inv.Localhost(p)})
	}
	return out
}

// Limit resolves --limit: a pattern in which "@file" stands for the lines of a file.
func (inv *Inventory) Limit(pattern string) (map[string]bool, error) {
	if pattern == "" {
		return nil, nil
	}
	var parts []string
	for _, p := range splitPattern(pattern) {
		if strings.HasPrefix(p, "@") {
			src, err := inv.files.ReadFile(source.Join(inv.files.Root(), p[1:]))
			if err != nil {
				return nil, source.FileError(p[1:], err)
			}
			for line := range strings.Lines(string(src)) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					parts = append(parts, splitPattern(line)...)
				}
			}
			continue
		}
		parts = append(parts, p)
	}
	hosts, unmatched, err := inv.matchParts(parts)
	if err != nil {
		return nil, err
	}
	for _, u := range unmatched {
		inv.warnings = append(inv.warnings, fmt.Sprintf("Could not match supplied host pattern, ignoring: %s", u))
	}
	if len(hosts) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "Specified inventory, host pattern and/or --limit leaves us with no hosts to target.")
	}
	set := map[string]bool{}
	for _, h := range hosts {
		set[h.Name] = true
	}
	return set, nil
}

// SelectLimited is Select with --limit.
func (inv *Inventory) SelectLimited(pattern, limit string) ([]string, error) {
	hosts, err := inv.Select(pattern)
	if err != nil {
		return nil, err
	}
	set, err := inv.Limit(limit)
	if err != nil || set == nil {
		return hosts, err
	}
	return slices.DeleteFunc(hosts, func(h string) bool { return !set[h] }), nil
}
