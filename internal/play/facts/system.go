package facts

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (g *gathering) platform() {
	var system, node, kernel, version, machine string
	if g.real() {
		var u unix.Utsname
		if unix.Uname(&u) == nil {
			system, node, kernel = unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Release[:])
			version, machine = unix.ByteSliceToString(u.Version[:]), unix.ByteSliceToString(u.Machine[:])
		}
	} else {
		system, node, kernel, version = "Linux", g.read("/etc/hostname"), g.read("/proc/sys/kernel/osrelease"), g.read("/proc/sys/kernel/version")
		machine = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	}
	g.out["system"], g.out["kernel"], g.out["kernel_version"], g.out["machine"] = system, kernel, version, machine
	g.out["nodename"] = node
	host, _, _ := strings.Cut(node, ".")
	fqdn := g.fqdn(node)
	_, domain, _ := strings.Cut(fqdn, ".")
	g.out["hostname"], g.out["fqdn"], g.out["domain"] = host, fqdn, domain
	g.out["architecture"] = machine
	if machine == "i686" || machine == "i586" {
		g.out["architecture"] = "i386"
	}
	g.out["userspace_bits"] = strconv.Itoa(strconv.IntSize)
	g.out["userspace_architecture"] = g.out["architecture"]
	if id := g.read("/etc/machine-id"); id != "" {
		g.out["machine_id"] = id
	} else if id := g.read("/var/lib/dbus/machine-id"); id != "" {
		g.out["machine_id"] = id
	}
}

// fqdn is the name with a dot that /etc/hosts gives to the host's own name.
func (g *gathering) fqdn(node string) string {
	if strings.Contains(node, ".") {
		return node
	}
	for line := range strings.Lines(g.read("/etc/hosts")) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		for i, n := range f {
			if i == 0 || n != node {
				continue
			}
			for _, full := range f[1:] {
				if strings.Contains(full, ".") {
					return full
				}
			}
			return f[1]
		}
	}
	return node
}

func (g *gathering) user() {
	uid, gid, euid, egid := os.Getuid(), os.Getgid(), os.Geteuid(), os.Getegid()
	g.out["user_uid"], g.out["user_gid"] = uid, gid
	g.out["real_user_id"], g.out["real_group_id"] = uid, gid
	g.out["effective_user_id"], g.out["effective_group_id"] = euid, egid
	name := strconv.Itoa(uid)
	if v, ok := g.getenv("USER"); ok && v != "" {
		name = v
	}
	for line := range strings.Lines(g.read("/etc/passwd")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 7 && f[2] == strconv.Itoa(uid) {
			name = f[0]
			g.out["user_gid"], _ = strconv.Atoi(f[3])
			g.out["user_gecos"], g.out["user_dir"], g.out["user_shell"] = f[4], f[5], f[6]
			break
		}
	}
	g.out["user_id"] = name
}

func (g *gathering) getenv(k string) (string, bool) {
	if g.h.Env != nil {
		v, ok := g.h.Env[k]
		return v, ok
	}
	return os.LookupEnv(k)
}

func (g *gathering) env() {
	out := map[string]any{}
	if g.h.Env != nil {
		for k, v := range g.h.Env {
			out[k] = v
		}
	} else {
		for _, kv := range os.Environ() {
			k, v, _ := strings.Cut(kv, "=")
			out[k] = v
		}
	}
	g.out["env"] = out
}

func (g *gathering) dateTime() {
	t := g.now()
	u := t.UTC()
	zone, _ := t.Zone()
	epoch := strconv.FormatInt(t.Unix(), 10)
	// Weeks as strftime's %W counts them: from the year's first Monday.
	week := (t.YearDay() + 6 - (int(t.Weekday())+6)%7) / 7
	dst := zone
	for m := range 12 {
		if other := time.Date(t.Year(), time.Month(m+1), 1, 0, 0, 0, 0, t.Location()); other.IsDST() {
			dst, _ = other.Zone()
			break
		}
	}
	g.out["date_time"] = map[string]any{
		"year": t.Format("2006"), "month": t.Format("01"), "day": t.Format("02"),
		"hour": t.Format("15"), "minute": t.Format("04"), "second": t.Format("05"),
		"weekday": t.Weekday().String(), "weekday_number": strconv.Itoa(int(t.Weekday())), "weeknumber": pad2(week),
		"date": t.Format("2006-01-02"), "time": t.Format("15:04:05"),
		"epoch": epoch, "epoch_int": epoch,
		"iso8601": u.Format("2006-01-02T15:04:05Z"), "iso8601_micro": u.Format("2006-01-02T15:04:05.000000Z"),
		"iso8601_basic": t.Format("20060102T150405") + t.Format(".000000")[1:], "iso8601_basic_short": t.Format("20060102T150405"),
		"tz": zone, "tz_dst": dst, "tz_offset": t.Format("-0700"),
	}
}

