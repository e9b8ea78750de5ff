package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/store"
)

// overview follows all hosts for those who watch the whole fleet. One loop
// makes each change once, encodes it once and lets everybody send it; what
// happens within a quarter of a second is one change.
type overview struct {
	f *Fleet

	mu       sync.Mutex
	wake     chan struct{}
	touched  map[string]bool   // hosts to look at
	rows     map[string][]byte // as they were told last, in JSON
	active   string            // revision, as it was told last
	version  int64             // counts changes
	last     []*domain.Piece   // of the newest versions, the newest last
	snapshot *domain.Piece     // of this version; nil: nobody asked yet
	changed  chan struct{}     // closed at the next version
	ready    chan struct{}     // closed when all hosts are known
	watching int
}

const (
	overviewEvery = 250 * time.Millisecond
	keptChanges   = 40  // ten seconds of them; who is slower gets a snapshot
	maxWatching   = 500 // watches of the overview at once
)

func newOverview(f *Fleet) *overview {
	return &overview{f: f, wake: make(chan struct{}, 1), touched: map[string]bool{}, rows: map[string][]byte{}, changed: make(chan struct{}), ready: make(chan struct{})}
}

// touch asks for a look at hosts.
func (o *overview) touch(hosts ...string) {
	o.mu.Lock()
	for _, h := range hosts {
		o.touched[h] = true
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run follows the store. What is in memory alone, such as connections, is
// touched by those who know of it.
func (o *overview) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the store's side
	hosts, err := o.follow(ctx, "host")
	if err != nil {
		return err
	}
	revisions, err := o.follow(ctx, "revision")
	if err != nil {
		return err
	}
	synced := 0
	var pause <-chan time.Time // while it runs, changes gather
	due := false
	for {
		ok := true
		var e store.UntypedEvent
		select {
		case <-ctx.Done():
			return nil
		case e, ok = <-hosts:
			due = true
			switch e.Type {
			case store.EventResync:
				o.touchAll()
			case store.EventPut, store.EventDelete:
				o.touch(e.Name)
			case store.EventSynced:
				synced++
			}
		case e, ok = <-revisions:
			due = true
			if e.Type == store.EventSynced {
				synced++
			}
		case <-o.wake:
			due = true
		case <-pause:
			pause = nil
		}
		if !ok {
			return errors.Join(ctx.Err(), errors.New("the store ended a watch"))
		}
		if !due || pause != nil || synced < 2 {
			continue
		}
		due = false
		if err := o.look(ctx); err != nil {
			return err
		}
		pause = time.After(overviewEvery)
	}
}

func (o *overview) follow(ctx context.Context, kind string) (<-chan store.UntypedEvent, error) {
	k, err := o.f.s.Store.Kind(kind)
	if err != nil {
		return nil, err
	}
	return k.Watch(ctx, 0), nil
}

// touchAll is for what the watch missed: also hosts that are no more are looked at.
func (o *overview) touchAll() {
	o.mu.Lock()
	names := slices.Collect(maps.Keys(o.rows))
	o.mu.Unlock()
	o.touch(names...)
}

// look tells what has changed since the last time.
func (o *overview) look(ctx context.Context) error {
	o.mu.Lock()
	touched := o.touched
	o.touched = map[string]bool{}
	watched := o.watching > 0
	o.mu.Unlock()
	active, err := o.f.activeName(ctx)
	if err != nil {
		return err
	}
	var rows []json.RawMessage
	removed := []string{}
	fresh := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		h, err := o.f.hosts.Peek(ctx, name)
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			return err
		}
		var b []byte
		if err == nil {
			if b, err = json.Marshal(o.f.row(h)); err != nil {
				return fmt.Errorf("cannot encode a host: %w", err)
			}
		}
		was := o.rows[name] // this loop alone writes them
		switch {
		case b == nil && was != nil:
			removed = append(removed, name)
			fresh[name] = nil
		case !bytes.Equal(b, was):
			rows = append(rows, b)
			fresh[name] = b
		}
	}
	if len(fresh) == 0 && active == o.active && o.version > 0 {
		return nil
	}
	var piece *domain.Piece // nobody who comes later asks for it
	if watched {
		piece, err = domain.NewPiece("", "hosts", struct {
			Rows    []json.RawMessage `json:"rows"`
			Removed []string          `json:"removed"`
			Active  string            `json:"active,omitempty"`
		}{orNone(rows), removed, active})
		if err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, b := range fresh {
		if b == nil {
			delete(o.rows, name)
		} else {
			o.rows[name] = b
		}
	}
	if o.version == 0 {
		close(o.ready)
	}
	o.active, o.snapshot = active, nil
	o.version++
	switch {
	case piece == nil:
		o.last = nil
	case len(o.last) == keptChanges:
		o.last = append(slices.Delete(o.last, 0, 1), piece)
	default:
		o.last = append(o.last, piece)
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return nil
}

func orNone(rows []json.RawMessage) []json.RawMessage {
	if rows == nil {
		return []json.RawMessage{}
	}
	return rows
}

// since gives what to send to somebody who knows a version: the changes since
// then, or a snapshot; and when there will be more.
func (o *overview) since(version int64) (pieces []*domain.Piece, now int64, more <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	behind := o.version - version
	if version > 0 && behind <= int64(len(o.last)) {
		return slices.Clone(o.last[int64(len(o.last))-behind:]), o.version, o.changed, nil
	}
	if o.snapshot == nil {
		rows := make([]json.RawMessage, 0, len(o.rows))
		for _, name := range slices.Sorted(maps.Keys(o.rows)) {
			rows = append(rows, o.rows[name])
		}
		o.snapshot, err = domain.NewPiece("", "snapshot", struct {
			Fleet  string            `json:"fleet"`
			Active string            `json:"active,omitempty"`
			Hosts  []json.RawMessage `json:"hosts"`
		}{o.f.s.CA.Fleet(), o.active, rows})
		if err != nil {
			return nil, 0, nil, err
		}
	}
	return []*domain.Piece{o.snapshot}, o.version, o.changed, nil
}

// serve is GET /v1/overview.
func (o *overview) serve(w http.ResponseWriter, r *http.Request) error {
	watch := r.URL.Query().Get("watch")
	on, err := strconv.ParseBool(watch)
	if err != nil && watch != "" {
		return &api.Error{Code: api.CodeInvalid, Field: "watch", Message: fmt.Sprintf("%q is neither true nor false", cutText(watch, 50))}
	}
	if on {
		return o.stream(w, r)
	}
	domain.Bound(w)
	out := api.Overview{Fleet: o.f.s.CA.Fleet(), Hosts: []api.HostRow{}}
	if out.Active, err = o.f.activeName(r.Context()); err != nil {
		return err
	}
	err = o.f.hosts.Scan(r.Context(), func(h *api.Host) error {
		out.Hosts = append(out.Hosts, o.f.row(h))
		return nil
	})
	if err != nil {
		return err
	}
	return domain.WriteJSON(w, http.StatusOK, out)
}

func (o *overview) enter(d int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d > 0 && o.watching >= maxWatching {
		return false
	}
	o.watching += d
	return true
}

func (o *overview) stream(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if !o.enter(1) {
		return api.Errorf(api.CodeUnavailable, "the server already serves %d watches of the overview, its limit", maxWatching).WithRemedy("end some, or try again later")
	}
	defer o.enter(-1)
	select {
	case <-o.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	out, err := domain.NewPackedStream(w, r)
	if err != nil {
		return nil // nobody is there
	}
	defer out.End()
	beat := time.NewTicker(domain.HeartbeatEvery)
	defer beat.Stop()
	version := int64(0)
	for {
		pieces, now, more, err := o.since(version)
		if err != nil {
			out.Fail(api.Errorf(api.CodeInternal, "cannot show the fleet: %v", err))
			return nil
		}
		version = now
		for _, p := range pieces {
			if out.SendPiece(p) != nil {
				return nil // the reader has gone
			}
		}
		for waiting := true; waiting; {
			select {
			case <-more:
				waiting = false
			case <-beat.C:
				if out.Heartbeat() != nil {
					return nil
				}
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// activeName is the name of the active revision, "" while there is none.
func (f *Fleet) activeName(ctx context.Context) (string, error) {
	r, err := f.active(ctx)
	if r == nil {
		return "", err
	}
	return r.Name, err
}

// maxRowMessage bounds what a row says of a failure.
const maxRowMessage = 200

// row is a host in a list.
func (f *Fleet) row(h *api.Host) api.HostRow {
	st := &h.Status
	r := api.HostRow{Name: h.Name, State: st.State, Revision: st.Revision, Assigned: st.Assigned, Groups: st.Groups, Labels: h.Labels,
		Address: h.Spec.Address, Agent: st.AgentVersion, Drifted: st.DriftedAt.Truncate(time.Second), Paused: h.Spec.Paused,
		OS: osOf(st.Facts), CPUs: number(st.Facts["processor_vcpus"]), MemoryMB: number(st.Facts["memtotal_mb"])}
	r.Kernel, _ = st.Facts["kernel"].(string)
	if r.Address == "" {
		r.Address, _ = st.Facts["default_ipv4"].(string)
	}
	if r.Connected = f.s.Hub.Connected(h.Name); !r.Connected {
		r.LastSeen = st.LastSeen
		if since := f.presence.since(h.Name); since.After(r.LastSeen) {
			r.LastSeen = since
		}
		r.LastSeen = r.LastSeen.UTC().Truncate(time.Second)
	}
	last := st.Last
	if last == nil {
		return r
	}
	r.Converged = last.Start.Add(last.Duration).UTC().Truncate(time.Second)
	r.Took = last.Duration.Round(time.Millisecond)
	message := last.Message
	for _, room := range slices.Sorted(maps.Keys(last.Sections)) {
		s := last.Sections[room]
		r.Changed += s.Changes
		r.Failed += s.Failures
		if s.Failed {
			message = firstOf(message, s.Message)
		}
	}
	if last.Failed {
		r.Message = cutText(message, maxRowMessage)
	}
	return r
}

func osOf(facts map[string]any) string {
	name, _ := facts["distribution"].(string)
	version, _ := facts["distribution_version"].(string)
	if name == "Debian" {
		version, _, _ = strings.Cut(version, ".") // its point releases are no other system
	}
	return strings.TrimSpace(name + " " + version)
}

// number is a fact that is a number, as JSON or a test gives it.
func number(v any) int {
	switch n := v.(type) {
	case float64:
		return int(n)
	case int:
		return n
	case int64:
		return int(n)
	case json.Number:
		i, _ := n.Int64()
		return int(i)
	}
	return 0
}
