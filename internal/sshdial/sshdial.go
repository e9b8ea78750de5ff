// Package sshdial speaks SSH as OpenSSH's users expect it: their
// configuration files, known hosts, agent, keys, passwords and jump hosts, on
// golang.org/x/crypto/ssh. It starts no program, keeps one connection a host
// and says in every error what to do about it.
package sshdial

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"drover/api"
)

// HostKeys says what to do about a host whose key is not known.
type HostKeys string

// The ways to treat host keys. The zero value follows StrictHostKeyChecking
// of the configuration, where "ask" becomes AcceptNew: nobody is there to ask.
const (
	AcceptNew HostKeys = "accept-new" // keep an unknown host's key; refuse a changed one
	Strict    HostKeys = "strict"     // refuse unknown and changed
	Off       HostKeys = "off"        // check nothing, keep nothing
)

// Target is one host to connect to. Empty fields come from the configuration.
type Target struct {
	Host     string   // the name as people write it; matched against the configuration
	Address  string   // name or address to dial, instead of HostName
	Port     int      // instead of Port
	User     string   // instead of User
	Password string   // tried after keys
	KeyFiles []string // tried before those of the configuration
}

// Options are what all connections of a Dialer share.
type Options struct {
	// Home is where ~ leads; the user's own if empty.
	Home string
	// ConfigFiles are read in order, the first value of a key wins. Nil means
	// ~/.ssh/config and /etc/ssh/ssh_config; an empty slice means none.
	ConfigFiles []string
	// KnownHosts replaces UserKnownHostsFile and GlobalKnownHostsFile.
	KnownHosts []string
	HostKeys   HostKeys
	// Override are keys of ssh_config that win over the files, like ssh's -o.
	Override map[string]string
	// AgentSocket is the agent's; nil means IdentityAgent or SSH_AUTH_SOCK, "" none.
	AgentSocket *string
	// Passphrase opens an encrypted key. It is asked once a key, and only when
	// the server would accept it. Nil skips encrypted keys that have no agent.
	Passphrase func(ctx context.Context, keyFile string) ([]byte, error)
	// Password answers when the server wants one and the target has none.
	Password func(ctx context.Context, user, host string) (string, error)
	// Timeout bounds connecting, from the first packet to the signed-in
	// connection. 0 means ConnectTimeout of the configuration, or 10 s.
	Timeout time.Duration
	// KeepAlive is the pause between probes of an idle connection; 0 means
	// ServerAliveInterval of the configuration, or 15 s; below 0 none.
	KeepAlive time.Duration
}

// Dialer connects to hosts. It parses configuration, keys and known hosts
// once, shares connections to jump hosts, and is safe for use by many.
type Dialer struct {
	o    Options
	home string
	conf *config
	keys *keyring

	mu    sync.Mutex
	known map[string]*knownHosts // by the list of files
	jumps map[string]*jump
	done  bool
}

// New makes a Dialer. It fails when a configuration file does not parse.
func New(o Options) (*Dialer, error) {
	home := o.Home
	if home == "" {
		home = homeDir()
	}
	files := o.ConfigFiles
	if files == nil {
		files = defaultConfigFiles(home)
	}
	conf, err := readConfig(files, home)
	if err != nil {
		return nil, err
	}
	conf.override = map[string]string{}
	for k, v := range o.Override {
		conf.override[strings.ToLower(k)] = v
	}
	return &Dialer{o: o, home: home, conf: conf, keys: newKeyring(), known: map[string]*knownHosts{}, jumps: map[string]*jump{}}, nil
}

// Dial connects by the user's own configuration; a Dialer does it faster for many.
func Dial(ctx context.Context, t Target) (*Client, error) {
	d, err := New(Options{})
	if err != nil {
		return nil, err
	}
	c, err := d.Dial(ctx, t)
	if err != nil {
		d.Close()
		return nil, err
	}
	c.onClose = func() { d.Close() }
	return c, nil
}

// Close ends the connections to jump hosts. Connections that Dial gave stay
// their owners', but those through a jump host end with it.
func (d *Dialer) Close() error {
	d.mu.Lock()
	jumps := d.jumps
	d.jumps, d.done = map[string]*jump{}, true
	d.mu.Unlock()
	for _, j := range jumps {
		<-j.ready
		if j.client != nil {
			j.client.Close()
		}
	}
	return nil
}

// Dial connects and signs in. Every failure is an *api.Error.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Client, error) {
	return d.dial(ctx, t, nil)
}

// dial is Dial on behalf of the jump hosts in path, which wait for it.
func (d *Dialer) dial(ctx context.Context, t Target, path []string) (*Client, error) {
	if t.Host == "" {
		t.Host = t.Address
	}
	if t.Host == "" {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "host", Message: "cannot connect: no host is named"}
	}
	s, err := d.settings(t)
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeoutCause(ctx, s.timeout, errConnectTimeout)
	defer cancel()

	conn, err := d.connect(limit, s, path)
	if err != nil {
		return nil, unreachable(limit, s, err)
	}
	client, err := d.handshake(limit, conn, s)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return newClient(client, s), nil
}

var errConnectTimeout = errors.New("timed out")

