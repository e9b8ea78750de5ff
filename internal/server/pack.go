package server

import (
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"drover/internal/domain"
)

// packFrom is the least that is worth to be compressed.
const packFrom = 1 << 10

// packLevel is cheap: lists of hosts get to a tenth by it.
const packLevel = 3

// packers are reused: each takes some hundred KB.
var packers = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, packLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// packer compresses an answer in JSON, once it is large enough. Everything
// else, streams above all, goes through as it is. finish must follow.
type packer struct {
	w      http.ResponseWriter
	status int
	held   []byte // of an answer that may be compressed, while it is small
	may    bool
	gz     *gzip.Writer
}

// pack gives the writer for an answer, with the packer to finish, which is nil
// where the other end takes none or there is no content.
func pack(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *packer) {
	if r.Method == http.MethodHead || !domain.AcceptsGzip(r) {
		return w, nil
	}
	p := &packer{w: w}
	return p, p
}

func (p *packer) Header() http.Header { return p.w.Header() }

func (p *packer) WriteHeader(status int) {
	h := p.w.Header()
	if p.status != 0 || !strings.HasPrefix(h.Get("Content-Type"), "application/json") || h.Get("Content-Encoding") != "" || status < 200 || status == http.StatusNoContent {
		p.w.WriteHeader(status)
		return
	}
	p.status, p.may = status, true
}

func (p *packer) Write(b []byte) (int, error) {
	switch {
	case p.gz != nil:
		return p.gz.Write(b)
	case !p.may:
		return p.w.Write(b)
	case len(p.held)+len(b) < packFrom:
		p.held = append(p.held, b...)
		return len(b), nil
	}
	h := p.w.Header()
	h.Set("Content-Encoding", "gzip")
	h.Add("Vary", "Accept-Encoding")
	h.Del("Content-Length")
	p.w.WriteHeader(p.status)
	p.gz = packers.Get().(*gzip.Writer)
	p.gz.Reset(p.w)
	if _, err := p.gz.Write(p.held); err != nil {
		return 0, err
	}
	return p.gz.Write(b)
}

// FlushError sends what there is: a small answer is not waited with any longer.
func (p *packer) FlushError() error {
	if p.gz != nil {
		if err := p.gz.Flush(); err != nil {
			return err
		}
	} else {
		p.release()
	}
	return http.NewResponseController(p.w).Flush()
}

// release sends a small answer as it is.
func (p *packer) release() {
	if p.may {
		p.may = false
		p.w.WriteHeader(p.status)
		_, _ = p.w.Write(p.held) // nobody can be told when the other end has gone
		p.held = nil
	}
}

// finish ends the answer.
func (p *packer) finish() {
	if p == nil {
		return
	}
	if p.gz == nil {
		p.release()
		return
	}
	_ = p.gz.Close() // nobody can be told when the other end has gone
	p.gz.Reset(nil)
	packers.Put(p.gz)
	p.gz = nil
}

// Unwrap lets http.ResponseController reach the connection.
func (p *packer) Unwrap() http.ResponseWriter { return p.w }
