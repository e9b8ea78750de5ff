package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"drover/api"
	"drover/internal/pki"
)

// ErrRestart is the cause of the end of Run's context when the process should
// become the binary that bin/current names.
var ErrRestart = errors.New("the agent becomes another version")

// watchdogSlack is what a new agent gets beyond its time to put itself back.
const watchdogSlack = 15 * time.Second

// updater takes offers of another agent, and judges the one that is tried.
type updater struct {
	agent  *Agent
	bins   bins
	offers slot[*api.AgentOffer]
	met    chan struct{} // closed at the first welcome
	once   chan struct{} // holds the token to close met
}

func newUpdater(a *Agent) *updater {
	u := &updater{agent: a, bins: bins{a.state.dir}, offers: newSlot[*api.AgentOffer](), met: make(chan struct{}), once: make(chan struct{}, 1)}
	u.once <- struct{}{}
	return u
}

// welcomed is called for each line that stands: this binary works.
func (u *updater) welcomed(w *api.Welcome) {
	select {
	case <-u.once:
		if err := u.bins.confirm(u.agent.cfg.Hash); err != nil {
			u.agent.log.Error("cannot confirm the new agent", "error", err)
		}
		close(u.met)
	default:
	}
	if w.Update != nil && u.agent.cfg.Restart != nil {
		u.offers.put(w.Update)
	}
}

func (u *updater) run(ctx context.Context) {
	u.judge(ctx)
	for failures := 0; ; {
		offer, err := u.offers.take(ctx)
		if err != nil {
			return
		}
		err = u.take(ctx, offer)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			continue
		}
		u.agent.log.Error("cannot update the agent", "version", offer.Version, "error", err)
		if code := api.CodeOf(err); code == api.CodeInvalid || code == api.CodeForbidden {
			continue // it would be the same again
		}
		failures++
		u.offers.putIfEmpty(offer)
		if !u.offers.pauseUnlessNewer(ctx, min(time.Minute<<min(failures, 6), time.Hour), offer) {
			return
		}
	}
}

// judge waits for the first welcome if this binary is being tried. Without one
// in time it puts the old one back and makes room for it.
func (u *updater) judge(ctx context.Context) {
	r, err := u.bins.record()
	if err != nil {
		u.agent.log.Error("cannot read the state of the update", "error", err)
		return
	}
	if !r.Trying || r.New != u.agent.cfg.Hash {
		return
	}
	timer := time.NewTimer(time.Until(r.Deadline))
	defer timer.Stop()
	select {
	case <-u.met:
		u.agent.log.Info("agent updated", "version", r.Version)
	case <-ctx.Done():
	case <-timer.C:
		u.agent.log.Error("this agent reached no server in time; the one before is put back", "version", r.Version)
		if err := u.bins.putBack("it did not reach a server in time", false, time.Now()); err != nil {
			u.agent.log.Error("cannot put the old agent back", "error", err)
			return
		}
		if u.agent.cfg.Restart != nil {
			u.agent.cfg.Restart()
		}
	}
}

func (u *updater) take(ctx context.Context, offer *api.AgentOffer) error {
	a := u.agent
	if offer.SHA256 == a.cfg.Hash {
		return nil
	}
	id := a.state.Identity()
	if id == nil {
		return errNotJoined
	}
	if !validHash(offer.SHA256) {
		return api.Errorf(api.CodeInvalid, "the offer has no SHA-256")
	}
	if len(id.SigningKey) != ed25519.PublicKeySize {
		return api.Errorf(api.CodeInvalid, "this host has no key to verify agents with").WithRemedy("run `drover-agent join` again")
	}
	if err := pki.VerifyBinary(id.SigningKey, offer.Version, offer.SHA256, offer.Signature); err != nil {
		return api.Errorf(api.CodeForbidden, "the offered agent is not signed by this fleet: %v", err)
	}
	r, err := u.bins.record()
	if err != nil {
		return err
	}
	if bad := r.bad(offer.SHA256, time.Now()); bad != nil {
		a.log.Warn("an agent that was put back is offered again and not taken", "version", offer.Version, "why", bad.Why)
		return nil
	}
	defer a.state.blobs.pin([]string{offer.SHA256})()
	c, err := a.line.wait(ctx)
	if err != nil {
		return err
	}
	if err := a.state.blobs.fetch(ctx, c, offer.SHA256); err != nil {
		return err
	}
	path, err := a.state.blobs.Path(offer.SHA256)
	if err != nil {
		return err
	}
	if err := u.bins.add(path, offer.SHA256); err != nil {
		return err
	}
	if err := u.quietMoment(ctx); err != nil {
		return err
	}
	if err := u.bins.try(a.cfg.Hash, offer.SHA256, offer.Version, time.Now().Add(a.cfg.Confirm).UTC()); err != nil {
		return err
	}
	if a.cfg.Watchdog != nil {
		if err := a.cfg.Watchdog(u.bins.path(binaryName(a.cfg.Hash)), a.cfg.Confirm+watchdogSlack); err != nil {
			a.log.Warn("no watchdog outside of the agent", "error", err)
		}
	}
	a.log.Info("updating the agent", "from", a.cfg.Version, "to", offer.Version)
	a.cfg.Restart()
	return nil
}

// quietMoment waits until nothing runs, but not for ever.
func (u *updater) quietMoment(ctx context.Context) error {
	limit := time.NewTimer(30 * time.Minute)
	defer limit.Stop()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for !u.agent.jobs.idle() || u.agent.busy.Load() {
		select {
		case <-look.C:
		case <-limit.C:
			return api.Errorf(api.CodeUnavailable, "jobs ran for half an hour without a pause")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
