package observehost

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/encoding/protowire"
)

// sample is one that waits to be sent.
type sample struct {
	series *sending
	time   int64
	value  float64
}

// sending is a series as a request has it.
type sending struct {
	labels []byte // encoded, with the tags of TimeSeries
	order  int
	batch  uint64 // the last batch that it is in
}

// encodeLabels writes l as the labels of a prometheus.TimeSeries
// (https://github.com/prometheus/prometheus/blob/main/prompb/types.proto).
func encodeLabels(l labels.Labels) []byte {
	b := make([]byte, 0, 256)
	l.Range(func(l labels.Label) {
		size := protowire.SizeTag(1) + protowire.SizeBytes(len(l.Name)) + protowire.SizeTag(2) + protowire.SizeBytes(len(l.Value))
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(size))
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), l.Name)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), l.Value)
	})
	return slices.Clip(b)
}

// encoder makes requests and keeps its memory for the next.
type encoder struct{ raw, part []byte }

// keep is how much memory an encoder keeps: that of a usual request.
const keep = 256 << 10

// request is a prometheus.WriteRequest of the samples, compressed as a
// snappy block. The samples are brought into the order of series and time.
func (e *encoder) request(samples []sample) []byte {
	slices.SortFunc(samples, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.series.order, b.series.order), cmp.Compare(a.time, b.time))
	})
	raw, part := e.raw[:0], e.part[:0]
	for i := 0; i < len(samples); {
		s := samples[i].series
		part = append(part[:0], s.labels...)
		for ; i < len(samples) && samples[i].series == s; i++ {
			part = appendSample(part, samples[i].time, samples[i].value)
		}
		raw = protowire.AppendTag(raw, 1, protowire.BytesType)
		raw = protowire.AppendBytes(raw, part)
	}
	e.raw, e.part = raw, part
	if cap(raw) > keep {
		e.raw, e.part = nil, nil
	}
	// The body is fresh: a call that was given up may still be writing the one before.
	return snappy.Encode(nil, raw)
}

func appendSample(b []byte, t int64, v float64) []byte {
	size := protowire.SizeTag(2) + protowire.SizeVarint(uint64(t))
	if v != 0 || math.Signbit(v) {
		size += protowire.SizeTag(1) + 8
	}
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	if v != 0 || math.Signbit(v) {
		b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(t))
}

// sampleBytes is about what a sample takes in a request, without its labels.
const sampleBytes = 20
