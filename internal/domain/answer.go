package domain

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"drover/api"
)

// WriteJSON answers a request with a value.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	BeginJSON(w, status)
	// Nobody can be told when the other end has gone.
	_, _ = w.Write(append(b, '\n'))
	return nil
}

// BeginJSON begins an answer in JSON that is written piece by piece.
func BeginJSON(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

// HeartbeatEvery is how often a stream shows that it lives.
const HeartbeatEvery = 15 * time.Second

// streamWriteTimeout ends a stream whose reader takes nothing.
const streamWriteTimeout = 20 * time.Second

// Bound gives an answer of a stream's route that is no stream the time that
// one has.
func Bound(w http.ResponseWriter) {
	// A test's recorder has no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
}

// answerTimeout is how long an answer that is no stream may take to be sent.
const answerTimeout = 60 * time.Second

// Stream answers a request with server-sent events. Send may be called from
// several goroutines.
type Stream struct {
	mu   sync.Mutex
	w    io.Writer
	ctrl *http.ResponseController
	gzip *gzipStream // nil: as it is
}

// NewStream begins the answer. From here on errors are sent by Fail.
func NewStream(w http.ResponseWriter) (*Stream, error) { return newStream(w, nil) }

func newStream(w http.ResponseWriter, zip *gzipStream) (*Stream, error) {
	ctrl := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold events back
	if zip != nil {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
	}
	w.WriteHeader(http.StatusOK)
	if zip != nil {
		_, _ = w.Write(gzipHeader) // what fails here fails at the flush
	}
	if err := ctrl.Flush(); err != nil {
		return nil, fmt.Errorf("cannot stream: %w", err)
	}
	return &Stream{w: w, ctrl: ctrl, gzip: zip}, nil
}

// Send writes one event. An id lets a reader resume behind it; both id and
// event may be empty.
func (s *Stream) Send(id, event string, v any) error {
	text, err := encodeEvent(id, event, v)
	if err != nil {
		return err
	}
	return s.write(text)
}

func encodeEvent(id, event string, v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("cannot encode an event: %w", err)
	}
	var b strings.Builder
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	if event != "" {
		b.WriteString("event: " + event + "\n")
	}
	b.WriteString("data: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.String(), nil
}

// Heartbeat writes a comment, which readers skip.
func (s *Stream) Heartbeat() error { return s.write(": still here\n\n") }

// Fail ends a stream with an error, as the event "error".
func (s *Stream) Fail(err *api.Error) { _ = s.Send("", "error", err) }

func (s *Stream) write(text string) error {
	if s.gzip != nil {
		return s.SendPiece(pieceOf(text))
	}
	return s.raw(text)
}

func (s *Stream) raw(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Not every writer has deadlines; a test's recorder has none.
	_ = s.ctrl.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.ctrl.Flush()
}
