package sshdial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kevinburke/ssh_config"

	"drover/api"
)

// config is the user's SSH configuration, files in the order of their rank.
type config struct {
	override map[string]string // by lower-case key
	files    []*ssh_config.Config
}

func homeDir() string {
	if h := os.Getenv("HOME"); h != "" {
		return h
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return "/"
}

func defaultConfigFiles(home string) []string {
	return []string{filepath.Join(home, ".ssh/config"), "/etc/ssh/ssh_config"}
}

func readConfig(files []string, home string) (*config, error) {
	c := &config{}
	for _, name := range files {
		text, err := flatten(name, home, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var f *ssh_config.Config
			if f, err = ssh_config.Decode(strings.NewReader(text)); err == nil {
				c.files = append(c.files, f)
				continue
			}
		}
		return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("cannot read the SSH configuration %s: %v", name, err),
			Place: &api.Place{File: name}, Remedy: "`ssh -G HOST` names the wrong line"}
	}
	return c, nil
}

// flatten reads a configuration with its includes in place. The parser knows
// no Match, so those that hang on the host's name alone become Host, and the
// others, whose conditions are about a session that we do not have, match nothing.
func flatten(name, home string, depth int) (string, error) {
	if depth > 16 {
		return "", fmt.Errorf("includes nested more than 16 deep at %s", name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	host := "Host *"
	for line := range strings.Lines(string(raw)) {
		key, rest := splitKeyword(line)
		switch strings.ToLower(key) {
		case "host":
			host = strings.TrimSpace(line)
		case "match":
			host = matchAsHost(rest)
			line = host + "\n"
		case "include":
			for _, pattern := range strings.Fields(rest) {
				pattern = strings.Trim(pattern, `"`)
				if strings.HasPrefix(pattern, "~/") {
					pattern = filepath.Join(home, pattern[2:])
				} else if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(filepath.Dir(name), pattern)
				}
				found, err := filepath.Glob(pattern)
				if err != nil {
					return "", fmt.Errorf("include %s: %w", pattern, err)
				}
				for _, f := range found {
					text, err := flatten(f, home, depth+1)
					if err != nil {
						return "", err
					}
					b.WriteString(host + "\n" + text)
				}
			}
			line = host + "\n"
		}
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	return b.String(), nil
}

func splitKeyword(line string) (key, rest string) {
	line = strings.TrimSpace(line)
	i := strings.IndexAny(line, " \t=")
	if i < 0 || line[0] == '#' {
		return "", ""
	}
	return line[:i], strings.Trim(line[i:], " \t=")
}

// noHost is a name that no host has.
const noHost = "Host match-not-supported.invalid"

func matchAsHost(criteria string) string {
	f := strings.Fields(criteria)
	switch {
	case len(f) == 1 && strings.EqualFold(f[0], "all"):
		return "Host *"
	case len(f) == 2 && (strings.EqualFold(f[0], "host") || strings.EqualFold(f[0], "originalhost")):
		return "Host " + strings.ReplaceAll(strings.Trim(f[1], `"`), ",", " ")
	}
	return noHost
}

// get is the first value of a key for a host, "" when there is none.
func (c *config) get(host, key string) string {
	if v := c.override[strings.ToLower(key)]; v != "" {
		return v
	}
	for _, f := range c.files {
		if v, err := f.Get(host, key); err == nil && v != "" {
			return v
		}
	}
	return ""
}

func (c *config) all(host, key string) []string {
	var out []string
	if v := c.override[strings.ToLower(key)]; v != "" {
		out = append(out, v)
	}
	for _, f := range c.files {
		if v, err := f.GetAll(host, key); err == nil {
			out = append(out, v...)
		}
	}
	return out
}

// settings are a target with the configuration applied: all there is to know.
type settings struct {
	host, address, user, password string
	port                          int
	network, bind                 string
	alias                         string // HostKeyAlias
	keyFiles                      []string
	certFiles                     []string
	identitiesOnly                bool
	agentSocket                   string
	pubkey, passwords, keyboard   bool
	hostKeys                      HostKeys
	hashKnown                     bool
	knownFiles                    []string
	jumps                         []Target
	proxyCommand                  string
	timeout, keepAlive            time.Duration
	keepAliveMax                  int
}

func (s *settings) addr() string     { return net.JoinHostPort(s.address, strconv.Itoa(s.port)) }
func (s *settings) dialName() string { return s.addr() }

// knownName is the name under which the host's key is kept.
func (s *settings) knownName() string {
	if s.alias != "" {
		return net.JoinHostPort(s.alias, "22")
	}
	return s.addr()
}

// where names the host in errors: as the user does, with the address if it differs.
func (s *settings) where() string {
	if s.host == s.address && s.port == 22 {
		return s.host
	}
	if s.host == s.address {
		return s.addr()
	}
	return s.host + " (" + s.addr() + ")"
}

func (d *Dialer) settings(t Target) (*settings, error) {
	get := func(key string) string { return d.conf.get(t.Host, key) }
	s := &settings{host: t.Host, address: t.Address, user: t.User, password: t.Password, port: t.Port,
		network: "tcp", bind: get("BindAddress"), alias: get("HostKeyAlias"),
		identitiesOnly: yes(get("IdentitiesOnly")), hashKnown: yes(get("HashKnownHosts")),
		pubkey: !no(get("PubkeyAuthentication")), passwords: !no(get("PasswordAuthentication")),
		keyboard: !no(get("KbdInteractiveAuthentication"))}
	switch strings.ToLower(get("AddressFamily")) {
	case "inet":
		s.network = "tcp4"
	case "inet6":
		s.network = "tcp6"
	}
	if s.address == "" {
		s.address = strings.ReplaceAll(get("HostName"), "%h", t.Host)
	}
	if s.address == "" {
		s.address = t.Host
	}
	var err error
	if s.port == 0 {
		if s.port, err = number(get("Port"), 22, "Port", t.Host); err != nil {
			return nil, err
		}
	}
	if s.port < 1 || s.port > 65535 {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "port", Message: fmt.Sprintf("cannot connect to %s: %d is no port", t.Host, s.port)}
	}
	local := localUser()
	if s.user == "" {
		s.user = get("User")
	}
	if s.user == "" {
		s.user = local
	}
	expand := func(v string) string { return d.expand(v, s, local) }

	for _, f := range t.KeyFiles {
		s.keyFiles = append(s.keyFiles, expand(f))
	}
	own := d.conf.all(t.Host, "IdentityFile")
	if len(own) == 0 {
		own = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}
	}
	for _, f := range own {
		if !strings.EqualFold(f, "none") {
			s.keyFiles = append(s.keyFiles, expand(f))
		}
	}
	for _, f := range d.conf.all(t.Host, "CertificateFile") {
		s.certFiles = append(s.certFiles, expand(f))
	}
	s.agentSocket = d.agentSocket(get("IdentityAgent"), expand)
	s.knownFiles = d.knownFiles(t.Host, expand)
	s.hostKeys = d.hostKeys(get("StrictHostKeyChecking"))

	if err := d.route(s, t, expand); err != nil {
		return nil, err
	}
	return s, d.times(s, t.Host)
}

