package module

import (
	"context"
	"fmt"
	"strings"
	"time"
)

var aptModule = &Module{
	Name: "apt",
	Params: []Param{
		{Name: "name", Aliases: []string{"package", "pkg"}, Type: List},
		{Name: "state", Default: "present", Choices: []string{"absent", "build-dep", "fixed", "latest", "present"}},
		{Name: "update_cache", Aliases: []string{"update-cache"}, Type: Bool},
		{Name: "update_cache_retries", Type: Int, Default: 5},
		{Name: "update_cache_retry_max_delay", Type: Int, Default: 12},
		{Name: "cache_valid_time", Type: Int, Default: 0},
		{Name: "purge", Type: Bool, Default: false},
		{Name: "deb", Type: Path},
		{Name: "default_release", Aliases: []string{"default-release"}},
		{Name: "install_recommends", Aliases: []string{"install-recommends"}, Type: Bool},
		{Name: "force", Type: Bool, Default: false},
		{Name: "upgrade", Default: "no", Choices: []string{"dist", "full", "no", "safe", "yes", "False", "True"}},
		{Name: "dpkg_options", Default: "force-confdef,force-confold"},
		{Name: "autoremove", Type: Bool, Default: false},
		{Name: "autoclean", Type: Bool, Default: false},
		{Name: "clean", Type: Bool, Default: false},
		{Name: "fail_on_autoremove", Type: Bool, Default: false},
		{Name: "policy_rc_d", Type: Int},
		{Name: "only_upgrade", Type: Bool, Default: false},
		{Name: "force_apt_get", Type: Bool, Default: false},
		{Name: "allow_unauthenticated", Aliases: []string{"allow-unauthenticated"}, Type: Bool, Default: false},
		{Name: "allow_downgrade", Aliases: []string{"allow-downgrade", "allow_downgrades", "allow-downgrades"}, Type: Bool, Default: false},
		{Name: "allow_change_held_packages", Type: Bool, Default: false},
		{Name: "lock_timeout", Type: Int, Default: 60},
		{Name: "auto_install_module_deps", Type: Bool, Default: true},
	},
	MutuallyExclusive: [][]string{{"deb", "package", "upgrade"}},
	Run:               runApt,
}

// aptTask is one run of the module.
type aptTask struct {
	*Call
	r       *Result
	updated bool
	stdout  strings.Builder
	stderr  strings.Builder
}

func runApt(ctx context.Context, c *Call) *Result {
	a := &aptTask{Call: c, r: &Result{}}
	if !c.Host.Exists("/var/lib/dpkg") && c.Host.Root == "" && !c.Host.HasProgram("apt-get") {
		return Fail("cannot manage packages by apt: this host has no apt-get")
	}
	if c.Bool("clean") && !a.clean(ctx) {
		return a.r
	}
	wantsCache := c.Bool("update_cache") || c.Int("cache_valid_time") > 0
	if wantsCache && !a.updateCache(ctx) {
		return a.r
	}
	a.r.Set("cache_updated", a.updated)
	upgrade := map[string]string{"yes": "safe", "True": "safe", "False": "no"}[c.Str("upgrade")]
	if upgrade == "" {
		upgrade = c.Str("upgrade")
	}
	ok := true
	switch names := nonEmpty(c.List("name")); {
	case c.Has("deb"):
		ok = a.deb(ctx, c.Str("deb"))
	case upgrade != "no":
		ok = a.upgrade(ctx, upgrade)
	case len(names) == 1 && names[0] == "*" && c.Str("state") == "latest":
		ok = a.upgrade(ctx, "safe")
	case len(names) > 0:
		ok = a.named(ctx, names)
	case c.Str("state") == "fixed":
		ok = a.install(ctx, nil, "--fix-broken")
	default:
		if c.Bool("autoremove") {
			ok = a.sweep(ctx, "autoremove")
		}
		if ok && c.Bool("autoclean") {
			ok = a.sweep(ctx, "autoclean")
		}
		if ok && a.updated {
			a.r.Changed = true
		}
	}
	if !ok {
		return a.r
	}
	a.said()
	if c.Str("state") == "absent" && len(c.List("name")) > 0 { // a removal has no need of caches, and does not tell of them
		delete(a.r.Values, "cache_updated")
		return a.r
	}
	return a.r.Set("cache_update_time", a.cacheTime())
}

func (a *aptTask) said() {
	if a.stdout.Len() > 0 || a.r.Changed && len(a.r.Changes) > 0 {
		a.r.Set("stdout", a.stdout.String()).Set("stderr", a.stderr.String())
	}
}

