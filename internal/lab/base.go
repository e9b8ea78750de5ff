package lab

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"drover/api"
)

// suite is the Debian release of the hosts.
const suite = "bookworm"

// baseVersion names the base image; a change of what is in it takes a new one.
const baseVersion = suite + "-1"

// basePackages are in every host from the start: what a small server image
// has, and python3 so that the peers that need it can be measured.
var basePackages = []string{"systemd", "systemd-sysv", "dbus", "iproute2", "openssh-server", "python3", "python3-apt",
	"ca-certificates", "nftables", "curl", "sudo", "cron", "procps", "gnupg", "iputils-ping"}

// tools are this machine's programs that a lab needs, by Debian's package.
var tools = [][2]string{{"debootstrap", "debootstrap"}, {"systemd-nspawn", "systemd-container"}, {"ip", "iproute2"}, {"nft", "nftables"}, {"ssh", "openssh-client"}}

func (l *Lab) base() string { return filepath.Join(l.cache(), "base-"+baseVersion) }

// EnsureBase installs what a lab needs on this machine and builds the base
// image, once; about a minute and a half with a near mirror.
func (l *Lab) EnsureBase(ctx context.Context) error {
	if err := l.ensureTools(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(l.cache(), 0o755); err != nil {
		return fmt.Errorf("cannot make the lab's folder: %w", err)
	}
	unlock, err := lockFile(filepath.Join(l.cache(), "base.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.ensureKey(); err != nil {
		return err
	}
	if _, err := os.Stat(l.base()); err == nil {
		return l.refreshBase()
	}
	l.step("building the base image (Debian %s), once", suite)
	from, err := mirror()
	if err != nil {
		return err
	}
	building := l.base() + ".building"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("cannot clear a half-built base image: %w", err)
	}
	if _, err := run(ctx, "", "debootstrap", "--variant=minbase", "--include="+strings.Join(basePackages, ","), suite, building, from); err != nil {
		return fmt.Errorf("cannot build the base image: %w", err)
	}
	if err := l.dress(building); err != nil {
		return err
	}
	l.step("reading the package lists into the base image")
	if _, err := run(ctx, "", "chroot", building, "apt-get", "-qq", "update"); err != nil {
		return fmt.Errorf("cannot read package lists in the base image: %w", err)
	}
	if _, err := run(ctx, "", "chroot", building, "apt-get", "clean"); err != nil {
		return fmt.Errorf("cannot tidy the base image: %w", err)
	}
	return os.Rename(building, l.base())
}

func (l *Lab) ensureTools(ctx context.Context) error {
	var missing []string
	for _, t := range tools {
		if _, err := exec.LookPath(t[0]); err != nil {
			missing = append(missing, t[1])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return api.Errorf(api.CodeUnavailable, "cannot make a lab: missing %s, and this is no Debian machine", strings.Join(missing, ", ")).
			WithRemedy("install them with your package manager")
	}
	l.step("installing %s", strings.Join(missing, ", "))
	if _, err := run(ctx, "", "apt-get", "-qq", "update"); err != nil {
		return fmt.Errorf("cannot read the package lists: %w", err)
	}
	args := append([]string{"apt-get", "install", "-y", "-qq", "--no-install-recommends"}, missing...)
	if _, err := run(ctx, "", "env", append([]string{"DEBIAN_FRONTEND=noninteractive"}, args...)...); err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(missing, ", "), err)
	}
	return nil
}

// mirror is the package mirror that this machine uses itself.
func mirror() (string, error) {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(data, []byte(suite)) {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if uris, ok := strings.CutPrefix(line, "URIs:"); ok && len(strings.Fields(uris)) > 0 {
				return strings.Fields(uris)[0], nil
			}
		}
	}
	if f, err := os.Open("/etc/apt/sources.list"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if w := strings.Fields(s.Text()); len(w) > 2 && w[0] == "deb" && strings.HasPrefix(w[1], "http") && w[2] == suite {
				return w[1], nil
			}
		}
	}
	return "", api.Errorf(api.CodeUnavailable, "cannot build the base image: this machine's apt has no source for Debian %s", suite).
		WithRemedy("add one to /etc/apt/sources.list.d; the hosts take their packages from where this machine takes its own")
}