// route decides by which way the host is reached.
func (d *Dialer) route(s *settings, t Target, expand func(string) string) error {
	if v := d.conf.get(t.Host, "ProxyJump"); v != "" && !strings.EqualFold(v, "none") {
		for _, hop := range strings.Split(expand(v), ",") {
			j, err := parseHop(strings.TrimSpace(hop))
			if err != nil {
				return err
			}
			s.jumps = append(s.jumps, j)
		}
	} else if v := d.conf.get(t.Host, "ProxyCommand"); v != "" && !strings.EqualFold(v, "none") {
		s.proxyCommand = expand(v)
	}
	return nil
}

func (d *Dialer) times(s *settings, host string) error {
	seconds, err := number(d.conf.get(host, "ConnectTimeout"), 10, "ConnectTimeout", host)
	if err != nil {
		return err
	}
	s.timeout = time.Duration(seconds) * time.Second
	if d.o.Timeout > 0 {
		s.timeout = d.o.Timeout
	}
	if seconds, err = number(d.conf.get(host, "ServerAliveInterval"), 15, "ServerAliveInterval", host); err != nil {
		return err
	}
	s.keepAlive = time.Duration(seconds) * time.Second
	if d.o.KeepAlive != 0 {
		s.keepAlive = d.o.KeepAlive
	}
	s.keepAliveMax, err = number(d.conf.get(host, "ServerAliveCountMax"), 3, "ServerAliveCountMax", host)
	return err
}

