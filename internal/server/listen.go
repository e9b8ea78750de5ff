package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"drover/api"
	"drover/internal/link"
	"drover/internal/pki"
)

// Run is New and Serve: a whole server, until ctx ends. The doors are taken
// first, so that a taken port is known before anything is opened or written.
func Run(ctx context.Context, cfg Config) error {
	doors, err := openDoors(cfg)
	if err != nil {
		return err
	}
	defer doors.close()
	frugal()
	s, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(s.serve(ctx, doors), s.Close())
}

// Serve opens both doors and serves until ctx ends; Close does the rest.
func (s *Server) Serve(ctx context.Context) error {
	doors, err := openDoors(s.cfg)
	if err != nil {
		return err
	}
	defer doors.close()
	return s.serve(ctx, doors)
}

// doors are the two ports of a server.
type doors struct{ api, link net.Listener }

func openDoors(cfg Config) (doors, error) {
	apiDoor, err := listen("--listen", orDefault(cfg.ListenAPI, ":"+PortAPI))
	if err != nil {
		return doors{}, err
	}
	linkDoor, err := listen("--link", orDefault(cfg.ListenLink, ":"+PortLink))
	if err != nil {
		apiDoor.Close()
		return doors{}, err
	}
	return doors{apiDoor, linkDoor}, nil
}

func (d doors) close() {
	d.api.Close()
	d.link.Close()
}

// serve starts the loops and serves until ctx ends or a part fails; then it
// stops in the order: no new connections, streams, requests under way, agents.
func (s *Server) serve(ctx context.Context, d doors) error {
	conf, err := s.apiTLS()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.addrs = Addresses{API: "https://" + s.publicHost(d.api.Addr()), Link: s.publicHost(d.link.Addr())}
	addrs := s.addrs
	s.mu.Unlock()
	local := s.localURL(d.api.Addr())
	if err := s.writeCredential(local); err != nil {
		return s.layout.full(err)
	}
	if err := s.Start(ctx); err != nil {
		return err
	}

	httpServer := &http.Server{Handler: s.handler, TLSConfig: conf, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(s.log.With("part", "http").Handler(), slog.LevelDebug)}
	agents, stopAgents := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAgents()
	group, ended := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := httpServer.ServeTLS(d.api, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the API's door failed: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		if err := s.hub.Serve(agents, d.link, s.linkServer()); err != nil && agents.Err() == nil {
			return fmt.Errorf("the agents' door failed: %w", err)
		}
		return nil
	})
	if s.engine != nil {
		group.Go(func() error {
			select {
			case <-s.engine.Failed():
				// Somebody who supervises us starts the process again.
				return fmt.Errorf("the store's engine failed: %w", s.engine.Err())
			case <-ended.Done():
				return nil
			}
		})
	}
	if s.given != nil {
		group.Go(func() error {
			s.followCertificate(ended, local)
			return nil
		})
	}
	group.Go(func() error {
		<-ended.Done()
		s.log.Info("stopping")
		s.drain()
		limit := s.cfg.StopTimeout
		if limit == 0 {
			limit = 10 * time.Second
		}
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		if err := httpServer.Shutdown(late); err != nil {
			s.log.Warn("requests were cut off at the stop", "error", err)
			_ = httpServer.Close() // there is nothing left to do about it
		}
		stopAgents()
		return nil
	})
	if err := s.welcome(ctx, addrs); err != nil {
		return errors.Join(err, s.abort(httpServer, stopAgents, group))
	}
	if s.cfg.Ready != nil {
		s.cfg.Ready(addrs)
	}
	return group.Wait()
}

// abort ends doors that are already open.
func (s *Server) abort(h *http.Server, stopAgents func(), group *errgroup.Group) error {
	s.drain()
	err := h.Close()
	stopAgents()
	// The third part waits for an end of the context or of another part.
	group.Go(func() error { return errAborted })
	if e := group.Wait(); e != nil && !errors.Is(e, errAborted) {
		err = errors.Join(err, e)
	}
	return err
}

var errAborted = errors.New("aborted")

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// listen opens a port, or says what is in the way.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	e := api.Errorf(api.CodeUnavailable, "cannot listen on %s: %v", addr, plainError(err))
	_, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, e.WithRemedy("see what uses the port by `ss -ltnp 'sport = :%s'` and stop it, or give another %s HOST:PORT", port, flag)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, e.WithRemedy("run as root, or give %s HOST:PORT with a port over 1023", flag)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return nil, e.WithRemedy("this machine has no such address; give %s with one of its own, or :PORT for all", flag)
	}
	return nil, &api.Error{Code: api.CodeInvalid, Message: e.Message, Remedy: "write " + flag + " HOST:PORT or :PORT"}
}

