package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"
)

// MetricsInterval is the time between two batches of a host's samples, as of a
// real agent.
const MetricsInterval = 15 * time.Second

// metricsWriters is how many batches are on their way at once.
const metricsWriters = 64

// shape is how a series moves. A value is a function of the host and the time
// alone, so that a host keeps nothing.
type shape struct {
	kind  byte    // 'c' counter, 'g' gauge, '=' constant, 't' the time, 'b' when the host was booted, 'i' a processor's idle time
	base  float64 // of a gauge; what a counter gains in a second
	swing float64 // up and down, as a part of base
	size  bool    // scaled by the host's size instead of its load
}

// metrics is what all hosts have in common: one request with room for the
// values, and where those go.
type metrics struct {
	request []byte
	places  []int // of the value; 8 bytes
	times   []int // of the time; 6 bytes
	shapes  []shape
	buffers sync.Pool
	boot    time.Time
}

// newMetrics makes n series of those that node_exporter has on a small server.
func newMetrics(n int, now time.Time) *metrics {
	m := &metrics{boot: now}
	all := nodeSeries()
	for i := 0; len(all) < n; i++ {
		all = append(all, series{fmt.Sprintf(`sim_more_total{n="%d"}`, i), shape{'c', 1 + float64(i%17), 0.5, false}})
	}
	for _, s := range all[:n] {
		ts := labelsOf(s.name)
		// A time of our days takes six bytes as a varint, so that all is of a fixed length.
		sample := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
		value := len(sample)
		sample = append(sample, make([]byte, 8)...)
		sample = protowire.AppendTag(sample, 2, protowire.VarintType)
		at := len(sample)
		sample = append(sample, make([]byte, 6)...)
		ts = protowire.AppendTag(ts, 2, protowire.BytesType)
		ts = protowire.AppendVarint(ts, uint64(len(sample)))
		start := len(ts)
		ts = append(ts, sample...)
		m.request = protowire.AppendTag(m.request, 1, protowire.BytesType)
		m.request = protowire.AppendVarint(m.request, uint64(len(ts)))
		m.places = append(m.places, len(m.request)+start+value)
		m.times = append(m.times, len(m.request)+start+at)
		m.request = append(m.request, ts...)
		m.shapes = append(m.shapes, s.shape)
	}
	m.buffers.New = func() any { b := make([]byte, len(m.request)); return &b }
	return m
}

// labelsOf encodes name{label="value",…} as the labels of a TimeSeries.
func labelsOf(text string) []byte {
	name, rest, _ := strings.Cut(strings.TrimSuffix(text, "}"), "{")
	pairs := [][2]string{{"__name__", name}}
	for rest != "" {
		var label, value string
		label, rest, _ = strings.Cut(rest, `="`)
		value, rest, _ = strings.Cut(rest, `"`)
		rest = strings.TrimPrefix(rest, ",")
		pairs = append(pairs, [2]string{label, value})
	}
	sort.Slice(pairs, func(i, j int) bool { return pairs[i][0] < pairs[j][0] })
	var b []byte
	for _, p := range pairs {
		l := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), p[0])
		l = protowire.AppendString(protowire.AppendTag(l, 2, protowire.BytesType), p[1])
		b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), l)
	}
	return b
}

// body is the request of host at t, compressed.
func (m *metrics) body(host string, t time.Time) []byte {
	p := m.buffers.Get().(*[]byte)
	defer m.buffers.Put(p)
	b := *p
	copy(b, m.request)
	var ms [10]byte
	n := binary.PutUvarint(ms[:], uint64(t.UnixMilli()))
	c := characterOf(host, m.boot)
	for i, s := range m.shapes {
		binary.LittleEndian.PutUint64(b[m.places[i]:], math.Float64bits(c.value(i, s, t)))
		copy(b[m.times[i]:m.times[i]+6], ms[:min(n, 6)])
	}
	return snappy.Encode(nil, b)
}

// character is what makes a host different from its neighbours.
type character struct {
	load  float64 // 0.3 to 2
	size  float64 // 1, 2 or 4
	phase float64
	boot  time.Time
}

func characterOf(host string, began time.Time) character {
	h := fnv.New64a()
	h.Write([]byte(host)) // never fails
	x := h.Sum64()
	part := func(shift uint) float64 { return float64(x>>shift&0xffff) / 0xffff }
	c := character{load: 0.3 + 0.7*part(0), size: float64(int(1) << (x >> 60 % 3)), phase: 2 * math.Pi * part(16)}
	if part(32) > 0.95 {
		c.load *= 2 // a few are busy
	}
	c.boot = began.Add(-time.Duration(1+30*part(40)) * 24 * time.Hour).Truncate(time.Second)
	return c
}

const dayNight = 2 * math.Pi / (30 * 60) // a day takes half an hour here, so that charts show one

func (c character) value(i int, s shape, t time.Time) float64 {
	up := t.Sub(c.boot).Seconds()
	phase := c.phase + float64(i%7)/3
	scale := c.load
	if s.size {
		scale = c.size
	}
	switch s.kind {
	case 'c':
		// The integral of a rate that swings, so that it never falls.
		return math.Floor(1000*s.base*scale*(up+s.swing/dayNight*(math.Cos(phase)-math.Cos(dayNight*up+phase)))) / 1000
	case 'g':
		return s.base * scale * (1 + s.swing*math.Sin(dayNight*up+phase))
	case 't':
		return float64(t.UnixMilli()) / 1000
	case 'b':
		return float64(c.boot.Unix())
	case 'i': // what the other modes leave
		return math.Max(0, up-c.value(0, shape{kind: 'c', base: busyShare, swing: 0.5}, t))
	default:
		if s.size {
			return s.base * scale
		}
		return s.base
	}
}

// sendMetrics has each host send its samples every MetricsInterval, spread
// over it, until ctx ends.
func (f *Fleet) sendMetrics(ctx context.Context) {
	due := make(chan *host)
	var wg sync.WaitGroup
	for range min(metricsWriters, len(f.hosts)) {
		wg.Go(func() {
			for h := range due {
				f.sendSamples(ctx, h)
			}
		})
	}
	defer wg.Wait()
	defer close(due)
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	for round := 0; ; round++ {
		for i, h := range f.hosts {
			at := start.Add(time.Duration(round)*MetricsInterval + MetricsInterval*time.Duration(i)/time.Duration(len(f.hosts)))
			timer.Reset(time.Until(at))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
			select {
			case due <- h:
			case <-ctx.Done():
				return
			}
		}
	}
}

// sendSamples sends one host's samples of now. What the server does not take
// is gone: a simulated host has no disk.
func (f *Fleet) sendSamples(ctx context.Context, h *host) {
	c := h.line.Load()
	if c == nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, MetricsInterval)
	defer stop()
	if err := (*c).Write(ctx, f.metrics.body(h.name, time.Now())); err != nil {
		f.unwritten.Add(1)
		if ctx.Err() == nil {
			f.fail(err)
		}
		return
	}
	f.samples.Add(int64(len(f.metrics.shapes)))
}
