// Package client is the Go client of Drover's API: get, list, watch, apply and
// delete objects of any kind, and call any other route. Errors come back as
// the *api.Error that the server sent, with the same code; a server that
// cannot be reached is CodeUnavailable with an *UnreachableError in the chain.
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"drover/api"
)

// Config says where the server is and who is asking.
type Config struct {
	URL   string // https://fleet.example.org:7440
	Token string // sent as bearer; empty for what needs none
	CA    []byte // PEM of the roots to trust; nil: the system's
	// Fingerprint, when CA is nil, trusts a server one of whose certificates
	// has this SHA-256, in hex. It is for the first contact only.
	Fingerprint string
	UserAgent   string
	// Transport replaces the network, for tests in process.
	Transport http.RoundTripper
}

// Client talks to one server. It is safe for use by several goroutines.
type Client struct {
	base  *url.URL
	token string
	agent string
	http  *http.Client
}

// UnreachableError says that no answer came, so that nothing is known about
// whether a request was done.
type UnreachableError struct {
	URL string
	Err error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("cannot reach %s: %v", e.URL, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }

// New makes a client; it does not connect yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, api.Errorf(api.CodeInvalid, "%q is not a server's address", c.URL).
			WithRemedy("use https://HOST:7440")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	rt := c.Transport
	if rt == nil {
		conf, err := tlsConfig(c)
		if err != nil {
			return nil, err
		}
		rt = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:       conf,
			TLSHandshakeTimeout:   10 * time.Second,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       60 * time.Second,
			ExpectContinueTimeout: time.Second,
		}
	}
	agent := c.UserAgent
	if agent == "" {
		agent = "drover-client"
	}
	return &Client{base: u, token: c.Token, agent: agent, http: &http.Client{Transport: rt, CheckRedirect: noRedirect}}, nil
}

// noRedirect keeps a token from following a redirect to somebody else.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func tlsConfig(c Config) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS13}
	if len(c.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(c.CA) {
			return nil, api.Errorf(api.CodeInvalid, "the fleet's CA holds no certificate").
				WithRemedy("sign in again by `drover login`, or give a PEM file")
		}
		conf.RootCAs = pool
		return conf, nil
	}
	if c.Fingerprint != "" {
		want := cleanFingerprint(c.Fingerprint)
		conf.InsecureSkipVerify = true // replaced by the check of the fingerprint
		conf.VerifyConnection = func(cs tls.ConnectionState) error { return checkFingerprint(cs, want) }
	}
	return conf, nil
}

// checkFingerprint accepts a chain that a certificate with this hash signed.
func checkFingerprint(cs tls.ConnectionState, want string) error {
	for i, cert := range cs.PeerCertificates {
		if Fingerprint(cert.Raw) != want {
			continue
		}
		if i == 0 {
			return cert.VerifyHostname(cs.ServerName)
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(cert)
		for _, c := range cs.PeerCertificates[1:i] {
			between.AddCert(c)
		}
		_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: cs.ServerName})
		return err
	}
	return api.Errorf(api.CodeUnauthorized, "the server's certificate is not of the fleet with this fingerprint").
		WithRemedy("compare the fingerprint with the one that the server printed at its start; someone may be in between")
}

func cleanFingerprint(s string) string {
	s = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(s, "SHA256:"), "sha256:"))
	return strings.ReplaceAll(s, ":", "")
}

// Fingerprint is the SHA-256 of a certificate's DER form, in hex.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// FetchCA asks a server for its chain without trusting it, and returns its
// topmost certificate as PEM with its fingerprint, for somebody to compare.
func FetchCA(ctx context.Context, serverURL string) (pemCA []byte, fingerprint string, err error) {
	u, err := url.Parse(serverURL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, "", api.Errorf(api.CodeInvalid, "%q is not a server's address", serverURL).WithRemedy("use https://HOST:7440")
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "443")
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: u.Hostname(), InsecureSkipVerify: true, // only looks
	}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, "", unreachable(serverURL, err)
	}
	defer conn.Close()
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	top := chain[len(chain)-1]
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: top.Raw}), Fingerprint(top.Raw), nil
}

// URL is the server's address.
func (c *Client) URL() string { return c.base.String() }

// Call sends a request and decodes the answer. in and out may be nil; a
// path may carry a query.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("cannot encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.Do(ctx, method, path, body, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return c.lost(fmt.Errorf("the answer broke off or is not JSON: %w", err))
	}
	return nil
}