func pad2(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

func (g *gathering) cmdline() {
	one, all := map[string]any{}, map[string]any{}
	for _, w := range shellWords(g.read("/proc/cmdline")) {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			one[k], all[k] = true, true
			continue
		}
		one[k] = v
		switch had := all[k].(type) {
		case nil, bool:
			all[k] = v
		case []any:
			all[k] = append(had, v)
		default:
			all[k] = []any{had, v}
		}
	}
	g.out["cmdline"], g.out["proc_cmdline"] = one, all
}

// shellWords splits at spaces outside of double quotes.
func shellWords(s string) []string {
	quoted := false
	words := strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, `"`, "")
	}
	return words
}

func (g *gathering) dns() {
	out := map[string]any{}
	for line := range strings.Lines(g.read("/etc/resolv.conf")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			list, _ := out["nameservers"].([]any)
			out["nameservers"] = append(list, anyList(f[1:])...)
		case "domain":
			out["domain"] = f[1]
		case "search":
			out["search"] = anyList(f[1:])
		case "sortlist":
			out["sortlist"] = anyList(f[1:])
		case "options":
			o, _ := out["options"].(map[string]any)
			if o == nil {
				o = map[string]any{}
			}
			for _, w := range f[1:] {
				if k, v, ok := strings.Cut(w, ":"); ok {
					o[k] = v
				} else {
					o[k] = true
				}
			}
			out["options"] = o
		}
	}
	g.out["dns"] = out
}

func (g *gathering) sshKeys() {
	for _, dir := range []string{"/etc/ssh", "/etc/openssh", "/etc"} {
		found := false
		for _, alg := range []string{"dsa", "rsa", "ecdsa", "ed25519"} {
			f := strings.Fields(g.read(dir + "/ssh_host_" + alg + "_key.pub"))
			if len(f) < 2 {
				continue
			}
			found = true
			g.out["ssh_host_key_"+alg+"_public_keytype"], g.out["ssh_host_key_"+alg+"_public"] = f[0], f[1]
		}
		if found {
			return
		}
	}
}

func (g *gathering) serviceMgr() {
	comm := g.read("/proc/1/comm")
	if real, err := filepath.EvalSymlinks(g.path("/sbin/init")); comm == "init" && err == nil {
		comm = path.Base(real)
	}
	switch {
	case g.exists("/run/systemd/system") || comm == "systemd":
		g.out["service_mgr"] = "systemd"
	case g.exists("/run/openrc"), g.exists("/sbin/openrc"):
		g.out["service_mgr"] = "openrc"
	case comm == "runit-init", comm == "runit":
		g.out["service_mgr"] = "runit"
	case g.exists("/etc/init/rc.conf") && comm == "upstart":
		g.out["service_mgr"] = "upstart"
	case g.exists("/etc/init.d"):
		g.out["service_mgr"] = "sysvinit"
	case comm == "", strings.HasSuffix(comm, "sh"):
		g.out["service_mgr"] = "service"
	default:
		g.out["service_mgr"] = comm
	}
}

func (g *gathering) pkgMgr() {
	// What is last in the list and there wins, as more than one may be installed;
	// on Debian's family apt wins whatever else there is.
	if g.exists("/usr/bin/apt-get") && g.exists("/etc/debian_version") {
		g.out["pkg_mgr"] = "apt"
		return
	}
	for _, m := range []struct{ file, name string }{
		{"/usr/bin/dnf5", "dnf5"}, {"/usr/bin/dnf-3", "dnf"}, {"/usr/bin/dnf", "dnf"}, {"/usr/bin/yum", "yum"},
		{"/usr/bin/zypper", "zypper"}, {"/usr/bin/pacman", "pacman"}, {"/sbin/apk", "apk"}, {"/usr/bin/emerge", "portage"},
		{"/usr/bin/apt-get", "apt"}, {"/usr/bin/xbps-install", "xbps"}, {"/usr/bin/swupd", "swupd"}, {"/usr/bin/rpm-ostree", "atomic_container"},
	} {
		if g.exists(m.file) {
			g.out["pkg_mgr"] = m.name
			return
		}
	}
	g.out["pkg_mgr"] = "unknown"
}

