package fleet

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/store"
)

// briefly bounds what is done for a message that no request stands behind.
func (f *Fleet) briefly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

// maxCSR bounds a certificate request.
const maxCSR = 16 << 10

// join is POST /v1/join. The same token with the same key again is a host
// whose first answer was lost, and gets another one.
func (f *Fleet) join(w http.ResponseWriter, r *http.Request) error {
	var req api.JoinRequest
	if err := domain.Decode(r, &req); err != nil {
		return err
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return api.Errorf(api.CodeUnauthorized, "no join token was sent").WithRemedy("make one by `drover token join` and run the line that it prints")
	}
	resp, by, err := f.enrol(r.Context(), strings.TrimSpace(token), &req)
	domain.Note(r.Context(), "host/"+cutText(req.Name, 253), by)
	if err != nil {
		return err
	}
	return domain.WriteJSON(w, http.StatusOK, resp)
}

func (f *Fleet) enrol(ctx context.Context, token string, req *api.JoinRequest) (*api.JoinResponse, string, error) {
	if err := api.ValidName(req.Name); err != nil {
		return nil, "", err
	}
	key, err := keyOf(req.CSR)
	if err != nil {
		return nil, "", err
	}
	e := &enrolment{Meta: api.Meta{Kind: "enrolment", Name: req.Name}, Spec: enrolmentSpec{Token: digest([]byte(token)), Key: key}}
	if by, ok, err := f.again(ctx, e); err != nil || ok {
		if err != nil {
			return nil, "", err
		}
		resp, _, err := f.identity(req)
		return resp, by, err
	}
	t, err := f.s.Access.CheckJoin(ctx, token, req.Name)
	if err != nil {
		return nil, "", err
	}
	e.Spec.By = t.Name
	if _, err := f.hosts.Get(ctx, req.Name); err == nil {
		return nil, e.Spec.By, taken(req.Name)
	}
	resp, ends, err := f.identity(req)
	if err != nil {
		return nil, e.Spec.By, err
	}
	e.Spec.First = ends
	h := &api.Host{Meta: api.Meta{Kind: "host", Name: req.Name}, Spec: api.HostSpec{Address: address(ctx, req.Address)},
		Status: api.HostStatus{State: api.StateNew, AgentVersion: cutText(req.AgentVersion, 100), CertExpires: ends}}
	err = f.s.Access.UseJoin(ctx, token, req.Name, f.hosts.ToCreate(h), f.enrolments.ToPut(e))
	if err != nil {
		// The other one of two equal requests may have been faster.
		if by, ok, again := f.again(ctx, e); again == nil && ok {
			return resp, by, nil
		}
		if api.CodeOf(err) == api.CodeExists {
			err = taken(req.Name)
		}
		return nil, e.Spec.By, err
	}
	f.presence.forget(req.Name)
	f.event(ctx, &api.Event{Type: "host.enrolled", Host: req.Name, Actor: "token/" + t.Name, Message: req.Name + " joined the fleet",
		Data: map[string]any{"address": h.Spec.Address, "agent": h.Status.AgentVersion}})
	f.assign.kick(h)
	return resp, e.Spec.By, nil
}

// again reports whether this host has joined with this token and key already.
func (f *Fleet) again(ctx context.Context, e *enrolment) (by string, ok bool, err error) {
	old, err := f.enrolments.Get(ctx, e.Name)
	if err != nil {
		if api.CodeOf(err) == api.CodeNotFound {
			err = nil
		}
		return "", false, err
	}
	return old.Spec.By, old.Spec.Token == e.Spec.Token && old.Spec.Key == e.Spec.Key, nil
}

func taken(name string) error {
	return api.Errorf(api.CodeExists, "there is a host %s already", name).
		WithRemedy("join under another name (drover-agent join --name), or, if this machine replaces it, first: drover delete host %s", name)
}

// identity signs a host's certificate; ends is when that ends.
func (f *Fleet) identity(req *api.JoinRequest) (*api.JoinResponse, time.Time, error) {
	cert, err := f.s.CA.SignHost(req.CSR, req.Name)
	if err != nil {
		return nil, time.Time{}, err
	}
	ends, err := endOf(cert)
	if err != nil {
		return nil, time.Time{}, err
	}
	return &api.JoinResponse{Fleet: f.s.CA.Fleet(), Certificate: cert, CA: f.s.CA.Bundle(), SigningKey: f.s.CA.SigningKey(), Link: f.s.Links()}, ends, nil
}