// plainError is the innermost error: the one that says what happened.
func plainError(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// names are what the server's own certificate is for.
func (s *Server) names() []string {
	names := append([]string{}, s.cfg.Names...)
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	names = append(names, "localhost")
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		s.log.Warn("cannot list this machine's addresses", "error", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			names = append(names, n.IP.String())
		}
	}
	names = append(names, "127.0.0.1", "::1")
	for _, addr := range []string{s.cfg.ListenAPI, s.cfg.ListenLink} {
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "" && !unspecified(host) {
			names = append(names, host)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

func (s *Server) apiTLS() (*tls.Config, error) {
	if s.cfg.TLSCert == "" && s.cfg.TLSKey == "" {
		return s.ownTLS(), nil
	}
	if s.cfg.TLSCert == "" || s.cfg.TLSKey == "" {
		return nil, api.Errorf(api.CodeInvalid, "a certificate needs its key").WithRemedy("give both --tls-cert and --tls-key")
	}
	if _, err := s.given.get(nil); err != nil {
		return nil, api.Errorf(api.CodeInvalid, "cannot use the certificate %s with the key %s: %v", s.cfg.TLSCert, s.cfg.TLSKey, err).
			WithRemedy("give PEM files of one pair that this user may read")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.given.get}, nil
}

// ownTLS serves a certificate of the fleet's CA for this machine's names and
// addresses. An address that it got after the start, such as that of a bridge,
// is added when somebody comes by it.
func (s *Server) ownTLS() *tls.Config {
	names := s.names()
	conf := s.ca.APITLS(names...)
	var mu sync.Mutex
	later := map[string]*tls.Config{}
	conf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
		if err != nil || slices.Contains(names, host) {
			return nil, nil // the one above
		}
		mu.Lock()
		defer mu.Unlock()
		c := later[host]
		if c == nil {
			c = s.ca.APITLS(append(slices.Clone(names), host)...)
			c.NextProtos = []string{"h2", "http/1.1"}
			later[host] = c
		}
		return c, nil
	}
	return conf
}

// linkServer is the network side of the hub.
func (s *Server) linkServer() link.ServerConfig {
	return link.ServerConfig{TLS: s.ca.LinkTLS(s.names()...), Roots: s.ca.Bundle, Identify: pki.HostFromCert, Fleet: s.ca.Fleet(),
		Log: s.log.With("part", "link")}
}

// publicHost is host:port as others reach a listener.
func (s *Server) publicHost(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	switch {
	case len(s.cfg.Names) > 0:
		host = s.cfg.Names[0]
	case unspecified(host):
		host = "localhost"
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}

// localURL is the API as this machine reaches it.
func (s *Server) localURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "https://" + a.String()
	}
	if unspecified(host) {
		host = "localhost"
	}
	// A given certificate may not be for that.
	if s.given != nil && !s.given.isFor(host) {
		here := []string{"localhost", "127.0.0.1", "::1"}
		if name, err := os.Hostname(); err == nil {
			here = append(here, name)
		}
		if ip := net.ParseIP(host); ip != nil && !ip.IsLoopback() {
			here = nil // it listens elsewhere
		}
		if i := slices.IndexFunc(here, s.given.isFor); len(s.cfg.Names) > 0 {
			host = s.cfg.Names[0]
		} else if i >= 0 {
			host = here[i]
		} else if name := s.given.name(); name != "" {
			host = name
		}
	}
	return "https://" + net.JoinHostPort(host, port)
}

func (s *Server) apiURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs.API
}

// linkAddresses are what agents are told to dial: every name that was given,
// or else every address of this machine, so that one of them does.
func (s *Server) linkAddresses() []string {
	if len(s.cfg.LinkNames) > 0 {
		return s.cfg.LinkNames
	}
	s.mu.Lock()
	addr := s.addrs.Link
	s.mu.Unlock()
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return []string{addr}
	}
	list := []string{addr}
	if configured, _, err := net.SplitHostPort(s.cfg.ListenLink); err == nil && configured != "" && !unspecified(configured) && len(s.cfg.Names) == 0 {
		return list
	}
	for _, n := range append(slices.Clone(s.cfg.Names), s.globalAddresses()...) {
		if n != host {
			list = append(list, net.JoinHostPort(n, port))
		}
	}
	return list
}

// globalAddresses are this machine's addresses that others may reach.
func (s *Server) globalAddresses() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			list = append(list, n.IP.String())
		}
	}
	return list
}

// welcome tells the person at the console where the server is and, while there
// is no administrator, how to become one.
func (s *Server) welcome(ctx context.Context, addrs Addresses) error {
	pin, err := pki.PinOf(s.ca.Bundle())
	if err != nil {
		return err
	}
	s.log.Info("started", "api", addrs.API, "link", addrs.Link, "fleet", s.ca.Fleet(), "version", s.cfg.Version)
	s.announce("Drover serves the fleet %s.\n  API     %s\n  agents  %s\n  CA      %s\n", s.ca.Fleet(), addrs.API, addrs.Link, pin)
	code, err := s.access.FirstLink(ctx)
	if err != nil || code == "" {
		return err
	}
	fingerprint := ""
	if s.given == nil {
		fingerprint = " --ca-fingerprint " + strings.TrimSpace(pin)
	}
	s.announce("\nThere is no administrator yet. Become it, once, within a day, in a browser:\n  %s/signin?code=%s\nor by:\n  drover login %s --once %s%s\nAs root on this machine, drover works without signing in.\n",
		addrs.API, code, addrs.API, code, fingerprint)
	return nil
}
