package link

import (
	"context"
	"io"
	"sync"

	"drover/api"
)

// pipeLimit is how many bytes a Pipe holds for a reader that is behind.
const pipeLimit = 64 << 20

// Pipe is a play session's stream of bytes over frames: what is written goes
// out as frames of one ID, what is delivered is read. Both ends use it: the
// agent between the line and playhost.Serve, the server between the line and
// the engine's client.
type Pipe struct {
	id   string
	ctx  context.Context
	stop context.CancelCauseFunc
	send func(context.Context, *api.Frame) error

	mu    sync.Mutex
	more  *sync.Cond
	buf   [][]byte
	size  int
	ended bool  // the other end closed its direction
	err   error // the pipe is broken
	shut  bool  // our direction is closed
}

// NewPipe makes the stream of session id. Send is called with each frame, one
// at a time, and may block; it ends with ctx.
func NewPipe(ctx context.Context, id string, send func(context.Context, *api.Frame) error) *Pipe {
	ctx, stop := context.WithCancelCause(ctx)
	p := &Pipe{id: id, ctx: ctx, stop: stop, send: send}
	p.more = sync.NewCond(&p.mu)
	context.AfterFunc(ctx, func() { p.Break(context.Cause(ctx)) })
	return p
}

// Deliver gives the pipe a frame from the other end. It never blocks.
func (p *Pipe) Deliver(f *api.Frame) {
	p.mu.Lock()
	if len(f.Data) > 0 && !p.ended && p.err == nil {
		if p.size+len(f.Data) > pipeLimit {
			p.err = api.Errorf(api.CodeTooLarge, "session %s is broken: its reader is more than %d bytes behind", p.id, pipeLimit)
		} else {
			p.buf = append(p.buf, f.Data)
			p.size += len(f.Data)
		}
	}
	if f.Close {
		p.ended = true
	}
	p.mu.Unlock()
	p.more.Broadcast()
}

// Break makes every read and write fail with err; what was delivered before is
// lost. It is how the end of a connection reaches a session.
func (p *Pipe) Break(err error) {
	if err == nil {
		err = io.ErrClosedPipe
	}
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.buf, p.size = nil, 0
	p.mu.Unlock()
	p.more.Broadcast()
	p.stop(err)
}

func (p *Pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) == 0 && !p.ended && p.err == nil {
		p.more.Wait()
	}
	if len(p.buf) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		return 0, io.EOF
	}
	n := copy(b, p.buf[0])
	if p.buf[0] = p.buf[0][n:]; len(p.buf[0]) == 0 {
		p.buf[0] = nil
		p.buf = p.buf[1:]
	}
	p.size -= n
	return n, nil
}

func (p *Pipe) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 {
		p.mu.Lock()
		err := p.err
		if err == nil && p.shut {
			err = io.ErrClosedPipe
		}
		p.mu.Unlock()
		if err != nil {
			return n, err
		}
		piece := b[:min(len(b), chunkSize)]
		f := &api.Frame{ID: p.id, Data: append([]byte(nil), piece...)}
		if err := p.send(p.ctx, f); err != nil {
			return n, err
		}
		n += len(piece)
		b = b[len(piece):]
	}
	return n, nil
}

// CloseWrite ends our direction; the other end reads to its end and then EOF.
func (p *Pipe) CloseWrite() error {
	p.mu.Lock()
	done := p.shut || p.err != nil
	p.shut = true
	p.mu.Unlock()
	if done {
		return nil
	}
	return p.send(p.ctx, &api.Frame{ID: p.id, Close: true})
}

// Close ends our direction and breaks the pipe.
func (p *Pipe) Close() error {
	err := p.CloseWrite()
	p.Break(io.ErrClosedPipe)
	return err
}
