package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"drover/api"
	"drover/internal/domain"
)

// defaultMaxBody is the most bytes a request may carry where its route says nothing else.
const defaultMaxBody = 1 << 20

// requestTimeout is how long a request that is no stream may take to come in
// and to be answered.
const requestTimeout = 60 * time.Second

// door is the way into one route: identity, access rule, limits, and on the
// way out the audit, the log and the metrics. No handler is reached without it.
func (s *Server) door(rt domain.Route) http.Handler {
	var nobodies refusals
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.now()
		id := newRequestID()
		w.Header().Set("X-Request-Id", id)
		harden(w.Header())
		ctx := domain.WithRequest(r.Context(), id, remoteHost(r))
		if rt.Stream {
			var stop context.CancelFunc
			ctx, stop = joinContext(ctx, s.draining)
			defer stop()
		}
		packed, packer := pack(w, r)
		out := &recorder{w: packed, status: http.StatusOK}
		timed(w)
		who, err := s.admit(rt, r)
		if rt.Stream && err == nil {
			untimed(w)
			if who != nil && !mutates(r.Method) { // what was begun goes on, what is only watched does not
				var stop func()
				ctx, stop = s.whileAdmitted(ctx, rt, r)
				defer stop()
			}
		}
		ctx = domain.WithIdentity(ctx, who)
		r = r.WithContext(ctx)
		audited := mutates(r.Method) && !rt.Quiet && (who != nil || !rt.Access.NeedsIdentity())
		if audited && !rt.Stream {
			out.hold() // the answer waits until the audit is on disk
		}
		if err == nil {
			limitBody(w, r, rt)
			err = s.handle(rt, out, r)
			if rt.Stream {
				timed(w) // what is left of the request is read by nobody but the connection
			}
		}
		if err == nil && out.failed() {
			err = api.Errorf(api.CodeInternal, "status %d", out.status) // written by the handler itself, as git's is
		} else if err != nil {
			err = s.layout.full(err)
			s.answerError(out, r, rt, err)
		}
		if audited && who == nil && err != nil {
			audited = nobodies.tell(ctx, s.now())
		}
		if audited {
			if e := s.audit1(r, who, err); e != nil && err == nil {
				out.drop()
				err = e
				s.answerError(out, r, rt, err)
			}
		}
		out.release()
		packer.finish()
		s.logRequest(r, rt, who, out, err, s.now().Sub(start))
	})
}

// harden keeps a browser from taking an answer for more than it is: what the
// API says, such as a command's output, is never a page. The console's pages
// have headers of their own.
func harden(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// admit establishes who is asking and whether they may.
func (s *Server) admit(rt domain.Route, r *http.Request) (*domain.Identity, error) {
	if mutates(r.Method) {
		// A page of another site must not act with a browser's session.
		if err := s.crossOrigin.Check(r); err != nil {
			return nil, api.Errorf(api.CodeForbidden, "this request comes from another site").WithRemedy("use the page of this server itself")
		}
	}
	if !rt.Access.NeedsIdentity() {
		return nil, rt.Access.Check(nil)
	}
	who, err := s.access.Authenticate(r.Context(), r)
	if err != nil {
		return nil, err
	}
	id := &domain.Identity{Actor: who.Actor(), Person: who.Person, Token: who.Token, Role: who.Role, Session: who.Session, Expires: who.Expires}
	return id, rt.Access.Check(id)
}

// handle runs a handler; a panic is an error of ours, not the end of the server.
func (s *Server) handle(rt domain.Route, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // the very value that net/http panics with
				panic(p)
			}
			s.log.Error("a handler panicked", "route", rt.Method+" "+rt.Path, "request", domain.RequestID(r.Context()), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return rt.Handle(w, r)
}

// answerError sends an error as JSON, if the answer has not begun.
func (s *Server) answerError(w *recorder, r *http.Request, rt domain.Route, err error) {
	if w.begun {
		return
	}
	e := publicError(r.Context(), err)
	status := e.Code.HTTPStatus()
	var own *statusError
	if errors.As(err, &own) {
		status = own.status
	}
	if e.Code == api.CodeUnauthorized {
		h := w.Header()
		h.Set("WWW-Authenticate", `Bearer realm="drover"`)
		if rt.Basic && r.Header.Get("Sec-Fetch-Mode") == "" { // a browser would ask in a window of its own
			h.Set("WWW-Authenticate", `Basic realm="drover", charset="UTF-8"`)
		}
	}
	var slow interface{ RetryAfter() time.Duration }
	if errors.As(err, &slow) {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(slow.RetryAfter().Seconds()))))
	}
	if e.Code == api.CodeUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "2")
	}
	if err := domain.WriteJSON(w, status, e); err != nil {
		s.log.Error("cannot answer", "request", domain.RequestID(r.Context()), "error", err)
	}
}