func (d *Dialer) agentSocket(configured string, expand func(string) string) string {
	switch {
	case d.o.AgentSocket != nil:
		return *d.o.AgentSocket
	case strings.EqualFold(configured, "none"):
		return ""
	case configured == "" || configured == "SSH_AUTH_SOCK":
		return os.Getenv("SSH_AUTH_SOCK")
	case strings.HasPrefix(configured, "$"):
		return os.Getenv(strings.Trim(configured, "${}"))
	}
	return expand(configured)
}

func (d *Dialer) knownFiles(host string, expand func(string) string) []string {
	if d.o.KnownHosts != nil {
		return d.o.KnownHosts
	}
	var out []string
	add := func(v, fallback string) {
		if v == "" {
			v = fallback
		}
		for _, f := range strings.Fields(v) {
			if f = strings.Trim(f, `"`); !strings.EqualFold(f, "none") {
				out = append(out, expand(f))
			}
		}
	}
	add(d.conf.get(host, "UserKnownHostsFile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2")
	add(d.conf.get(host, "GlobalKnownHostsFile"), "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
	return out
}

func (d *Dialer) hostKeys(configured string) HostKeys {
	if d.o.HostKeys != "" {
		return d.o.HostKeys
	}
	switch strings.ToLower(configured) {
	case "yes":
		return Strict
	case "no", "off":
		return Off
	}
	return AcceptNew
}

// expand replaces ~ and the tokens of ssh_config that a client knows.
func (d *Dialer) expand(v string, s *settings, local string) string {
	v = strings.Trim(v, `"`)
	if v == "~" || strings.HasPrefix(v, "~/") {
		v = d.home + v[1:]
	}
	if !strings.Contains(v, "%") {
		return v
	}
	hostname, _ := os.Hostname()
	short, _, _ := strings.Cut(hostname, ".")
	return strings.NewReplacer("%%", "%", "%d", d.home, "%h", s.address, "%n", s.host, "%k", s.alias,
		"%p", strconv.Itoa(s.port), "%r", s.user, "%u", local, "%i", strconv.Itoa(os.Getuid()),
		"%l", hostname, "%L", short).Replace(v)
}

func localUser() string {
	if u := os.Getenv("USER"); u != "" && os.Getuid() != 0 {
		return u
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

func yes(v string) bool { return strings.EqualFold(v, "yes") || strings.EqualFold(v, "true") }
func no(v string) bool  { return strings.EqualFold(v, "no") || strings.EqualFold(v, "false") }

func number(v string, fallback int, key, host string) (int, error) {
	if v == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v, "s"))
	if err != nil || n < 0 {
		return 0, &api.Error{Code: api.CodeInvalid, Field: key, Message: fmt.Sprintf("cannot connect to %s: %q is no number", host, v),
			Remedy: "correct " + key + " in the SSH configuration"}
	}
	return n, nil
}

// parseHop reads [user@]host[:port], [user@][v6]:port or ssh://user@host:port.
func parseHop(hop string) (Target, error) {
	bad := api.Errorf(api.CodeInvalid, "cannot use %q as a jump host", hop).WithRemedy("write [user@]host[:port]")
	rest := strings.TrimSuffix(strings.TrimPrefix(hop, "ssh://"), "/")
	var t Target
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		t.User, rest = rest[:i], rest[i+1:]
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host, port = strings.Trim(rest, "[]"), ""
	}
	if port != "" {
		if t.Port, err = strconv.Atoi(port); err != nil || t.Port < 1 || t.Port > 65535 {
			return t, bad
		}
	}
	if host == "" || strings.ContainsAny(host, " \t/") {
		return t, bad
	}
	t.Host = host
	return t, nil
}

// dialProgram runs a ProxyCommand and speaks through its standard streams.
func dialProgram(ctx context.Context, command string) (net.Conn, error) {
	cmd := exec.Command("/bin/sh", "-c", "exec "+command)
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var said tail
	cmd.Stderr = &said
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	return &programConn{cmd: cmd, in: in, out: out}, nil
}
