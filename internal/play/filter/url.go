package filter

import (
	"strconv"
	"strings"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func fURLDecode(c *jinja.Call) (value.Value, error) {
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	return unquote(strings.ReplaceAll(in, "+", " ")), nil
}

// unquote resolves %XX; what is not one stays.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\ufffd")
}

// splitURL takes a URL apart as Python's urlsplit does.
func splitURL(s string) *value.Dict {
	d := value.NewDict()
	rest := strings.TrimLeft(s, " ")
	scheme, netloc, query, fragment := "", "", "", ""
	if i := strings.IndexByte(rest, ':'); i > 0 {
		ok := rest[0] >= 'a' && rest[0] <= 'z' || rest[0] >= 'A' && rest[0] <= 'Z'
		for _, c := range rest[:i] {
			ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("+-.", c))
		}
		if ok {
			scheme, rest = strings.ToLower(rest[:i]), rest[i+1:]
		}
	}
	if strings.HasPrefix(rest, "//") {
		end := strings.IndexAny(rest[2:], "/?#")
		if end < 0 {
			end = len(rest) - 2
		}
		netloc, rest = rest[2:2+end], rest[2+end:]
	}
	rest, fragment, _ = strings.Cut(rest, "#")
	rest, query, _ = strings.Cut(rest, "?")
	var user, password, host, port value.Value
	hostport := netloc
	if i := strings.LastIndexByte(netloc, '@'); i >= 0 {
		hostport = netloc[i+1:]
		u, p, has := strings.Cut(netloc[:i], ":")
		user = u
		if has {
			password = p
		}
	}
	h := hostport
	if strings.HasPrefix(hostport, "[") {
		if i := strings.IndexByte(hostport, ']'); i > 0 {
			h = hostport[1:i]
			hostport = hostport[i+1:]
			if p, ok := strings.CutPrefix(hostport, ":"); ok {
				if n, err := strconv.ParseInt(p, 10, 32); err == nil {
					port = n
				}
			}
		}
	} else if before, p, ok := strings.Cut(hostport, ":"); ok {
		h = before
		if n, err := strconv.ParseInt(p, 10, 32); err == nil {
			port = n
		}
	}
	if h != "" {
		host = strings.ToLower(h)
	}
	d.Set("fragment", fragment)
	d.Set("hostname", host)
	d.Set("netloc", netloc)
	d.Set("password", password)
	d.Set("path", rest)
	d.Set("port", port)
	d.Set("query", query)
	d.Set("scheme", scheme)
	d.Set("username", user)
	return d
}

func fURLSplit(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "query", "alias"); err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	d := splitURL(in)
	q, err := a.String(0, "query", "")
	if err != nil || q == "" {
		return d, err
	}
	v, ok := d.Get(q)
	if !ok {
		return nil, filterError("urlsplit: unknown URL component: " + q)
	}
	return v, nil
}