func endOf(cert []byte) (time.Time, error) {
	b, _ := pem.Decode(cert)
	if b == nil {
		return time.Time{}, api.Errorf(api.CodeInternal, "the signed certificate is not PEM")
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return c.NotAfter.UTC(), nil
}

// keyOf names the key of a certificate request, which must be signed by it.
func keyOf(der []byte) (string, error) {
	if len(der) > maxCSR {
		return "", api.Errorf(api.CodeTooLarge, "the certificate request is larger than %d KB", maxCSR>>10)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return "", &api.Error{Code: api.CodeInvalid, Field: "csr", Message: "it is not a certificate request: " + err.Error(), Remedy: "send PKCS #10 in DER, signed by its own key"}
	}
	return digest(csr.RawSubjectPublicKeyInfo), nil
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// address is where a host was enrolled from, for people.
func address(ctx context.Context, said string) string {
	if said != "" {
		return cutText(said, 253)
	}
	remote := domain.Remote(ctx)
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// renew signs the next certificate of a host that is still one of ours.
func (f *Fleet) renew(ctx context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error) {
	if _, err := f.hosts.Get(ctx, host); err != nil {
		if api.CodeOf(err) == api.CodeNotFound {
			return nil, revoked(host)
		}
		return nil, err
	}
	if ends, ok := peerEnds(ctx); ok {
		if err := f.notOlder(ctx, host, ends); err != nil {
			return nil, err
		}
	}
	if _, err := keyOf(r.CSR); err != nil {
		return nil, err
	}
	cert, err := f.s.CA.SignHost(r.CSR, host)
	if err != nil {
		return nil, err
	}
	ends, err := endOf(cert)
	if err != nil {
		return nil, err
	}
	f.intake.put(&item{host: host, mutate: func(h *api.Host) { h.Status.CertExpires = ends }})
	return &api.RenewResponse{Certificate: cert, CA: f.s.CA.Bundle()}, nil
}

// peerEnds is when the certificate ends that a call over the line came with.
func peerEnds(ctx context.Context) (time.Time, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return time.Time{}, false
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return time.Time{}, false
	}
	return info.State.PeerCertificates[0].NotAfter, true
}

// sameMachine refuses a connection with a certificate from before the host
// joined: another machine had its name.
func (f *Fleet) sameMachine(ctx context.Context, host string) error {
	info, ok := f.s.Hub.Info(host)
	if !ok || info.CertExpires.IsZero() {
		return nil
	}
	return f.notOlder(ctx, host, info.CertExpires)
}

func (f *Fleet) notOlder(ctx context.Context, host string, ends time.Time) error {
	e, err := f.enrolments.Get(ctx, host)
	if err != nil {
		if api.CodeOf(err) == api.CodeNotFound {
			return nil // made by other means than joining, as in a test
		}
		return err
	}
	if ends.Before(e.Spec.First.Add(-skew)) {
		return revoked(host)
	}
	return nil
}

// deleteHost removes a host with all that is kept of it, and ends its line.
func (f *Fleet) deleteHost(ctx context.Context, name string) error {
	if _, err := f.hosts.Get(ctx, name); err != nil {
		return err
	}
	changes := []store.Change{f.hosts.ToDelete(name, 0)}
	if _, err := f.assignments.Get(ctx, name); err == nil {
		changes = append(changes, f.assignments.ToDelete(name, 0))
	}
	if _, err := f.enrolments.Get(ctx, name); err == nil {
		changes = append(changes, f.enrolments.ToDelete(name, 0))
	}
	if _, err := f.facts.Get(ctx, name); err == nil {
		changes = append(changes, f.facts.ToDelete(name, 0))
	}
	if err := f.s.Store.Commit(ctx, changes...); err != nil {
		return err
	}
	f.assign.forget(name)
	f.presence.forget(name)
	f.intake.forget(name)
	f.reports.forget(name)
	f.s.Hub.Disconnect(name, revoked(name))
	f.event(ctx, &api.Event{Type: "host.removed", Host: name, Actor: domain.Actor(ctx), Message: name + " was removed from the fleet"})
	return nil
}
