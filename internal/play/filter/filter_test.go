package filter_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/play/filter"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// setUp makes an environment that finds relative files below a folder with
// the given files.
func setUp(t *testing.T, files map[string]string) (*jinja.Env, *filter.Options, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := &filter.Options{}
	*o = filter.Machine()
	o.Run = nil
	o.Find = func(_ *jinja.Call, kind, name string) (string, []string, bool) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, kind, name)
		}
		_, err := os.Stat(name)
		return name, []string{name}, err == nil
	}
	o.Decrypt = func(b []byte) ([]byte, error) {
		return []byte("opened " + strings.TrimSpace(strings.SplitN(string(b), "\n", 2)[1])), nil
	}
	o.Hosts = func(_ *jinja.Call, pattern string) ([]string, error) {
		return []string{pattern + "1", pattern + "2"}, nil
	}
	o.Fetch = func(_ context.Context, r filter.Request) ([]byte, error) {
		if r.URL == "bad" {
			return nil, errors.New("refused")
		}
		return []byte("one\ntwo " + r.Username), nil
	}
	o.Lookups = map[string]filter.Lookup{"ours": func(c *filter.LookupCall) ([]value.Value, error) {
		return []value.Value{int64(len(c.Terms))}, nil
	}}
	e := jinja.New()
	filter.Install(e, *o)
	return e, o, dir
}

func eval(t *testing.T, e *jinja.Env, src string, vars jinja.Vars) (value.Value, error) {
	t.Helper()
	x, err := e.Expr(src)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return x.Eval(context.Background(), vars)
}

