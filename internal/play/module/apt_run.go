package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"regexp"
	"sort"
	"strings"

	"drover/api"
)

// aptEnv keeps apt, dpkg and the packages' scripts from asking.
var aptEnv = map[string]string{"DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
	"LC_MESSAGES": "C.UTF-8", "APT_LISTCHANGES_FRONTEND": "none", "UCF_FORCE_CONFFOLD": "1", "NEEDRESTART_MODE": "l"}

// flags are what the parameters add to any apt-get that changes packages.
func (a *aptTask) flags(verb string) []string {
	var f []string
	for _, o := range strings.Split(a.Str("dpkg_options"), ",") {
		if o = strings.TrimSpace(o); o != "" {
			f = append(f, "-o", "Dpkg::Options::=--"+o)
		}
	}
	f = append(f, "-o", fmt.Sprintf("DPkg::Lock::Timeout=%d", a.Int("lock_timeout")), "-o", "Dpkg::Use-Pty=0")
	if a.Has("install_recommends") {
		yes := "no"
		if a.Bool("install_recommends") {
			yes = "yes"
		}
		f = append(f, "-o", "APT::Install-Recommends="+yes)
	}
	if a.Has("default_release") {
		f = append(f, "-t", a.Str("default_release"))
	}
	for _, p := range []struct{ param, flag string }{
		{"purge", "--purge"}, {"only_upgrade", "--only-upgrade"}, {"fail_on_autoremove", "--no-remove"}, {"allow_unauthenticated", "--allow-unauthenticated"},
		{"allow_downgrade", "--allow-downgrades"}, {"allow_change_held_packages", "--allow-change-held-packages"},
	} {
		if a.Bool(p.param) && !(p.param == "only_upgrade" && verb != "install") {
			f = append(f, p.flag)
		}
	}
	if a.Bool("autoremove") && verb != "autoremove" && verb != "autoclean" && verb != "build-dep" {
		f = append(f, "--auto-remove")
	}
	if a.Bool("force") {
		f = append(f, "--allow-downgrades", "--allow-remove-essential", "--allow-change-held-packages", "--allow-unauthenticated")
	}
	return f
}

// nothing is what apt-get says when it has nothing to do; a count in front
// keeps "10 upgraded" from looking like "0 upgraded".
var nothing = regexp.MustCompile(`(?m)^0 upgraded, 0 newly installed, 0 to remove`)

// aptGet runs apt-get, simulated in a check, and tells what changed.
func (a *aptTask) aptGet(ctx context.Context, verb string, names []string, extra ...string) bool {
	argv := append([]string{"apt-get", "-y"}, a.flags(verb)...)
	argv = append(append(argv, extra...), verb)
	if len(names) > 0 {
		argv = append(append(argv, "--"), names...)
	}
	if a.Check {
		argv = append([]string{argv[0], "--simulate"}, argv[1:]...)
	}
	before, err := packagesOn(a.Host)
	if err != nil {
		a.r.Fail("cannot read the list of packages: %v", err)
		return false
	}
	unpolicy, err := a.policy()
	if err != nil {
		a.r.Fail("cannot write policy-rc.d: %v", err)
		return false
	}
	// Once dpkg works on packages it must come to its end, whoever is gone by
	// then: packages half unpacked are worse than a late answer.
	out, err := a.tool(context.WithoutCancel(ctx), Cmd{Argv: argv, Env: aptEnv})
	if perr := unpolicy(); perr != nil {
		a.r.Warn("cannot put policy-rc.d back: %v", perr)
	}
	if err != nil {
		a.r.Fail("cannot run apt-get: %v", err)
		return false
	}
	a.stdout.Write(out.Stdout)
	a.stderr.Write(out.Stderr)
	text := string(out.Stdout)
	if out.Code != 0 {
		return a.failed(verb, names, out)
	}
	if a.Check {
		a.simulated(text)
		if len(a.r.Changes) == 0 && !nothing.MatchString(text) && verb != "autoclean" {
			a.r.Changed = true
		}
	} else {
		after, err := packagesOn(a.Host)
		if err != nil {
			a.r.Fail("cannot read the list of packages: %v", err)
			return false
		}
		a.changed(before.snapshot(), after.snapshot())
		if verb == "autoclean" {
			a.r.Changed = a.r.Changed || strings.Contains(text, "\nDel ") || strings.HasPrefix(text, "Del ")
		} else if !a.r.Changed && !nothing.MatchString(text) {
			a.r.Changed = true // configuration purged, packages configured again
		}
	}
	if verb == "autoclean" && a.Check {
		a.r.Changed = a.r.Changed || strings.Contains(text, "Del ")
	}
	if !a.r.Changed {
		a.stdout.Reset()
		a.stderr.Reset()
		return true
	}
	if a.Diff {
		if p := prepared(text); p != "" {
			a.r.Diff = append(a.r.Diff, api.Diff{Prepared: p})
		}
	}
	return true
}

// failed words why apt-get did not do it.
func (a *aptTask) failed(verb string, names []string, out Output) bool {
	stderr := string(out.Stderr)
	a.r.Set("stdout", string(out.Stdout)).Set("stderr", stderr).Set("rc", out.Code)
	a.r.Set("cache_update_time", a.cacheTime())
	for line := range strings.Lines(stderr) {
		for _, p := range []string{"E: Unable to locate package ", "E: Package '", "E: Couldn't find any package by glob '"} {
			rest, ok := strings.CutPrefix(strings.TrimSpace(line), p)
			if !ok || (p == "E: Package '" && !strings.Contains(rest, "no installation candidate")) {
				continue
			}
			name, _, _ := strings.Cut(rest, "'")
			a.r.Values = nil
			a.r.Fail("No package matching '%s' is available", name)
			return false
		}
	}
	a.r.Fail("'apt-get %s' failed: %s", strings.TrimSpace(verb+" "+strings.Join(names, " ")), errorLines(stderr))
	return false
}

