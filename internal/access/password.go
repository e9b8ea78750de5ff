package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"drover/api"
)

// What new passwords are hashed with: argon2id, 2 passes over 46 MiB.
const (
	argonTime   = 2
	argonMemory = 46 << 10 // KiB
	argonLanes  = 1
)

// password is the hash of a person's password, under the person's name, with
// what it was made with, so that the costs can be raised later.
type password struct {
	api.Meta
	Spec struct {
		Of     string `json:"of"` // UID of the person
		Salt   []byte `json:"salt"`
		Hash   []byte `json:"hash"`
		Time   uint32 `json:"time"`
		Memory uint32 `json:"memory"` // KiB
		Lanes  uint8  `json:"lanes"`
	} `json:"spec"`
}

// Validate implements api.Object.
func (p *password) Validate() error { return api.ValidName(p.Name) }

// nobody is a password that costs the same and matches nothing.
func nobody() *password {
	p := &password{}
	p.Spec.Time, p.Spec.Memory, p.Spec.Lanes = argonTime, argonMemory, argonLanes
	p.Spec.Salt, p.Spec.Hash = make([]byte, 16), make([]byte, 32)
	return p
}

// hasher bounds how many passwords are hashed at once: each takes 46 MiB.
type hasher struct {
	slots   chan struct{}
	waiting atomic.Int64
}

// maxWaiting sign-ins wait for each slot; more are turned away.
const maxWaiting = 16

func newHasher(n int) *hasher { return &hasher{slots: make(chan struct{}, n)} }

func (h *hasher) run(ctx context.Context, p *password, plain string) ([]byte, error) {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > int64(cap(h.slots)*(maxWaiting+1)) {
		return nil, api.Errorf(api.CodeUnavailable, "cannot check the password: too many people sign in at once").WithRemedy("try again in a few seconds")
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(plain), p.Spec.Salt, p.Spec.Time, p.Spec.Memory, p.Spec.Lanes, 32), nil
}

// set hashes a new password into p.
func (h *hasher) set(ctx context.Context, p *password, plain string) error {
	p.Spec.Time, p.Spec.Memory, p.Spec.Lanes = argonTime, argonMemory, argonLanes
	p.Spec.Salt = make([]byte, 16)
	rand.Read(p.Spec.Salt)
	var err error
	p.Spec.Hash, err = h.run(ctx, p, plain)
	return err
}

func (h *hasher) check(ctx context.Context, p *password, plain string) (bool, error) {
	if len(plain) > 1024 {
		plain = "" // never a password, and costs the same
	}
	got, err := h.run(ctx, p, plain)
	return subtle.ConstantTimeCompare(got, p.Spec.Hash) == 1, err
}
