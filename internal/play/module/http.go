package module

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"drover/internal/play/param"
)

// httpParams are what get_url and uri share.
var httpParams = []Param{
	{Name: "url", Required: true}, {Name: "timeout", Type: Int}, {Name: "headers", Type: Dict},
	{Name: "url_username", Aliases: []string{"username", "user"}}, {Name: "url_password", Aliases: []string{"password"}, NoLog: true},
	{Name: "force_basic_auth", Type: Bool, Default: false}, {Name: "validate_certs", Type: Bool, Default: true},
	{Name: "use_proxy", Type: Bool, Default: true}, {Name: "http_agent", Default: "ansible-httpget"},
	{Name: "client_cert", Type: Path}, {Name: "client_key", Type: Path}, {Name: "ca_path", Type: Path},
	{Name: "use_gssapi", Type: Bool, Default: false}, {Name: "use_netrc", Type: Bool, Default: true},
	{Name: "unredirected_headers", Type: List}, {Name: "decompress", Type: Bool, Default: true}, {Name: "ciphers", Type: List},
}

// maxRedirects is how many redirects are followed.
const maxRedirects = 10

// httpClient is the client that the common parameters ask for. follow tells
// whether a redirect of a request is followed.
func (c *Call) httpClient(timeout time.Duration, follow func(first *http.Request) bool) (*http.Client, error) {
	client := &http.Client{Timeout: timeout}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
		if !follow(via[0]) {
			return http.ErrUseLastResponse
		}
		for _, h := range c.List("unredirected_headers") {
			req.Header.Del(h)
		}
		return nil
	}
	if c.Host.HTTP != nil {
		client.Transport = c.Host.HTTP
		return client, nil
	}
	if c.Bool("use_gssapi") {
		return nil, errors.New("cannot use use_gssapi: signing in by Kerberos is not supported; use url_username and url_password")
	}
	conf := &tls.Config{InsecureSkipVerify: !c.Bool("validate_certs"), MinVersion: tls.VersionTLS12} //nolint:gosec // what validate_certs=false asks for
	if f := c.Str("ca_path"); f != "" {
		pem, err := c.Host.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("cannot read ca_path: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use ca_path: no certificate in %s", f)
		}
		conf.RootCAs = pool
	}
	if f := c.Str("client_cert"); f != "" {
		key := c.Str("client_key")
		if key == "" {
			key = f
		}
		certPEM, err := c.Host.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("cannot read client_cert: %w", err)
		}
		keyPEM, err := c.Host.ReadFile(key)
		if err != nil {
			return nil, fmt.Errorf("cannot read client_key: %w", err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return nil, fmt.Errorf("cannot use client_cert: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	t := &http.Transport{TLSClientConfig: conf, DisableCompression: !c.Bool("decompress"), DisableKeepAlives: true, ForceAttemptHTTP2: true}
	if c.Bool("use_proxy") {
		t.Proxy = c.proxy
	}
	if s := c.Str("unix_socket"); s != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s)
		}
	}
	client.Transport = t
	return client, nil
}

// proxy reads http_proxy and no_proxy, the task's environment first.
func (c *Call) proxy(req *http.Request) (*url.URL, error) {
	get := func(k string) string {
		for _, n := range []string{strings.ToLower(k), strings.ToUpper(k)} {
			if v, ok := c.getenv(n); ok && v != "" {
				return v
			}
		}
		return ""
	}
	p := get(req.URL.Scheme + "_proxy")
	if p == "" {
		return nil, nil
	}
	host := req.URL.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil, nil
	}
	for no := range strings.SplitSeq(get("no_proxy"), ",") {
		no = strings.TrimPrefix(strings.TrimSpace(no), ".")
		if no == "*" || no != "" && (host == no || strings.HasSuffix(host, "."+no)) {
			return nil, nil
		}
	}
	if !strings.Contains(p, "://") {
		p = "http://" + p
	}
	return url.Parse(p)
}

// newRequest makes a request with the common headers and credentials.
func (c *Call) newRequest(ctx context.Context, method, target string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.Str("http_agent"))
	for k, v := range c.Dict("headers") {
		if strings.EqualFold(k, "host") {
			req.Host = param.ToText(v)
			continue
		}
		req.Header.Set(k, param.ToText(v))
	}
	if u := c.Str("url_username"); u != "" && req.Header.Get("Authorization") == "" {
		req.SetBasicAuth(u, c.Str("url_password"))
	}
	if c.Bool("use_netrc") && req.URL.User == nil && req.Header.Get("Authorization") == "" {
		if u, p, ok := c.netrc(req.URL.Hostname()); ok {
			req.SetBasicAuth(u, p)
		}
	}
	return req, nil
}

// netrc finds a host's name and password in ~/.netrc.
func (c *Call) netrc(host string) (user, password string, ok bool) {
	b, err := c.Host.ReadFile(c.expandPath("~/.netrc"))
	if err != nil {
		return "", "", false
	}
	words := strings.Fields(string(b))
	for i := 0; i+1 < len(words); i++ {
		if words[i] == "machine" {
			ok = words[i+1] == host
		}
		if ok && words[i] == "login" {
			user = words[i+1]
		}
		if ok && words[i] == "password" {
			return user, words[i+1], true
		}
	}
	return "", "", false
}

// httpReason is why a request got no answer, as Ansible tells it.
func httpReason(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		return "<urlopen error " + reason(no) + ">"
	}
	if os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded) {
		return "Connection failure: The read operation timed out"
	}
	return "<urlopen error " + err.Error() + ">"
}

// statusText is the status line's text: "HTTP Error 404: Not Found".
func statusText(resp *http.Response) string {
	_, phrase, _ := strings.Cut(resp.Status, " ")
	return fmt.Sprintf("HTTP Error %d: %s", resp.StatusCode, phrase)
}

// bytesText is how a good answer is told: "OK (5 bytes)".
func bytesText(resp *http.Response) string {
	n := "unknown"
	if resp.ContentLength >= 0 {
		n = fmt.Sprint(resp.ContentLength)
	}
	return fmt.Sprintf("OK (%s bytes)", n)
}
