package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"drover/api"
)

// table is rows under heads that fit the terminal: the widest columns give way
// first, and nothing is cut when output is no terminal.
type table struct {
	heads []string
	rows  [][]cell
	// firm columns, such as names that are to be copied, are never cut.
	firm map[int]bool
}

// cell is one value with its tone.
type cell struct {
	text string
	tone tone
}

// newTable makes a table; the first column is firm.
func newTable(heads ...string) *table { return &table{heads: heads, firm: map[int]bool{0: true}} }

// row adds a row of plain texts, states coloured by their word.
func (t *table) row(texts ...string) {
	cells := make([]cell, len(texts))
	for i, s := range texts {
		cells[i] = cell{text: oneLine(s)}
		if i > 0 {
			cells[i].tone = toneOf(s)
		}
	}
	t.rows = append(t.rows, cells)
}

// oneLine keeps control characters, such as those of a terminal, out of a table.
func oneLine(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

const columnGap = 2

// gone is the width of a column that has no room.
const gone = -1

// minColumn is the least width a column is cut to.
const minColumn = 6

// print writes the table to standard output.
func (a *app) printTable(t *table) { t.write(a.Out, a.width(), a.style) }

// width is how many columns the terminal has; 0 is no limit.
func (a *app) width() int {
	if n, err := strconv.Atoi(a.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := a.Out.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

func (t *table) write(w io.Writer, width int, style func(tone, string) string) {
	widths := t.widths(width)
	var b strings.Builder
	line := func(cells []cell, head bool) {
		var out strings.Builder
		for i, c := range cells {
			if widths[i] == gone {
				continue
			}
			text := cut(c.text, widths[i])
			pad := widths[i] - utf8.RuneCountInString(text)
			if head {
				text = style(bold, text)
			} else {
				text = style(c.tone, text)
			}
			out.WriteString(text)
			if i < len(cells)-1 {
				out.WriteString(strings.Repeat(" ", pad+columnGap))
			}
		}
		b.WriteString(strings.TrimRight(out.String(), " ") + "\n")
	}
	heads := make([]cell, len(t.heads))
	for i, h := range t.heads {
		heads[i] = cell{text: h}
	}
	line(heads, true)
	for _, r := range t.rows {
		line(r, false)
	}
	_, _ = io.WriteString(w, b.String())
}

// widths gives each column its width so that all fit into width.
func (t *table) widths(width int) []int {
	widths := make([]int, len(t.heads))
	for i, h := range t.heads {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range t.rows {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	if width <= 0 {
		return widths
	}
	over := columnGap * (len(widths) - 1)
	for _, n := range widths {
		over += n
	}
	over -= width
	for over > 0 {
		widest := -1
		for i, n := range widths {
			if !t.firm[i] && n > t.least(i) && (widest < 0 || n > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			// Cut no further: the last columns go, whole.
			last := len(widths) - 1
			for last > 0 && (t.firm[last] || widths[last] == gone) {
				last--
			}
			if last < 1 {
				break
			}
			over -= widths[last] + columnGap
			widths[last] = gone
			continue
		}
		widths[widest]--
		over--
	}
	return widths
}

// least is the least width that a column is cut to. A state is a word, and
// worth nothing without its end.
func (t *table) least(i int) int {
	n := max(minColumn, utf8.RuneCountInString(t.heads[i]))
	if t.heads[i] == "STATE" {
		for _, r := range t.rows {
			n = max(n, min(utf8.RuneCountInString(r[i].text), stateColumn))
		}
	}
	return n
}

// stateColumn holds the longest state.
const stateColumn = 12

// cut shortens text to n columns with an ellipsis.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	r := []rune(text)
	return string(r[:max(n-1, 0)]) + "…"
}

// printObjects prints objects of one kind, as JSON decoded into maps, in the
// form that -o asks for.
func (a *app) printObjects(cols []api.Column, objs []map[string]any, now time.Time) error {
	if a.structured() {
		return a.printValue(objs)
	}
	a.printTable(objectTable(cols, objs, a.output == "wide", now))
	return nil
}

func objectTable(cols []api.Column, objs []map[string]any, wide bool, now time.Time) *table {
	var shown []api.Column
	for _, c := range cols {
		if wide || !c.Wide {
			shown = append(shown, c)
		}
	}
	heads := make([]string, len(shown))
	for i, c := range shown {
		heads[i] = c.Head
	}
	t := newTable(heads...)
	for _, o := range objs {
		texts := make([]string, len(shown))
		for i, c := range shown {
			texts[i] = cellText(at(o, c.Path), c.Path, now)
		}
		t.row(texts...)
	}
	return t
}

// at is the value at a dotted path, nil if there is none.
func at(v any, path string) any {
	for path != "" {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		// A name with dots, such as a label's, is the whole rest.
		if x, ok := m[path]; ok {
			return x
		}
		name, rest, _ := strings.Cut(path, ".")
		v, path = m[name], rest
	}
	return v
}

// cellText is a JSON value as people read it in a table.
func cellText(v any, path string, now time.Time) string {
	switch x := v.(type) {
	case nil:
		return "-"
	case string:
		if when, err := time.Parse(time.RFC3339, x); err == nil {
			return since(when, now)
		}
		if x == "" {
			return "-"
		}
		if isHash(x) {
			return x[:hashLetters]
		}
		return x
	case bool:
		if x {
			return "yes"
		}
		return "no"
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1e15 {
			return strconv.FormatInt(int64(x), 10)
		}
		return strconv.FormatFloat(x, 'g', 6, 64)
	case json.Number:
		return x.String()
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = cellText(e, "", now)
		}
		if len(parts) == 0 {
			return "-"
		}
		return strings.Join(parts, ",")
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for i, k := range keys {
			keys[i] = k + "=" + cellText(x[k], "", now)
		}
		if len(keys) == 0 {
			return "-"
		}
		return strings.Join(keys, ",")
	}
	return fmt.Sprint(v)
}

// hashLetters are shown of a hash, as in events.
const hashLetters = 10

// isHash reports whether s is a commit's or blob's hash, shown short in tables.
func isHash(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// since says how long ago something was, or how long it is until then.
func since(when, now time.Time) string {
	if when.IsZero() {
		return "-"
	}
	d := now.Sub(when)
	if d < 0 {
		if d > -time.Second {
			return "now"
		}
		return "in " + short(-d)
	}
	if d < time.Second {
		return "now"
	}
	return short(d) + " ago"
}

// short is a duration in its largest unit.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
