package crontab

import (
	"strings"
	"testing"
)

func FuzzCrontab(f *testing.F) {
	for _, s := range []string{"", "# c\n* * * * * x\n", "#Ansible: a\n1 * * * * b\nX=\"1\"\n", "\n\n", "#Ansible: a", "A =b\n#Ansible: a\n#Ansible: b\n"} {
		f.Add(s, "a", "* * * * * job")
	}
	f.Fuzz(func(t *testing.T, s, name, job string) {
		if strings.ContainsAny(name+job, "\n\r") || job == "" || strings.HasPrefix(job, Mark) {
			return
		}
		tab := Parse(s)
		if back := tab.String(); strings.TrimSuffix(back, "\n") != strings.TrimSuffix(s, "\n") {
			t.Fatalf("%q is written back as %q", s, back)
		}
		one := tab.SetJob(name, job)
		at, hasJob := one.Job(name)
		if at < 0 || !hasJob || one[at+1] != job {
			t.Fatalf("%q: job %q is not there: %q", s, name, one)
		}
		if two := one.SetJob(name, job); two.String() != one.String() {
			t.Fatalf("%q: set twice: %q and %q", s, one, two)
		}
		gone := one.RemoveJob(name)
		if len(gone) != len(one)-2 {
			t.Fatalf("%q: removed %d lines", s, len(one)-len(gone))
		}
	})
}

func FuzzCronField(f *testing.F) {
	for _, s := range []string{"*", "*/5", "1-5", "1,2,mon", "jan-mar/2", "61", "", "1-", "~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range Fields {
			if err := c.Check(s); err == nil && (s == "" || strings.ContainsAny(s, " \t\n")) {
				t.Fatalf("%s takes %q", c.Name, s)
			}
		}
	})
}
