package playhost

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"drover/api"
	"drover/internal/play/module"
)

// Open gives content by its hash, for modules that ask for it.
type Open func(sha256 string) (io.ReadCloser, error)

// Client is the interpreter's end of a session. It may run several requests at once.
type Client struct {
	rwc  io.ReadWriteCloser
	w    frameWriter
	open Open

	mu     sync.Mutex
	next   uint64
	wait   map[uint64]chan *frame
	become *Become
	err    error // why the session is over
	noise  []byte

	hello  Hello
	ready  chan struct{} // closed at the hello or the end
	done   chan struct{} // closed at the end
	closed sync.Once
	work   sync.WaitGroup
}

// NewClient begins a session over a stream whose other end runs Serve. open
// may be nil when no request refers to content that is not inline.
func NewClient(rwc io.ReadWriteCloser, open func(sha256 string) (io.ReadCloser, error)) *Client {
	c := &Client{rwc: rwc, w: frameWriter{w: rwc}, open: open, wait: map[uint64]chan *frame{},
		ready: make(chan struct{}), done: make(chan struct{})}
	c.work.Add(1)
	go c.read()
	return c
}

// SetBecome says how requests for other users become them, from now on.
func (c *Client) SetBecome(b Become) {
	c.mu.Lock()
	c.become = &b
	c.mu.Unlock()
}

// Ready waits for the host's hello. It need not be called before Run.
func (c *Client) Ready(ctx context.Context) (Hello, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return Hello{}, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hello.Version == 0 {
		return Hello{}, c.err
	}
	return c.hello, nil
}

// Noise is what the host wrote before the session began.
func (c *Client) Noise() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(string(c.noise))
}

// Run runs one module. An error means that the host did not answer; what a
// module itself has to say is in the result.
func (c *Client) Run(ctx context.Context, req *module.Request) (*module.Result, error) {
	answer := make(chan *frame, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	c.next++
	id := c.next
	c.wait[id] = answer
	r := &run{Request: req}
	if req.User != "" {
		r.Become = c.become
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.wait, id)
		c.mu.Unlock()
	}()

	if err := c.w.write(&frame{ID: id, Run: r}); err != nil {
		if errors.Is(err, errFrameSize) {
			return module.Fail("cannot send the task to the host: its arguments are larger than %d MiB", MaxFrame>>20), nil
		}
		return nil, c.fail(err)
	}
	select {
	case f := <-answer:
		return f.outcome()
	case <-ctx.Done():
		c.w.write(&frame{ID: id, Cancel: true}) //nolint:errcheck // the reader notices a dead stream
		return nil, context.Cause(ctx)
	case <-c.done:
		select { // the answer may have come just before the end
		case f := <-answer:
			return f.outcome()
		default:
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return nil, c.err
	}
}

func (f *frame) outcome() (*module.Result, error) {
	if f.Error != nil {
		return nil, f.Error
	}
	return f.Result, nil
}

// Close ends the session: the host cancels what still runs.
func (c *Client) Close() error {
	c.fail(errClosed)
	c.work.Wait()
	return nil
}

var errClosed = errors.New("it was closed")

// fail ends the session for a reason; the first one is kept.
func (c *Client) fail(err error) error {
	c.mu.Lock()
	if c.err == nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the host ended it")
		}
		var known *api.Error
		if errors.As(err, &known) {
			c.err = known
		} else {
			c.err = api.Errorf(api.CodeUnavailable, "cannot go on with the session: %v", err)
		}
	}
	err = c.err
	c.mu.Unlock()
	c.closed.Do(func() {
		close(c.done)
		c.rwc.Close()
	})
	return err
}

func (c *Client) read() {
	defer c.work.Done()
	begun := false
	begin := func(h Hello) {
		if !begun {
			begun = true
			c.mu.Lock()
			c.hello = h
			c.mu.Unlock()
			close(c.ready)
		}
	}
	defer func() { begin(Hello{}) }()

	r := bufio.NewReaderSize(c.rwc, 64<<10)
	noise, err := skipToMagic(r)
	c.mu.Lock()
	c.noise = noise
	c.mu.Unlock()
	if err != nil {
		c.fail(err)
		return
	}
	for {
		f, err := readFrame(r)
		if err != nil {
			c.fail(err)
			return
		}
		switch {
		case f.Hello != nil:
			if f.Hello.Version != Version {
				c.fail(api.Errorf(api.CodeInvalid, "cannot use the host's agent: it speaks version %d of the session protocol, this program %d", f.Hello.Version, Version))
				return
			}
			begin(*f.Hello)
		case f.Fetch != "":
			c.work.Add(1)
			go func() {
				defer c.work.Done()
				c.send(f.ID, f.Fetch)
			}()
		case f.Result != nil || f.Error != nil:
			c.mu.Lock()
			if ch := c.wait[f.ID]; ch != nil {
				ch <- f
				delete(c.wait, f.ID)
			}
			c.mu.Unlock()
		}
	}
}

// send answers a fetch.
func (c *Client) send(id uint64, sha256 string) {
	refuse := func(err error) {
		c.w.write(&frame{ID: id, Error: api.Errorf(api.CodeNotFound, "cannot send the file with hash %s: %v", sha256, err)}) //nolint:errcheck // the reader notices a dead stream
	}
	if c.open == nil {
		refuse(errors.New("this session brings no files"))
		return
	}
	src, err := c.open(sha256)
	if err != nil {
		refuse(err)
		return
	}
	defer src.Close()
	buf := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(src, buf)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			refuse(err)
			return
		}
		if c.w.write(&frame{ID: id, Data: &data{Bytes: buf[:n], Last: last}}) != nil || last {
			return
		}
	}
}
