package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"drover/api"
)

// reports keeps the last report of each host with all its tasks, in a file a
// host. They are written behind, because thousands may come at once and files
// are slow: a report that a crash loses is detail that the next converge brings
// again; what counts is in the status and in the journal.
type reports struct {
	f    *Fleet
	wake chan struct{}

	disk sync.RWMutex // no file is read while one is written

	mu      sync.Mutex
	pending map[string][]byte // compressed, by host
}

func newReports(f *Fleet) *reports {
	return &reports{f: f, wake: make(chan struct{}, 1), pending: map[string][]byte{}}
}

func (rs *reports) keep(r *api.Report) {
	b, err := json.Marshal(r)
	if err != nil {
		return // it came as JSON
	}
	b = rs.f.zip.EncodeAll(b, nil)
	rs.mu.Lock()
	rs.pending[r.Host] = b
	rs.mu.Unlock()
	select {
	case rs.wake <- struct{}{}:
	default:
	}
}

func (rs *reports) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			rs.flush(ctx)
			return nil
		case <-rs.wake:
			rs.flush(ctx)
		}
	}
}

// flush writes what is pending. It leaves twice the time that it takes to
// those who wait for something, until ctx ends.
func (rs *reports) flush(ctx context.Context) {
	for {
		begun := time.Now()
		host, b := rs.next()
		if host == "" {
			return
		}
		if err := rs.write(host, b); err != nil {
			rs.f.log.Warn("cannot keep the details of a report", "host", host, "error", err)
		}
		rs.mu.Lock()
		if same(rs.pending[host], b) {
			delete(rs.pending, host)
		}
		rs.mu.Unlock()
		select {
		case <-time.After(2 * time.Since(begun)):
		case <-ctx.Done():
		}
	}
}

func (rs *reports) next() (string, []byte) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for host, b := range rs.pending {
		return host, b
	}
	return "", nil
}

func same(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }

func (rs *reports) file(host string) string {
	return filepath.Join(rs.f.dir, "reports", host+".json.zst")
}

// write replaces the file of a host; one that no longer exists gets none.
func (rs *reports) write(host string, b []byte) error {
	ctx, cancel := rs.f.briefly()
	defer cancel()
	if _, err := rs.f.hosts.Peek(ctx, host); err != nil {
		return nil
	}
	rs.disk.Lock()
	defer rs.disk.Unlock()
	return overwrite(rs.file(host), b)
}

// overwrite changes a file in place: making a new one for each of thousands
// of reports costs many times more. One that a crash leaves torn does not pass
// its checksum and is as good as none.
func overwrite(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Truncate(int64(len(b))), f.Close())
}

func (rs *reports) forget(host string) {
	rs.mu.Lock()
	delete(rs.pending, host)
	rs.mu.Unlock()
	if err := os.Remove(rs.file(host)); err != nil && !errors.Is(err, os.ErrNotExist) {
		rs.f.log.Warn("cannot remove the last report of a deleted host", "host", host, "error", err)
	}
}

// last is the last converge of a host with its tasks. They are kept before the
// status is written, so that it is one that the status does not tell of yet at
// times, but never one without its tasks, except after a crash.
func (rs *reports) last(ctx context.Context, host string) (*api.Report, error) {
	h, err := rs.f.hosts.Get(ctx, host)
	if err != nil {
		return nil, err
	}
	last := h.Status.Last
	kept, err := rs.kept(host)
	switch {
	case err == nil && (last == nil || kept.ID == last.ID || !kept.Start.Before(last.Start)):
		return kept, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		rs.f.log.Warn("cannot read the details of a report", "host", host, "error", err)
	}
	if last != nil {
		return last, nil
	}
	return nil, api.Errorf(api.CodeNotFound, "host %s has not reported yet", host).WithRemedy("wait until it has converged: drover wait host %s --for converged", host)
}

// kept is the report of a host that came last.
func (rs *reports) kept(host string) (*api.Report, error) {
	rs.mu.Lock()
	b := rs.pending[host]
	rs.mu.Unlock()
	if b == nil {
		var err error
		if b, err = rs.read(host); err != nil {
			return nil, err
		}
	}
	b, err := rs.f.unzip.DecodeAll(b, nil)
	if err != nil {
		return nil, err
	}
	r := &api.Report{}
	return r, json.Unmarshal(b, r)
}

func (rs *reports) read(host string) ([]byte, error) {
	rs.disk.RLock()
	defer rs.disk.RUnlock()
	return os.ReadFile(rs.file(host))
}
