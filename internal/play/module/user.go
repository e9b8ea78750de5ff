package module

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/play/machine"
)

var userModule = &Module{
	Name: "user",
	Params: []Param{
		{Name: "name", Aliases: []string{"user"}, Required: true},
		{Name: "state", Default: "present", Choices: []string{"absent", "present"}},
		{Name: "uid", Type: Int},
		{Name: "non_unique", Type: Bool, Default: false},
		{Name: "group"},
		{Name: "groups", Type: List},
		{Name: "append", Type: Bool, Default: false},
		{Name: "comment"},
		{Name: "shell", Type: Path},
		{Name: "home", Type: Path},
		{Name: "create_home", Aliases: []string{"createhome"}, Type: Bool, Default: true},
		{Name: "move_home", Type: Bool, Default: false},
		{Name: "skeleton"},
		{Name: "umask"},
		{Name: "system", Type: Bool, Default: false},
		{Name: "force", Type: Bool, Default: false},
		{Name: "remove", Type: Bool, Default: false},
		{Name: "local", Type: Bool, Default: false},
		{Name: "uid_min", Type: Int},
		{Name: "uid_max", Type: Int},
		{Name: "password", NoLog: true},
		{Name: "update_password", Default: "always", Choices: []string{"always", "on_create"}},
		{Name: "password_lock", Type: Bool},
		{Name: "password_expire_max", Type: Int},
		{Name: "password_expire_min", Type: Int},
		{Name: "password_expire_warn", Type: Int},
		{Name: "password_expire_account_disable", Type: Int},
		{Name: "expires", Type: Float},
		{Name: "generate_ssh_key", Type: Bool, Default: false},
		{Name: "ssh_key_bits", Type: Int, Default: 0},
		{Name: "ssh_key_type", Default: "rsa"},
		{Name: "ssh_key_file", Type: Path},
		{Name: "ssh_key_comment"},
		{Name: "ssh_key_passphrase", NoLog: true},
		{Name: "seuser"},
		// For other systems than Linux; accepted so that a task may name them.
		{Name: "hidden", Type: Bool}, {Name: "login_class"}, {Name: "profile"}, {Name: "authorization"}, {Name: "role"},
	},
	Run: runUser,
}

// accountOn is what a host knows of a user.
type account struct {
	Account
	shadow    []string // fields of /etc/shadow, nil if there are none to see
	secondary []string // groups that list the user
}

func accountOn(h *Host, name string) (*account, bool) {
	a, ok := h.UserByName(name)
	if !ok {
		return nil, false
	}
	out := &account{Account: a}
	h.Fields("/etc/shadow", func(f []string) {
		if len(f) >= 8 && f[0] == name {
			out.shadow = f
		}
	})
	for _, g := range h.Groups() {
		if g.GID != a.GID && slices.Contains(g.Members, name) {
			out.secondary = append(out.secondary, g.Name)
		}
	}
	return out, true
}