// Do sends a request with any body and returns the answer, whose body the
// caller closes. A status of 300 and more is returned as an error.
func (c *Client) Do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, body)
	if err != nil {
		return nil, fmt.Errorf("cannot make the request: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// readError turns an answer into the error it carries.
func readError(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var e api.Error
	if json.Unmarshal(b, &e) == nil && e.Code != "" {
		return &e
	}
	var prom struct{ Status, Error string } // Prometheus' API has a form of its own
	if json.Unmarshal(b, &prom) == nil && prom.Status == "error" && prom.Error != "" {
		return api.Errorf(codeOfStatus(resp.StatusCode), "%s", prom.Error)
	}
	return api.Errorf(codeOfStatus(resp.StatusCode), "the server answered %s", resp.Status).
		WithRemedy("check that this address is Drover's API and that no proxy is in between")
}

func codeOfStatus(status int) api.Code {
	switch {
	case status == http.StatusUnauthorized:
		return api.CodeUnauthorized
	case status == http.StatusForbidden:
		return api.CodeForbidden
	case status == http.StatusNotFound:
		return api.CodeNotFound
	case status == http.StatusConflict:
		return api.CodeConflict
	case status == http.StatusRequestEntityTooLarge:
		return api.CodeTooLarge
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout, status == http.StatusTooManyRequests:
		return api.CodeUnavailable
	case status < 500:
		return api.CodeInvalid
	}
	return api.CodeInternal
}

// lost says why no answer came.
func (c *Client) lost(err error) error {
	var known *api.Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return unreachable(c.base.String(), err)
}

// unreachable is an *api.Error together with what happened, both in one chain.
func unreachable(where string, err error) error {
	cause := &UnreachableError{URL: where, Err: err}
	e := api.Errorf(api.CodeUnavailable, "%v", cause)
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown):
		e.Remedy = "the server's certificate is not of a CA that is trusted here: sign in by `drover login " + where + "`, or the server is not the one you know"
	case errors.As(err, &name):
		e.Remedy = "use a name the certificate has, or start the server with --name"
	case errors.As(err, &record):
		e.Remedy = "this port does not speak TLS: check address and port"
	case errors.As(err, &op):
		e.Remedy = "check that the server runs (`drover server`), and the address, port and firewall"
	default:
		e.Remedy = "try again; nothing is known about whether the request was done"
	}
	return &explained{says: e, cause: cause}
}

// explained is an error that reads as one and has another in its chain too.
type explained struct {
	says  *api.Error
	cause error
}

func (e *explained) Error() string   { return e.says.Error() }
func (e *explained) Unwrap() []error { return []error{e.says, e.cause} }

// Path joins the parts of an API path, each escaped: Path("v1", "hosts", name).
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// Get reads one object into out.
func (c *Client) Get(ctx context.Context, plural, name string, out any) error {
	return c.Call(ctx, http.MethodGet, Path("v1", plural, name), nil, out)
}

// ListOptions narrows a list or watch.
type ListOptions struct {
	Selector string // label=value, label!=value, label; joined by commas
	Limit    int    // of one page; 0: the server's
	// From of a watch: changes behind this revision; 0 begins with what is there.
	From int64
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	if o.Selector != "" {
		q.Set("selector", o.Selector)
	}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	return q
}

// List reads the objects of a kind, page by page, and gives the revision to
// watch from.
func List[T any](ctx context.Context, c *Client, plural string, o ListOptions) ([]T, int64, error) {
	var all []T
	var revision int64
	next := ""
	for {
		q := o.query()
		if next != "" {
			q.Set("continue", next)
		}
		var page struct {
			Items    []T    `json:"items"`
			Revision int64  `json:"revision"`
			Continue string `json:"continue"`
		}
		if err := c.Call(ctx, http.MethodGet, Path("v1", plural)+"?"+q.Encode(), nil, &page); err != nil {
			return nil, 0, err
		}
		all = append(all, page.Items...)
		if next == "" {
			revision = page.Revision // a watch from here misses no change made between the pages
		}
		if page.Continue == "" {
			return all, revision, nil
		}
		next = page.Continue
	}
}

// Apply creates an object or replaces what people may set of the one that is
// there; out gets it as stored. An object with a revision is refused with
// CodeConflict when that is not the stored one.
func (c *Client) Apply(ctx context.Context, plural, name string, in, out any) error {
	return c.Call(ctx, http.MethodPut, Path("v1", plural, name), in, out)
}

// Create makes a new object.
func (c *Client) Create(ctx context.Context, plural string, in, out any) error {
	return c.Call(ctx, http.MethodPost, Path("v1", plural), in, out)
}

// Patch merges patch into an object, as RFC 7396 says.
func (c *Client) Patch(ctx context.Context, plural, name string, patch, out any) error {
	return c.Call(ctx, http.MethodPatch, Path("v1", plural, name), patch, out)
}

// Delete removes an object.
func (c *Client) Delete(ctx context.Context, plural, name string) error {
	return c.Call(ctx, http.MethodDelete, Path("v1", plural, name), nil, nil)
}

// SameFingerprint compares two fingerprints, however they are written:
// "sha256:ab12…", "AB:12:…".
func SameFingerprint(a, b string) bool {
	a, b = cleanFingerprint(a), cleanFingerprint(b)
	return a == b && len(a) == sha256.Size*2
}
