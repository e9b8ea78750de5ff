package repo

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"drover/api"
)

// Services of the smart HTTP protocol.
const (
	UploadPack  = "git-upload-pack"  // fetch
	ReceivePack = "git-receive-pack" // push
)

// capabilities are what a push may use. atomic and push-options are ours to
// keep; deltas are read by index-pack.
const capabilities = "report-status delete-refs side-band-64k quiet atomic ofs-delta push-options object-format=sha1 agent=drover"

// Advertise answers GET info/refs for one of the two services.
func (r *Repo) Advertise(w http.ResponseWriter, req *http.Request, service string) error {
	var body bytes.Buffer
	switch service {
	case UploadPack:
		cmd := r.command(req.Context(), nil, "upload-pack", "--strict", "--stateless-rpc", "--advertise-refs", ".")
		version := protocol(req)
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+version)
		if version != "version=2" {
			_ = writePkt(&body, "# service="+service+"\n")
			_ = writeFlush(&body)
		}
		cmd.Stdout = &limitWriter{w: &body, left: maxOutput}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("cannot list the repository's branches: %w", err)
		}
	case ReceivePack:
		_ = writePkt(&body, "# service="+service+"\n")
		_ = writeFlush(&body)
		if err := r.advertiseReceive(req.Context(), &body); err != nil {
			return err
		}
	default:
		return api.Errorf(api.CodeInvalid, "there is no service %q", service).WithRemedy("use git 2.11 or newer")
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-"+service+"-advertisement")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body.Bytes())
	return nil
}

func (r *Repo) advertiseReceive(ctx context.Context, body io.Writer) error {
	refs, err := r.git(ctx, nil, nil, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if err != nil {
		return fmt.Errorf("cannot list the repository's branches: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(refs)), "\n")
	if lines[0] == "" {
		lines[0] = zero + " capabilities^{}"
	}
	for i, line := range lines {
		if i == 0 {
			line += "\x00" + capabilities
		}
		if err := writePkt(body, line+"\n"); err != nil {
			return err
		}
	}
	return writeFlush(body)
}

// protocol is the version that the client asks for, and nothing else it says.
func protocol(req *http.Request) string {
	for v := range strings.SplitSeq(req.Header.Get("Git-Protocol"), ":") {
		if v == "version=1" || v == "version=2" {
			return v
		}
	}
	return "version=0"
}

// maxNegotiation bounds what a fetch says it wants and has.
const maxNegotiation = 16 << 20

// Upload answers a fetch.
func (r *Repo) Upload(w http.ResponseWriter, req *http.Request) error {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			return protocolError(err)
		}
		body = z
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-git-upload-pack-result")
	h.Set("Cache-Control", "no-cache")
	cmd := r.command(req.Context(), nil, "upload-pack", "--strict", "--stateless-rpc", "--timeout=120", ".")
	cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+protocol(req))
	cmd.Stdin = io.LimitReader(body, maxNegotiation)
	out := &flusher{w: w, ctrl: http.NewResponseController(w)}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil && !out.wrote {
		return protocolError(errors.New("git could not answer the fetch"))
	}
	return nil
}

// flusher sends on what it gets at once, and gives up on who reads nothing.
type flusher struct {
	w     http.ResponseWriter
	ctrl  *http.ResponseController
	wrote bool
}

func (f *flusher) Write(p []byte) (int, error) {
	f.wrote = true
	_ = f.ctrl.SetWriteDeadline(time.Now().Add(time.Minute))
	n, err := f.w.Write(p)
	if err == nil {
		err = f.ctrl.Flush()
	}
	return n, err
}

// Tidy packs the repository when many small packs have gathered.
func (r *Repo) Tidy(ctx context.Context) error {
	select {
	case r.write <- struct{}{}:
		defer func() { <-r.write }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := r.git(ctx, nil, nil, "gc", "--auto", "--quiet")
	return err
}
