package playhost

import (
	"context"

	"drover/internal/play/module"
)

// RunAs runs ping from a session of one user as another: the way of a session
// that is not root's.
func RunAs(ctx context.Context, l *LocalConn, from, to string, b Become, _ []string) (*module.Result, error) {
	c, err := l.r.child(ctx, from, Become{})
	if err != nil {
		return nil, err
	}
	c.client.SetBecome(b)
	return c.client.Run(ctx, &module.Request{Module: "ping", User: to})
}