func (l *Lab) ensureKey() error {
	if _, err := os.Stat(l.KeyFile()); err == nil {
		return nil
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(priv, "drover lab")
	if err != nil {
		return err
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.KeyFile()+".pub", ssh.MarshalAuthorizedKey(key), 0o644); err != nil {
		return fmt.Errorf("cannot write the lab's key: %w", err)
	}
	return os.WriteFile(l.KeyFile(), pem.EncodeToMemory(block), 0o600)
}

// dress gives the image what every host shares: the key, the machine's own
// way to its packages, and no identity of its own.
func (l *Lab) dress(root string) error {
	pub, err := os.ReadFile(l.KeyFile() + ".pub")
	if err != nil {
		return err
	}
	in := func(p string) string { return filepath.Join(root, p) }
	if err := os.MkdirAll(in("root/.ssh"), 0o700); err != nil {
		return err
	}
	files := map[string][]byte{
		"root/.ssh/authorized_keys": pub,
		"etc/machine-id":            nil, // made anew at each host's first boot
		"etc/hosts":                 []byte("127.0.0.1 localhost\n::1 localhost ip6-localhost\n"),
		// The host's address is set from outside before it boots.
		"etc/apt/apt.conf.d/90drover-lab": []byte("APT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\nBinary::apt-get::APT::Keep-Downloaded-Packages \"true\";\n"),
		"etc/ssh/sshd_config.d/lab.conf":  []byte("UseDNS no\n"),
	}
	for _, copied := range []string{"etc/apt/sources.list.d/debian.sources", "etc/ssl/certs/ca-certificates.crt", "etc/resolv.conf"} {
		data, err := os.ReadFile("/" + copied)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		files[copied] = data
	}
	confs, _ := filepath.Glob("/etc/apt/apt.conf.d/*")
	for _, c := range confs {
		data, err := os.ReadFile(c)
		if err != nil {
			return err
		}
		// Hooks of this machine's programs mean nothing on the hosts, and
		// images for containers switch the package cache off.
		if bytes.Contains(data, []byte("Invoke")) || bytes.Contains(data, []byte("pkgcache")) || strings.Contains(c, "docker") {
			continue
		}
		files[c[1:]] = data
	}
	for name, data := range files {
		if err := os.MkdirAll(filepath.Dir(in(name)), 0o755); err != nil {
			return err
		}
		if err := os.Remove(in(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(in(name), data, 0o644); err != nil {
			return fmt.Errorf("cannot prepare the base image: %w", err)
		}
	}
	if _, ok := files["etc/apt/sources.list.d/debian.sources"]; ok {
		if err := os.Remove(in("etc/apt/sources.list")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Timers that would compete with what a lab is for.
	for _, unit := range []string{"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "systemd-networkd-wait-online.service", "systemd-resolved.service"} {
		link := in("etc/systemd/system/" + unit)
		if err := os.Symlink("/dev/null", link); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// refreshBase renews what depends on this machine and may have changed.
func (l *Lab) refreshBase() error {
	for _, f := range []string{"etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"} {
		now, err := os.ReadFile("/" + f)
		if err != nil {
			continue
		}
		path := filepath.Join(l.base(), f)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, now) {
			continue
		}
		if err := os.WriteFile(path, now, 0o644); err != nil {
			return fmt.Errorf("cannot refresh the base image: %w", err)
		}
	}
	return nil
}

// The package cache is an overlay layer of .deb files that hosts of earlier
// labs downloaded, so that rehearsing again needs no download.

func (l *Lab) packages() string { return filepath.Join(l.cache(), "packages-"+baseVersion) }

const archives = "var/cache/apt/archives"

// layPackages makes the layer; it is only added to while no host uses it.
func (l *Lab) layPackages() error {
	return os.MkdirAll(filepath.Join(l.packages(), archives, "partial"), 0o755)
}

// harvest keeps the packages that a host downloaded.
func (l *Lab) harvest(upper string) error {
	debs, _ := filepath.Glob(filepath.Join(upper, archives, "*.deb"))
	for _, deb := range debs {
		to := filepath.Join(l.packages(), archives, filepath.Base(deb))
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if err := copyFile(deb, to); err != nil {
			return fmt.Errorf("cannot keep a downloaded package: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// run runs a program and says what it printed when it fails.
func run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(errOut.String())
		if said == "" {
			said = strings.TrimSpace(out.String())
		}
		if i := len(said) - 2000; i > 0 {
			said = "… " + said[i:]
		}
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return out.String(), nil
}
