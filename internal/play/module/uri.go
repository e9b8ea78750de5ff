package module

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drover/internal/play/machine"
	"drover/internal/play/param"
)

var uriModule = &Module{
	Name: "uri", FileArgs: true,
	Params: append([]Param{
		{Name: "method", Default: "GET"}, {Name: "body", Type: Raw},
		{Name: "body_format", Default: "raw", Choices: []string{"form-urlencoded", "json", "raw", "form-multipart"}},
		{Name: "status_code", Type: List, Elements: Int, Default: []any{200}}, {Name: "return_content", Type: Bool, Default: false},
		{Name: "follow_redirects", Default: "safe", Choices: []string{"all", "none", "safe", "urllib2", "yes", "no", "True", "False", "true", "false"}},
		{Name: "dest", Type: Path}, {Name: "src", Type: Path}, {Name: "remote_src", Type: Bool, Default: false},
		{Name: "creates", Type: Path}, {Name: "removes", Type: Path}, {Name: "unix_socket", Type: Path},
		{Name: "force", Aliases: []string{"thirsty"}, Type: Bool, Default: false},
	}, httpParams...),
	MutuallyExclusive: [][]string{{"body", "src"}},
	NoCheck:           true,
	Run:               runURI,
}

func runURI(ctx context.Context, c *Call) *Result {
	for _, k := range []string{"creates", "removes"} {
		p := c.Str(k)
		if p == "" {
			continue
		}
		if found := c.Host.Exists(p); found == (k == "creates") {
			state := "exists"
			if !found {
				state = "does not exist"
			}
			return (&Result{}).say(fmt.Sprintf("skipped, since '%s' %s", p, state)).Set("stdout", fmt.Sprintf("skipped, since '%s' %s", p, state))
		}
	}
	r := (&Result{}).Set("url", c.Str("url")).Set("redirected", false).Set("elapsed", 0)
	body, kind, err := c.requestBody(ctx)
	if err != nil {
		return r.Fail("%v", err)
	}
	timeout := 30 * time.Second
	if c.Has("timeout") {
		timeout = time.Duration(c.Int("timeout")) * time.Second
	}
	client, err := c.httpClient(timeout, c.followRedirect)
	if err != nil {
		return r.Fail("%v", err)
	}
	method := strings.ToUpper(c.Str("method"))
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := c.newRequest(ctx, method, c.Str("url"), in)
	if err != nil {
		return r.Fail("cannot use the url: %v", err)
	}
	if kind != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", kind)
	}
	start := c.Host.Time()
	resp, err := client.Do(req)
	r.Set("elapsed", int64(c.Host.Time().Sub(start)/time.Second))
	if err != nil {
		return r.Set("status", -1).Fail("Status code was -1 and not %s: Request failed: %s", param.ToRepr(c.Items("status_code")), httpReason(err))
	}
	defer resp.Body.Close()
	return c.answer(ctx, r, resp)
}

// followRedirect decides by follow_redirects: safe follows GET and HEAD only.
func (c *Call) followRedirect(first *http.Request) bool {
	switch c.Str("follow_redirects") {
	case "all", "yes", "True", "true":
		return true
	case "none", "no", "False", "false":
		return false
	}
	return first.Method == http.MethodGet || first.Method == http.MethodHead
}

func (c *Call) requestBody(ctx context.Context) ([]byte, string, error) {
	if src := c.Str("src"); src != "" {
		if c.Source != nil && !c.Bool("remote_src") {
			in, err := c.openSource(ctx, c.Source)
			if err != nil {
				return nil, "", err
			}
			defer in.Close()
			b, err := io.ReadAll(in)
			return b, "", err
		}
		b, err := c.Host.ReadFile(src)
		if err != nil {
			return nil, "", fmt.Errorf("Unable to open source file %s: %w", src, err)
		}
		return b, "", nil
	}
	body := c.Raw("body")
	if body == nil {
		return nil, "", nil
	}
	switch c.Str("body_format") {
	case "json":
		if s, ok := body.(string); ok {
			return []byte(s), "application/json", nil
		}
		b, err := json.Marshal(body)
		return b, "application/json", err
	case "form-urlencoded":
		return []byte(formBody(body)), "application/x-www-form-urlencoded", nil
	case "form-multipart":
		return c.multipartBody(body)
	}
	return contentBytes(body), "", nil
}

