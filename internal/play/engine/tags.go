package engine

import "slices"

// tagFilter decides which tasks run, by --tags and --skip-tags.
type tagFilter struct{ only, skip []string }

func newTagFilter(only, skip []string) tagFilter { return tagFilter{only, skip} }

func (f tagFilter) wants(tags []string) bool {
	run := len(f.only) == 0 || slices.Contains(f.only, "all")
	switch {
	case run:
		run = !slices.Contains(tags, "never") || anyOf(f.only, tags)
	case slices.Contains(tags, "always"):
		run = true
	case anyOf(f.only, tags):
		run = true
	case slices.Contains(f.only, "tagged") && len(tags) > 0 && !slices.Contains(tags, "never"):
		run = true
	case slices.Contains(f.only, "untagged") && len(tags) == 0:
		run = true
	}
	if !run || len(f.skip) == 0 {
		return run
	}
	switch {
	case slices.Contains(f.skip, "all"):
		return slices.Contains(tags, "always") && !slices.Contains(f.skip, "always")
	case anyOf(f.skip, tags):
		return false
	case slices.Contains(f.skip, "tagged") && len(tags) > 0:
		return false
	case slices.Contains(f.skip, "untagged") && len(tags) == 0:
		return false
	}
	return true
}

func anyOf(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
