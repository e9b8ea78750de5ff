package agent

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/link"
	"drover/internal/pki"
)

// JoinConfig says which fleet to join, and as whom.
type JoinConfig struct {
	Server string // https://HOST:7440
	Token  string // the join token
	Name   string // the host's; the machine's own name if empty
	// Pin names the fleet's root: "sha256:HEX". Empty trusts what the
	// machine's own roots vouch for.
	Pin string
	// APIPin names the certificate that the server shows, where that is not of
	// the fleet's root. Pin then names only the root in its answer.
	APIPin  string
	Address string // where people reach the host; what the server sees if empty
	Version string // of the agent
	Force   bool   // join although the host is in a fleet already
	// Transport replaces the network, for tests in process.
	Transport http.RoundTripper
}

// joining is what a join that was interrupted left: with the same key the
// server answers again, although the token was used.
type joining struct {
	Server string `json:"server"`
	Name   string `json:"name"`
	Key    []byte `json:"key"`
}

// JoinIn is Join with the state in dir. A join that was refused leaves no
// folder that it made.
func JoinIn(ctx context.Context, dir string, cfg JoinConfig) (*Identity, error) {
	_, err := os.Stat(dir)
	made := errors.Is(err, fs.ErrNotExist)
	// An agent that runs has the state open; what the host is can be read all the same.
	was := new(Identity)
	if found, err := readJSON(filepath.Join(dir, "identity.json"), was); err == nil && found && !cfg.Force {
		return nil, already(was)
	}
	s, err := OpenState(dir)
	if err != nil {
		return nil, joined(err, discard(dir, made))
	}
	id, err := Join(ctx, s, cfg)
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		// While the answer may only have been lost, the key is kept for the next try.
		if _, keyErr := os.Stat(s.path("joining.json")); errors.Is(keyErr, fs.ErrNotExist) && s.Identity() == nil {
			err = joined(err, discard(dir, made))
		}
		return nil, err
	}
	return id, nil
}

func discard(dir string, made bool) error {
	if !made {
		return nil
	}
	return os.RemoveAll(dir)
}

// joined keeps err as it is when there is no second one, for its code and remedy.
func joined(err, second error) error {
	if second == nil {
		return err
	}
	return errors.Join(err, second)
}

// Join enrols the host and keeps its identity in s.
func Join(ctx context.Context, s *State, cfg JoinConfig) (*Identity, error) {
	if cfg.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "cannot find the machine's name: %v", err).WithRemedy("give --name")
		}
		cfg.Name = name
	}
	if err := api.ValidName(cfg.Name); err != nil {
		return nil, err
	}
	if id := s.Identity(); id != nil && !cfg.Force {
		return nil, already(id)
	}
	u, err := url.Parse(cfg.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "server", Message: "the server's address must begin with https://", Remedy: "copy the whole line that `drover token join` printed"}
	}
	if cfg.Token = strings.TrimSpace(cfg.Token); cfg.Token == "" {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "token", Message: "there is no join token", Remedy: "give --token, or DROVER_TOKEN, from `drover token join`"}
	}
	pin, transport := normalPin(cfg.Pin), cfg.Transport
	if leaf := normalPin(cfg.APIPin); (pin != "" || leaf != "") && transport == nil {
		trust, named := pki.PinnedTLS, pin
		if leaf != "" {
			trust, named = pki.LeafTLS, leaf
		}
		conf, err := trust(named)
		if err != nil {
			return nil, err
		}
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, TLSHandshakeTimeout: 15 * time.Second, DisableKeepAlives: true}
	}
	cl, err := client.New(client.Config{URL: cfg.Server, Token: cfg.Token, UserAgent: "drover-agent/" + cfg.Version, Transport: transport})
	if err != nil {
		return nil, err
	}
	keyPEM, csr, err := joinKey(s, cfg)
	if err != nil {
		return nil, err
	}
	var answer api.JoinResponse
	asked := cfg.Transport != nil
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { asked = true }}
	if err := cl.Call(httptrace.WithClientTrace(ctx, trace), http.MethodPost, "/v1/join", &api.JoinRequest{Name: cfg.Name, CSR: csr, AgentVersion: cfg.Version, Address: cfg.Address}, &answer); err != nil {
		if !asked || refused(err) {
			err = joined(err, os.Remove(s.path("joining.json")))
		}
		return nil, err
	}
	if pin != "" {
		// The roots that the host will trust must be the one that was named.
		if got, err := pki.PinOf(answer.CA); err != nil || got != pin {
			return nil, api.Errorf(api.CodeUnauthorized, "the server's answer names another root (%s) than the join command (%s)", got, pin).
				WithRemedy("make a new join command; if this repeats, someone may be in between")
		}
	}
	id := &Identity{Host: cfg.Name, Fleet: answer.Fleet, Server: cfg.Server, Key: keyPEM, Certificate: answer.Certificate, CA: answer.CA,
		SigningKey: answer.SigningKey, Link: link.Reachable(answer.Link, u.Hostname())}
	if len(id.Link) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "the server named no address for agents to dial").WithRemedy("see --listen-link of `drover server`")
	}
	parsed, err := pki.ParseIdentity(id.Certificate, id.Key, id.CA)
	if err != nil {
		return nil, err
	}
	if parsed.Host != cfg.Name {
		return nil, api.Errorf(api.CodeInternal, "the server made a certificate for %s, not for %s", parsed.Host, cfg.Name)
	}
	if err := s.SetIdentity(id); err != nil {
		return nil, err
	}
	if err := os.Remove(s.path("joining.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return id, nil
}

func already(id *Identity) error {
	return api.Errorf(api.CodeExists, "this host is %s in fleet %s already", id.Host, id.Fleet).
		WithRemedy("give --force to join anew; remove the old host from its fleet first: drover delete host %s", id.Host)
}

// refused reports whether the server has said no, so that the same request
// will not be answered otherwise.
func refused(err error) bool {
	switch api.CodeOf(err) {
	case api.CodeInvalid, api.CodeUnauthorized, api.CodeForbidden, api.CodeExists, api.CodeNotFound, api.CodeTooLarge:
		return true
	}
	return false
}

// joinKey makes a key, or takes that of the same join begun before.
func joinKey(s *State, cfg JoinConfig) (keyPEM, csr []byte, err error) {
	var old joining
	if found, err := readJSON(s.path("joining.json"), &old); err == nil && found && old.Server == cfg.Server && old.Name == cfg.Name {
		if key, err := pki.ParseKey(old.Key); err == nil {
			csr, err := pki.Request(cfg.Name, key)
			return old.Key, csr, err
		}
	}
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		return nil, nil, err
	}
	if csr, err = pki.Request(cfg.Name, key); err != nil {
		return nil, nil, err
	}
	return keyPEM, csr, writeJSON(s.path("joining.json"), &joining{Server: cfg.Server, Name: cfg.Name, Key: keyPEM})
}

// normalPin accepts a fingerprint as people copy it: with colons, in capitals, without "sha256:".
func normalPin(pin string) string {
	pin = strings.ToLower(strings.TrimSpace(pin))
	pin = strings.ReplaceAll(strings.TrimPrefix(pin, "sha256:"), ":", "")
	if pin == "" {
		return ""
	}
	return "sha256:" + pin
}