// publicError is what the other end may know of err.
func publicError(ctx context.Context, err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return api.Errorf(api.CodeUnavailable, "this took too long, or the server is stopping").WithRemedy("try again")
	}
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		errors.As(domain.BodyError(err), &e)
		return e
	}
	return api.Errorf(api.CodeInternal, "the server failed at this").
		WithRemedy("look for request %s in the server's log", domain.RequestID(ctx))
}

// audit1 puts one mutation into the audit.
func (s *Server) audit1(r *http.Request, who *domain.Identity, err error) error {
	object, detail := domain.Noted(r.Context())
	object, detail = cutText(object, maxAuditText), cutText(detail, maxAuditText)
	actor := "anonymous"
	if who != nil {
		actor = who.Actor
	}
	result := "ok"
	if err != nil {
		result = string(publicError(r.Context(), err).Code)
	} else if code := domain.NotedFailure(r.Context()); code != "" {
		result = string(code)
	}
	_, e := s.auditLog.Append(context.WithoutCancel(r.Context()), api.AuditEntry{
		Actor: actor, Action: cutText(r.Method+" "+r.URL.Path, maxAuditText), Object: object, Result: result, Remote: domain.Remote(r.Context()), Detail: detail,
	})
	if e == nil {
		return nil
	}
	s.log.Error("cannot write the audit", "request", domain.RequestID(r.Context()), "error", e)
	return api.Errorf(api.CodeUnavailable, "the request was done, but the audit could not be written: %v", e).
		WithRemedy("free space for the server's data directory; the server's log has what was done")
}

func (s *Server) logRequest(r *http.Request, rt domain.Route, who *domain.Identity, out *recorder, err error, took time.Duration) {
	s.metrics.request(rt, out.status, took)
	level := slog.LevelDebug
	attrs := []any{"method", r.Method, "path", r.URL.Path, "status", out.status, "took", took, "request", domain.RequestID(r.Context()), "remote", domain.Remote(r.Context())}
	if who != nil {
		attrs = append(attrs, "actor", who.Actor)
	}
	if err != nil {
		attrs = append(attrs, "error", err)
		if out.status >= http.StatusInternalServerError && r.Context().Err() == nil {
			level = slog.LevelError
		}
	}
	s.log.Log(r.Context(), level, "request", attrs...)
}

// timed gives a request the time that one has which is no stream. Also a
// stream's is timed until somebody is let in, and after it has ended.
func timed(w http.ResponseWriter) { deadlines(w, time.Now().Add(requestTimeout)) }

// untimed is for a stream: its writes have deadlines of their own.
func untimed(w http.ResponseWriter) { deadlines(w, time.Time{}) }

func deadlines(w http.ResponseWriter, until time.Time) {
	ctrl := http.NewResponseController(w)
	// A test's recorder has no deadlines.
	_ = ctrl.SetReadDeadline(until)
	_ = ctrl.SetWriteDeadline(until)
}

func limitBody(w http.ResponseWriter, r *http.Request, rt domain.Route) {
	limit := rt.MaxBody
	if limit == 0 {
		limit = defaultMaxBody
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
}

func mutates(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

func newRequestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// joinContext is ctx that ends also when other does.
func joinContext(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(nil) }
}

// recorder remembers an answer's status and, while held, keeps the answer back.
type recorder struct {
	w      http.ResponseWriter
	status int
	begun  bool
	held   *bytes.Buffer
}

func (o *recorder) hold() { o.held = &bytes.Buffer{} }

// drop forgets what was held, for another answer.
func (o *recorder) drop() {
	if o.held != nil {
		o.held.Reset()
		o.begun = false
		o.status = http.StatusOK
	}
}

// release sends what was held.
func (o *recorder) release() {
	if o.held == nil {
		return
	}
	b := o.held.Bytes()
	o.held = nil
	if o.begun {
		if len(b) > 0 {
			o.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		}
		o.w.WriteHeader(o.status)
		_, _ = o.w.Write(b)
	}
}

func (o *recorder) failed() bool        { return o.begun && o.status >= http.StatusBadRequest }
func (o *recorder) Header() http.Header { return o.w.Header() }

func (o *recorder) WriteHeader(status int) {
	if o.begun {
		return
	}
	o.begun, o.status = true, status
	if o.held == nil {
		o.w.WriteHeader(status)
	}
}

func (o *recorder) Write(b []byte) (int, error) {
	if !o.begun {
		o.WriteHeader(http.StatusOK)
	}
	if o.held != nil {
		return o.held.Write(b)
	}
	return o.w.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (o *recorder) Unwrap() http.ResponseWriter { return o.w }