func (g *gathering) selinux() {
	g.out["selinux_python_present"] = true
	if !g.exists("/sys/fs/selinux/enforce") {
		g.out["selinux"] = map[string]any{"status": "disabled"}
		return
	}
	conf := keyValues(g.read("/etc/selinux/config"))
	out := map[string]any{"status": "enabled", "type": orUnknown(conf["SELINUXTYPE"]), "config_mode": orUnknown(conf["SELINUX"])}
	out["mode"] = "permissive"
	if g.read("/sys/fs/selinux/enforce") == "1" {
		out["mode"] = "enforcing"
	}
	if v, err := strconv.Atoi(g.read("/sys/fs/selinux/policyvers")); err == nil {
		out["policyvers"] = v
	}
	g.out["selinux"] = out
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (g *gathering) apparmor() {
	status := "disabled"
	if g.exists("/sys/kernel/security/apparmor") {
		status = "enabled"
	}
	g.out["apparmor"] = map[string]any{"status": status}
}

func (g *gathering) fips() { g.out["fips"] = g.read("/proc/sys/crypto/fips_enabled") == "1" }

// capNames are the kernel's capabilities by number.
var capNames = strings.Fields(`cap_chown cap_dac_override cap_dac_read_search cap_fowner cap_fsetid cap_kill cap_setgid cap_setuid
cap_setpcap cap_linux_immutable cap_net_bind_service cap_net_broadcast cap_net_admin cap_net_raw cap_ipc_lock cap_ipc_owner
cap_sys_module cap_sys_rawio cap_sys_chroot cap_sys_ptrace cap_sys_pacct cap_sys_admin cap_sys_boot cap_sys_nice cap_sys_resource
cap_sys_time cap_sys_tty_config cap_mknod cap_lease cap_audit_write cap_audit_control cap_setfcap cap_mac_override cap_mac_admin
cap_syslog cap_wake_alarm cap_block_suspend cap_audit_read cap_perfmon cap_bpf cap_checkpoint_restore`)

// Capabilities names the kernel's capabilities in a set.
func Capabilities(set uint64) []string {
	var out []string
	for i, n := range capNames {
		if set&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

func (g *gathering) caps() {
	var have uint64
	for line := range strings.Lines(g.read("/proc/self/status")) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			have, _ = strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	list := anyList(Capabilities(have))
	enforced := "True"
	if len(list) == len(capNames) {
		enforced, list = "False", []any{}
	}
	g.out["system_capabilities_enforced"], g.out["system_capabilities"] = enforced, list
}

// python tells of the system's own Python, which many roles ask for to choose
// package names. Its version comes from the names of its files.
func (g *gathering) python() {
	target, err := os.Readlink(g.path("/usr/bin/python3"))
	if err != nil {
		return
	}
	major, minor, ok := strings.Cut(strings.TrimPrefix(path.Base(target), "python"), ".")
	ma, err1 := strconv.Atoi(major)
	mi, err2 := strconv.Atoi(minor)
	if !ok || err1 != nil || err2 != nil {
		return
	}
	micro := g.pythonMicro(major + "." + minor)
	g.out["python_version"] = major + "." + minor + "." + strconv.Itoa(micro)
	g.out["python"] = map[string]any{"executable": "/usr/bin/python3", "type": "cpython", "has_sslcontext": true,
		"version":      map[string]any{"major": ma, "minor": mi, "micro": micro, "releaselevel": "final", "serial": 0},
		"version_info": []any{ma, mi, micro, "final", 0}}
}

func (g *gathering) pythonMicro(version string) int {
	status, err := os.ReadFile(g.path("/var/lib/dpkg/status"))
	if err != nil {
		return 0
	}
	i := bytes.Index(status, []byte("\nPackage: python"+version+"-minimal\n"))
	if i < 0 {
		return 0
	}
	rest := status[i+1:]
	if end := bytes.Index(rest, []byte("\n\n")); end >= 0 {
		rest = rest[:end]
	}
	_, v, ok := strings.Cut(string(rest), "\nVersion: "+version+".")
	if !ok {
		return 0
	}
	digits := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(v)
	}
	n, _ := strconv.Atoi(v[:digits])
	return n
}

// chroot compares our root with that of process 1.
func (g *gathering) chroot() {
	g.out["is_chroot"] = false
	if _, ok := g.getenv("debian_chroot"); ok {
		g.out["is_chroot"] = true
		return
	}
	if !g.real() {
		return
	}
	var mine, first unix.Stat_t
	if unix.Stat("/", &mine) == nil {
		if unix.Stat("/proc/1/root/.", &first) == nil {
			g.out["is_chroot"] = mine.Ino != first.Ino || mine.Dev != first.Dev
		} else {
			// Only root may look there: ext's root folder has a fixed number.
			g.out["is_chroot"] = false
		}
	}
}

func (g *gathering) loadavg() {
	if g.real() {
		var si unix.Sysinfo_t
		if unix.Sysinfo(&si) == nil {
			load := func(i int) float64 { return float64(si.Loads[i]) / 65536 }
			g.out["loadavg"] = map[string]any{"1m": load(0), "5m": load(1), "15m": load(2)}
			return
		}
	}
	f := strings.Fields(g.read("/proc/loadavg"))
	if len(f) < 3 {
		return
	}
	out := map[string]any{}
	for i, k := range []string{"1m", "5m", "15m"} {
		v, _ := strconv.ParseFloat(f[i], 64)
		out[k] = v
	}
	g.out["loadavg"] = out
}

// storageNames are the host's names in storage networks.
func (g *gathering) storageNames() {
	g.out["iscsi_iqn"] = ""
	for line := range strings.Lines(g.read("/etc/iscsi/initiatorname.iscsi")) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "InitiatorName="); ok {
			g.out["iscsi_iqn"] = v
		}
	}
	g.out["hostnqn"] = g.read("/etc/nvme/hostnqn")
	wwn := []any{}
	for _, h := range g.list("/sys/class/fc_host") {
		wwn = append(wwn, strings.TrimPrefix(g.read("/sys/class/fc_host/"+h+"/port_name"), "0x"))
	}
	g.out["fibre_channel_wwn"] = wwn
}