// errorLines are apt's errors without its warnings, or all it said if there
// are none.
func errorLines(stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "W: ") && !strings.HasPrefix(line, "N: ") {
			b.WriteString(line)
		}
	}
	if s := strings.TrimSpace(b.String()); s != "" {
		return s
	}
	return strings.TrimSpace(stderr)
}

// simulated reads what --simulate says would be installed and removed:
// "Inst name [old] (new origin [arch])", "Remv name [old]", "Purg name [old]".
func (a *aptTask) simulated(text string) {
	before, after := map[string]string{}, map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		old, next := "", ""
		for _, w := range f[2:] {
			if strings.HasPrefix(w, "[") && old == "" && next == "" {
				old = strings.Trim(w, "[]")
			}
			if strings.HasPrefix(w, "(") && next == "" {
				next = strings.Trim(w, "()")
			}
		}
		switch f[0] {
		case "Inst":
			if old != "" {
				before[f[1]] = old
			}
			after[f[1]] = next
		case "Remv", "Purg":
			before[f[1]] = old
		}
	}
	a.changed(before, after)
}

// prepared is the part of apt-get's words that lists packages.
func prepared(text string) string {
	var b strings.Builder
	in := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "The following"):
			in = true
		case regexpSummary.MatchString(line):
			b.WriteString(line)
			return b.String()
		}
		if in {
			b.WriteString(line)
		}
	}
	return b.String()
}

var regexpSummary = regexp.MustCompile(`^\d+ upgraded, \d+ newly installed`)

const (
	policyFile = "/usr/sbin/policy-rc.d"
	policyKept = policyFile + ".kept-by-drover" // what was there before
	policyMark = "# Set by Drover while apt-get runs."
)

// policy puts policy-rc.d in place for the run and gives back the way to undo
// it. It holds only while this process lives, and what was there before keeps
// its word after a kill: a host must not be left unable to start services.
func (a *aptTask) policy() (undo func() error, err error) {
	undo = func() error { return nil }
	if !a.Has("policy_rc_d") || a.Check {
		return undo, nil
	}
	if err := unpolicy(a.Host); err != nil { // a killed run's
		return undo, err
	}
	file, kept := a.Host.Path(policyFile), a.Host.Path(policyKept)
	if err := os.Rename(file, kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return undo, err
	}
	a.Host.Step("policy kept")
	text := fmt.Sprintf("#!/bin/sh\n%s\n[ -d /proc/%d ] && exit %d\n[ -x %s ] && exec %s \"$@\"\nexit 0\n",
		policyMark, os.Getpid(), a.Int("policy_rc_d"), policyKept, policyKept)
	if err := writeOwned(a.Host, policyFile, []byte(text), "0755", &account{Account: Account{UID: os.Geteuid(), GID: os.Getegid()}}); err != nil {
		return undo, errors.Join(err, unpolicy(a.Host))
	}
	return func() error { return unpolicy(a.Host) }, nil
}

// unpolicy takes our policy-rc.d away and puts back what was there.
func unpolicy(h *Host) error {
	if b, err := h.ReadFile(policyFile); err == nil && strings.Contains(string(b), policyMark) {
		if err := os.Remove(h.Path(policyFile)); err != nil {
			return err
		}
	}
	if !h.Exists(policyKept) || h.Exists(policyFile) {
		return nil
	}
	return os.Rename(h.Path(policyKept), h.Path(policyFile))
}

func sortedVersions(maps ...map[string]string) []string {
	seen := map[string]bool{}
	var out []string
	for _, m := range maps {
		for k := range m {
			if !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
	}
	sort.Strings(out)
	return out
}

func hasSuffixed(h *Host, dir, suffix string) bool {
	entries, err := os.ReadDir(h.Path(dir))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			return true
		}
	}
	return false
}

// maxDeb bounds a package fetched by address.
const maxDeb = 4 << 30

// download fetches a package into a folder of its own.
func (a *aptTask) download(ctx context.Context, url string) (file string, cleanup func(), err error) {
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return "", nil, errNoHTTP
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", nil, err
	}
	res, err := (&http.Client{Transport: a.Host.HTTP}).Do(req)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("the server said %s", res.Status)
	}
	if err := os.MkdirAll(a.Host.Path("/var/tmp"), 0o1777); err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp(a.Host.Path("/var/tmp"), "drover-deb-")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	name := path.Base(req.URL.Path)
	if !strings.HasSuffix(name, ".deb") {
		name = "package.deb"
	}
	// apt's own user reads it.
	if err := os.Chmod(dir, 0o755); err != nil {
		cleanup()
		return "", nil, err
	}
	f, err := os.OpenFile(dir+"/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		cleanup()
		return "", nil, err
	}
	n, err := io.Copy(f, io.LimitReader(res.Body, maxDeb+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && n > maxDeb {
		err = fmt.Errorf("it is larger than %d GiB", maxDeb>>30)
	}
	if err != nil {
		cleanup()
		return "", nil, err
	}
	return strings.TrimPrefix(dir, a.Host.Root) + "/" + name, cleanup, nil
}
