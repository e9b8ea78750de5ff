package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"drover/api"
)

// Message is one server-sent event.
type Message struct {
	ID    string
	Event string // "message" if the server named none
	Data  []byte // JSON
}

// ErrStop ends a stream from inside its function without being an error.
var ErrStop = errors.New("stop")

// Stream sends one request and hands every event of its answer to fn, until
// the answer ends, fn returns an error, or ctx ends. An event "error" ends it
// with the error it carries. It does not reconnect: see Follow.
func (c *Client) Stream(ctx context.Context, method, path string, in any, fn func(Message) error) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("cannot encode the request: %w", err)
		}
		body = strings.NewReader(string(b))
	}
	err := c.stream(ctx, method, path, body, "", func() {}, fn)
	if errors.Is(err, ErrStop) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Follow reads a stream that begins again behind the last event it saw
// whenever the connection is lost, after a pause that grows to 15 seconds. It
// returns when it cannot begin the first time, when fn or the server ends it
// with an error, or when ctx ends. lost, if set, hears of each interruption.
func (c *Client) Follow(ctx context.Context, path string, lost func(error), fn func(Message) error) error {
	last, pause, begun := "", time.Duration(0), false
	for {
		err := c.stream(ctx, http.MethodGet, path, nil, last, func() { begun = true }, func(m Message) error {
			if m.ID != "" {
				last = m.ID
			}
			pause = 0
			return fn(m)
		})
		var gone *UnreachableError
		again := begun && (errors.As(err, &gone) || errors.Is(err, io.EOF) || api.CodeOf(err) == api.CodeUnavailable)
		switch {
		case errors.Is(err, ErrStop):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !again:
			return err
		}
		if lost != nil {
			lost(err)
		}
		pause = min(max(2*pause, 250*time.Millisecond), 15*time.Second)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause/2)): // jitter: not all readers at once
		}
	}
}

// maxEvent is the largest event that is read.
const maxEvent = 16 << 20

// stream reads one answer; io.EOF is its plain end. begun is told that it came.
func (c *Client) stream(ctx context.Context, method, path string, body io.Reader, last string, begun func(), fn func(Message) error) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	if last != "" {
		header.Set("Last-Event-ID", last)
	}
	resp, err := c.Do(ctx, method, path, body, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	begun()
	err = ReadEvents(resp.Body, fn)
	var known *api.Error
	if err == nil {
		return io.EOF
	}
	if errors.Is(err, ErrStop) || errors.As(err, &known) || ctx.Err() != nil {
		return err
	}
	var read *lostError
	if errors.As(err, &read) {
		return c.lost(read.err)
	}
	return err
}

// lostError tells the network's errors from those of a stream's function.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }

// ReadEvents reads server-sent events until r ends.
func ReadEvents(r io.Reader, fn func(Message) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 16<<10), maxEvent)
	var m Message
	var data []string
	for sc.Scan() {
		line := sc.Text()
		if line == "" {
			if len(data) > 0 {
				m.Data = []byte(strings.Join(data, "\n"))
				if m.Event == "" {
					m.Event = "message"
				}
				if m.Event == "error" {
					e := &api.Error{}
					if err := json.Unmarshal(m.Data, e); err == nil && e.Code != "" {
						return e
					}
				}
				if err := fn(m); err != nil {
					return err
				}
			}
			m, data = Message{}, nil
			continue
		}
		name, val, _ := strings.Cut(line, ":")
		val = strings.TrimPrefix(val, " ")
		switch name {
		case "id":
			m.ID = val
		case "event":
			m.Event = val
		case "data":
			data = append(data, val)
		}
	}
	if err := sc.Err(); err != nil {
		return &lostError{err}
	}
	return nil
}

// Change is one event of a watch.
type Change[T any] struct {
	// Type is "put" or "delete"; "synced" once, without an object, when what
	// was there at the beginning has been sent.
	Type     string
	Object   T
	Revision int64
}

// Watch hands every object of a kind and then every change to fn, across lost
// connections, until fn returns an error (ErrStop for none) or ctx ends.
func Watch[T any](ctx context.Context, c *Client, plural string, o ListOptions, fn func(Change[T]) error) error {
	q := o.query()
	q.Set("watch", "true")
	if o.From > 0 {
		q.Set("from", strconv.FormatInt(o.From, 10))
	}
	return c.Follow(ctx, Path("v1", plural)+"?"+q.Encode(), nil, func(m Message) error {
		ch := Change[T]{Type: m.Event}
		ch.Revision, _ = strconv.ParseInt(m.ID, 10, 64)
		if m.Event != "synced" {
			if err := json.Unmarshal(m.Data, &ch.Object); err != nil {
				return fmt.Errorf("cannot read a change of %s: %w", plural, err)
			}
		}
		return fn(ch)
	})
}
