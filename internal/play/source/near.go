package source

import (
	"slices"
	"strings"
)

// Nearest is the candidate that name was probably meant to be, or "".
func Nearest(name string, candidates []string) string {
	best, dist := "", len(name)/3+2
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(name), strings.ToLower(c), dist); d < dist {
			best, dist = c, d
		}
	}
	return best
}

// DidYouMean suggests a candidate, or is empty.
func DidYouMean(name string, candidates []string) string {
	if g := Nearest(name, candidates); g != "" {
		return "did you mean " + quote(g) + "?"
	}
	return ""
}

func quote(s string) string { return "\"" + s + "\"" }

// editDistance counts edits (transpositions as one) up to limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		if slices.Min(cur) >= limit {
			return limit
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
