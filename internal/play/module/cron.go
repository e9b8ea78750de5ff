package module

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drover/internal/play/crontab"
)

var cronModule = &Module{
	Name: "cron",
	Params: []Param{
		{Name: "name", Required: true}, {Name: "user"}, {Name: "job", Aliases: []string{"value"}}, {Name: "cron_file", Type: Path},
		{Name: "state", Default: "present", Choices: []string{"present", "absent"}}, {Name: "backup", Type: Bool, Default: false},
		{Name: "minute", Default: "*"}, {Name: "hour", Default: "*"}, {Name: "day", Aliases: []string{"dom"}, Default: "*"},
		{Name: "month", Default: "*"}, {Name: "weekday", Aliases: []string{"dow"}, Default: "*"},
		{Name: "special_time", Choices: []string{"reboot", "yearly", "annually", "monthly", "weekly", "daily", "hourly"}},
		{Name: "disabled", Type: Bool, Default: false}, {Name: "env", Type: Bool, Default: false},
		{Name: "insertafter"}, {Name: "insertbefore"},
	},
	MutuallyExclusive: [][]string{{"insertafter", "insertbefore"}},
	Run:               runCron,
}

// cronTask is one run of the module: which table, and where it is kept.
type cronTask struct {
	*Call
	file string // path of a file in /etc/cron.d style; empty for a user's table
	user string
}

func runCron(ctx context.Context, c *Call) *Result {
	t := &cronTask{Call: c, user: c.Str("user")}
	if f := c.Str("cron_file"); f != "" {
		if t.file = f; !filepath.IsAbs(f) {
			t.file = filepath.Join("/etc/cron.d", f)
		}
	}
	if bad := t.check(); bad != nil {
		return bad
	}
	before, exists, err := t.read(ctx)
	if err != nil {
		return Fail("%v", err)
	}
	after, bad := t.edit(before)
	if bad != nil {
		return bad
	}
	r := (&Result{}).Set("jobs", after.Jobs()).Set("envs", after.Envs())
	if f := c.Str("cron_file"); f != "" {
		r.Set("cron_file", f)
	}
	if after.String() == before.String() {
		return r
	}
	if c.Diff {
		r.addDiff(t.title(), before.String(), after.String())
	}
	if !c.Check {
		if c.Bool("backup") && exists {
			name, err := t.keepOld(before)
			if err != nil {
				return Fail("%v", err)
			}
			r.Set("backup_file", name)
		}
		if err := t.write(ctx, after.String()); err != nil {
			return Fail("%v", err)
		}
	}
	was, now := t.entry(before), t.entry(after)
	action := "update"
	switch {
	case was == nil:
		action = "create"
	case now == nil:
		action = "delete"
	}
	return r.Change("cron", c.Str("name"), action, was, now)
}

func (t *cronTask) title() string {
	switch {
	case t.file != "":
		return t.file
	case t.user != "":
		return fmt.Sprintf("crontab for user %q", t.user)
	}
	return "crontab"
}

// entry is the job or variable as the record of the change tells it.
func (t *cronTask) entry(tab crontab.Table) any {
	name := t.Str("name")
	if t.Bool("env") {
		if i := tab.Env(name); i >= 0 {
			return tab[i]
		}
		return nil
	}
	at, hasJob := tab.Job(name)
	if at < 0 || !hasJob {
		return nil
	}
	return tab[at+1]
}

func (t *cronTask) check() *Result {
	present := t.Str("state") == "present"
	timed := false
	for _, f := range crontab.Fields {
		timed = timed || t.Has(f.Name) && t.Str(f.Name) != "*"
	}
	switch {
	case t.Str("special_time") != "" && timed:
		return Fail("You must specify time and date fields or special time.")
	case t.file != "" && t.user == "" && present:
		return Fail("To use cron_file=... parameter you must specify user=... as well")
	case present && !t.Has("job"):
		return Fail("You must specify 'job' to install a new cron job or variable")
	case (t.Has("insertafter") || t.Has("insertbefore")) && !t.Bool("env"):
		return Fail("Insertafter and insertbefore parameters are valid only with env=yes")
	}
	for _, p := range []string{"name", "job", "user"} {
		if strings.ContainsAny(t.Str(p), "\n\r") {
			return Fail("cannot use %s: it holds a line break, which a crontab cannot", p)
		}
	}
	if present && !t.Bool("env") && t.Str("special_time") == "" {
		for _, f := range crontab.Fields {
			if err := f.Check(t.Str(f.Name)); err != nil {
				return Fail("cannot use %s: %v", f.Name, err)
			}
		}
	}
	return nil
}

