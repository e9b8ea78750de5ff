package cli

import (
	"fmt"
)

// maxTable bounds the table of a comparison; larger changes are shown as one
// block taken out and one put in.
const maxTable = 4 << 20

// hunks is a unified diff of two texts, without its head, as diff -u writes it.
func hunks(before, after string) []string {
	a, b := lines(before), lines(after)
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	endA, endB := len(a), len(b)
	for endA > start && endB > start && a[endA-1] == b[endB-1] {
		endA--
		endB--
	}
	var edits []edit
	for _, l := range a[:start] {
		edits = append(edits, edit{' ', l})
	}
	if (endA-start)*(endB-start) > maxTable {
		for _, l := range a[start:endA] {
			edits = append(edits, edit{'-', l})
		}
		for _, l := range b[start:endB] {
			edits = append(edits, edit{'+', l})
		}
	} else {
		edits = append(edits, shortest(a[start:endA], b[start:endB])...)
	}
	for _, l := range a[endA:] {
		edits = append(edits, edit{' ', l})
	}
	return cutHunks(edits)
}

func cutHunks(edits []edit) []string {
	var out []string
	lineA, lineB := 1, 1
	for i := 0; i < len(edits); {
		if edits[i].op == ' ' {
			// Is there a change within reach?
			next := i
			for next < len(edits) && edits[next].op == ' ' {
				next++
			}
			if next == len(edits) {
				break
			}
			for i < next-diffContext {
				i++
				lineA++
				lineB++
			}
		}
		end, quiet := i, 0
		for end < len(edits) {
			if edits[end].op == ' ' {
				quiet++
			} else {
				quiet = 0
			}
			if quiet > 2*diffContext {
				break
			}
			end++
		}
		if end < len(edits) {
			end -= quiet - 1
			end += diffContext
		} else if quiet > diffContext {
			end -= quiet - diffContext
		}
		var body []string
		nA, nB := 0, 0
		for _, e := range edits[i:end] {
			body = append(body, string(e.op)+e.line)
			if e.op != '+' {
				nA++
			}
			if e.op != '-' {
				nB++
			}
		}
		out = append(out, fmt.Sprintf("@@ -%s +%s @@", hunkRange(lineA, nA), hunkRange(lineB, nB)))
		out = append(out, body...)
		lineA, lineB, i = lineA+nA, lineB+nB, end
	}
	return out
}

func hunkRange(start, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", start-1)
	case 1:
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, n)
}