// cacheTime is when the package lists were last fetched.
func (a *aptTask) cacheTime() int64 {
	newest := mtimeOf(a.Host, "/var/lib/apt/periodic/update-success-stamp")
	if t := mtimeOf(a.Host, "/var/lib/apt/lists"); newest.IsZero() || t.After(newest) {
		newest = t
	}
	if newest.IsZero() {
		return 0
	}
	return newest.Unix()
}

// updateCache fetches the package lists if they are older than wanted.
func (a *aptTask) updateCache(ctx context.Context) bool {
	if valid := a.Int("cache_valid_time"); valid > 0 && a.Host.Time().Unix()-a.cacheTime() < valid {
		return true
	}
	a.updated = true
	if a.Check {
		return true
	}
	tries, delay := a.Int("update_cache_retries"), time.Second
	patience := 60 * time.Second
	if a.Raw("lock_timeout") != nil {
		patience = time.Duration(a.Int("lock_timeout")) * time.Second
	}
	deadline := time.Now().Add(patience)
	var last string
	for try := int64(0); ; try++ {
		out, err := a.tool(ctx, Cmd{Argv: []string{"apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any"}, Env: aptEnv})
		if err == nil && out.Code == 0 {
			a.stamp()
			return true
		}
		last = sayError(out, err)
		if ctx.Err() != nil {
			break
		}
		locked := strings.Contains(last, "Could not get lock") || strings.Contains(last, "Unable to lock")
		if locked && time.Now().Before(deadline) {
			try-- // somebody else's run, not a failure of ours
		} else if try >= tries {
			break
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
		delay = min(delay*2, time.Duration(max(a.Int("update_cache_retry_max_delay"), 1))*time.Second)
	}
	a.r.Fail("Failed to update apt cache: %s", last)
	return false
}

// stamp records the time of the fetch, as apt's own periodic job does: the
// folder's time alone does not move when nothing was new.
func (a *aptTask) stamp() {
	const file = "/var/lib/apt/periodic/update-success-stamp"
	if a.Host.Exists("/var/lib/apt/periodic") {
		if err := a.Host.WriteFile(file, nil); err != nil {
			a.r.Warn("%v", err)
		}
	}
}

// named brings the packages of `name` to the wanted state.
func (a *aptTask) named(ctx context.Context, names []string) bool {
	db, err := packagesOn(a.Host)
	if err != nil {
		a.r.Fail("cannot read the list of packages: %v", err)
		return false
	}
	specs := make([]packageSpec, 0, len(names))
	for _, n := range names {
		s := parseSpec(n)
		if strings.HasPrefix(s.name, "-") || strings.ContainsAny(s.name, " \t/") {
			a.r.Fail("cannot manage package %q: this is no package name; give one name for each list entry", n)
			return false
		}
		specs = append(specs, s)
	}
	switch state := a.Str("state"); state {
	case "absent":
		return a.absent(ctx, db, specs)
	case "build-dep":
		return a.aptGet(ctx, "build-dep", specArgs(specs))
	case "latest", "fixed":
		if state == "latest" {
			specs = a.known(db, specs)
		}
		if len(specs) == 0 {
			return true
		}
		return a.install(ctx, specArgs(specs))
	}
	var missing []packageSpec
	for _, s := range a.known(db, specs) {
		if !a.has(db, s) {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		if a.Bool("autoremove") {
			return a.sweep(ctx, "autoremove")
		}
		return true
	}
	return a.install(ctx, specArgs(missing))
}

func specArgs(specs []packageSpec) []string {
	out := make([]string, len(specs))
	for i, s := range specs {
		out[i] = s.arg()
	}
	return out
}

// known drops what only_upgrade forbids to install.
func (a *aptTask) known(db *dpkgDB, specs []packageSpec) []packageSpec {
	if !a.Bool("only_upgrade") {
		return specs
	}
	var out []packageSpec
	for _, s := range specs {
		if p := db.find(s.name); p != nil && p.Installed || hasGlob(s.name) {
			out = append(out, s)
		}
	}
	return out
}

// has reports whether an entry asks for nothing that is not there already.
func (a *aptTask) has(db *dpkgDB, s packageSpec) bool {
	if hasGlob(s.name) {
		return false // what it stands for, only apt knows
	}
	if p := db.find(s.name); p != nil && p.Installed {
		return s.satisfied(p.Version)
	}
	return s.op == "" && db.byName[s.name] == nil && len(db.provided[s.name]) > 0
}

func (a *aptTask) absent(ctx context.Context, db *dpkgDB, specs []packageSpec) bool {
	var gone []string
	for _, s := range specs {
		list := []string{s.name}
		if hasGlob(s.name) {
			list = db.match(s.name)
		}
		for _, n := range list {
			p := db.find(n)
			if p == nil || !(p.Installed || p.Broken || (a.Bool("purge") && p.ConfigFiles)) {
				continue
			}
			if s.op != "" && !s.satisfied(p.Version) {
				continue
			}
			gone = append(gone, n)
		}
	}
	if len(gone) == 0 {
		if a.Bool("autoremove") {
			return a.sweep(ctx, "autoremove")
		}
		return true
	}
	return a.aptGet(ctx, "remove", gone)
}

// clean empties apt's store of fetched packages.
func (a *aptTask) clean(ctx context.Context) bool {
	const dir = "/var/cache/apt/archives"
	found := false
	for _, d := range []string{dir, dir + "/partial"} {
		found = found || hasSuffixed(a.Host, d, ".deb")
	}
	if !found {
		return true
	}
	a.r.Change("directory", dir, "update", nil, map[string]any{"packages": 0})
	if a.Check {
		return true
	}
	if _, err := a.toolOK(ctx, "apt-get", "clean"); err != nil {
		a.r.Fail("%v", err)
		return false
	}
	return true
}

// upgrade brings every package to its newest version.
func (a *aptTask) upgrade(ctx context.Context, how string) bool {
	verb, extra := "upgrade", []string{"--with-new-pkgs"}
	if how == "dist" || how == "full" {
		verb, extra = "dist-upgrade", nil
	}
	return a.aptGet(ctx, verb, nil, extra...)
}

// install is apt-get install.
func (a *aptTask) install(ctx context.Context, names []string, extra ...string) bool {
	if a.Str("state") == "fixed" {
		extra = append(extra, "--fix-broken")
	}
	return a.aptGet(ctx, "install", names, extra...)
}

// sweep runs autoremove or autoclean.
func (a *aptTask) sweep(ctx context.Context, verb string) bool { return a.aptGet(ctx, verb, nil) }

// deb installs a package from a file, with what it depends on.
func (a *aptTask) deb(ctx context.Context, file string) bool {
	if strings.Contains(file, "://") {
		local, cleanup, err := a.download(ctx, file)
		if err != nil {
			a.r.Fail("cannot fetch %s: %v", file, err)
			return false
		}
		defer cleanup()
		file = local
	}
	if !a.Host.Exists(file) {
		a.r.Fail("Unable to install package: cannot find %s", file)
		return false
	}
	out, err := a.tool(ctx, Cmd{Argv: []string{"dpkg-deb", "-f", a.Host.Path(file), "Package", "Version", "Architecture"}})
	if err != nil || out.Code != 0 {
		a.r.Fail("Unable to install package: %s", sayError(out, err))
		return false
	}
	info := parseDebPackage(out.Stdout)
	if info == nil {
		a.r.Fail("Unable to install package: %s has no name", file)
		return false
	}
	db, err := packagesOn(a.Host)
	if err != nil {
		a.r.Fail("cannot read the list of packages: %v", err)
		return false
	}
	if p := db.find(info.Name); p != nil && p.Installed {
		switch c := compareVersions(p.Version, info.Version); {
		case c == 0 && !a.Bool("force"):
			return true
		case c > 0 && !a.Bool("allow_downgrade") && !a.Bool("force"):
			a.r.Fail("A later version is already installed: %s %s; allow_downgrade puts %s in its place", p.Name, p.Version, info.Version)
			return false
		}
	}
	real := a.Host.Path(file)
	if !strings.HasPrefix(real, "/") {
		real = "./" + real
	}
	return a.install(ctx, []string{real})
}

// changed tells what a run of apt-get changed or would.
func (a *aptTask) changed(before, after map[string]string) {
	for _, name := range sortedVersions(before, after) {
		b, had := before[name]
		n, has := after[name]
		switch {
		case had && !has:
			a.r.Change("package", name, "delete", map[string]any{"version": b}, nil)
		case !had && has:
			a.r.Change("package", name, "create", nil, map[string]any{"version": n})
		case b != n:
			a.r.Change("package", name, "update", map[string]any{"version": b}, map[string]any{"version": n})
		}
	}
}

var errNoHTTP = fmt.Errorf("only http and https addresses can be fetched")
