package agent_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/pki"
)

// joinServer answers joins as the real one does, by the certificate of door.
func joinServer(t *testing.T, ca *pki.CA, drop *int, door *pki.CA) (url string, seen *[]api.JoinRequest) {
	seen = new([]api.JoinRequest)
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req api.JoinRequest
		if r.URL.Path != "/v1/join" || json.NewDecoder(r.Body).Decode(&req) != nil {
			http.NotFound(w, r)
			return
		}
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(api.Errorf(api.CodeUnauthorized, "the join token was used already").WithRemedy("make a new one"))
			return
		}
		*seen = append(*seen, req)
		if *drop > 0 { // the answer is lost
			*drop--
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		cert, err := ca.SignHost(req.CSR, req.Name)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(api.JoinResponse{Fleet: ca.Fleet(), Certificate: cert, CA: ca.Bundle(), SigningKey: ca.SigningKey(), Link: []string{":7441"}})
	})}
	conf := door.APITLS("127.0.0.1")
	conf.NextProtos = []string{"http/1.1"}
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // until Close
	}()
	t.Cleanup(func() { srv.Close(); <-done })
	return "https://" + l.Addr().String(), seen
}

func TestJoin(t *testing.T) {
	ca, err := pki.OpenCA(t.TempDir(), pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.OpenCA(t.TempDir(), pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	drop := 0
	url, seen := joinServer(t, ca, &drop, ca)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	deadURL := "https://" + dead.Addr().String()
	dead.Close()

	colons := strings.ToUpper(strings.TrimPrefix(ca.Pin(), "sha256:"))
	for i := len(colons) - 2; i > 0; i -= 2 {
		colons = colons[:i] + ":" + colons[i:]
	}
	for _, c := range []struct {
		name string
		cfg  agent.JoinConfig
		code api.Code
		says string
	}{
		{name: "good", cfg: agent.JoinConfig{Server: url, Token: "good", Name: "web-1", Pin: ca.Pin()}},
		{name: "fingerprint as people copy it", cfg: agent.JoinConfig{Server: url, Token: " good\n", Name: "web-1", Pin: colons}},
		{name: "used token", cfg: agent.JoinConfig{Server: url, Token: "bad", Name: "web-1", Pin: ca.Pin()}, code: api.CodeUnauthorized, says: "used already"},
		{name: "no token", cfg: agent.JoinConfig{Server: url, Name: "web-1", Pin: ca.Pin()}, code: api.CodeInvalid, says: "join token"},
		{name: "another fleet's fingerprint", cfg: agent.JoinConfig{Server: url, Token: "good", Name: "web-1", Pin: other.Pin()}, code: api.CodeUnauthorized, says: "root"},
		{name: "torn fingerprint", cfg: agent.JoinConfig{Server: url, Token: "good", Name: "web-1", Pin: "sha256:abc"}, code: api.CodeInvalid, says: "pin"},
		{name: "no fingerprint, unknown authority", cfg: agent.JoinConfig{Server: url, Token: "good", Name: "web-1"}, says: "certificate"},
		{name: "no TLS", cfg: agent.JoinConfig{Server: "http://127.0.0.1:1", Token: "good", Name: "web-1"}, code: api.CodeInvalid, says: "https://"},
		{name: "bad name", cfg: agent.JoinConfig{Server: url, Token: "good", Name: "web/1", Pin: ca.Pin()}, code: api.CodeInvalid, says: "web/1"},
		{name: "nobody there", cfg: agent.JoinConfig{Server: deadURL, Token: "good", Name: "web-1", Pin: ca.Pin()}, code: api.CodeUnavailable, says: deadURL},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := agent.OpenState(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			id, err := agent.Join(t.Context(), s, c.cfg)
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				if id.Host != "web-1" || id.Fleet != ca.Fleet() || len(id.Link) != 1 || id.Link[0] != "127.0.0.1:7441" || s.Identity() == nil {
					t.Errorf("identity is %+v", id)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || c.code != "" && api.CodeOf(err) != c.code {
				t.Errorf("error is %v (%s)", err, api.CodeOf(err))
			}
			if s.Identity() != nil {
				t.Error("a failed join left an identity")
			}
		})
	}

	t.Run("again with the same key when the answer was lost", func(t *testing.T) {
		dir := t.TempDir()
		*seen, drop = nil, 1
		cfg := agent.JoinConfig{Server: url, Token: "good", Name: "web-2", Pin: ca.Pin()}
		join := func() error {
			s, err := agent.OpenState(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = agent.Join(t.Context(), s, cfg)
			return err
		}
		if err := join(); err == nil {
			t.Fatal("the answer was not lost")
		}
		if err := join(); err != nil {
			t.Fatal(err)
		}
		first, last := (*seen)[0], (*seen)[len(*seen)-1]
		if key(t, ca, first) != key(t, ca, last) {
			t.Error("the second try had another key")
		}
		if _, err := os.Stat(filepath.Join(dir, "joining.json")); err == nil {
			t.Error("joining.json is left")
		}
		if err := join(); api.CodeOf(err) != api.CodeExists {
			t.Errorf("a third join: %v", err)
		}
		cfg.Force = true
		if err := join(); err != nil {
			t.Errorf("with force: %v", err)
		}
	})
}

// key names the key of a request, by what the authority signs.
func key(t *testing.T, ca *pki.CA, r api.JoinRequest) string {
	cert, err := ca.SignHost(r.CSR, r.Name)
	if err != nil {
		t.Fatal(err)
	}
	return publicKey(t, cert)
}

func publicKey(t *testing.T, certPEM []byte) string {
	b, _ := pem.Decode(certPEM)
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return string(c.RawSubjectPublicKeyInfo)
}

// A server may show a certificate that is not of its fleet's root.
func TestJoinByAnotherCertificate(t *testing.T) {
	ca, err := pki.OpenCA(t.TempDir(), pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.OpenCA(t.TempDir(), pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	drop := 0
	url, _ := joinServer(t, ca, &drop, other)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{InsecureSkipVerify: true}) // only looks
	if err != nil {
		t.Fatal(err)
	}
	leaf := pki.LeafPin(conn.ConnectionState().PeerCertificates[0].Raw)
	conn.Close()
	for _, c := range []struct{ name, pin, apiPin, says string }{
		{"both named", ca.Pin(), leaf, ""},
		{"by another address than it is for", ca.Pin(), leaf, ""},
		{"only the root", ca.Pin(), "", "root is not the one named"},
		{"another certificate", ca.Pin(), other.Pin(), "certificate is not the one named"},
		{"the answer has another root", other.Pin(), leaf, "another root"},
		{"torn", ca.Pin(), "sha256:abc", "no pin of a certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := agent.OpenState(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			at := url
			if strings.Contains(c.name, "address") {
				at = strings.Replace(url, "127.0.0.1", "localhost", 1)
			}
			_, err = agent.Join(t.Context(), s, agent.JoinConfig{Server: at, Token: "good", Name: "web-1", Pin: c.pin, APIPin: c.apiPin})
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error is %v, want %q", err, c.says)
			}
		})
	}
}
