package module

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"drover/internal/play/param"
)

// create makes the user by useradd, so that the host's own defaults hold.
func (u *userTask) create(ctx context.Context) bool {
	if !u.checkGroups() {
		return false
	}
	after := map[string]any{"name": u.name, "groups": strings.Join(u.groups, ",")}
	for _, k := range []string{"uid", "group", "comment", "home", "shell"} {
		if u.Has(k) {
			after[k] = u.Raw(k)
		}
	}
	if u.Check {
		u.r.Change("user", u.name, "create", nil, after)
		u.diff(nil, after)
		return true
	}
	argv := []string{"useradd"}
	if u.Has("uid") {
		argv = append(argv, "-u", strconv.FormatInt(u.Int("uid"), 10))
		if u.Bool("non_unique") {
			argv = append(argv, "-o")
		}
	}
	if u.Has("seuser") {
		argv = append(argv, "-Z", u.Str("seuser"))
	}
	if u.Has("group") {
		argv = append(argv, "-g", u.Str("group"))
	} else if _, taken := u.Host.GroupByName(u.name); taken {
		argv = append(argv, "-N") // useradd would refuse to make a second group of this name
	}
	if len(u.groups) > 0 {
		argv = append(argv, "-G", strings.Join(u.wantedGroups(-1), ","))
	}
	if u.Has("comment") {
		argv = append(argv, "-c", u.Str("comment"))
	}
	if u.Has("home") {
		argv = append(argv, "-d", u.Str("home"))
		if u.Bool("create_home") && !u.makeParent(u.Str("home")) {
			return false
		}
	}
	if u.Has("shell") {
		argv = append(argv, "-s", u.Str("shell"))
	}
	if u.Has("expires") {
		argv = append(argv, "-e", expireDate(u.expireDays()))
	}
	if u.Has("password_expire_account_disable") {
		argv = append(argv, "-f", strconv.FormatInt(u.Int("password_expire_account_disable"), 10))
	}
	for _, k := range []string{"uid_min", "uid_max"} {
		if u.Has(k) {
			argv = append(argv, "-K", strings.ToUpper(k)+"="+strconv.FormatInt(u.Int(k), 10))
		}
	}
	if u.Bool("create_home") {
		argv = append(argv, "-m")
		if u.Has("skeleton") {
			argv = append(argv, "-k", u.Str("skeleton"))
		}
		if u.Has("umask") {
			argv = append(argv, "-K", "UMASK="+u.Str("umask"))
		}
	} else {
		argv = append(argv, "-M")
	}
	if u.Bool("system") {
		argv = append(argv, "-r")
	}
	if !u.do(ctx, "", append(argv, u.name)...) {
		return false
	}
	// From here the user exists: what fails now is told together with it.
	defer func() {
		if now, ok := accountOn(u.Host, u.name); ok {
			u.r.Change("user", u.name, "create", nil, now.record())
		}
	}()
	u.diff(nil, after)
	if u.Has("password") && !u.setPassword(ctx, u.Str("password")) {
		return false
	}
	if u.Bool("password_lock") && u.Has("password_lock") && !u.do(ctx, "", "usermod", "-L", u.name) {
		return false
	}
	return u.setAging(ctx, nil)
}

// setPassword hands the hash over by standard input: what is in argv can be
// read by everybody on the host.
func (u *userTask) setPassword(ctx context.Context, hash string) bool {
	if strings.ContainsAny(hash, ":\n") {
		u.r.Fail("cannot set the password of user %s: a hash holds no colon and no line end", u.name).Set("name", u.name)
		return false
	}
	return u.do(ctx, u.name+":"+hash+"\n", "chpasswd", "-e")
}

// aging are chage's options by parameter, with the field of /etc/shadow.
var aging = []struct {
	param, flag string
	field       int
}{{"password_expire_min", "-m", 3}, {"password_expire_max", "-M", 4}, {"password_expire_warn", "-W", 5}}

