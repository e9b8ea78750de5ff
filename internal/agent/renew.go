package agent

import (
	"context"
	"math/rand/v2"
	"time"

	"drover/api"
	"drover/internal/pki"
)

// renewer replaces the certificate after two thirds of its life, over the line
// that is open. The line stays: the next one is opened with the new certificate.
func (a *Agent) renewer(ctx context.Context) {
	failures := 0
	for {
		id, err := a.state.parsed()
		if err != nil {
			// In a process with a line in memory there is no certificate.
			if a.state.Identity() != nil && len(a.state.Identity().Certificate) > 0 {
				a.log.Error("cannot renew the certificate", "error", err)
			}
			return
		}
		at := id.RenewAt()
		if life := id.NotAfter.Sub(id.NotBefore); life > 0 {
			at = at.Add(rand.N(life/20 + 1))
		}
		wait := time.Until(at)
		if failures > 0 {
			wait = max(wait, min(time.Minute<<min(failures, 5), 30*time.Minute))
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-timer.C:
		case <-a.renewed:
			timer.Stop()
			failures = 0
			continue
		case <-ctx.Done():
			timer.Stop()
			return
		}
		c, err := a.line.wait(ctx)
		if err != nil {
			return
		}
		if now, err := a.state.parsed(); err == nil && now.NotAfter.After(id.NotAfter) {
			continue // renewed meanwhile, before the line was opened
		}
		if err := a.renew(ctx, c.Renew); err != nil {
			a.log.Warn("cannot renew the certificate", "error", err, "ends", id.NotAfter)
			failures++
			continue
		}
		failures = 0
	}
}

// renewExpired renews a certificate that is good for nothing else any more,
// before the line is dialled.
func (a *Agent) renewExpired(ctx context.Context) error {
	id := a.state.Identity()
	if id == nil {
		return errNotJoined
	}
	if len(id.Certificate) == 0 {
		return nil
	}
	parsed, err := a.state.parsed()
	if err != nil {
		return err
	}
	if time.Now().Before(parsed.NotAfter) {
		return nil
	}
	if err := a.renew(ctx, a.cfg.Dialer.Renew); err != nil {
		return err
	}
	select {
	case a.renewed <- struct{}{}:
	default:
	}
	return nil
}

func (a *Agent) renew(ctx context.Context, ask func(context.Context, *api.RenewRequest) (*api.RenewResponse, error)) error {
	old := a.state.Identity()
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		return err
	}
	csr, err := pki.Request(old.Host, key)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	answer, err := ask(ctx, &api.RenewRequest{CSR: csr})
	if err != nil {
		return err
	}
	id := *old
	id.Key, id.Certificate = keyPEM, answer.Certificate
	if len(answer.CA) > 0 {
		id.CA = answer.CA
	}
	// What does not fit together must not replace what does.
	parsed, err := pki.ParseIdentity(id.Certificate, id.Key, id.CA)
	if err != nil {
		return err
	}
	if err := a.state.SetIdentity(&id); err != nil {
		return err
	}
	a.log.Info("certificate renewed", "ends", parsed.NotAfter)
	return nil
}
