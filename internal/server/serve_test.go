package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/domain"
	"drover/internal/server"
	"drover/internal/store"
)

// running is a whole server on ports of its own.
type running struct {
	server.Addresses
	dir      string
	announce *bytes.Buffer
	stop     func() error
}

func run(t *testing.T, cfg server.Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{dir: cfg.DataDir, announce: &bytes.Buffer{}}
	ready := make(chan server.Addresses, 1)
	ended := make(chan error, 1)
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
		r.dir = cfg.DataDir
	}
	if cfg.Backend == nil {
		cfg.Backend = store.Memory()
	}
	cfg.ListenAPI, cfg.ListenLink, cfg.Rooms, cfg.Announce = "127.0.0.1:0", "127.0.0.1:0", append(cfg.Rooms, widgets()), r.announce
	cfg.Ready = func(a server.Addresses) { ready <- a }
	go func() { ended <- server.Run(ctx, cfg) }()
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case r.Addresses = <-ready:
	case err := <-ended:
		stopped = true
		t.Fatal(err)
	}
	return r
}

func (r *running) credential(t *testing.T) server.Credential {
	t.Helper()
	c, err := server.ReadCredentials(server.AdminFile(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	return c.Contexts[c.Current]
}

func (r *running) client(t *testing.T) *client.Client {
	t.Helper()
	cred := r.credential(t)
	c, err := client.New(client.Config{URL: cred.Server, Token: cred.Token, CA: []byte(cred.CA)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAServerSpeaksTLSOfItsOwnCA(t *testing.T) {
	r := run(t, server.Config{Names: []string{"drover.test"}})
	ctx := t.Context()
	if info, err := os.Stat(server.AdminFile(r.dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the credential is %v, %v", info.Mode(), err)
	}
	if err := r.client(t).Call(ctx, "GET", "/v1/whoami", nil, nil); err != nil {
		t.Fatal(err)
	}
	url := r.credential(t).Server

	// Who does not know the CA is told, and can find out by the fingerprint.
	stranger, err := client.New(client.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, stranger.Call(ctx, "GET", "/v1/version", nil, nil), api.CodeUnavailable, "drover login")
	_, found, err := client.FetchCA(ctx, url)
	if err != nil || !strings.Contains(r.announce.String(), found) {
		t.Fatalf("found %s, %v; announced %s", found, err, r.announce)
	}
	for fingerprint, ok := range map[string]bool{found: true, "sha256:" + found: true, strings.Repeat("0", 64): false} {
		c, err := client.New(client.Config{URL: url, Fingerprint: fingerprint})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Call(ctx, "GET", "/v1/version", nil, nil); (err == nil) != ok {
			t.Errorf("by the fingerprint %s: %v", fingerprint, err)
		}
	}
	if !strings.Contains(r.announce.String(), "drover login https://drover.test:") || !strings.Contains(r.announce.String(), "--once") {
		t.Errorf("announced %s", r.announce)
	}
}

func TestTheCredentialAndAllElseSurviveARestart(t *testing.T) {
	dir, backend := t.TempDir(), store.Memory()
	r := run(t, server.Config{DataDir: dir, Backend: backend})
	if err := r.client(t).Create(t.Context(), "widgets", &widget{Meta: api.Meta{Name: "a"}}, nil); err != nil {
		t.Fatal(err)
	}
	before := r.credential(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = run(t, server.Config{DataDir: dir, Backend: backend})
	after := r.credential(t)
	if after.Token != before.Token || after.CA != before.CA {
		t.Error("the credential changed")
	}
	var got widget
	if err := r.client(t).Get(t.Context(), "widgets", "a", &got); err != nil {
		t.Error(err)
	}
}

func TestAStopLetsRequestsEndAndCutsStreams(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := domain.Room{Name: "slow", New: func(domain.Services) (domain.Domain, error) {
		return domain.Domain{Name: "slow", Routes: []domain.Route{{Method: "GET", Path: "/v1/slow", Access: domain.Viewer(), Doc: "Wait.", Response: server.Health{},
			Handle: func(w http.ResponseWriter, r *http.Request) error {
				close(entered)
				<-leave
				return domain.WriteJSON(w, 200, server.Health{Status: "done"})
			}}}}, nil
	}}
	r := run(t, server.Config{Rooms: []domain.Room{slow}})
	c := r.client(t)
	ctx := t.Context()
	stream, err := c.Do(ctx, "GET", "/v1/events?watch=true", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	answered := make(chan error, 1)
	var h server.Health
	go func() { answered <- c.Call(ctx, "GET", "/v1/slow", nil, &h) }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	// The stream ends at once; the request under way is answered.
	if _, err := io.Copy(io.Discard, stream.Body); err != nil {
		t.Errorf("the stream was torn: %v", err)
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped before the request was answered: %v", err)
	default:
	}
	close(leave)
	if err := <-answered; err != nil || h.Status != "done" {
		t.Errorf("answered %+v, %v", h, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	wantCode(t, c.Call(ctx, "GET", "/v1/version", nil, nil), api.CodeUnavailable, "drover server")
}

func TestGivenCertificatesAreUsed(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "given"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, server.Config{TLSCert: cert, TLSKey: key})
	_, found, err := client.FetchCA(t.Context(), r.API)
	if err != nil || found != client.Fingerprint(der) {
		t.Errorf("serves %s, %v", found, err)
	}
	// Root on this machine trusts it, and a host that joins is told of it.
	root := r.credential(t)
	c, err := client.New(client.Config{URL: root.Server, Token: root.Token, CA: []byte(root.CA)})
	if err != nil {
		t.Fatal(err)
	}
	var ca server.CA
	if err := c.Call(t.Context(), "GET", "/v1/ca", nil, &ca); err != nil || !client.SameFingerprint(ca.APIFingerprint, found) || client.SameFingerprint(ca.Fingerprint, found) {
		t.Errorf("tells %+v, %v", ca, err)
	}
	if err := c.Call(t.Context(), "GET", "/v1/whoami", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestAStartThatCannotBeSaysWhy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := run(t, server.Config{})
	for _, tt := range []struct {
		name  string
		cfg   server.Config
		code  api.Code
		parts []string
	}{
		{"taken port", server.Config{ListenAPI: taken.Addr().String()}, api.CodeUnavailable, []string{"address already in use", "ss -ltnp", "--listen"}},
		{"taken link port", server.Config{ListenLink: taken.Addr().String()}, api.CodeUnavailable, []string{"address already in use", "--link"}},
		{"no address", server.Config{ListenAPI: "nonsense"}, api.CodeInvalid, []string{"--listen HOST:PORT"}},
		{"somebody else's address", server.Config{ListenAPI: "192.0.2.1:0"}, api.CodeUnavailable, []string{"no such address"}},
		{"no directory", server.Config{DataDir: file}, api.CodeUnavailable, []string{"data directory", "--data DIR"}},
		{"a directory that cannot be written", server.Config{DataDir: "/proc/drover"}, api.CodeUnavailable, []string{"data directory /proc/drover"}},
		{"a directory in use", server.Config{DataDir: used.dir}, api.CodeUnavailable, []string{"another server"}},
		{"half a certificate", server.Config{TLSCert: file}, api.CodeInvalid, []string{"--tls-key"}},
		{"no certificate", server.Config{TLSCert: file, TLSKey: file}, api.CodeInvalid, []string{file, "PEM"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tt.cfg
			if cfg.DataDir == "" {
				cfg.DataDir = t.TempDir()
			}
			if cfg.ListenAPI == "" {
				cfg.ListenAPI = "127.0.0.1:0"
			}
			if cfg.ListenLink == "" {
				cfg.ListenLink = "127.0.0.1:0"
			}
			cfg.Backend = store.Memory()
			wantCode(t, server.Run(t.Context(), cfg), tt.code, tt.parts...)
		})
	}
}
