// Package facts learns what a machine is, by Ansible's names and shapes. It
// reads files and asks the kernel; it starts no program, except executables
// that people put into the folder of local facts.
package facts

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drover/api"
)

// Host is the machine to look at. The zero value is this one.
type Host struct {
	// Root stands for "/": a test's own folder. Files come from below it, and
	// the kernel is not asked.
	Root string
	Now  func() time.Time
	// Env is the environment that facts tell; nil is the process's.
	Env map[string]string
	// Exec runs an executable local fact; nil leaves those out.
	Exec func(ctx context.Context, argv ...string) ([]byte, error)
	// Addresses lists network addresses and routes; nil asks the kernel.
	Addresses func() ([]Address, Routes)
}

// Options say what is wanted.
type Options struct {
	Subset   []string // Ansible's gather_subset; empty is all
	Filter   []string // shell patterns on names, with or without ansible_; empty is everything
	FactPath string   // of local facts; /etc/ansible/facts.d if empty
	Timeout  time.Duration
}

// gathering is one look at a host.
type gathering struct {
	ctx      context.Context
	h        *Host
	o        Options
	out      map[string]any
	warnings []string
}

// collector finds the facts of one topic.
type collector struct {
	name  string
	names []string // further names that select it: its facts' and its group's
	min   bool     // part of the minimal subset
	run   func(*gathering)
}

func collectors() []collector {
	return []collector{
		{"platform", []string{"system", "kernel", "kernel_version", "machine", "python_version", "architecture", "machine_id", "hostname", "fqdn", "domain", "nodename", "userspace_bits"}, true, (*gathering).platform},
		{"distribution", []string{"distribution_version", "distribution_release", "distribution_major_version", "os_family"}, true, (*gathering).distribution},
		{"lsb", nil, true, (*gathering).lsb},
		{"user", []string{"user_id", "user_uid", "user_gid", "user_gecos", "user_dir", "user_shell", "real_user_id", "effective_user_id", "effective_group_ids"}, true, (*gathering).user},
		{"env", nil, true, (*gathering).env},
		{"date_time", nil, true, (*gathering).dateTime},
		{"cmdline", []string{"proc_cmdline"}, true, (*gathering).cmdline},
		{"dns", nil, true, (*gathering).dns},
		{"ssh_pub_keys", []string{"ssh_host_pub_keys", "ssh_host_key_dsa_public", "ssh_host_key_rsa_public", "ssh_host_key_ecdsa_public", "ssh_host_key_ed25519_public"}, true, (*gathering).sshKeys},
		{"service_mgr", nil, true, (*gathering).serviceMgr},
		{"pkg_mgr", nil, true, (*gathering).pkgMgr},
		{"selinux", nil, true, (*gathering).selinux},
		{"apparmor", nil, true, (*gathering).apparmor},
		{"fips", nil, true, (*gathering).fips},
		{"caps", []string{"system_capabilities", "system_capabilities_enforced"}, true, (*gathering).caps},
		{"python", nil, true, (*gathering).python},
		{"local", nil, true, (*gathering).local},
		{"chroot", []string{"is_chroot"}, false, (*gathering).chroot},
		{"loadavg", nil, false, (*gathering).loadavg},
		{"iscsi", []string{"network"}, false, (*gathering).storageNames},
		{"hardware", []string{"processor", "processor_count", "processor_cores", "processor_vcpus", "processor_threads_per_core", "memory_mb", "memtotal_mb", "memfree_mb", "swaptotal_mb", "swapfree_mb", "product_name", "devices", "uptime_seconds"}, false, (*gathering).hardware},
		{"mounts", []string{"hardware"}, false, (*gathering).mounts},
		{"network", []string{"interfaces", "default_ipv4", "default_ipv6", "all_ipv4_addresses", "all_ipv6_addresses"}, false, (*gathering).network},
		{"virtual", []string{"virtualization_type", "virtualization_role", "virtualization_tech_guest", "virtualization_tech_host"}, false, (*gathering).virtual},
	}
}

