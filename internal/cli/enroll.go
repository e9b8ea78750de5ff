package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/play/push"
	"drover/internal/server"
	"drover/internal/sshdial"
)

// enrolment is what `drover enroll` was asked to do.
type enrolment struct {
	name     string
	key      string
	hostKeys string
	password bool
	through  string // address of the server as the host reaches it
	force    bool
	timeout  time.Duration
}

// newEnrollCommand is `drover enroll`: the agent on a host, by SSH.
func newEnrollCommand(a *app) *cobra.Command {
	var e enrolment
	cmd := &cobra.Command{
		Use:   "enroll ssh://[USER@]HOST[:PORT]",
		Short: "Add a host to the fleet by SSH",
		Long: `Add a host to the fleet by SSH.

Copies the agent, gives it a join token for this one host, installs it as a service and waits
until it is connected. The user must be root or may use sudo without a password. Your
~/.ssh/config, keys, agent and known hosts are used.

To add a host from itself instead, run on it what ` + "`drover token join`" + ` prints.`,
		Example: "  drover enroll ssh://root@web-1.example.com\n  drover enroll ssh://debian@192.0.2.7 --name db-1",
		GroupID: groupFleet,
		Args:    exactArgs("ssh://[USER@]HOST[:PORT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.enroll(ctxOf(cmd), args[0], e)
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.name, "name", "", "the host's `name` in the inventory (its own hostname)")
	f.StringVar(&e.key, "private-key", "", "private key `file` to sign in with")
	f.StringVar(&e.hostKeys, "host-key-checking", "", "what to do about unknown host keys: accept-new, strict or off (as your configuration says)")
	f.BoolVarP(&e.password, "ask-pass", "k", false, "ask for the password")
	f.StringVar(&e.through, "reach", "", "`address` by which the host reaches the server, where it is not the one that you use")
	f.BoolVar(&e.force, "force", false, "enrol anew a host that is in a fleet already")
	f.DurationVar(&e.timeout, "timeout", time.Minute, "how long to wait until it is connected")
	_ = cmd.RegisterFlagCompletionFunc("host-key-checking", cobra.FixedCompletions([]string{"accept-new", "strict", "off"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// parseSSH reads ssh://user@host:port, and user@host for those who are used to it.
func parseSSH(s string) (sshdial.Target, error) {
	wrong := api.Errorf(api.CodeInvalid, "cannot enrol %q: it is not an SSH address", s).WithRemedy("write ssh://USER@HOST or ssh://USER@HOST:PORT")
	if !strings.Contains(s, "://") {
		s = "ssh://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "ssh" || u.Hostname() == "" || (u.Path != "" && u.Path != "/") {
		return sshdial.Target{}, wrong
	}
	t := sshdial.Target{Host: u.Hostname()}
	if u.User != nil {
		t.User = u.User.Username()
		if _, has := u.User.Password(); has {
			return t, api.Errorf(api.CodeInvalid, "cannot enrol %s: a password in an address is seen by others", t.Host).WithRemedy("leave it out, and use a key or --ask-pass")
		}
	}
	if p := u.Port(); p != "" {
		if t.Port, err = strconv.Atoi(p); err != nil || t.Port < 1 || t.Port > 65535 {
			return t, wrong
		}
	}
	return t, nil
}

func (a *app) enroll(ctx context.Context, address string, e enrolment) error {
	target, err := parseSSH(address)
	if err != nil {
		return err
	}
	switch sshdial.HostKeys(e.hostKeys) {
	case "", sshdial.AcceptNew, sshdial.Strict, sshdial.Off:
	default:
		return usagef("--host-key-checking is accept-new, strict or off, not %s", e.hostKeys)
	}
	if e.name != "" {
		if err := api.ValidName(e.name); err != nil {
			return err
		}
	}
	if e.key != "" {
		target.KeyFiles = []string{e.key}
	}
	if e.password {
		if target.Password, err = a.askSecret("SSH password: ", "use a key instead"); err != nil {
			return err
		}
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	p := a.progress("signing in to " + target.Host)
	defer p.End()
	name, err := a.install(ctx, c, p, target, e)
	if err != nil {
		return err
	}
	p.Set("waiting until %s is connected", name)
	if err := awaitConnected(ctx, c, name, e.timeout); err != nil {
		return err
	}
	p.End()
	fmt.Fprintf(a.Err, "%s is enrolled and connected\n", name)
	return nil
}

// install signs in to the host and has the agent join the fleet there.
func (a *app) install(ctx context.Context, c *client.Client, p *progress, target sshdial.Target, e enrolment) (string, error) {
	d, err := sshdial.New(sshdial.Options{HostKeys: sshdial.HostKeys(e.hostKeys)})
	if err != nil {
		return "", err
	}
	defer d.Close()
	ssh, err := d.Dial(ctx, target)
	if err != nil {
		return "", err
	}
	defer ssh.Close()

	about, err := ssh.Run(ctx, `hostname; echo "${SSH_CONNECTION%% *}"; if [ -d /run/systemd/system ]; then echo systemd; else echo none; fi`, nil)
	if err != nil {
		return "", err
	}
	facts := strings.Split(strings.TrimSpace(string(about.Stdout)), "\n")
	if about.Exit != 0 || len(facts) < 3 {
		return "", api.Errorf(api.CodeUnavailable, "cannot enrol %s: its shell did not answer as expected: %q", target.Host, tailOf(about.Stdout, about.Stderr)).
			WithRemedy("check that %s gets a Bourne-like shell there", ssh.User())
	}
	name, seenFrom, init := e.name, facts[len(facts)-2], facts[len(facts)-1]
	if name == "" {
		name = strings.TrimSpace(facts[0])
	}
	if init != "systemd" {
		return "", api.Errorf(api.CodeInvalid, "cannot enrol %s: it is not run by systemd", target.Host).WithRemedy("run `drover-agent join --no-install` there and start `drover-agent run` at boot by other means")
	}
	sudo := ""
	if ssh.User() != "root" {
		sudo = "sudo -n -- "
		out, err := ssh.Run(ctx, "sudo -n true", nil)
		if err != nil {
			return "", err
		}
		if out.Exit != 0 {
			return "", api.Errorf(api.CodeForbidden, "cannot enrol %s: %s may not use sudo without a password: %s", target.Host, ssh.User(), tailOf(out.Stdout, out.Stderr)).
				WithRemedy("sign in as root, or let %s use sudo without a password", ssh.User())
		}
	}
	p.Set("looking for the agent on %s", name)
	connector := push.New(push.Options{Progress: func(_, what string) { p.Set("%s to %s", what, name) }})
	defer connector.Close()
	program, err := connector.Ensure(ctx, name, ssh)
	if err != nil {
		return "", err
	}

	var ca server.CA
	if err := c.Call(ctx, "GET", "/v1/ca", nil, &ca); err != nil {
		return "", err
	}
	reach, err := serverFor(c.URL(), e.through, seenFrom)
	if err != nil {
		return "", err
	}
	token, err := a.createToken(ctx, &api.Token{Meta: api.Meta{Kind: "token"}, Spec: api.TokenSpec{Join: true, Host: name, Note: "drover enroll"}}, 15*time.Minute)
	if err != nil {
		return "", err
	}
	p.Set("joining %s to the fleet", name)
	// The token goes over standard input: arguments are seen by every user of the host.
	// The program's path is for the user's own shell to expand, not for root's.
	join := []string{`"$0"`, "join", "--server", sshdial.Quote(reach), "--ca-fingerprint", ca.Fingerprint, "--name", sshdial.Quote(name), "--address", sshdial.Quote(target.Host)}
	if ca.APIFingerprint != "" {
		join = append(join, "--api-fingerprint", ca.APIFingerprint)
	}
	if e.force {
		join = append(join, "--force")
	}
	script := "IFS= read -r DROVER_TOKEN; export DROVER_TOKEN; exec " + strings.Join(join, " ")
	out, err := ssh.Run(ctx, sudo+"sh -c "+sshdial.Quote(script)+" "+program, strings.NewReader(token.Secret+"\n"))
	if err != nil {
		return "", err
	}
	if out.Exit != 0 {
		// The token is for nobody else now.
		_ = c.Delete(context.WithoutCancel(ctx), "tokens", token.Name)
		return "", notJoined(name, reach, out.Exit, out.Stdout, out.Stderr)
	}
	return name, nil
}

// notJoined is what drover-agent join said on the host, by its exit status.
func notJoined(name, reach string, exit int, parts ...[]byte) error {
	codes := map[int]api.Code{ExitUsage: api.CodeInvalid, ExitUnreachable: api.CodeUnavailable, ExitForbidden: api.CodeForbidden, ExitNotFound: api.CodeNotFound, ExitConflict: api.CodeExists}
	code, ok := codes[exit]
	if !ok {
		code = api.CodeInternal
	}
	said, remedy, _ := strings.Cut(string(bytes.TrimSpace(bytes.Join(parts, []byte("\n")))), "\n→ ")
	e := api.Errorf(code, "cannot enrol %s: %s", name, tailOf([]byte(strings.TrimPrefix(said, "drover-agent: "))))
	if code == api.CodeUnavailable {
		return e.WithRemedy("the host must reach the server at %s: check the firewall, or give another address with --reach", reach)
	}
	if remedy = strings.TrimSpace(remedy); remedy != "" {
		return e.WithRemedy("%s", tailOf([]byte(remedy)))
	}
	return e
}

// serverFor is the server's address as the host reaches it: what people use,
// unless that is this machine's loopback; then this machine as the host sees it.
func serverFor(own, through, seenFrom string) (string, error) {
	u, err := url.Parse(own)
	if err != nil {
		return "", err
	}
	host := u.Hostname()
	switch ip := net.ParseIP(host); {
	case through != "":
		if strings.Contains(through, "://") {
			return through, nil
		}
		if _, _, err := net.SplitHostPort(through); err == nil {
			u.Host = through
			return u.String(), nil
		}
		host = through
	case host == "localhost", ip != nil && (ip.IsLoopback() || ip.IsUnspecified()):
		host = seenFrom
	default:
		// A name of this machine's own hosts file may mean nothing elsewhere.
		if me, err := user.Current(); err == nil && me.Uid == "0" && isOwnName(host) {
			host = seenFrom
		}
	}
	if u.Port() != "" {
		u.Host = net.JoinHostPort(host, u.Port())
	} else {
		u.Host = host
	}
	return u.String(), nil
}

// isOwnName reports whether a name is this machine's hostname.
func isOwnName(host string) bool {
	own, err := os.Hostname()
	return err == nil && strings.EqualFold(own, host)
}

func tailOf(parts ...[]byte) string {
	s := strings.TrimSpace(string(bytes.Join(parts, []byte("\n"))))
	if i := len(s) - 600; i > 0 {
		s = "… " + s[i:]
	}
	return strings.ReplaceAll(s, "\n", " / ")
}

// awaitConnected returns once the server sees the host.
func awaitConnected(ctx context.Context, c *client.Client, name string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var h api.Host
		err := c.Get(ctx, "hosts", name, &h)
		switch {
		case err == nil && h.Status.Connected:
			return nil
		case err != nil && ctx.Err() == nil && api.CodeOf(err) != api.CodeNotFound:
			return err
		}
		select {
		case <-ctx.Done():
			if context.Cause(ctx) == context.DeadlineExceeded {
				return timedOut("%s joined the fleet, but did not connect within %v; look there: journalctl -u drover-agent", name, timeout)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}
