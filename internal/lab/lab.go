// Package lab makes a throwaway fleet of real Debian hosts on this machine:
// systemd as PID 1, an address of their own, sshd, apt and nftables. Each is
// a systemd-nspawn container over an overlay of one debootstrap'd base, in its
// own network namespace on the lab's bridge. People rehearse a change on it;
// the tests of the fourth ring and the benchmarks run on it.
//
// A lab is a folder, <Dir>/labs/<name>, and what is in lab.json there. Nothing
// else on the machine is changed but the lab's bridge, its namespaces, one
// nftables table and IP forwarding, and all of it is put back when the last lab
// goes; what stays is the cache. Root is needed.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"drover/api"
)

// Where labs, and the base image and packages they share, are kept.
const (
	DefaultDir   = "/var/lib/drover-lab"
	DefaultCache = "/var/cache/drover-lab"
)

// Lab is one throwaway fleet. The zero value with a Name is ready to use.
type Lab struct {
	Dir   string // DefaultDir if empty
	Cache string // DefaultCache if empty; may be removed while no lab runs
	Name  string // "lab" if empty
	// Progress is told of each step that takes longer than a second.
	Progress func(step string)
}

// Host is one host of a lab.
type Host struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	Number  int        `json:"number"` // counts from 1 within the lab
	PID     int        `json:"pid"`    // of its systemd-nspawn
	Running bool       `json:"running"`
	Cut     bool       `json:"cut,omitempty"` // off the network by Cut
}

// Spec says which hosts to start.
type Spec struct {
	Hosts []string // names; those that run already are left as they are
	// DiskMiB, if set, gives each host a disk of so many MiB to write to, so
	// that a full disk can be rehearsed.
	DiskMiB int
}

type state struct {
	Subnet netip.Prefix `json:"subnet"`
	Index  int          `json:"index"`
	Hosts  []Host       `json:"hosts"`
}

func (l *Lab) dir() string {
	if l.Dir != "" {
		return l.Dir
	}
	return DefaultDir
}

func (l *Lab) cache() string {
	if l.Cache != "" {
		return l.Cache
	}
	return DefaultCache
}

func (l *Lab) name() string {
	if l.Name != "" {
		return l.Name
	}
	return "lab"
}

func (l *Lab) home() string { return filepath.Join(l.dir(), "labs", l.name()) }

// KeyFile is the private key that opens root's account on every host.
func (l *Lab) KeyFile() string { return filepath.Join(l.cache(), "id_ed25519") }

// Gateway is this machine's address on the lab's bridge.
func (l *Lab) Gateway() (netip.Addr, error) {
	s, err := l.load()
	if err != nil {
		return netip.Addr{}, err
	}
	return s.Subnet.Addr().Next(), nil
}

func (l *Lab) step(format string, args ...any) {
	if l.Progress != nil {
		l.Progress(fmt.Sprintf(format, args...))
	}
}

// checkName refuses a name that is no folder's of its own: what is there would
// be removed with the lab.
func (l *Lab) checkName() error {
	if err := api.ValidName(l.name()); err != nil || len(l.name()) > 40 || strings.HasPrefix(l.name(), ".") {
		return api.Errorf(api.CodeInvalid, "cannot name a lab %q", l.name()).WithRemedy("use letters, digits and '-', at most 40")
	}
	return nil
}

func (l *Lab) load() (*state, error) {
	if err := l.checkName(); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(l.home(), "lab.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(api.CodeNotFound, "there is no lab %q", l.name()).WithRemedy("start one: drover lab up --name %s", l.name())
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the lab's state: %w", err)
	}
	s := new(state)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("cannot read the lab's state %s: %w", filepath.Join(l.home(), "lab.json"), err)
	}
	return s, nil
}

func (l *Lab) save(s *state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(l.home(), "lab.json")
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot save the lab's state: %w", err)
	}
	return os.Rename(path+".new", path)
}

// open loads the lab's state, or makes a new lab with a subnet of its own.
func (l *Lab) open() (*state, error) {
	s, err := l.load()
	if err == nil || api.CodeOf(err) != api.CodeNotFound {
		return s, err
	}
	used := map[int]bool{}
	others, _ := filepath.Glob(filepath.Join(l.dir(), "labs", "*", "lab.json"))
	for _, path := range others {
		var o state
		if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &o) == nil {
			used[o.Index] = true
		}
	}
	index := 0
	for used[index] {
		index++
	}
	if index > 255 {
		return nil, api.Errorf(api.CodeUnavailable, "cannot make lab %q: 256 labs exist", l.name()).WithRemedy("remove one: drover lab down --name NAME")
	}
	s = &state{Index: index, Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 83, byte(index), 0}), 24)}
	if err := os.MkdirAll(l.home(), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make lab %q: %w", l.name(), err)
	}
	return s, l.save(s)
}

// Names gives n host names: prefix-1 … prefix-n.
func Names(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + "-" + strconv.Itoa(i+1)
	}
	return names
}

