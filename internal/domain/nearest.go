package domain

import (
	"slices"
	"strings"
)

// maxMisspelt is the longest name that somebody may have meant otherwise.
const maxMisspelt = 100

// Nearest is the candidate that a misspelt name most likely meant, or "" when
// none is near: one wrong, missing, added or swapped letter in three.
func Nearest(name string, candidates []string) string {
	if len(name) > maxMisspelt {
		return "" // comparing costs the product of both lengths, for each candidate
	}
	best, found := 1+max(1, len([]rune(name))/3), ""
	for _, c := range sorted(candidates) {
		if strings.EqualFold(c, name) {
			return c
		}
		if d := distance([]rune(strings.ToLower(name)), []rune(strings.ToLower(c))); d < best {
			best, found = d, c
		}
	}
	return found
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

// distance counts the edits between two words, a swap of neighbours as one.
func distance(a, b []rune) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