// formBody writes a form; a list of pairs keeps its order.
func formBody(body any) string {
	v := url.Values{}
	var order []string
	add := func(k string, x any) {
		if !slices.Contains(order, k) {
			order = append(order, k)
		}
		if l, ok := x.([]any); ok {
			for _, e := range l {
				v.Add(k, param.ToText(e))
			}
			return
		}
		v.Add(k, param.ToText(x))
	}
	switch b := body.(type) {
	case map[string]any:
		for _, k := range sortedKeys(b) {
			add(k, b[k])
		}
	case []any:
		for _, p := range b {
			if pair, ok := p.([]any); ok && len(pair) == 2 {
				add(param.ToText(pair[0]), pair[1])
			}
		}
	default:
		return param.ToText(body)
	}
	var parts []string
	for _, k := range order {
		parts = append(parts, url.Values{k: v[k]}.Encode())
	}
	return strings.Join(parts, "&")
}

func (c *Call) multipartBody(body any) ([]byte, string, error) {
	fields, ok := body.(map[string]any)
	if !ok {
		return nil, "", fmt.Errorf("failed to parse body as form-multipart: a dictionary is wanted")
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range sortedKeys(fields) {
		f, ok := fields[name].(map[string]any)
		if !ok {
			if err := w.WriteField(name, param.ToText(fields[name])); err != nil {
				return nil, "", err
			}
			continue
		}
		content := []byte(param.ToText(f["content"]))
		file := param.ToText(f["filename"])
		if file != "" && f["content"] == nil {
			var err error
			if content, err = c.Host.ReadFile(c.expandPath(file)); err != nil {
				return nil, "", fmt.Errorf("failed to parse body as form-multipart: %w", err)
			}
		}
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf("form-data; name=%q", name)
		if file != "" {
			disposition += fmt.Sprintf("; filename=%q", filepath.Base(file))
		}
		h.Set("Content-Disposition", disposition)
		mime := param.ToText(f["mime_type"])
		if mime == "" {
			mime = "application/octet-stream"
		}
		h.Set("Content-Type", mime)
		p, err := w.CreatePart(h)
		if err != nil {
			return nil, "", err
		}
		if _, err := p.Write(content); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}

// bodyLimit is the largest answer that is kept in memory.
const bodyLimit = 64 << 20

// answer turns the response into the result.
func (c *Call) answer(ctx context.Context, r *Result, resp *http.Response) *Result {
	for k, v := range resp.Header {
		key := strings.ReplaceAll(strings.ToLower(k), "-", "_")
		if key != "set_cookie" {
			r.Set(key, strings.Join(v, ", "))
		}
	}
	if resp.ContentLength >= 0 {
		r.Set("content_length", fmt.Sprint(resp.ContentLength))
	}
	cookies, parts := map[string]any{}, []string{}
	for _, k := range resp.Cookies() {
		cookies[k.Name] = k.Value
		parts = append(parts, k.Name+"="+k.Value)
	}
	r.Set("cookies", cookies).Set("cookies_string", strings.Join(parts, "; "))
	r.Set("status", resp.StatusCode).Set("url", resp.Request.URL.String()).Set("redirected", resp.Request.URL.String() != c.Str("url"))
	msg := bytesText(resp)
	if resp.StatusCode >= 300 {
		msg = statusText(resp)
	}
	r.Set("msg", msg)
	ok := slices.ContainsFunc(c.Items("status_code"), func(v any) bool { n, _ := param.ToInt(v); return n == int64(resp.StatusCode) })
	if dest := c.Str("dest"); dest != "" && ok {
		if fi, err := c.Host.Stat(dest); err == nil && fi.IsDir() {
			dest = filepath.Join(dest, nameOf(resp, c.Str("url")))
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return r.Fail("cannot read the answer: %v", err)
		}
		p := placement{name: c.Str("url"), size: int64(len(b)), sha256: machine.SumsOf(b).SHA256, dest: dest, attrs: c.fileAttrs()}
		p.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		c.place(ctx, r, p)
		delete(r.Values, "checksum")
		delete(r.Values, "md5sum")
		return c.pathInfo(r.Set("path", dest), dest)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return r.Fail("cannot read the answer: %v", err)
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) == nil {
			r.Set("json", v)
		}
	}
	if c.Bool("return_content") || !ok {
		r.Set("content", text(b))
	}
	if !ok {
		return r.Fail("Status code was %d and not %s: %s", resp.StatusCode, param.ToRepr(c.Items("status_code")), msg).Set("msg", r.Msg)
	}
	return r
}
