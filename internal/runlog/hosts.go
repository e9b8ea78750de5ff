package runlog

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"

	"drover/api"
)

// names numbers hosts, so that each run can hold which ones it is about in a
// bit each.
type names struct {
	mu sync.Mutex
	of map[string]int
}

func (n *names) number(name string) int {
	if n.of == nil {
		n.of = map[string]int{}
	}
	i, ok := n.of[name]
	if !ok {
		i = len(n.of)
		n.of[strings.Clone(name)] = i
	}
	return i
}

type hostSet []uint64

func (s hostSet) has(i int) bool { return i/64 < len(s) && s[i/64]>>(i%64)&1 == 1 }

// about reports whether a run is about a host. Of a run that ended its hosts
// are read from its record, once.
func (l *Log) about(e *entry, rec *api.RunRecord, host string) bool {
	if rec.Kind == api.RunApply {
		return rec.Host == host
	}
	if r := e.run.Load(); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.t.hosts[host] != nil
	}
	set := e.hosts.Load()
	if set == nil {
		l.mu.RLock()
		at := e.at
		l.mu.RUnlock()
		if at.seg == nil {
			return false
		}
		rest, err := at.rest()
		if err != nil {
			return false // it was just removed
		}
		s := l.setOf(rest)
		set = &s
		e.hosts.Store(set)
	}
	l.names.mu.Lock()
	i, known := l.names.of[host]
	l.names.mu.Unlock()
	return known && set.has(i)
}

func (l *Log) setOf(packed []byte) hostSet {
	raw, err := l.codec.unpack(packed)
	if err != nil || len(raw) == 0 {
		return hostSet{}
	}
	s := hostSet{}
	l.names.mu.Lock()
	defer l.names.mu.Unlock()
	for name := range bytes.SplitSeq(raw, []byte{'\n'}) {
		i := l.names.number(string(name))
		for len(s) <= i/64 {
			s = append(s, 0)
		}
		s[i/64] |= 1 << (i % 64)
	}
	return s
}

func (l *Log) packNames(list []string) []byte { return l.codec.pack([]byte(strings.Join(list, "\n"))) }

// appendName puts a host's name before what is of it.
func appendName(b []byte, name string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}
