package observe

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/observe/metricstore"
	"drover/internal/store"
)

// Name of the room; its files are below DataDir/observe.
const Name = "observe"

// Interval is how often hosts are measured and rules evaluated.
const Interval = 15 * time.Second

// Options are for tests; the zero value is the usual.
type Options struct {
	Interval   time.Duration // how often the server writes its series; 15 s
	StartGrace time.Duration // how long hosts have to come back after a start; 75 s
	Settle     time.Duration // how often alerts are looked through; 2 s
	MinFree    int64         // see metricstore.Options
	// Rules, if set, are evaluated instead of the rule pack.
	Rules []byte
}

// Room is the room as the server takes it.
func Room(o Options) domain.Room {
	return domain.Room{Name: Name, New: func(s domain.Services) (domain.Domain, error) {
		r, err := New(s, o)
		if err != nil {
			return domain.Domain{}, err
		}
		return r.Domain(), nil
	}}
}

// Observe is the room.
type Observe struct {
	o     Options
	s     domain.Services
	log   *slog.Logger
	hosts *store.Table[api.Host, *api.Host]

	metrics *metricstore.Store
	senders *senders
	about   *about
	looks   *looks
	rules   *rulePack
	alerts  *alertLog
	rate    rate
	prom    *promAPI
}

// New makes the room. The metrics are opened by its loop.
func New(s domain.Services, o Options) (*Observe, error) {
	if o.Interval <= 0 {
		o.Interval = Interval
	}
	if o.StartGrace <= 0 {
		o.StartGrace = 75 * time.Second
	}
	if o.Settle <= 0 {
		o.Settle = 2 * time.Second
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Log == nil {
		s.Log = slog.Default()
	}
	r := &Observe{o: o, s: s, log: s.Log, hosts: store.TableOf[api.Host](s.Store, "host"), senders: newSenders(s.Now), looks: newLooks(s.Hub)}
	r.metrics = metricstore.New(metricstore.Options{Dir: filepath.Join(s.DataDir, Name, "metrics"), Retention: s.MetricsRetention, MaxBytes: s.MetricsMaxBytes,
		MinFree: o.MinFree, Log: s.Log.With("part", "metrics"), Now: s.Now})
	r.about = newAbout(r)
	var err error
	if r.rules, err = newRulePack(r); err != nil {
		return nil, err
	}
	if r.alerts, err = newAlertLog(r); err != nil {
		return nil, err
	}
	r.prom = newPromAPI(r)
	return r, nil
}

// Domain is what the room hands over.
func (r *Observe) Domain() domain.Domain {
	return domain.Domain{
		Name: Name,
		Doc:  "Metrics, alerts, and what a host does this moment.",
		Loops: []domain.Loop{
			{Name: "observe.metrics", Run: r.metrics.Run},
			{Name: "observe.about", Run: r.about.run},
			{Name: "observe.rules", Run: r.rules.run},
			{Name: "observe.alerts", Run: r.alerts.run},
		},
		Routes:   r.routes(),
		Link:     &domain.Link{Consumer: consumer{r}, Write: r.write},
		Problems: r.metrics.Problems,
	}
}

// write stores a batch that came over a host's own line.
func (r *Observe) write(ctx context.Context, host string, body []byte) error {
	b, err := r.metrics.Write(ctx, host, body)
	if err == nil || !b.Newest.IsZero() {
		r.senders.sent(host, b.Newest)
	}
	return err
}

// consumer is the room on the line to the hosts.
type consumer struct{ r *Observe }

// Joined and Left are written at once, so that an alert need not wait for the next time.
func (c consumer) Joined(host string, _ *api.Hello) { c.r.about.kick(host) }

func (c consumer) Left(host string, _ []*api.ToAgent) {
	c.r.about.kick(host)
	c.r.looks.left(host)
}

func (c consumer) Message(host string, m *api.ToServer) {
	if m.Seen != nil {
		c.r.looks.seen(host, m.Seen)
	}
}

// Ready is closed once metrics are taken.
func (r *Observe) Ready() <-chan struct{} { return r.metrics.Ready() }
