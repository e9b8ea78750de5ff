package link

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"drover/api"
)

// Memory is a Dialer of host that reaches hub without a network. Messages still
// pass through their encoding, so that nothing is shared by accident.
func Memory(hub *Hub, host string) Dialer { return &memoryDialer{hub: hub, host: host} }

type memoryDialer struct {
	hub  *Hub
	host string
}

func (d *memoryDialer) Dial(ctx context.Context, hello *api.Hello) (Conn, error) {
	c := &memoryConn{dialer: d, up: make(chan *api.ToServer), down: make(chan *api.ToAgent), done: make(chan struct{})}
	data, err := json.Marshal(hello)
	if err != nil {
		return nil, err
	}
	h := new(api.Hello)
	if err := json.Unmarshal(data, h); err != nil {
		return nil, err
	}
	opened := make(chan error, 1)
	go func() {
		l, err := d.hub.open(d.host, "memory", time.Time{}, h, c)
		if err != nil {
			c.finish(err)
			opened <- err
			return
		}
		defer l.close()
		for {
			select {
			case m := <-c.up:
				if !l.message(m) {
					c.finish(errReplaced(d.host))
					return
				}
			case <-c.done:
				return
			}
		}
	}()
	select {
	case m := <-c.down:
		c.welcome = m.Welcome
		return c, nil
	case err := <-opened:
		return nil, err
	case <-ctx.Done():
		c.finish(context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
}

func (d *memoryDialer) Renew(ctx context.Context, r *api.RenewRequest) (*api.RenewResponse, error) {
	return d.hub.renew(ctx, d.host, r)
}

// memoryConn is both ends of a line in one process.
type memoryConn struct {
	dialer  *memoryDialer
	welcome *api.Welcome
	up      chan *api.ToServer
	down    chan *api.ToAgent

	once sync.Once
	done chan struct{}
	err  error // why it ended; set before done is closed
}

func (c *memoryConn) finish(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
	})
}

// send and end are the hub's side.

func (c *memoryConn) send(o *outgoing) error {
	m := new(api.ToAgent)
	if err := json.Unmarshal(o.data, m); err != nil {
		return err
	}
	select {
	case c.down <- m:
		return nil
	case <-c.done:
		return c.err
	}
}

func (c *memoryConn) end(why *api.Error) {
	if why == nil {
		c.finish(errBroke)
		return
	}
	c.finish(why)
}

var errBroke = api.Errorf(api.CodeUnavailable, "the line to the server broke")

func (c *memoryConn) Welcome() *api.Welcome { return c.welcome }
func (c *memoryConn) Server() string        { return "memory" }

func (c *memoryConn) Send(ctx context.Context, m *api.ToServer) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(data) > MaxMessage {
		return api.Errorf(api.CodeTooLarge, "cannot send a message of %d bytes: the limit is %d", len(data), MaxMessage)
	}
	copied := new(api.ToServer)
	if err := json.Unmarshal(data, copied); err != nil {
		return err
	}
	select {
	case c.up <- copied:
		return nil
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *memoryConn) Recv() (*api.ToAgent, error) {
	select {
	case m := <-c.down:
		return m, nil
	case <-c.done:
		return nil, c.err
	}
}

func (c *memoryConn) Blob(ctx context.Context, sha256 string, offset int64) (io.ReadCloser, int64, error) {
	f, size, release, err := c.dialer.hub.openBlob(ctx, c.dialer.host, sha256, offset)
	if err != nil {
		return nil, 0, err
	}
	return &memoryBlob{ReadCloser: f, release: release}, size, nil
}

type memoryBlob struct {
	io.ReadCloser
	once    sync.Once
	release func()
}

func (b *memoryBlob) Close() error {
	b.once.Do(b.release)
	return b.ReadCloser.Close()
}

func (c *memoryConn) Renew(ctx context.Context, r *api.RenewRequest) (*api.RenewResponse, error) {
	return c.dialer.hub.renew(ctx, c.dialer.host, r)
}

func (c *memoryConn) Close() error {
	c.finish(errBroke)
	return nil
}
