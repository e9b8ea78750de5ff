// Package docs holds the user documentation to the program: what it shows of
// commands, names, links, statuses and codes is there, and what is there is shown.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/api"
	"drover/internal/cli"
	"drover/internal/play/filter"
	"drover/internal/play/jinja"
	"drover/internal/play/module"
)

// pages are all that is checked, by their paths from here.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names := []string{"../README.md", "../CONTRIBUTING.md", "../examples/README.md"}
	for _, pattern := range []string{"*.md", "../examples/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	out := map[string]string{}
	for _, name := range names {
		out[name] = read(t, name)
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// codeSpan is `…` within a line.
var codeSpan = regexp.MustCompile("`([^`]+)`")

// commandLine is a line of a program's. In prose it may be without the last
// argument: a mention of `drover run -l`.
type commandLine struct {
	text  string
	prose bool
}

// commandLines are what a page shows of a program: indented lines and code
// spans that begin with its name, also behind && and $(.
func commandLines(page, program string) []commandLine {
	var out []commandLine
	for _, line := range strings.Split(page, "\n") {
		var pieces []string
		text, indented := strings.CutPrefix(line, "    ")
		if indented {
			pieces = []string{text}
		} else {
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				pieces = append(pieces, m[1])
			}
		}
		for _, piece := range pieces {
			for rest := piece; ; {
				i := strings.Index(rest, program+" ")
				if i < 0 {
					break
				}
				if before := strings.TrimSpace(rest[:i]); before == "" || strings.HasSuffix(before, "&&") || strings.HasSuffix(before, "$(") {
					out = append(out, commandLine{rest[i:], !indented})
				}
				rest = rest[i+len(program):]
			}
		}
	}
	return out
}

// words splits a line as a shell does, as far as documentation goes: it ends
// at a pipe, a redirection, a closing $( or a comment.
func words(line string) []string {
	var out []string
	var word strings.Builder
	var quote rune
	inside, depth := false, 0
	flush := func() {
		if inside {
			out = append(out, word.String())
		}
		word.Reset()
		inside = false
	}
	for _, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inside = r, true
		case r == '(':
			depth++
			inside = true
		case r == ')' && depth > 0:
			depth--
		case depth > 0:
		case r == ' ':
			flush()
		case r == '|' || r == '>' || r == ';' || r == ')' || r == '&' || r == '#' && !inside:
			flush()
			return out
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	flush()
	return out
}

func TestCommandLines(t *testing.T) {
	shown := 0
	for name, page := range pages(t) {
		for _, line := range commandLines(page, "drover") {
			args := words(line.text)[1:]
			// Prose says drover COMMAND, and names commands by their paths.
			if len(args) == 0 || args[0] == "COMMAND" || line.prose && known(args) {
				continue
			}
			shown++
			var err error
			for _, missing := range [][]string{nil, {"x"}, {"x", "x"}} {
				if _, err = cli.CheckLine(slices.Concat(args, missing)); err == nil || !line.prose {
					break
				}
			}
			if err != nil {
				t.Errorf("%s: %q is no command line: %v", name, line.text, err)
			}
		}
	}
	if shown < 60 {
		t.Errorf("only %d command lines were found: is the search broken?", shown)
	}
}

// known reports whether words are a command's path, as prose and tables name it.
func known(args []string) bool {
	return slices.Contains(cli.Commands(), "drover "+strings.Join(args, " "))
}

func TestEveryCommandIsDocumented(t *testing.T) {
	page := read(t, "cli.md")
	for _, path := range cli.Commands() {
		if !strings.Contains(page, "| `"+path+"` |") && !strings.HasPrefix(path, "drover completion") && path != "drover help" {
			t.Errorf("cli.md does not list `%s`", path)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinks(t *testing.T) {
	for name, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := filepath.Join(filepath.Dir(name), target)
			if target == "" {
				file = name
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: there is no %s", name, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s: %s has no heading #%s", name, target, anchor)
			}
		}
	}
}

// anchors are the headings of a page as links name them.
func anchors(page string) []string {
	var out []string
	for _, line := range strings.Split(page, "\n") {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			out = append(out, strings.ReplaceAll(strings.ToLower(title), " ", "-"))
		}
	}
	return out
}

func TestPagesAreShort(t *testing.T) {
	names, err := fs.Glob(os.DirFS("."), "*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if lines := strings.Count(read(t, name), "\n"); lines > 160 {
			t.Errorf("%s has %d lines, the most is 160", name, lines)
		}
	}
}

