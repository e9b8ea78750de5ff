package server

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/store"
)

// maxStreams is how many watches one server serves at once.
const maxStreams = 2000

// streams counts the watches under way.
type streams struct{ n atomic.Int64 }

// enter takes a place, or says that there is none.
func (s *streams) enter() (leave func(), err error) {
	if s.n.Add(1) > maxStreams {
		s.n.Add(-1)
		return nil, api.Errorf(api.CodeUnavailable, "the server already serves %d watches, its limit", maxStreams).WithRemedy("end some, or try again later")
	}
	return func() { s.n.Add(-1) }, nil
}

// gone is what a watch tells of a deleted object.
type gone struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// resumeFrom is where a watch begins: behind the last event that the reader
// saw, or where it asks.
func resumeFrom(r *http.Request, param string) (int64, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		return intParam(last, "Last-Event-ID", 0)
	}
	return intParam(r.URL.Query().Get(param), param, 0)
}

// watch serves one kind's changes: resync, a put for each object and synced at
// the beginning and when the reader fell behind; put and delete after that.
// Events carry as id the revision to resume behind.
func (k *kindAPI) watch(w http.ResponseWriter, r *http.Request, sel selector) error {
	from, err := resumeFrom(r, "from")
	if err != nil {
		return err
	}
	leave, err := k.s.streams.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // ends the store's side
	events := k.rows.Watch(ctx, from)
	out, err := domain.NewStream(w)
	if err != nil {
		return nil // nobody is there
	}
	v := &view{k: k, out: out, sel: sel, resumed: from > 0}
	beat := time.NewTicker(domain.HeartbeatEvery)
	defer beat.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			err = v.event(ctx, e)
		case <-beat.C:
			err = out.Heartbeat()
		}
		if err != nil {
			return nil // the reader has gone, and knows where it was
		}
	}
}

// view is what one reader has been told.
type view struct {
	k         *kindAPI
	out       *domain.Stream
	sel       selector
	shown     map[string]bool // names the reader knows, when it selects
	resumed   bool            // it knows things from before
	resyncing bool
}

func (v *view) event(ctx context.Context, e store.UntypedEvent) error {
	// In the middle of a resync there is nothing to resume behind.
	id := strconv.FormatInt(e.Revision, 10)
	if v.resyncing {
		id = ""
	}
	switch e.Type {
	case store.EventResync:
		v.resyncing, v.resumed, v.shown = true, false, nil
		return v.out.Send("", string(e.Type), struct{}{})
	case store.EventSynced:
		v.resyncing = false
		return v.out.Send(strconv.FormatInt(e.Revision, 10), string(e.Type), struct{}{})
	case store.EventDelete:
		return v.drop(id, e.Name)
	}
	if !v.sel.matches(e.Object.Metadata().Labels) {
		return v.drop(id, e.Name)
	}
	if v.sel != nil {
		if v.shown == nil {
			v.shown = map[string]bool{}
		}
		v.shown[e.Name] = true
	}
	return v.out.Send(id, string(store.EventPut), v.k.view(e.Object))
}

// drop tells that an object is no more, or no more selected, if the reader may know it.
func (v *view) drop(id, name string) error {
	if v.sel != nil && !v.resumed && !v.shown[name] || v.resyncing {
		return nil
	}
	delete(v.shown, name)
	return v.out.Send(id, string(store.EventDelete), gone{Kind: v.k.kind.Name, Name: name})
}