func (u *userTask) agingArgs(was *account) []string {
	var argv []string
	for _, a := range aging {
		if u.Has(a.param) && (was == nil || was.shadowInt(a.field) != u.Int(a.param)) {
			argv = append(argv, a.flag, strconv.FormatInt(u.Int(a.param), 10))
		}
	}
	return argv
}

func (u *userTask) setAging(ctx context.Context, was *account) bool {
	argv := u.agingArgs(was)
	if len(argv) == 0 {
		return true
	}
	return u.do(ctx, "", append(append([]string{"chage"}, argv...), u.name)...)
}

// modify makes an existing user as wanted.
func (u *userTask) modify(ctx context.Context, was *account) bool {
	if !u.checkGroups() {
		return false
	}
	argv, after := u.modifyArgs(was)
	for _, g := range u.awaited {
		if g == u.Str("group") {
			after["group"] = g
		} else {
			after["groups"] = strings.Join(u.groups, ",")
		}
	}
	password := u.Has("password") && u.Str("update_password") == "always" && !samePassword(was.hash(), u.Str("password"))
	if password {
		after["password"] = "changed"
	}
	if a := u.agingArgs(was); len(a) > 0 {
		after["aging"] = strings.Join(a, " ")
	}
	lock := u.lockArgs(was, password)
	if lock != "" {
		after["locked"] = lock == "-L"
	}
	if len(after) == 0 {
		return true
	}
	before, full := was.record(), was.record()
	shown := map[string]any{}
	for k, v := range after {
		full[k] = v
		if b, ok := before[k]; ok {
			shown[k] = b
		}
	}
	u.r.Change("user", u.name, "update", before, full)
	u.diff(shown, after)
	if u.Check {
		return true
	}
	if len(argv) > 0 && !u.do(ctx, "", append(append([]string{"usermod"}, argv...), u.name)...) {
		return u.undone()
	}
	if password && !u.setPassword(ctx, u.Str("password")) {
		return u.undone()
	}
	if lock != "" && !u.do(ctx, "", "usermod", lock, u.name) {
		return u.undone()
	}
	return u.setAging(ctx, was) || u.undone()
}

// undone takes back the claim of a change when nothing of it happened.
func (u *userTask) undone() bool {
	if now, ok := accountOn(u.Host, u.name); ok && len(u.r.Changes) > 0 {
		if b, ok := u.r.Changes[0].Before.(map[string]any); ok && param.ToRepr(b) == param.ToRepr(now.record()) {
			u.r.Changed, u.r.Changes, u.r.Diff = false, nil, nil
		}
	}
	return false
}

// samePassword compares hashes; a lock before ours is not a change.
func samePassword(have, want string) bool {
	return have == want || strings.TrimLeft(have, "!") == want && want != ""
}

func (u *userTask) lockArgs(was *account, password bool) string {
	if !u.Has("password_lock") || was.shadow == nil {
		return ""
	}
	locked := strings.HasPrefix(was.hash(), "!")
	if password {
		locked = strings.HasPrefix(u.Str("password"), "!")
	}
	switch {
	case u.Bool("password_lock") && !locked:
		return "-L"
	case !u.Bool("password_lock") && locked:
		return "-U"
	}
	return ""
}