func TestPlayLists(t *testing.T) {
	page := read(t, "play.md")
	env := jinja.New()
	filter.Install(env, filter.Options{})
	keywords, actions := language(t)
	for _, list := range []struct {
		name string
		code []string
	}{
		{"modules", module.Names()},
		{"actions", actions},
		{"keywords", keywords},
		{"filters", keys(env.Filters)},
		// Operators have names too: ==, <.
		{"tests", slices.DeleteFunc(keys(env.Tests), func(s string) bool { return strings.ContainsAny(s, "<>=!") })},
		{"lookups", filter.Names(filter.Options{})},
	} {
		t.Run(list.name, func(t *testing.T) {
			_, rest, found := strings.Cut(page, "<!-- "+list.name+" -->")
			text, _, ended := strings.Cut(rest, "<!-- end -->")
			if !found || !ended {
				t.Fatalf("play.md has no list of %s", list.name)
			}
			shown := strings.Fields(text)
			if !slices.IsSorted(shown) {
				t.Error("the list is not sorted")
			}
			for _, n := range list.code {
				if !slices.Contains(shown, n) {
					t.Errorf("play.md does not list %s", n)
				}
			}
			for _, n := range shown {
				if !slices.Contains(list.code, n) {
					t.Errorf("play.md lists %s, which is not there", n)
				}
			}
		})
	}
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		if !strings.Contains(k, ".") {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// language reads the tables of keywords and of the interpreter's own actions,
// which nothing but documentation needs outside of their package.
func language(t *testing.T) (keywords, actions []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../internal/play/engine/keywords.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		table, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, e := range table.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if key, ok := kv.Key.(*ast.BasicLit); ok {
					name, err := strconv.Unquote(key.Value)
					if err != nil {
						t.Fatal(err)
					}
					tables[spec.Names[0].Name] = append(tables[spec.Names[0].Name], name)
				}
			}
		}
		return true
	})
	keywords, actions = tables["keywords"], tables["ownActions"]
	if len(keywords) == 0 || len(actions) == 0 {
		t.Fatal("the engine's tables keywords and ownActions were not found")
	}
	return keywords, actions
}

// rows are the first cells of the table whose head begins with a word.
func rows(page, head string) []string {
	var out []string
	in := false
	for _, line := range strings.Split(page, "\n") {
		switch {
		case strings.HasPrefix(line, "| "+head+" |"):
			in = true
		case !strings.HasPrefix(line, "|"):
			in = false
		case in && !strings.HasPrefix(line, "|--"):
			out = append(out, strings.Trim(strings.Split(line, "|")[1], " `"))
		}
	}
	return out
}

func TestExitStatuses(t *testing.T) {
	var want []string
	for _, s := range []int{cli.ExitOK, cli.ExitFailed, cli.ExitUsage, cli.ExitUnreachable, cli.ExitForbidden, cli.ExitTimeout, cli.ExitNotFound, cli.ExitConflict, cli.ExitInterrupted} {
		want = append(want, strconv.Itoa(s))
	}
	if got := rows(read(t, "cli.md"), "status"); !slices.Equal(got, want) {
		t.Errorf("cli.md lists the exit statuses %v, the program has %v", got, want)
	}
}

func TestErrorCodes(t *testing.T) {
	page := read(t, "api.md")
	codes := []api.Code{api.CodeInvalid, api.CodeUnauthorized, api.CodeForbidden, api.CodeNotFound, api.CodeExists, api.CodeConflict, api.CodeTooLarge, api.CodeUnavailable, api.CodeInternal}
	var want []string
	for _, c := range codes {
		want = append(want, string(c))
		if row := "| `" + string(c) + "` | " + strconv.Itoa(c.HTTPStatus()) + " |"; !strings.Contains(page, row) {
			t.Errorf("api.md has no row %s", row)
		}
	}
	if got := rows(page, "code"); !slices.Equal(got, want) {
		t.Errorf("api.md lists the codes %v, the program has %v", got, want)
	}
}

// eventType is how the code names an event: Type: "host.changed".
var eventType = regexp.MustCompile(`"((?:host|revision|run|converge|play)\.[a-z-]+)"`)

func TestEventTypes(t *testing.T) {
	page := read(t, "api.md")
	_, list, found := strings.Cut(page, "Event types: ")
	if !found {
		t.Fatal("api.md has no list of event types")
	}
	var shown, made []string
	for _, m := range codeSpan.FindAllStringSubmatch(list, -1) {
		shown = append(shown, m[1])
	}
	for _, dir := range []string{"../internal/fleet", "../internal/play"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range eventType.FindAllStringSubmatch(read(t, file), -1) {
				made = append(made, m[1])
			}
		}
	}
	for _, name := range shown {
		if !slices.Contains(made, name) {
			t.Errorf("api.md lists the event %s, which nothing makes", name)
		}
	}
	for _, name := range made {
		if !slices.Contains(shown, name) {
			t.Errorf("api.md does not list the event %s", name)
		}
	}
}