// Up starts the hosts that do not run yet and returns when each has an sshd
// that answers. What it needs is installed, the base image is built once.
func (l *Lab) Up(ctx context.Context, spec Spec) ([]Host, error) {
	for _, name := range spec.Hosts {
		if err := api.ValidName(name); err != nil || len(name) > 40 {
			return nil, api.Errorf(api.CodeInvalid, "cannot name a lab host %q", name).WithRemedy("use letters, digits and '-', at most 40")
		}
	}
	if err := l.checkName(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, api.Errorf(api.CodeForbidden, "cannot start a lab: root is needed to make hosts").WithRemedy("run it as root")
	}
	if err := l.EnsureBase(ctx); err != nil {
		return nil, err
	}
	s, err := l.open()
	if err != nil {
		return nil, err
	}
	if err := l.ensureBridge(ctx, s); err != nil {
		return nil, err
	}
	if err := l.layPackages(); err != nil {
		return nil, err
	}
	var started []Host
	for _, name := range spec.Hosts {
		i := slices.IndexFunc(s.Hosts, func(h Host) bool { return h.Name == name })
		if i >= 0 && l.alive(s.Hosts[i]) {
			continue
		}
		if i < 0 {
			if err := l.checkFree(name); err != nil {
				return nil, errors.Join(err, l.save(s))
			}
			s.Hosts = append(s.Hosts, l.newHost(s, name))
			i = len(s.Hosts) - 1
		}
		h := &s.Hosts[i]
		if err := l.boot(ctx, s, h, spec); err != nil {
			return nil, errors.Join(err, l.save(s))
		}
		if err := l.save(s); err != nil {
			return nil, err
		}
		started = append(started, *h)
	}
	if len(started) > 0 {
		l.step("waiting for %d hosts to boot", len(started))
	}
	wait, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	var g errgroup.Group
	for _, h := range started {
		g.Go(func() error { return l.waitSSH(wait, h) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return l.Hosts()
}

// checkFree refuses a host whose namespace is called as that of another lab's
// host: the host a-b of the lab x is called as the host b of the lab x-a.
func (l *Lab) checkFree(name string) error {
	for _, other := range Labs(l.dir()) {
		o := &Lab{Dir: l.Dir, Name: other}
		s, err := o.load()
		if other == l.name() || err != nil {
			continue
		}
		for _, h := range s.Hosts {
			if o.netns(h) == l.netns(Host{Name: name}) {
				return api.Errorf(api.CodeExists, "cannot start lab host %s: it would be taken for the host %s of the lab %s", name, h.Name, other).
					WithRemedy("give the host or the lab another name")
			}
		}
	}
	return nil
}

func (l *Lab) newHost(s *state, name string) Host {
	number := 1
	for slices.ContainsFunc(s.Hosts, func(h Host) bool { return h.Number == number }) {
		number++
	}
	a := s.Subnet.Addr().As4()
	a[3] = byte(10 + number)
	return Host{Name: name, Number: number, Address: netip.AddrFrom4(a)}
}

// Hosts lists the lab's hosts.
func (l *Lab) Hosts() ([]Host, error) {
	s, err := l.load()
	if err != nil {
		return nil, err
	}
	for i := range s.Hosts {
		s.Hosts[i].Running = l.alive(s.Hosts[i])
	}
	return s.Hosts, nil
}

// Host finds one host by name.
func (l *Lab) Host(name string) (Host, error) {
	hosts, err := l.Hosts()
	if err != nil {
		return Host{}, err
	}
	i := slices.IndexFunc(hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		names := make([]string, len(hosts))
		for i, h := range hosts {
			names[i] = h.Name
		}
		return Host{}, api.Errorf(api.CodeNotFound, "lab %q has no host %q", l.name(), name).WithRemedy("it has: %s", strings.Join(names, ", "))
	}
	return hosts[i], nil
}

// Down stops the named hosts, or all, and removes their disks; with the last
// host goes the lab itself. The base image and the package cache stay.
func (l *Lab) Down(ctx context.Context, names ...string) error {
	s, err := l.load()
	if err != nil && api.CodeOf(err) == api.CodeNotFound && len(names) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := l.Host(name); err != nil {
			return err // before any is stopped
		}
	}
	var errs []error
	var left []Host
	for _, h := range s.Hosts {
		if len(names) > 0 && !slices.Contains(names, h.Name) {
			left = append(left, h)
			continue
		}
		if err := l.remove(ctx, s, h); err != nil {
			errs = append(errs, err)
			left = append(left, h)
		}
	}
	s.Hosts = left
	if len(left) > 0 {
		return errors.Join(append(errs, l.save(s))...)
	}
	errs = append(errs, l.removeBridge(ctx, s))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.RemoveAll(l.home()); err != nil {
		return err
	}
	if len(Labs(l.dir())) > 0 {
		return nil
	}
	if err := l.restoreForwarding(); err != nil {
		return err
	}
	return l.removeDir()
}

// removeDir removes the folder of all labs with what labs keep there. Where
// somebody else keeps something too, that and the folder stay.
func (l *Lab) removeDir() error {
	if err := os.Remove(l.forwardingBefore()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range []string{filepath.Join(l.dir(), "labs"), l.dir()} {
		if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// Labs lists the names of the labs in a folder.
func Labs(dir string) []string {
	if dir == "" {
		dir = DefaultDir
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "labs", "*", "lab.json"))
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(filepath.Dir(p))
	}
	return names
}
