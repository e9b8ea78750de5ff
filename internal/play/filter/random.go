package filter

import (
	"crypto/sha512"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"slices"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// twister is the generator behind Python's random.Random: the same seed gives
// the same numbers, so that a minute drawn for a host stays that minute.
type twister struct {
	mt [624]uint32
	i  int
}

func newTwister(seed value.Value) *twister {
	n := new(big.Int)
	switch s := seed.(type) {
	case int64:
		n.SetInt64(s).Abs(n)
	case *big.Int:
		n.Abs(s)
	case bool:
		if s {
			n.SetInt64(1)
		}
	default:
		text := []byte(value.Str(seed))
		sum := sha512.Sum512(text)
		n.SetBytes(append(text, sum[:]...))
	}
	var key []uint32
	mask := big.NewInt(0xffffffff)
	for n.Sign() > 0 {
		key = append(key, uint32(new(big.Int).And(n, mask).Uint64()))
		n.Rsh(n, 32)
	}
	if len(key) == 0 {
		key = []uint32{0}
	}
	t := &twister{}
	t.mt[0] = 19650218
	for i := 1; i < 624; i++ {
		t.mt[i] = 1812433253*(t.mt[i-1]^t.mt[i-1]>>30) + uint32(i)
	}
	i, j := 1, 0
	for range max(624, len(key)) {
		t.mt[i] = (t.mt[i] ^ (t.mt[i-1]^t.mt[i-1]>>30)*1664525) + key[j] + uint32(j)
		if i++; i == 624 {
			t.mt[0], i = t.mt[623], 1
		}
		if j++; j == len(key) {
			j = 0
		}
	}
	for range 623 {
		t.mt[i] = (t.mt[i] ^ (t.mt[i-1]^t.mt[i-1]>>30)*1566083941) - uint32(i)
		if i++; i == 624 {
			t.mt[0], i = t.mt[623], 1
		}
	}
	t.mt[0] = 1 << 31
	t.i = 624
	return t
}

func (t *twister) uint32() uint32 {
	if t.i == 624 {
		for k := range 624 {
			y := t.mt[k]&(1<<31) | t.mt[(k+1)%624]&(1<<31-1)
			t.mt[k] = t.mt[(k+397)%624] ^ y>>1
			if y&1 == 1 {
				t.mt[k] ^= 0x9908b0df
			}
		}
		t.i = 0
	}
	y := t.mt[t.i]
	t.i++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// below draws a number from 0 to n-1.
func (t *twister) below(n int64) int64 {
	k := bits.Len64(uint64(n))
	draw := func() uint64 {
		if k <= 32 {
			return uint64(t.uint32() >> (32 - k))
		}
		lo := uint64(t.uint32())
		return lo | uint64(t.uint32()>>(64-k))<<32
	}
	r := draw()
	for r >= uint64(n) {
		r = draw()
	}
	return int64(r)
}

// drawer returns what draws numbers: seeded, or not to be foreseen.
func drawer(seed value.Value) func(n int64) int64 {
	if seed == nil {
		return rand.Int64N
	}
	return newTwister(seed).below
}

func (s *set) random(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "start", "step", "seed"); err != nil {
		return nil, err
	}
	draw := drawer(a.Or(2, "seed", nil))
	if end, ok := value.AsInt(c.In()); ok {
		start, err := a.Int(0, "start", 0)
		if err != nil {
			return nil, err
		}
		step, err := a.Int(1, "step", 1)
		if err != nil {
			return nil, err
		}
		if step == 0 {
			return nil, &value.Error{Kind: "ValueError", Msg: "zero step for randrange()"}
		}
		n := value.Range{Start: start, Stop: end, Step: step}.Len()
		if n <= 0 {
			return nil, &value.Error{Kind: "ValueError", Msg: "empty range for randrange()"}
		}
		return start + step*draw(n), nil
	}
	if a.Or(0, "start", nil) != nil || a.Or(1, "step", nil) != nil {
		return nil, filterError("start and step can only be used with integer values")
	}
	items, err := c.List()
	if err != nil {
		return nil, filterError("random can only be used on sequences and integers")
	}
	if len(items) == 0 {
		return nil, &value.Error{Kind: "IndexError", Msg: "Cannot choose from an empty sequence"}
	}
	return items[draw(int64(len(items)))], nil
}

func (s *set) shuffle(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "seed"); err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return c.In(), nil
	}
	items = slices.Clone(items)
	draw := drawer(a.Or(0, "seed", nil))
	for i := len(items) - 1; i > 0; i-- {
		j := draw(int64(i + 1))
		items[i], items[j] = items[j], items[i]
	}
	return &value.List{Items: items}, nil
}
