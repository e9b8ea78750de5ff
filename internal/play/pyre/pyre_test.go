package pyre

import "testing"

func FuzzPyExpand(f *testing.F) {
	f.Add(`(a)(?P<n>b)?`, `\1\g<n>\n\\`, "xaby")
	f.Add(`(?<=x)a`, `\g<0>`, "xa\xff")
	f.Fuzz(func(t *testing.T, pattern, tmpl, s string) {
		if len(pattern)+len(s) > 60 {
			return
		}
		re, err := Compile(pattern, false, false)
		if err != nil {
			return
		}
		if re.ext != nil {
			re.ext.MatchTimeout = 1e8
		}
		m, err := re.Find(s)
		if err != nil || m == nil {
			return
		}
		if m[0] < 0 || m[1] > len(s) || m[0] > m[1] {
			t.Fatalf("%q in %q: %v", pattern, s, m)
		}
		_, _ = re.Expand(tmpl, s, m)
	})
}
