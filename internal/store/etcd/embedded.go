package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"golang.org/x/sys/unix"

	"drover/api"
)

// Config of an embedded member. The zero value but for Dir is right for one server.
type Config struct {
	Dir    string // data directory, made if missing, 0700
	Quota  int64  // bytes; 8 GiB if 0
	NoSync bool   // tests only: a crash of the machine may lose acknowledged writes
	// Reserve is the free disk space below which writes are refused; 192 MiB
	// if 0, which is more than the engine takes at a time; negative for none.
	Reserve int64
	// Listen, if set, also serves clients there: "http://127.0.0.1:2379" or
	// "unix:///path". By default nothing listens at all.
	Listen string
	Log    *slog.Logger // the engine's warnings and errors; nil drops them
}

// member is an embedded etcd.
type member struct {
	etcd    *embed.Etcd
	lock    *os.File
	dir     string
	quota   int64
	reserve int64
}

// Open starts the embedded member and waits until it answers.
func Open(ctx context.Context, c Config) (*Backend, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	if c.Quota == 0 {
		c.Quota = 8 << 30
	}
	if c.Reserve == 0 {
		c.Reserve = 192 << 20
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "cannot make the store's folder: %v", err).WithRemedy("choose a data directory that this user may write")
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	m := &member{lock: lock, dir: dir, quota: c.Quota, reserve: c.Reserve}
	if err := m.room(); err != nil {
		lock.Close()
		return nil, err
	}
	b := newBackend(nil, "", dir)
	b.member = m
	cfg, err := config(c, dir, newLogger(c.Log, b.fail))
	if err != nil {
		lock.Close()
		return nil, err
	}

	// The engine ends the goroutine it runs on, or one that it waits for, when
	// it meets what it cannot handle; so it starts on one of its own.
	type start struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan start, 1)
	go func() {
		s := start{err: errors.New("it gave up")}
		defer func() {
			if p := recover(); p != nil {
				s.err = fmt.Errorf("%v", p)
			}
			started <- s
		}()
		s.etcd, s.err = embed.StartEtcd(cfg)
	}()
	select {
	case s := <-started:
		m.etcd, err = s.etcd, s.err
	case <-b.life.Done():
		err = context.Cause(b.life)
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(time.Minute): // as long as a large store takes to read
		err = errors.New("it is not open after a minute")
	}
	if err == nil {
		select {
		case <-m.etcd.Server.ReadyNotify():
		case err = <-m.etcd.Err():
		case <-b.life.Done():
			err = context.Cause(b.life)
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(time.Minute):
			err = errors.New("it is not ready after a minute")
		}
	}
	if err != nil {
		if cause := context.Cause(b.life); cause != nil {
			err = cause // what the engine logged as it gave up says more
		}
		m.close(true)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, api.Errorf(api.CodeUnavailable, "cannot open the store in %s: %v", dir, err).
			WithRemedy("if its files are damaged, restore the folder from a backup; keep a copy of it as it is")
	}
	b.cli = v3client.New(m.etcd.Server)
	b.wg.Go(func() { b.maintain(c.Log) })
	return b, nil
}

// slowApply is from when on a slow disk is worth a line in the log: commits
// wait for it, and 100 ms are nothing unusual for a busy one.
const slowApply = time.Second

func config(c Config, dir string, log func(*embed.Config) error) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.Name = "drover"
	cfg.ListenPeerUrls, cfg.ListenClientUrls = nil, nil
	if c.Listen != "" {
		u, err := url.Parse(c.Listen)
		if err != nil || u.Scheme == "" {
			return nil, api.Errorf(api.CodeInvalid, "cannot listen for etcd clients on %q: it is no URL", c.Listen).WithRemedy("write it as http://127.0.0.1:2379 or unix:///path")
		}
		cfg.ListenClientUrls = []url.URL{*u}
		cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.WarningApplyDuration = slowApply
	cfg.ZapLoggerBuilder = log
	cfg.QuotaBackendBytes = c.Quota
	cfg.UnsafeNoFsync = c.NoSync
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = "revision", "5000"
	// No follower has to catch up: what is applied need not stay in memory, and
	// little is to be read again at the next start.
	cfg.SnapshotCatchUpEntries, cfg.SnapshotCount = 10, 2000
	cfg.MaxTxnOps = 512
	cfg.TickMs, cfg.ElectionMs = 20, 200 // alone, it elects itself: no need to wait long
	cfg.MaxRequestBytes = 8 << 20
	return cfg, nil
}

// lockDir makes sure that one process has the folder.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "cannot lock the store: %v", err).WithRemedy("choose a data directory that this user may write")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		who := make([]byte, 32)
		n, _ := f.ReadAt(who, 0)
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, api.Errorf(api.CodeUnavailable, "cannot lock the store in %s: %v", dir, err)
		}
		return nil, api.Errorf(api.CodeUnavailable, "cannot open the store in %s: another server is using it (process %s)", dir, who[:n]).
			WithRemedy("stop that server, or give this one another data directory")
	}
	_ = f.Truncate(0) // the number in it only helps people
	_, _ = fmt.Fprintf(f, "%d", os.Getpid())
	return f, nil
}

