package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"drover/api"
)

// Where the agent's service stands.
const (
	UnitName   = "drover-agent.service"
	unitPath   = "/etc/systemd/system/" + UnitName
	programLnk = "/usr/local/bin/drover-agent"
)

// Unit is the text of the systemd unit of an agent with its state in dir.
//
// The agent's work is to change the whole machine as root, so nothing that
// systemd could hide from it (files, devices, kernel settings, address
// families, capabilities) may be hidden; and what it starts inherits its
// limits. What remains is taken: see the comments in the text.
func Unit(dir string) string {
	return strings.NewReplacer("@DIR@", dir, "@CURRENT@", Current(dir), "@PREVIOUS@", previous(dir)).Replace(unitText)
}

const unitText = `# Written by "drover-agent install"; changes belong into "systemctl edit drover-agent".
[Unit]
Description=Drover agent: keeps this host what its fleet declares
Documentation=man:systemd.service(5)
After=network-online.target
Wants=network-online.target
# A new version that ends at once is put back by the guard below; the start
# limit must not stop that.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
# The version that is known to be good looks first: it counts the starts of a
# new one and puts itself back when there were too many. It must not keep the
# agent from starting.
ExecStartPre=-@PREVIOUS@ guard --state @DIR@
ExecStart=@CURRENT@ run --state @DIR@
Environment=DROVER_GUARDED=1
Restart=always
RestartSec=1
WatchdogSec=120
TimeoutStartSec=60
# A converge that runs may finish; then everything of the agent's is ended.
TimeoutStopSec=90
KillMode=mixed

# The agent outlives what it starts when memory is short.
OOMScoreAdjust=-500
OOMPolicy=continue
TasksMax=4096
LimitNOFILE=65536
KeyringMode=private
# Neither the agent nor what it starts needs another personality, real-time
# scheduling or new set-user-ID files in namespaces of its own.
LockPersonality=yes
RestrictRealtime=yes
# Everything else stays open on purpose: packages are installed, kernels
# configured and devices prepared from here.

[Install]
WantedBy=multi-user.target
`

// HasSystemd reports whether systemd runs this machine.
func HasSystemd() bool {
	info, err := os.Stat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// Install puts program into the state folder, writes the unit, and starts it.
// It may be repeated, with a newer program too.
func Install(ctx context.Context, dir, program string, progress func(string)) error {
	if os.Geteuid() != 0 {
		return errors.New("cannot install the agent: only root can")
	}
	if !HasSystemd() {
		return fmt.Errorf("cannot install the agent's service: this machine is not run by systemd; have `%s run` started at boot by other means", programLnk)
	}
	progress("installing the program")
	if _, err := AddBinary(dir, program); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(programLnk), 0o755); err != nil {
		return fmt.Errorf("cannot install the agent: %w", err)
	}
	if err := symlink(Current(dir), programLnk); err != nil {
		return fmt.Errorf("cannot install the agent: %w", err)
	}
	progress("writing " + unitPath)
	if err := writeFile(unitPath, []byte(Unit(dir)), 0o644); err != nil {
		return err
	}
	progress("starting " + UnitName)
	for _, args := range [][]string{{"daemon-reload"}, {"enable", UnitName}, {"restart", UnitName}} {
		if err := systemctl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// Uninstall stops the service and removes it; with purge also the state: the
// host's identity, and what it would still have reported.
func Uninstall(ctx context.Context, dir string, purge bool, progress func(string)) error {
	if os.Geteuid() != 0 {
		return errors.New("cannot uninstall the agent: only root can")
	}
	if purge {
		if err := purgeable(dir); err != nil {
			return err
		}
	}
	if _, err := os.Stat(unitPath); err == nil && HasSystemd() {
		progress("stopping " + UnitName)
		if err := systemctl(ctx, "disable", "--now", UnitName); err != nil {
			return err
		}
	}
	for _, path := range []string{unitPath, programLnk} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot uninstall the agent: %w", err)
		}
	}
	if HasSystemd() {
		if err := systemctl(ctx, "daemon-reload"); err != nil {
			return err
		}
	}
	if purge {
		progress("removing " + dir)
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("cannot remove the agent's state: %w", err)
		}
	}
	return nil
}

// purgeable refuses to remove a folder that no agent made.
func purgeable(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range []string{"bin", "blobs", "spool"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			return api.Errorf(api.CodeInvalid, "cannot remove %s: it is no agent's state", dir).WithRemedy("give the agent's own folder by --state, or leave --purge out")
		}
	}
	return nil
}

func systemctl(ctx context.Context, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// StopService ends the service, if systemd has it.
func StopService(ctx context.Context) error { return systemctl(ctx, "stop", UnitName) }

// RestartService starts the service anew, if systemd has it.
func RestartService(ctx context.Context) error { return systemctl(ctx, "restart", UnitName) }

// Watchdog has systemd run `binary guard --expired` after a while, outside of
// the agent's service, so that it works whatever the new agent does.
func Watchdog(dir string) func(binary string, after time.Duration) error {
	return func(binary string, after time.Duration) error {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		out, err := exec.CommandContext(ctx, "systemd-run", "--collect", "--quiet", fmt.Sprintf("--on-active=%d", int(after.Seconds())),
			"--timer-property=AccuracySec=1s", binary, "guard", "--state", dir, "--expired").CombinedOutput()
		if err != nil {
			return fmt.Errorf("cannot run systemd-run: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	}
}

// Notify tells systemd how the process is ("READY=1"); without systemd it does nothing.
func Notify(state string) error {
	addr := os.Getenv("NOTIFY_SOCKET")
	if addr == "" {
		return nil
	}
	c, err := net.Dial("unixgram", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}
