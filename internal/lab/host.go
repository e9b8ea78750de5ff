package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"drover/api"
)

func (l *Lab) bridge(s *state) string { return "drlab" + strconv.Itoa(s.Index) }
func (l *Lab) table(s *state) string  { return "drover_lab" + strconv.Itoa(s.Index) }
func (l *Lab) netns(h Host) string    { return "drlab-" + l.name() + "-" + h.Name }
func veth(s *state, h Host) string    { return fmt.Sprintf("drl%dh%d", s.Index, h.Number) }
func (l *Lab) hostDir(h Host) string  { return filepath.Join(l.home(), "hosts", h.Name) }
func (l *Lab) root(h Host) string     { return filepath.Join(l.hostDir(h), "root") }
func (l *Lab) upper(h Host) string    { return filepath.Join(l.hostDir(h), "disk", "upper") }

// ensureBridge makes the lab's bridge and lets its hosts reach the outside by
// this machine's address.
func (l *Lab) ensureBridge(ctx context.Context, s *state) error {
	br := l.bridge(s)
	if _, err := net.InterfaceByName(br); err != nil {
		gw := s.Subnet.Addr().Next().String() + "/24"
		for _, args := range [][]string{{"link", "add", br, "type", "bridge"}, {"addr", "add", gw, "dev", br}, {"link", "set", br, "up"}} {
			if _, err := run(ctx, "", "ip", args...); err != nil {
				return fmt.Errorf("cannot make the lab's bridge: %w", err)
			}
		}
	}
	if err := l.forward(); err != nil {
		return fmt.Errorf("cannot let the lab's hosts out: %w", err)
	}
	rules := fmt.Sprintf(`table ip %[1]s {}
delete table ip %[1]s
table ip %[1]s {
	chain post {
		type nat hook postrouting priority 100;
		ip saddr %[2]s ip daddr != %[2]s masquerade
	}
}
`, l.table(s), s.Subnet)
	if _, err := run(ctx, rules, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("cannot let the lab's hosts out: %w", err)
	}
	return nil
}

const forwarding = "/proc/sys/net/ipv4/ip_forward"

func (l *Lab) forwardingBefore() string { return filepath.Join(l.dir(), "ip_forward.before") }

// forward switches IP forwarding on and remembers that it was off.
func (l *Lab) forward() error {
	now, err := os.ReadFile(forwarding)
	if err != nil || strings.TrimSpace(string(now)) == "1" {
		return err
	}
	if err := os.WriteFile(l.forwardingBefore(), now, 0o600); err != nil {
		return err
	}
	return os.WriteFile(forwarding, []byte("1\n"), 0o644)
}

func (l *Lab) restoreForwarding() error {
	before, err := os.ReadFile(l.forwardingBefore())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(forwarding, before, 0o644)
}