// room refuses writes while the disk is nearly full: etcd would stop for good.
func (m *member) room() error {
	var s unix.Statfs_t
	if err := unix.Statfs(m.dir, &s); err != nil {
		return api.Errorf(api.CodeUnavailable, "cannot tell the free space of %s: %v", m.dir, err)
	}
	if free := int64(s.Bavail) * s.Bsize; free < m.reserve {
		return api.Errorf(api.CodeUnavailable, "cannot write: the disk of %s is full (%d MB free, %d MB are kept in reserve)", m.dir, free>>20, m.reserve>>20).
			WithRemedy("free disk space; the store goes on by itself, and everything acknowledged is kept")
	}
	return nil
}

// close stops the engine; one that has failed may not answer any more.
func (m *member) close(failed bool) {
	if m.etcd != nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			m.etcd.Close()
		}()
		if failed {
			select {
			case <-done:
			case <-time.After(2 * time.Second):
			}
		} else {
			<-done
		}
	}
	m.lock.Close()
}

// When to forget the history. The store's caches need none of it once they
// have read it, and a burst of writes to thousands of objects would leave the
// engine's file, which is mapped into memory, many times larger than they are.
const (
	lookEvery    = 500 * time.Millisecond
	quietBytes   = 128 << 10 // written between two looks when no burst is under way
	quietLooks   = 2         // so many of them in a row: the burst is over
	forgetBytes  = 4 << 20   // written since the last time, when it is quiet
	forgetAnyway = 12 << 20  // written since the last time, although more is written
	forgetKeep   = 200       // revisions that are kept then: a watch may not have read them yet
	squeezeSize  = 48 << 20  // of the file, from where on its free pages are given back
)

// wrote counts what goes into the engine's history.
func (b *Backend) wrote(n int, rev int64) {
	b.history.Add(int64(n))
	b.newest.Store(rev)
}

// maintain forgets the history, gives disk space back, and opens the store
// again after it hit its quota, until the backend ends.
func (b *Backend) maintain(log *slog.Logger) {
	warn := func(err error) {
		if err != nil && log != nil && b.life.Err() == nil {
			log.Warn("cannot tidy the store", "err", err)
		}
	}
	tidy, look := time.NewTicker(5*time.Minute), time.NewTicker(lookEvery)
	defer tidy.Stop()
	defer look.Stop()
	var written, since int64 // of the history: at the last look, at the last time it was forgotten in a burst
	quiet := 0
	for {
		select {
		case <-b.life.Done():
			return
		case <-tidy.C:
			warn(b.Relieve(b.life))
		case <-look.C:
			size := b.history.Load()
			if quiet++; size-written > quietBytes {
				quiet = 0
			}
			switch {
			case size > forgetBytes && quiet == 1:
				warn(b.forget(b.life, b.newest.Load()-1))
				b.history.Add(-size)
				size, since = 0, 0
			case size-since > forgetAnyway:
				warn(b.forget(b.life, b.newest.Load()-forgetKeep))
				since = size
			}
			// What was forgotten is free only a while later.
			if quiet > 0 && quiet%quietLooks == 0 && quiet <= 8*quietLooks {
				warn(b.squeeze(b.life))
			}
			written = size
		}
	}
}

// squeeze rewrites the engine's file after a burst that left much of it free.
// Nothing can be written meanwhile: tenths of a second for a large fleet.
func (b *Backend) squeeze(ctx context.Context) error {
	s, err := b.cli.Status(ctx, b.endpoints()[0])
	if err != nil {
		return b.explain(ctx, "read the store's size", err)
	}
	if s.DbSize < squeezeSize || s.DbSize-s.DbSizeInUse < s.DbSize/3 || b.member.room() != nil {
		return nil
	}
	return b.explain(ctx, "defragment", b.member.etcd.Server.Backend().Defrag())
}

// forget drops the history up to rev; that it is gone already is fine.
func (b *Backend) forget(ctx context.Context, rev int64) error {
	if rev <= 1 {
		return nil
	}
	ctx, cancel := b.call(ctx)
	defer cancel()
	_, err := b.cli.Compact(ctx, rev)
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil
	}
	return b.explain(ctx, "compact", err)
}

// Relieve rewrites the embedded engine's file when much of it is free, and
// lifts the quota's alarm when there is room again. It runs by itself every few minutes.
func (b *Backend) Relieve(ctx context.Context) error {
	s, err := b.cli.Status(ctx, b.endpoints()[0])
	if err != nil {
		return b.explain(ctx, "read the store's size", err)
	}
	alarms, err := b.cli.AlarmList(ctx)
	if err != nil {
		return b.explain(ctx, "read the store's alarms", err)
	}
	full := len(alarms.Alarms) > 0
	if full && s.Header.Revision > 1 {
		if _, err := b.cli.Compact(ctx, s.Header.Revision, clientv3.WithCompactPhysical()); err == nil {
			if s, err = b.cli.Status(ctx, b.endpoints()[0]); err != nil {
				return b.explain(ctx, "read the store's size", err)
			}
		}
	}
	if free := s.DbSize - s.DbSizeInUse; full || s.DbSize > 256<<20 && free > s.DbSize/2 {
		// Not by the client: its in-process form lacks what that needs.
		if err := b.member.etcd.Server.Backend().Defrag(); err != nil {
			return b.explain(ctx, "defragment", err)
		}
		if s, err = b.cli.Status(ctx, b.endpoints()[0]); err != nil {
			return b.explain(ctx, "read the store's size", err)
		}
	}
	if full && s.DbSize < b.member.quota*9/10 {
		for _, a := range alarms.Alarms {
			if _, err := b.cli.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
				return b.explain(ctx, "lift the quota's alarm", err)
			}
		}
	}
	return nil
}