// unknownHere are subsets of Ansible's that stand for programs Drover does not
// run; naming them is no mistake.
var unknownHere = []string{"facter", "ohai"}

// Gather looks at a host. Names are without the ansible_ prefix. Warnings are
// about local facts that cannot be read; an error is about the options only.
func Gather(ctx context.Context, h *Host, o Options) (facts map[string]any, warnings []string, err error) {
	if h == nil {
		h = &Host{}
	}
	chosen, err := choose(o.Subset)
	if err != nil {
		return nil, nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	g := &gathering{ctx: ctx, h: h, o: o, out: map[string]any{}}
	for _, c := range chosen {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		c.run(g)
	}
	if len(o.Filter) > 0 {
		for name := range g.out {
			if !wanted(name, o.Filter) {
				delete(g.out, name)
			}
		}
	}
	subset := o.Subset
	if len(subset) == 0 {
		subset = []string{"all"}
	}
	g.out["gather_subset"] = anyList(subset)
	g.out["module_setup"] = true
	return g.out, g.warnings, nil
}

func wanted(name string, patterns []string) bool {
	for _, p := range patterns {
		if p == "" {
			return true
		}
		if ok, err := filepath.Match(p, "ansible_"+name); ok || err != nil {
			return ok
		}
		if ok, _ := filepath.Match(p, name); ok {
			return true
		}
	}
	return false
}

// choose resolves gather_subset: names add, !names take away, the minimal
// subset is in unless !min is said.
func choose(subset []string) ([]collector, error) {
	all := collectors()
	var valid []string
	for _, c := range all {
		valid = append(append(valid, c.name), c.names...)
	}
	var add, drop []string
	for _, s := range subset {
		list, name := &add, strings.TrimSpace(s)
		if strings.HasPrefix(name, "!") {
			list, name = &drop, name[1:]
		}
		if name != "all" && name != "min" && !slices.Contains(valid, name) && !slices.Contains(unknownHere, name) {
			slices.Sort(valid)
			return nil, &api.Error{Code: api.CodeInvalid, Field: "gather_subset", Message: "Bad subset '" + name + "' given to Ansible. gather_subset options allowed: all, min, " + strings.Join(slices.Compact(valid), ", ")}
		}
		*list = append(*list, name)
	}
	has := func(list []string, c collector) bool {
		return slices.Contains(list, c.name) || slices.ContainsFunc(c.names, func(n string) bool { return slices.Contains(list, n) })
	}
	everything := slices.Contains(add, "all") || (len(add) == 0 && !slices.Contains(drop, "all"))
	var out []collector
	for _, c := range all {
		switch {
		case has(add, c):
		case slices.Contains(drop, c.name) || (has(drop, c) && !c.min):
			continue
		case c.min && slices.Contains(drop, "min"):
			continue
		case c.min || (everything && !slices.Contains(drop, "all")):
		default:
			continue
		}
		out = append(out, c)
	}
	return out, nil
}

// path is where a file of the host really is.
func (g *gathering) path(p string) string { return g.h.Root + p }

// read gives a file without surrounding space, "" if there is none.
func (g *gathering) read(p string) string {
	b, err := os.ReadFile(g.path(p))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (g *gathering) exists(p string) bool {
	_, err := os.Stat(g.path(p))
	return err == nil
}

func (g *gathering) list(dir string) []string {
	entries, err := os.ReadDir(g.path(dir))
	if err != nil {
		return nil
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	return out
}

func (g *gathering) now() time.Time {
	if g.h.Now != nil {
		return g.h.Now()
	}
	return time.Now()
}

func (g *gathering) real() bool { return g.h.Root == "" }

func anyList(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// keyValues reads shell-like KEY=value lines, quotes removed.
func keyValues(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(k, "#") {
			continue
		}
		v = strings.TrimSpace(v)
		if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
			v = v[1 : len(v)-1]
		}
		out[k] = strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`).Replace(v)
	}
	return out
}
