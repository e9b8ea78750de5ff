package domain

import (
	"context"
	"time"

	"drover/api"
)

// Identity is who is asking, as the server's door has established it.
type Identity struct {
	Actor  string   // for the audit: a person's name, "token/NAME"
	Person string   // the person behind it, empty for a program
	Token  string   // name of the token that was shown, empty for a browser's session
	Role   api.Role // what it may do

	Session string    // id of the session that was shown, empty for a token
	Expires time.Time // when the credential ends; zero: never
}

type identityKey struct{}
type requestKey struct{}

// requestInfo travels in a request's context.
type requestInfo struct {
	id, remote string
	object     string
	detail     string
	failure    api.Code
}

// WithIdentity gives ctx an identity; the server does so for every request.
func WithIdentity(ctx context.Context, who *Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, who)
}

// WhoIs is the identity of a request, nil when nobody is signed in.
func WhoIs(ctx context.Context) *Identity {
	who, _ := ctx.Value(identityKey{}).(*Identity)
	return who
}

// Actor is the name of who is asking as the audit and events show it,
// "system" when the server acts by itself.
func Actor(ctx context.Context) string {
	if who := WhoIs(ctx); who != nil {
		return who.Actor
	}
	return "system"
}

// WithRequest gives ctx a request's id and the address it came from.
func WithRequest(ctx context.Context, id, remote string) context.Context {
	return context.WithValue(ctx, requestKey{}, &requestInfo{id: id, remote: remote})
}

// RequestID is the id of the request, which the answer and the log carry.
func RequestID(ctx context.Context) string { return info(ctx).id }

// Remote is the address a request came from.
func Remote(ctx context.Context) string { return info(ctx).remote }

// Note tells the audit which object a request is about, and a detail worth
// keeping. Never put a secret there.
func Note(ctx context.Context, object, detail string) {
	i := info(ctx)
	i.object, i.detail = object, detail
}

// Noted is what Note was told.
func Noted(ctx context.Context) (object, detail string) {
	i := info(ctx)
	return i.object, i.detail
}

// NoteFailure tells the audit how a request ended whose answer does not say so:
// git is answered that its push was read, whatever became of it.
func NoteFailure(ctx context.Context, code api.Code) { info(ctx).failure = code }

// NotedFailure is what NoteFailure was told, "" if nothing.
func NotedFailure(ctx context.Context) api.Code { return info(ctx).failure }

func info(ctx context.Context) *requestInfo {
	if i, ok := ctx.Value(requestKey{}).(*requestInfo); ok {
		return i
	}
	return &requestInfo{}
}