// connect opens the byte stream to the host's sshd: directly, by a program,
// or through jump hosts.
func (d *Dialer) connect(ctx context.Context, s *settings, path []string) (net.Conn, error) {
	switch {
	case len(s.jumps) > 0:
		j, err := d.throughJumps(ctx, s.jumps, path)
		if err != nil {
			return nil, err
		}
		return j.ssh.DialContext(ctx, "tcp", s.addr())
	case s.proxyCommand != "":
		return dialProgram(ctx, s.proxyCommand)
	}
	nd := net.Dialer{KeepAlive: 30 * time.Second}
	if s.bind != "" {
		if ip := net.ParseIP(s.bind); ip != nil {
			nd.LocalAddr = &net.TCPAddr{IP: ip}
		}
	}
	return nd.DialContext(ctx, s.network, s.addr())
}

// jump is a shared connection to a jump host.
type jump struct {
	ready  chan struct{}
	client *Client
	err    error
}

// throughJumps connects to the last of a chain, reusing what is connected.
func (d *Dialer) throughJumps(ctx context.Context, chain []Target, path []string) (*Client, error) {
	last := chain[len(chain)-1]
	key := jumpKey(chain)
	if slices.Contains(path, key) {
		return nil, api.Errorf(api.CodeInvalid, "cannot connect to %s: its jump hosts lead back to it", last.Host).
			WithRemedy("look for a circle of ProxyJump in the SSH configuration")
	}
	path = append(slices.Clone(path), key)
	d.mu.Lock()
	if d.done {
		d.mu.Unlock()
		return nil, net.ErrClosed
	}
	j, ok := d.jumps[key]
	if ok {
		select {
		case <-j.ready:
			if j.err != nil || j.client.dead() {
				ok = false // one more try: what failed then may work now
			}
		default:
		}
	}
	if ok {
		d.mu.Unlock()
		select {
		case <-j.ready:
			return j.client, j.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	j = &jump{ready: make(chan struct{})}
	d.jumps[key] = j
	d.mu.Unlock()
	defer close(j.ready)

	if len(chain) == 1 {
		j.client, j.err = d.dial(ctx, last, path)
		return j.client, j.err
	}
	s, err := d.settings(last)
	if err == nil {
		s.jumps, s.proxyCommand = chain[:len(chain)-1], ""
		var conn net.Conn
		if conn, err = d.connect(ctx, s, path); err == nil {
			var sc *ssh.Client
			if sc, err = d.handshake(ctx, conn, s); err != nil {
				conn.Close()
			} else {
				j.client = newClient(sc, s)
			}
		} else {
			err = unreachable(ctx, s, err)
		}
	}
	j.err = err
	return j.client, j.err
}

func jumpKey(chain []Target) string {
	var b strings.Builder
	for _, t := range chain {
		b.WriteString(t.User + "@" + t.Host + ":" + strconv.Itoa(t.Port) + ",")
	}
	return b.String()
}

// handshake exchanges keys, checks the host's and signs in.
func (d *Dialer) handshake(ctx context.Context, conn net.Conn, s *settings) (*ssh.Client, error) {
	known, err := d.knownFor(s)
	if err != nil {
		return nil, err
	}
	auth := &authenticator{ctx: ctx, d: d, s: s}
	defer auth.close()
	check := &hostKeyCheck{known: known, s: s}
	cfg := &ssh.ClientConfig{
		User:              s.user,
		Auth:              auth.methods(),
		HostKeyCallback:   check.callback,
		HostKeyAlgorithms: check.algorithms(conn.RemoteAddr()),
		ClientVersion:     "SSH-2.0-Drover",
	}
	// The deadline and a cancel end the handshake by closing its connection;
	// deadlines alone do not exist on streams through a jump host.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	cc, chans, reqs, err := ssh.NewClientConn(conn, s.dialName(), cfg)
	if !stop() && err == nil {
		cc.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, handshakeError(ctx, s, auth, check, err)
	}
	return ssh.NewClient(cc, chans, reqs), nil
}

// handshakeError finds what really went wrong behind the library's words.
func handshakeError(ctx context.Context, s *settings, a *authenticator, check *hostKeyCheck, err error) error {
	if check.err != nil {
		return check.err
	}
	if ctx.Err() != nil {
		return unreachable(ctx, s, context.Cause(ctx))
	}
	if a.err != nil {
		return a.err
	}
	if strings.Contains(err.Error(), "unable to authenticate") || strings.Contains(err.Error(), "Too many authentication failures") {
		return api.Errorf(api.CodeUnauthorized, "cannot sign in to %s as %s: the server refused %s", s.where(), s.user, a.tried()).
			WithRemedy("add your public key to %s's ~/.ssh/authorized_keys there, or name another user, key or password", s.user)
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed the connection during the key exchange")
	}
	return api.Errorf(api.CodeUnavailable, "cannot connect to %s: %v", s.where(), err).
		WithRemedy("check that an SSH server listens there, and its log")
}

// unreachable is the error of a host that did not answer.
func unreachable(ctx context.Context, s *settings, err error) error {
	var known *api.Error
	if errors.As(err, &known) {
		return known
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return api.Errorf(api.CodeUnavailable, "cannot reach %s: no address is known for the name %s", s.host, s.address).
			WithRemedy("set its address (ansible_host in the inventory, HostName in the SSH configuration)")
	case errors.Is(context.Cause(ctx), errConnectTimeout), isTimeout(err):
		return api.Errorf(api.CodeUnavailable, "cannot reach %s: no answer within %s", s.where(), s.timeout).
			WithRemedy("check that the host is up and that no firewall is between")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the address, which is named already
	}
	return api.Errorf(api.CodeUnavailable, "cannot reach %s: %v", s.where(), err).
		WithRemedy("check that the host is up and that sshd listens on port %d", s.port)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