// modifyArgs are usermod's options for what differs, and what it will be.
func (u *userTask) modifyArgs(was *account) (argv []string, after map[string]any) {
	after = map[string]any{}
	if u.Has("uid") && u.Int("uid") != int64(was.UID) {
		argv = append(argv, "-u", strconv.FormatInt(u.Int("uid"), 10))
		if u.Bool("non_unique") {
			argv = append(argv, "-o")
		}
		after["uid"] = u.Int("uid")
	}
	primary := was.GID
	if u.Has("group") {
		if g, ok := u.groupID(u.Str("group")); ok && g.GID != was.GID {
			primary = g.GID
			argv = append(argv, "-g", strconv.Itoa(g.GID))
			after["gid"] = g.GID
		}
	}
	if u.Has("groups") {
		argv = append(argv, u.groupArgs(was, primary, after)...)
	}
	text := func(param, flag, have, key string) {
		if u.Has(param) && u.Str(param) != have {
			argv = append(argv, flag, u.Str(param))
			after[key] = u.Str(param)
		}
	}
	text("comment", "-c", was.Gecos, "comment")
	if u.Has("home") && u.Str("home") != was.Home {
		text("home", "-d", was.Home, "home")
		if u.Bool("move_home") {
			argv = append(argv, "-m")
		}
	}
	text("shell", "-s", was.Shell, "shell")
	if u.Has("expires") && was.shadow != nil && was.shadowInt(7) != u.expireDays() {
		argv = append(argv, "-e", expireDate(u.expireDays()))
		after["expires"] = expireDate(u.expireDays())
	}
	if k := "password_expire_account_disable"; u.Has(k) && was.shadow != nil && was.shadowInt(6) != u.Int(k) {
		argv = append(argv, "-f", strconv.FormatInt(u.Int(k), 10))
		after[k] = u.Int(k)
	}
	return argv, after
}

func (u *userTask) groupArgs(was *account, primary int, after map[string]any) []string {
	want := u.wantedGroups(primary)
	have := slices.Clone(was.secondary)
	all := slices.Clone(want)
	if u.Bool("append") {
		missing := slices.DeleteFunc(slices.Clone(want), func(g string) bool { return slices.Contains(have, g) })
		if len(missing) == 0 {
			return nil
		}
		all = append(slices.Clone(have), missing...)
		slices.Sort(all)
		after["groups"] = strings.Join(all, ",")
		return []string{"-a", "-G", strings.Join(missing, ",")}
	}
	slices.Sort(all)
	slices.Sort(have)
	if slices.Equal(all, have) {
		return nil
	}
	after["groups"] = strings.Join(all, ",")
	return []string{"-G", strings.Join(all, ",")}
}

// makeParent makes the folder a home is to lie in: useradd does not.
func (u *userTask) makeParent(home string) bool {
	dir := filepath.Dir(strings.TrimSuffix(home, "/"))
	if err := os.MkdirAll(u.Host.Path(dir), 0o755); err != nil {
		u.r.Fail("cannot make the folder %s for the home of user %s: %v", dir, u.name, err).Set("name", u.name)
		return false
	}
	return true
}

// makeHome gives an existing user a home from the skeleton.
func (u *userTask) makeHome(a *account) error {
	skel := u.Str("skeleton")
	if skel == "" {
		skel = "/etc/skel"
	}
	mask := fs.FileMode(0o022)
	if v, err := strconv.ParseUint(u.Str("umask"), 8, 32); err == nil && u.Has("umask") {
		mask = fs.FileMode(v)
	} else {
		u.Host.Fields("/etc/login.defs", func(f []string) {
			if w := strings.Fields(f[0]); len(w) == 2 && (w[0] == "HOME_MODE" || w[0] == "UMASK") {
				v, err := strconv.ParseUint(w[1], 8, 32)
				switch {
				case err != nil:
				case w[0] == "HOME_MODE":
					mask = 0o777 &^ fs.FileMode(v)
				default:
					mask = fs.FileMode(v)
				}
			}
		})
	}
	home := u.Host.Path(a.Home)
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	from := u.Host.Path(skel)
	if _, err := os.Stat(from); err != nil {
		if err := os.Mkdir(home, 0o777&^mask); err != nil {
			return err
		}
		return os.Lchown(home, a.UID, a.GID)
	}
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		to := filepath.Join(home, rel)
		switch {
		case d.IsDir():
			if err := os.Mkdir(to, 0o700); err != nil {
				return err
			}
			if err := os.Chmod(to, 0o777&^mask); err != nil {
				return err
			}
		case d.Type()&fs.ModeSymlink != 0:
			t, err := os.Readlink(p)
			if err != nil {
				return err
			}
			if err := os.Symlink(t, to); err != nil {
				return err
			}
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			if err := os.WriteFile(to, b, st.Mode().Perm()); err != nil {
				return err
			}
		default:
			return nil
		}
		return os.Lchown(to, a.UID, a.GID)
	})
}
