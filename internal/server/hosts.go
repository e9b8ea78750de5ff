package server

import (
	"context"
	"io"

	"drover/api"
	"drover/internal/blob"
	"drover/internal/domain"
	"drover/internal/link"
)

// hosts joins the hub with what the rooms do on the line. The rooms come
// after the hub, so it is filled once, before any agent is let in.
type hosts struct {
	consumers []link.Consumer
	mayFetch  []func(ctx context.Context, host, sha256 string) error
	renew     func(ctx context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error)
	offers    []func(host string, hello *api.Hello) *api.AgentOffer
	write     func(ctx context.Context, host string, body []byte) error
	blobs     *blob.Store
}

func (h *hosts) add(l *domain.Link) {
	if l == nil {
		return
	}
	if l.Consumer != nil {
		h.consumers = append(h.consumers, l.Consumer)
	}
	if l.MayFetch != nil {
		h.mayFetch = append(h.mayFetch, l.MayFetch)
	}
	if l.Offer != nil {
		h.offers = append(h.offers, l.Offer)
	}
	if l.Renew != nil {
		if h.renew != nil {
			panic("server: two rooms renew certificates")
		}
		h.renew = l.Renew
	}
	if l.Write != nil {
		if h.write != nil {
			panic("server: two rooms store samples")
		}
		h.write = l.Write
	}
}

// Joined, Left and Message tell every room, in the order of the rooms.
func (h *hosts) Joined(host string, hello *api.Hello) {
	for _, c := range h.consumers {
		c.Joined(host, hello)
	}
}

func (h *hosts) Left(host string, undelivered []*api.ToAgent) {
	for _, c := range h.consumers {
		c.Left(host, undelivered)
	}
}

func (h *hosts) Message(host string, m *api.ToServer) {
	for _, c := range h.consumers {
		c.Message(host, m)
	}
}

// MayFetch allows a blob that one room allows.
func (h *hosts) MayFetch(ctx context.Context, host, sha256 string) error {
	err := error(api.Errorf(api.CodeForbidden, "host %s may not fetch blob %s: nothing assigned to it names it", host, sha256))
	for _, may := range h.mayFetch {
		if err = may(ctx, host, sha256); err == nil {
			return nil
		}
	}
	return err
}

// Renew signs a host's certificate request.
func (h *hosts) Renew(ctx context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error) {
	if h.renew == nil {
		return nil, api.Errorf(api.CodeUnavailable, "this server renews no certificates")
	}
	return h.renew(ctx, host, r)
}

// Write stores a host's samples.
func (h *hosts) Write(ctx context.Context, host string, body []byte) error {
	if h.write == nil {
		return api.Errorf(api.CodeUnavailable, "this server takes no metrics")
	}
	return h.write(ctx, host, body)
}

func (h *hosts) offer(host string, hello *api.Hello) *api.AgentOffer {
	for _, offer := range h.offers {
		if o := offer(host, hello); o != nil {
			return o
		}
	}
	return nil
}

// Open opens a blob for the link.
func (h *hosts) Open(sha256 string) (io.ReadSeekCloser, int64, error) {
	r, err := h.blobs.Open(sha256)
	if err != nil {
		return nil, 0, err
	}
	return r, r.Size(), nil
}