func (t *cronTask) edit(tab crontab.Table) (crontab.Table, *Result) {
	name := t.Str("name")
	present := t.Str("state") == "present"
	if !t.Bool("env") {
		if !present {
			return tab.RemoveJob(name), nil
		}
		return tab.SetJob(name, t.line()), nil
	}
	at := tab.Env(name)
	if !present {
		if at < 0 {
			return tab, nil
		}
		return append(append(crontab.Table{}, tab[:at]...), tab[at+1:]...), nil
	}
	line := fmt.Sprintf("%s=\"%s\"", name, t.Str("job"))
	if at >= 0 {
		out := append(crontab.Table{}, tab...)
		out[at] = line
		return out, nil
	}
	at = 0
	for _, where := range []string{"insertafter", "insertbefore"} {
		if v := t.Str(where); v != "" {
			if at = tab.Env(v); at < 0 {
				return nil, Fail("Variable named '%s' not found.", v)
			}
			if where == "insertafter" {
				at++
			}
		}
	}
	return slices.Insert(slices.Clone(tab), at, line), nil
}

// line is the job's line in the table.
func (t *cronTask) line() string {
	var parts []string
	if s := t.Str("special_time"); s != "" {
		parts = append(parts, "@"+s)
	} else {
		for _, f := range crontab.Fields {
			parts = append(parts, t.Str(f.Name))
		}
	}
	if t.file != "" {
		parts = append(parts, t.user)
	}
	parts = append(parts, strings.TrimRight(t.Str("job"), "\r\n"))
	line := strings.Join(parts, " ")
	if t.Bool("disabled") {
		line = "#" + line
	}
	return line
}

// spools are where cron keeps the tables of users, by distribution.
var spools = []string{"/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"}

func (t *cronTask) spool() (dir string, ok bool) {
	for _, d := range spools {
		if fi, err := t.Host.Stat(d); err == nil && fi.IsDir() {
			return d, true
		}
	}
	return spools[0], false
}

func (t *cronTask) owner() string {
	if t.user != "" {
		return t.user
	}
	return t.Host.OwnerName(os.Geteuid())
}

// read gives the table and whether there is one. Root reads the file itself, so
// that a run that changes nothing starts no process.
func (t *cronTask) read(ctx context.Context) (crontab.Table, bool, error) {
	path := t.file
	if path == "" {
		if t.user != "" {
			if _, ok := t.Host.UserByName(t.user); !ok {
				return nil, false, fmt.Errorf("cannot read the crontab: no user %q", t.user)
			}
		}
		dir, ok := t.spool()
		path = filepath.Join(dir, t.owner())
		if os.Geteuid() != 0 || !ok && t.Host.Root == "" {
			return t.list(ctx)
		}
	}
	b, err := t.Host.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot read %s: %w", path, err)
	}
	tab := crontab.Parse(string(b))
	if t.file == "" {
		tab = tab.Body()
	}
	return tab, true, nil
}

func (t *cronTask) list(ctx context.Context) (crontab.Table, bool, error) {
	argv := []string{"crontab", "-l"}
	if t.user != "" && t.user != t.Host.OwnerName(os.Geteuid()) {
		argv = []string{"crontab", "-u", t.user, "-l"}
	}
	out, err := t.Host.Run(ctx, Cmd{Argv: argv})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, errors.New("cannot read the crontab: there is no crontab program; install the package cron")
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot read the crontab: %w", err)
	}
	if out.Code > 1 {
		return nil, false, fmt.Errorf("cannot read the crontab: %s", strings.TrimSpace(string(out.Stderr)))
	}
	return crontab.Parse(string(out.Stdout)).Body(), out.Code == 0, nil
}

// keepOld copies the table that is about to be replaced.
func (t *cronTask) keepOld(tab crontab.Table) (string, error) {
	f, err := os.CreateTemp(t.Host.Path("/tmp"), "crontab")
	if err != nil {
		return "", fmt.Errorf("cannot back up the crontab: %w", err)
	}
	_, err = f.WriteString(tab.String())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("cannot back up the crontab: %w", err)
	}
	return strings.TrimPrefix(f.Name(), t.Host.Root), nil
}

// write puts the table in place: a file by itself, a user's table through
// crontab(1), which checks it and tells cron.
func (t *cronTask) write(ctx context.Context, s string) error {
	if t.file != "" {
		return t.Host.WriteFile(t.file, []byte(s))
	}
	if t.Host.Root != "" && t.Host.Exec == nil {
		dir, _ := t.spool()
		return t.Host.WriteFile(filepath.Join(dir, t.owner()), []byte(s))
	}
	argv := []string{"crontab", "-"}
	if t.user != "" && t.user != t.Host.OwnerName(os.Geteuid()) {
		argv = []string{"crontab", "-u", t.user, "-"}
	}
	out, err := t.Host.Run(ctx, Cmd{Argv: argv, Stdin: []byte(s)})
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("cannot write the crontab: there is no crontab program; install the package cron")
	}
	if err != nil {
		return fmt.Errorf("cannot write the crontab: %w", err)
	}
	if out.Code != 0 {
		return fmt.Errorf("cannot write the crontab: %s", strings.TrimSpace(string(out.Stderr)))
	}
	return nil
}
