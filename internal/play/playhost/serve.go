package playhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"

	"drover/api"
	"drover/internal/play/module"
)

// Limits of a session.
const (
	maxRunning = 32  // modules at work at once
	maxWaiting = 512 // requests in flight; more is a client gone wrong
	maxText    = 8 << 20
)

// Options say how a session does what depends on the program it is in.
type Options struct {
	// Command starts a child session on its standard streams; empty means the
	// agent's program, this one or beside it, with the argument play-session.
	Command []string
	// Stderr takes what child sessions say; nil drops it.
	Stderr io.Writer
}

// Serve is the host's end of a session, until the stream ends or the context
// does. The end of the stream between frames is no error.
func Serve(ctx context.Context, rw io.ReadWriter, host *module.Host) error {
	return ServeOptions(ctx, rw, host, Options{})
}

// ServeOptions is Serve with options.
func ServeOptions(ctx context.Context, rw io.ReadWriter, host *module.Host, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if closer, ok := rw.(io.Closer); ok {
		defer context.AfterFunc(ctx, func() { closer.Close() })()
	}
	s := &server{w: frameWriter{w: rw}, runs: map[uint64]context.CancelFunc{}, fetches: map[uint64]*fetching{}, slots: make(chan struct{}, maxRunning)}
	s.cache = newCache(s.fetch)
	s.runner = newRunner(host, s.cache.open, o)
	defer s.end(cancel)

	name, uid := s.runner.who()
	if err := s.w.raw(magic); err != nil {
		return err
	}
	if err := s.w.write(&frame{Hello: &Hello{Version: Version, User: name, UID: uid}}); err != nil {
		return err
	}
	r := bufio.NewReaderSize(rw, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return api.Errorf(api.CodeInvalid, "cannot go on with the session: %v", err)
		}
		switch {
		case f.Run != nil && f.Run.Request != nil:
			s.start(ctx, f)
		case f.Cancel:
			s.mu.Lock()
			if stop := s.runs[f.ID]; stop != nil {
				stop()
			}
			s.mu.Unlock()
		case f.Data != nil || f.Error != nil:
			s.arrived(f)
		}
	}
}

type server struct {
	w      frameWriter
	runner *runner
	cache  *cache
	slots  chan struct{}
	work   sync.WaitGroup

	mu      sync.Mutex
	runs    map[uint64]context.CancelFunc
	fetches map[uint64]*fetching
	nextID  uint64
	over    bool
}

// end cancels everything and waits for it.
func (s *server) end(cancel context.CancelFunc) {
	cancel()
	s.mu.Lock()
	s.over = true
	fetches := s.fetches
	s.fetches = nil
	s.mu.Unlock()
	for _, f := range fetches {
		f.finish(io.ErrUnexpectedEOF)
	}
	s.work.Wait()
	s.runner.Close()
	s.cache.close()
}

// start runs a request beside the others.
func (s *server) start(ctx context.Context, f *frame) {
	s.mu.Lock()
	if len(s.runs) >= maxWaiting || s.runs[f.ID] != nil {
		s.mu.Unlock()
		s.w.write(&frame{ID: f.ID, Error: api.Errorf(api.CodeTooLarge, "cannot run the task: %d are in flight already", maxWaiting)}) //nolint:errcheck // a dead stream ends the session
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	s.runs[f.ID] = cancel
	s.mu.Unlock()
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		defer func() {
			cancel()
			s.mu.Lock()
			delete(s.runs, f.ID)
			s.mu.Unlock()
		}()
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return
		}
		answer := &frame{ID: f.ID}
		res, err := s.runner.run(ctx, f.Run.Request, f.Run.Become)
		if err != nil {
			answer.Error = asError(err)
		} else {
			answer.Result = bound(res, maxText)
		}
		err = s.w.write(answer)
		if errors.Is(err, errFrameSize) {
			// Bytes that are no text take six in JSON: cut again, deeper.
			answer.Result = bound(res, maxText/16)
			err = s.w.write(answer)
		}
		var bad *json.UnsupportedValueError
		if errors.Is(err, errFrameSize) || errors.As(err, &bad) {
			s.w.write(&frame{ID: f.ID, Result: unsendable(res, err)}) //nolint:errcheck // a dead stream ends the session
		}
	}()
}

func asError(err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	return api.Errorf(api.CodeUnavailable, "cannot run the task: %v", err)
}

// unsendable stands for a result that does not fit a frame. What was changed
// is still told.
func unsendable(res *module.Result, why error) *module.Result {
	out := module.Fail("cannot send the result of the module: %v", why)
	out.Changed = res.Changed
	return out
}

// bound cuts what commands wrote to a size that people can still want. Other
// values are whole or an error: half a file is none.
func bound(res *module.Result, limit int) *module.Result {
	for _, key := range []string{"stdout", "stderr", "module_stdout", "module_stderr"} {
		s, ok := res.Values[key].(string)
		if !ok || len(s) <= limit {
			continue
		}
		res.Set(key, s[:limit])
		delete(res.Values, key+"_lines")
		res.Warn("%s was %d bytes; only the first %d are kept", key, len(s), limit)
	}
	return res
}

// fetching is content on its way from the client.
type fetching struct {
	w    *io.PipeWriter
	once sync.Once
}

func (f *fetching) finish(err error) { f.once.Do(func() { f.w.CloseWithError(err) }) }

// fetch asks the client for content.
func (s *server) fetch(ctx context.Context, sha256 string) (io.ReadCloser, error) {
	r, w := io.Pipe()
	f := &fetching{w: w}
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return nil, io.ErrUnexpectedEOF
	}
	s.nextID++
	id := s.nextID
	s.fetches[id] = f
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		delete(s.fetches, id)
		s.mu.Unlock()
	}
	if err := s.w.write(&frame{ID: id, Fetch: sha256}); err != nil {
		forget()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { f.finish(context.Cause(ctx)) })
	return &fetchReader{r, func() { stop(); forget() }}, nil
}

type fetchReader struct {
	*io.PipeReader
	forget func()
}

func (r *fetchReader) Close() error {
	r.forget()
	return r.PipeReader.Close()
}

// arrived hands a piece of content to who fetches it. The cache writes it to a
// file at once, so this never waits for a module.
func (s *server) arrived(f *frame) {
	s.mu.Lock()
	to := s.fetches[f.ID]
	s.mu.Unlock()
	if to == nil {
		return
	}
	if f.Error != nil {
		to.finish(f.Error)
		return
	}
	if len(f.Data.Bytes) > 0 {
		if _, err := to.w.Write(f.Data.Bytes); err != nil {
			return
		}
	}
	if f.Data.Last {
		to.finish(io.EOF)
	}
}

// currentUser names the process's user; the number stands for an unknown one.
func currentUser(host *module.Host) (string, int) {
	uid := os.Geteuid()
	if host != nil && host.Root != "" {
		return "root", 0 // a fake root is a test's; its user may do everything there
	}
	if a, ok := host.UserByID(uid); ok {
		return a.Name, uid
	}
	return strconv.Itoa(uid), uid
}