func (l *Lab) removeBridge(ctx context.Context, s *state) error {
	var errs []error
	if _, err := net.InterfaceByName(l.bridge(s)); err == nil {
		_, err := run(ctx, "", "ip", "link", "del", l.bridge(s))
		errs = append(errs, err)
	}
	if _, err := run(ctx, fmt.Sprintf("table ip %[1]s {}\ndelete table ip %[1]s\n", l.table(s)), "nft", "-f", "-"); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// boot lays the host's disk over the base and starts its systemd. A host that
// was stopped keeps its disk.
func (l *Lab) boot(ctx context.Context, s *state, h *Host, spec Spec) error {
	cannot := func(err error) error { return fmt.Errorf("cannot start lab host %s: %w", h.Name, err) }
	for _, d := range []string{l.root(*h), filepath.Join(l.hostDir(*h), "disk")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return cannot(err)
		}
	}
	if !mounted(l.root(*h)) {
		if spec.DiskMiB > 0 {
			if err := unix.Mount("tmpfs", filepath.Join(l.hostDir(*h), "disk"), "tmpfs", 0, fmt.Sprintf("size=%dm", spec.DiskMiB)); err != nil {
				return cannot(err)
			}
		}
		work := filepath.Join(l.hostDir(*h), "disk", "work")
		for _, d := range []string{l.upper(*h), work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return cannot(err)
			}
		}
		opts := fmt.Sprintf("lowerdir=%s:%s,upperdir=%s,workdir=%s", l.packages(), l.base(), l.upper(*h), work)
		if err := unix.Mount("overlay", l.root(*h), "overlay", 0, opts); err != nil {
			return cannot(fmt.Errorf("overlay: %w", err))
		}
	}
	if err := os.WriteFile(filepath.Join(l.root(*h), "etc/hostname"), []byte(h.Name+"\n"), 0o644); err != nil {
		return cannot(err)
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost ip6-localhost\n%s %s\n", h.Address, h.Name)
	if err := os.WriteFile(filepath.Join(l.root(*h), "etc/hosts"), []byte(hosts), 0o644); err != nil {
		return cannot(err)
	}
	if err := l.connect(ctx, s, *h); err != nil {
		return cannot(err)
	}
	logFile, err := os.OpenFile(filepath.Join(l.hostDir(*h), "boot.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return cannot(err)
	}
	defer logFile.Close()
	cmd := exec.Command("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "-D", l.root(*h),
		"--network-namespace-path=/run/netns/"+l.netns(*h), "--machine="+h.Name, "--resolv-conf=off",
		"--capability=CAP_NET_ADMIN,CAP_BPF,CAP_AUDIT_CONTROL", "--bind=/dev/net/tun", "--property=DevicePolicy=auto")
	// Kernel settings of the network are the namespace's own, so the host may set them.
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a host outlives the command that started it
	if err := cmd.Start(); err != nil {
		return cannot(err)
	}
	h.PID = cmd.Process.Pid
	h.Cut = false
	return cmd.Process.Release()
}

// connect gives the host its namespace with one interface on the bridge.
func (l *Lab) connect(ctx context.Context, s *state, h Host) error {
	ns, dev := l.netns(h), veth(s, h)
	if _, err := os.Stat("/run/netns/" + ns); err == nil {
		return nil
	}
	gw := s.Subnet.Addr().Next().String()
	for _, args := range [][]string{
		{"netns", "add", ns},
		{"link", "add", dev, "type", "veth", "peer", "name", "eth0", "netns", ns},
		{"link", "set", dev, "master", l.bridge(s), "up"},
		{"-n", ns, "addr", "add", h.Address.String() + "/24", "dev", "eth0"},
		{"-n", ns, "link", "set", "eth0", "up"},
		{"-n", ns, "link", "set", "lo", "up"},
		{"-n", ns, "route", "add", "default", "via", gw},
	} {
		if _, err := run(ctx, "", "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// alive reports whether the host's systemd-nspawn runs: its pid may belong to
// another program by now.
func (l *Lab) alive(h Host) bool {
	if h.PID == 0 {
		return false
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", h.PID))
	return err == nil && bytes.Contains(cmdline, []byte(l.root(h)+"\x00"))
}

func mounted(path string) bool {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == path {
			return true
		}
	}
	return false
}

// stop ends every process of the host at once, as pulling the plug would.
func (l *Lab) stop(ctx context.Context, h Host) error {
	deadline := time.Now().Add(15 * time.Second)
	for {
		if l.alive(h) {
			_ = syscall.Kill(h.PID, syscall.SIGKILL)
		}
		pids, err := l.processes(ctx, h)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(pids) == 0 && !l.alive(h) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot stop lab host %s: %d processes remain", h.Name, len(pids))
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// processes are the ids, on this machine, of what runs in the host's namespace.
func (l *Lab) processes(ctx context.Context, h Host) ([]int, error) {
	if _, err := os.Stat("/run/netns/" + l.netns(h)); err != nil {
		return nil, nil
	}
	out, err := run(ctx, "", "ip", "netns", "pids", l.netns(h))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range strings.Fields(out) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (l *Lab) remove(ctx context.Context, s *state, h Host) error {
	if err := l.stop(ctx, h); err != nil {
		return err
	}
	if err := l.unmount(l.root(h)); err != nil {
		return fmt.Errorf("cannot unmount lab host %s: %w", h.Name, err)
	}
	if err := l.harvest(l.upper(h)); err != nil {
		return err
	}
	if err := l.unmount(filepath.Join(l.hostDir(h), "disk")); err != nil {
		return fmt.Errorf("cannot unmount lab host %s: %w", h.Name, err)
	}
	if _, err := os.Stat("/run/netns/" + l.netns(h)); err == nil {
		if _, err := run(ctx, "", "ip", "netns", "del", l.netns(h)); err != nil {
			return err
		}
	}
	if _, err := net.InterfaceByName(veth(s, h)); err == nil {
		// Usually gone with the namespace.
		_, _ = run(ctx, "", "ip", "link", "del", veth(s, h))
	}
	return os.RemoveAll(l.hostDir(h))
}

func (l *Lab) unmount(path string) error {
	for mounted(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return err
		}
	}
	return nil
}

// Stop pulls the plug of one host; its disk stays, Up starts it again.
func (l *Lab) Stop(ctx context.Context, name string) error {
	h, err := l.Host(name)
	if err != nil {
		return err
	}
	if err := l.stop(ctx, h); err != nil {
		return err
	}
	return l.change(name, func(h *Host) { h.PID = 0 })
}

// Cut takes a host off the network, or puts it back on.
func (l *Lab) Cut(ctx context.Context, name string, off bool) error {
	h, err := l.Host(name)
	if err != nil {
		return err
	}
	s, err := l.load()
	if err != nil {
		return err
	}
	state := "up"
	if off {
		state = "down"
	}
	if _, err := run(ctx, "", "ip", "link", "set", veth(s, h), state); err != nil {
		return fmt.Errorf("cannot set the link of %s %s: %w", name, state, err)
	}
	return l.change(name, func(h *Host) { h.Cut = off })
}

func (l *Lab) change(name string, f func(*Host)) error {
	s, err := l.load()
	if err != nil {
		return err
	}
	for i := range s.Hosts {
		if s.Hosts[i].Name == name {
			f(&s.Hosts[i])
		}
	}
	return l.save(s)
}

// SSHArgs are the arguments of ssh(1) that reach a host as root without asking.
func (l *Lab) SSHArgs(h Host) []string {
	return []string{"-i", l.KeyFile(), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5", "root@" + h.Address.String()}
}

// Exec runs a shell command on a host as root and returns what it printed.
func (l *Lab) Exec(ctx context.Context, name, command string) (string, error) {
	h, err := l.Host(name)
	if err != nil {
		return "", err
	}
	return run(ctx, "", "ssh", append(l.SSHArgs(h), command)...)
}

func (l *Lab) waitSSH(ctx context.Context, h Host) error {
	addr := net.JoinHostPort(h.Address.String(), "22")
	for first := true; ; first = false {
		// For a moment after its start a process has no command line yet.
		if !first && !l.alive(h) {
			said, _ := os.ReadFile(filepath.Join(l.hostDir(h), "boot.log"))
			return api.Errorf(api.CodeUnavailable, "lab host %s did not boot: %s", h.Name, lastLines(said)).WithRemedy("its whole boot log: %s", filepath.Join(l.hostDir(h), "boot.log"))
		}
		if banner(ctx, addr) {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return api.Errorf(api.CodeUnavailable, "lab host %s did not answer by ssh at %s", h.Name, addr).WithRemedy("its boot log: %s", filepath.Join(l.hostDir(h), "boot.log"))
		}
	}
}

// banner reports whether an SSH server answers.
func banner(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	b := make([]byte, 4)
	_, err = io.ReadFull(c, b)
	return err == nil && string(b) == "SSH-"
}

func lastLines(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " / ")
}

// pause waits for something outside this program that cannot be waited on.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
