package playhost

import (
	"context"
	"io"

	"drover/internal/play/module"
)

// LocalConn runs modules in this process: `connection: local`, and the agent
// that runs its own slice.
type LocalConn struct {
	r      *runner
	become *Become
}

// Local runs modules on host in this process. open may be nil when no request
// refers to content that is not inline.
func Local(host *module.Host, open Open) *LocalConn {
	return LocalOptions(host, open, Options{})
}

// LocalOptions is Local with options.
func LocalOptions(host *module.Host, open Open, o Options) *LocalConn {
	var fetch func(context.Context, string) (io.ReadCloser, error)
	if open != nil {
		fetch = func(_ context.Context, sha256 string) (io.ReadCloser, error) { return open(sha256) }
	}
	return &LocalConn{r: newRunner(host, fetch, o)}
}

// SetBecome says how requests for other users become them. Call it before Run.
func (l *LocalConn) SetBecome(b Become) { l.become = &b }

// Run runs one module, in a child session when it is for another user.
func (l *LocalConn) Run(ctx context.Context, req *module.Request) (*module.Result, error) {
	return l.r.run(ctx, req, l.become)
}

// Close ends the child sessions.
func (l *LocalConn) Close() error {
	l.r.Close()
	return nil
}