// shadowInt is a number of the shadow entry, -1 if it is empty.
func (a *account) shadowInt(field int) int64 {
	if a.shadow == nil || len(a.shadow) <= field || a.shadow[field] == "" {
		return -1
	}
	n, err := strconv.ParseInt(a.shadow[field], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (a *account) hash() string {
	if a.shadow != nil {
		return a.shadow[1]
	}
	return a.Password
}

// record is the user as changes tell it; never with the password.
func (a *account) record() map[string]any {
	groups := slices.Clone(a.secondary)
	slices.Sort(groups)
	return map[string]any{"uid": a.UID, "gid": a.GID, "comment": a.Gecos, "home": a.Home, "shell": a.Shell,
		"groups": strings.Join(groups, ","), "locked": strings.HasPrefix(a.hash(), "!")}
}

func runUser(ctx context.Context, c *Call) *Result {
	u := &userTask{Call: c, name: c.Str("name"), r: &Result{}}
	if strings.ContainsAny(u.name, ":\n\t ,") || u.name == "" || strings.HasPrefix(u.name, "-") {
		return Fail("cannot manage user %q: this is no user name", u.name).Set("name", u.name)
	}
	if c.Has("groups") {
		u.groups = nonEmpty(c.List("groups"))
	}
	if c.Has("append") && c.Bool("append") && !c.Has("groups") {
		u.r.Warn("'append' is set, but no 'groups' are specified. Use 'groups' for appending new groups.This will change to an error in Ansible 2.14.")
	}
	if c.Has("password") {
		u.checkPassword()
	}
	was, ok := accountOn(c.Host, u.name)
	switch {
	case c.Str("state") == "absent" && !ok:
		return u.r.Set("name", u.name).Set("state", "absent")
	case c.Str("state") == "absent":
		return u.remove(ctx, was)
	case !ok:
		if !u.create(ctx) {
			return u.r
		}
	default:
		if !u.modify(ctx, was) {
			return u.r
		}
	}
	if c.Check && u.r.Changed {
		return u.r
	}
	return u.finish(ctx, ok)
}

// userTask is one run of the module.
type userTask struct {
	*Call
	name   string
	groups []string
	// awaited are the groups that a check takes for an earlier task's.
	awaited []string
	r       *Result
	out     strings.Builder
	errs    strings.Builder
}

func nonEmpty(in []string) []string {
	out := []string{}
	for _, s := range in {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// checkPassword warns about what is not a crypt(3) hash.
func (u *userTask) checkPassword() {
	p := u.Str("password")
	for _, special := range []string{"", "*", "!", "!!", "*************", "x"} {
		if p == special || p == "!"+special {
			return
		}
	}
	p = strings.TrimPrefix(p, "!")
	min := map[string]int{"1": 22, "5": 43, "6": 86}
	f := strings.Split(p, "$")
	if len(f) >= 4 && f[0] == "" {
		if n, ok := min[f[1]]; !ok || len(f[len(f)-1]) == n {
			return
		}
	}
	u.r.Warn("The input password appears not to have been hashed. The 'password' argument must be encrypted for this module to work properly.")
}

// do runs a tool of the host's and keeps what it said.
func (u *userTask) do(ctx context.Context, stdin string, argv ...string) bool {
	cmd := Cmd{Argv: argv}
	if stdin != "" {
		cmd.Stdin = []byte(stdin)
	}
	out, err := u.tool(ctx, cmd)
	if err != nil {
		u.r.Fail("cannot run %s for user %s: %v", argv[0], u.name, err).Set("name", u.name)
		return false
	}
	u.out.Write(out.Stdout)
	u.errs.Write(out.Stderr)
	if out.Code != 0 {
		text := strings.TrimSpace(string(out.Stderr))
		if text == "" {
			text = strings.TrimSpace(string(out.Stdout))
		}
		u.r.Fail("%s", text).Set("name", u.name).Set("rc", out.Code)
		return false
	}
	return true
}

func (u *userTask) said() {
	if s := u.out.String(); s != "" {
		u.r.Set("stdout", s)
	}
	if s := u.errs.String(); s != "" {
		u.r.Set("stderr", s)
	}
}

func (u *userTask) remove(ctx context.Context, was *account) *Result {
	u.r.Change("user", u.name, "delete", was.record(), nil)
	if u.Check {
		return u.r
	}
	argv := []string{"userdel"}
	if u.Bool("force") {
		argv = append(argv, "-f")
	}
	if u.Bool("remove") {
		argv = append(argv, "-r")
	}
	if !u.do(ctx, "", append(argv, u.name)...) {
		u.r.Changed, u.r.Changes = false, nil
		return u.r
	}
	u.said()
	return u.r.Set("name", u.name).Set("state", "absent").Set("force", u.Bool("force")).Set("remove", u.Bool("remove"))
}

// groupID finds a group by name or number.
func (u *userTask) groupID(name string) (Group, bool) {
	if g, ok := u.Host.GroupByName(name); ok {
		return g, true
	}
	if n, err := strconv.Atoi(name); err == nil {
		return u.Host.GroupByID(n)
	}
	return Group{}, false
}

func (u *userTask) checkGroups() bool {
	names := u.groups
	if u.Has("group") {
		names = append([]string{u.Str("group")}, names...)
	}
	for _, g := range names {
		if _, ok := u.groupID(g); !ok {
			if u.Check {
				u.r.await(machine.NoAccount{Kind: "group", Name: g})
				u.awaited = append(u.awaited, g)
				continue
			}
			u.r.Fail("Group %s does not exist", g)
			return false
		}
	}
	return true
}

// wantedGroups are the secondary groups by name, without the primary one.
func (u *userTask) wantedGroups(primary int) []string {
	out := []string{}
	for _, n := range u.groups {
		if g, ok := u.groupID(n); ok && g.GID != primary && !slices.Contains(out, g.Name) {
			out = append(out, g.Name)
		}
	}
	return out
}

// expireDays is `expires` as /etc/shadow counts; -1 is never.
func (u *userTask) expireDays() int64 {
	e := u.Float("expires")
	if e < 0 {
		return -1
	}
	return int64(e) / 86400
}

func expireDate(days int64) string {
	if days < 0 {
		return ""
	}
	return time.Unix(days*86400, 0).UTC().Format("2006-01-02")
}

// finish tells how the user is now, after seeing to home and key.
func (u *userTask) finish(ctx context.Context, existed bool) *Result {
	now, ok := accountOn(u.Host, u.name)
	if !ok {
		return u.r.Fail("cannot find user %s after it was made", u.name).Set("name", u.name)
	}
	if existed && u.Bool("create_home") && now.Home != "" && !u.Host.Exists(now.Home) {
		if !u.Check {
			if err := u.makeHome(now); err != nil {
				return u.r.Fail("cannot make the home of user %s: %v", u.name, err).Set("name", u.name)
			}
		}
		u.r.Change("directory", now.Home, "create", nil, nil)
	}
	if u.Bool("generate_ssh_key") && !u.sshKey(ctx, now) {
		return u.r.Set("name", u.name)
	}
	u.said()
	r := u.r
	r.Set("name", u.name).Set("state", "present").Set("uid", now.UID).Set("group", now.GID)
	r.Set("comment", now.Gecos).Set("home", now.Home).Set("shell", now.Shell)
	if existed {
		r.Set("append", u.Bool("append")).Set("move_home", u.Bool("move_home"))
	} else {
		r.Set("system", u.Bool("system")).Set("create_home", u.Bool("create_home"))
	}
	if u.Has("groups") {
		r.Set("groups", strings.Join(u.groups, ","))
	}
	if u.Has("password") {
		r.Set("password", "NOT_LOGGING_PASSWORD")
	}
	return r
}

// diff shows what changes, as text.
func (u *userTask) diff(before, after map[string]any) {
	if u.Call.Diff {
		if before == nil {
			before = map[string]any{}
		}
		u.r.attrDiff(before, after)
	}
}