func TestFileLookups(t *testing.T) {
	e, _, dir := setUp(t, map[string]string{
		"files/a.txt": "  text \n\n", "files/b.conf": "b", "files/c.conf": "c", "files/.hidden.conf": "h",
		"files/secret": "$ANSIBLE_VAULT;1.1;AES256\n6162\n", "templates/t.j2": "{% if true %}\nx={{ n }} {{ extra | default('') }}\n{% endif %}\n",
		"files/u.ini": "[a]\nuser = ann\nUser2: bob\nlong = one\n  two\n[DEFAULT]\nd = 1\n", "files/p.properties": "k.x = 1\nk.y = 2\n",
		"files/e.csv": "H,Helium,2\nL,Lithium,3\n", "files/t.csv": "k\tv1\tv2\n",
	})
	vars := jinja.Vars{"n": int64(5)}
	for src, want := range map[string]string{
		"lookup('file', 'a.txt')":                                                "'  text'",
		"lookup('file', 'a.txt', lstrip=true, rstrip=false)":                     `'text \n\n'`,
		"lookup('file', 'secret')":                                               "'opened 6162'",
		"lookup('unvault', 'secret')":                                            "'opened 6162'",
		"lookup('template', 't.j2')":                                             `'x=5 \n'`,
		"lookup('template', 't.j2', template_vars={'extra': 'E'})":               `'x=5 E\n'`,
		"query('fileglob', '*.conf') | map('basename') | list":                   "['b.conf', 'c.conf']",
		"query('fileglob', '" + dir + "/files/?.conf') | map('basename') | list": "['b.conf', 'c.conf']",
		"lookup('first_found', 'nope', 'b.conf') | basename":                     "'b.conf'",
		"lookup('first_found', {'files': 'x,c.conf', 'skip': true}) | basename":  "'c.conf'",
		"query('first_found', {'files': ['x'], 'skip': true})":                   "[]",
		"lookup('ini', 'user', section='a', file='u.ini')":                       "'ann'",
		"lookup('ini', 'user2 section=a file=u.ini')":                            "'bob'",
		"lookup('ini', 'long', section='a', file='u.ini')":                       `'one\ntwo'`,
		"lookup('ini', 'd', section='a', file='u.ini')":                          "'1'",
		"lookup('ini', 'zz', section='a', file='u.ini', default='dd')":           "'dd'",
		"query('ini', 'k.*', type='properties', file='p.properties', re=true)":   "['1', '2']",
		"lookup('csvfile', 'L file=e.csv delimiter=,')":                          "'Lithium'",
		"lookup('csvfile', 'L', file='e.csv', delimiter=',', col='2')":           "'3'",
		"lookup('csvfile', 'k', file='t.csv')":                                   "'v1'",
		"lookup('csvfile', 'zz', file='e.csv', delimiter=',', default='none')":   "'none'",
		"query('inventory_hostnames', 'web')":                                    "['web1', 'web2']",
		"query('url', 'http://x', username='u')":                                 "['one', 'two u']",
		"lookup('ours', 1, 2)":                                                   "2",
	} {
		got, err := eval(t, e, src, vars)
		if err != nil || value.Repr(got) != want {
			t.Errorf("%s: %v, %v; want %s", src, got, err, want)
		}
	}
	for src, want := range map[string]string{
		"lookup('file', 'nope')":     "could not be found",
		"lookup('template', 'nope')": "could not be found",
		"lookup('url', 'bad')":       "refused",
		"lookup('itmes', 1)":         "Did you mean 'items'",
		"lookup('pipe', 'true')":     "cannot be run here",
		"nope | regex_replace('a')":  "",
	} {
		v, err := eval(t, e, src, vars)
		if want == "" {
			if _, ok := v.(*value.Undefined); !ok {
				t.Errorf("%s: %v, want something undefined", src, v)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
}

func TestPasswordIsKept(t *testing.T) {
	e, _, dir := setUp(t, nil)
	first, err := eval(t, e, "lookup('password', 'creds/db length=30 chars=ascii_letters,digits')", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := first.(string); len(s) != 30 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		t.Errorf("the password is %q", s)
	}
	info, err := os.Stat(filepath.Join(dir, "creds/db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file: %v, %v", info, err)
	}
	again, err := eval(t, e, "lookup('password', 'creds/db length=8')", nil)
	if err != nil || again != first {
		t.Errorf("the second time %v, %v; want %v", again, err, first)
	}
	hash, err := eval(t, e, "lookup('password', 'creds/db encrypt=sha256_crypt')", nil)
	if err != nil || !strings.HasPrefix(value.Str(hash), "$5$") {
		t.Fatalf("hashed: %v, %v", hash, err)
	}
	same, err := eval(t, e, "lookup('password', 'creds/db', encrypt='sha256_crypt')", nil)
	if err != nil || same != hash {
		t.Errorf("hashed again: %v, %v; want %v", same, err, hash)
	}
}

// Options that say nothing give nothing away.
func TestNothingIsReachedUnasked(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DROVER_TEST", "leaked")
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("leaked"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("leaked", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	e := jinja.New()
	filter.Install(e, filter.Options{})
	for _, src := range []string{
		"lookup('file', D ~ '/secret')", "lookup('unvault', D ~ '/secret')", "lookup('template', D ~ '/secret')", "lookup('ini', 'k', file=D ~ '/secret')",
		"lookup('password', D ~ '/secret')", "lookup('password', D ~ '/new')", "lookup('env', 'DROVER_TEST')", "'$DROVER_TEST' | expandvars", "'~/x' | expanduser",
		"lookup('pipe', 'cat ' ~ D ~ '/secret')", "lookup('lines', 'touch ' ~ D ~ '/new')", "lookup('url', 'file://' ~ D ~ '/secret')", "query('fileglob', D ~ '/*') | string",
		"(D ~ '/*') | fileglob | string", "(D ~ '/secret') is exists", "(D ~ '/link') is link", "(D ~ '/link') | realpath", "lookup('first_found', D ~ '/secret')",
	} {
		v, err := eval(t, e, src, jinja.Vars{"D": dir})
		if got := value.Str(v); strings.Contains(got, "leaked") || got == "True" || strings.Contains(got, "secret") || got == os.Getenv("HOME")+"/x" {
			t.Errorf("%s gave %s, %v", src, got, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("something was written: %v, %v", list, err)
	}
}

func TestRunLookup(t *testing.T) {
	e, o, _ := setUp(t, nil)
	out, err := filter.RunLookup(context.Background(), e, o, jinja.Vars{}, "items", []value.Value{value.NewList(int64(1), int64(2)), int64(3)}, nil)
	if err != nil || value.Repr(value.NewList(out...)) != "[1, 2, 3]" {
		t.Errorf("got %v, %v", out, err)
	}
	if _, err := filter.RunLookup(context.Background(), e, o, jinja.Vars{}, "nosuch", nil, nil); err == nil {
		t.Error("an unknown lookup gave no error")
	}
}

func TestRegexHasATimeLimit(t *testing.T) {
	e, _, _ := setUp(t, nil)
	start := time.Now()
	_, err := eval(t, e, "('a' * 40) is match('(a+)+$') and ('a' * 40 ~ 'b') is match('(a+)+$')", nil)
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v, want that it takes too long", err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestRandomnessWithoutSeedVaries(t *testing.T) {
	e, _, _ := setUp(t, nil)
	seen := map[string]bool{}
	for range 50 {
		v, err := eval(t, e, "1000000 | random", nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[value.Str(v)] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 draws gave %d numbers", len(seen))
	}
}

func FuzzRegex(f *testing.F) {
	for _, s := range []string{"(?P<x>a)(?P=x)", "[]a-[b]+", "a{,3}\\Z", "(?(x)a|b)", "(?iu)x", "\\1(", "(?<!a)b"} {
		f.Add(s, "aab", "\\g<x>\\1")
	}
	e := jinja.New()
	filter.Install(e, filter.Options{})
	f.Fuzz(func(t *testing.T, pattern, text, repl string) {
		if len(text) > 100 || len(pattern) > 200 {
			return
		}
		for _, src := range []string{"t | regex_replace(p, r)", "t | regex_findall(p)", "t | regex_search(p)", "t is match(p)"} {
			_, _ = eval(t, e, src, jinja.Vars{"t": text, "p": pattern, "r": repl})
		}
	})
}
