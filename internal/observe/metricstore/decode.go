package metricstore

import (
	"encoding/binary"
	"errors"
	"math"
)

// Remote write 1.0, as far as it is used here. The format is
// https://prometheus.io/docs/specs/prw/remote_write_spec/ ; in protobuf:
//
//	WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
//	TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; exemplars = 3; histograms = 4; }
//	Label        { string name = 1; string value = 2; }
//	Sample       { double value = 1; int64 timestamp = 2; }
//
// Nothing is decoded into structs: a series is known by its labels' bytes, and
// for one that was there before they are never read again.

var errBody = errors.New("it is not a remote-write request")

const (
	wireVarint = 0
	wireI64    = 1
	wireBytes  = 2
	wireI32    = 5
)

// field reads the next field of a message. For wireBytes data is its content,
// for the other types n is its value.
func field(b []byte) (num int, typ int, data []byte, n uint64, rest []byte, err error) {
	tag, l := binary.Uvarint(b)
	if l <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
		return 0, 0, nil, 0, nil, errBody
	}
	b = b[l:]
	num, typ = int(tag>>3), int(tag&7)
	switch typ {
	case wireVarint:
		if n, l = binary.Uvarint(b); l <= 0 {
			return 0, 0, nil, 0, nil, errBody
		}
		return num, typ, nil, n, b[l:], nil
	case wireI64:
		if len(b) < 8 {
			return 0, 0, nil, 0, nil, errBody
		}
		return num, typ, nil, binary.LittleEndian.Uint64(b), b[8:], nil
	case wireI32:
		if len(b) < 4 {
			return 0, 0, nil, 0, nil, errBody
		}
		return num, typ, nil, uint64(binary.LittleEndian.Uint32(b)), b[4:], nil
	case wireBytes:
		size, l := binary.Uvarint(b)
		if l <= 0 || size > uint64(len(b)-l) {
			return 0, 0, nil, 0, nil, errBody
		}
		b = b[l:]
		return num, typ, b[:size], 0, b[size:], nil
	}
	return 0, 0, nil, 0, nil, errBody
}

// sample is one value at one time.
type sample struct {
	t int64 // milliseconds since 1970
	v float64
}

// rawSeries is one series of a request, its parts still in the request's bytes.
type rawSeries struct {
	labels  []byte // the Label fields, one behind the other, tags included
	samples []sample
	other   int // histograms, which are not kept
	scratch []byte
}

// eachSeries calls fn with every series of a request. What fn gets is used
// again for the next one.
func eachSeries(b []byte, s *rawSeries, fn func(*rawSeries) error) error {
	for len(b) > 0 {
		num, typ, data, _, rest, err := field(b)
		if err != nil {
			return err
		}
		b = rest
		if num != 1 {
			continue // metadata, and what later versions may have
		}
		if typ != wireBytes {
			return errBody
		}
		if err := s.read(data); err != nil {
			return err
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}

func (s *rawSeries) read(b []byte) error {
	s.labels, s.samples, s.other = nil, s.samples[:0], 0
	whole, from, to, apart := b, -1, -1, false
	for len(b) > 0 {
		at := len(whole) - len(b)
		num, typ, data, _, rest, err := field(b)
		if err != nil {
			return err
		}
		end := len(whole) - len(rest)
		b = rest
		switch {
		case num == 1 && typ == wireBytes:
			switch {
			case from < 0:
				from, to = at, end
			case at == to && !apart:
				to = end
			default: // labels that do not stand together: allowed, and seldom
				if !apart {
					s.scratch = append(s.scratch[:0], whole[from:to]...)
				}
				apart = true
				s.scratch = append(s.scratch, whole[at:end]...)
			}
		case num == 2 && typ == wireBytes:
			p, err := readSample(data)
			if err != nil {
				return err
			}
			s.samples = append(s.samples, p)
		case num == 4 && typ == wireBytes:
			s.other++
		case num <= 4 && typ != wireBytes:
			return errBody
		}
	}
	switch {
	case apart:
		s.labels = s.scratch
	case from >= 0:
		s.labels = whole[from:to]
	}
	return nil
}

func readSample(b []byte) (s sample, err error) {
	for len(b) > 0 {
		num, typ, _, n, rest, err := field(b)
		if err != nil {
			return s, err
		}
		b = rest
		switch {
		case num == 1 && typ == wireI64:
			s.v = math.Float64frombits(n)
		case num == 2 && typ == wireVarint:
			s.t = int64(n)
		case num <= 2:
			return s, errBody
		}
	}
	return s, nil
}

// eachLabel calls fn with every label of a series.
func eachLabel(b []byte, fn func(name, value []byte)) error {
	for len(b) > 0 {
		_, _, label, _, rest, err := field(b)
		if err != nil {
			return err
		}
		b = rest
		var name, value []byte
		for len(label) > 0 {
			num, typ, data, _, rest, err := field(label)
			if err != nil {
				return err
			}
			label = rest
			switch {
			case num == 1 && typ == wireBytes:
				name = data
			case num == 2 && typ == wireBytes:
				value = data
			case num <= 2:
				return errBody
			}
		}
		fn(name, value)
	}
	return nil
}
