package server

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"drover/api"
	"drover/internal/audit"
	"drover/internal/domain"
	"drover/internal/pki"
)

// Below these the server says that somebody is needed.
const (
	littleDisk  = 1 << 30             // bytes; at 192 MB the store stops taking writes
	soonExpires = 14 * 24 * time.Hour // of a certificate that the server does not renew
)

// info is GET /v1/server.
func (s *Server) info(w http.ResponseWriter, r *http.Request) error {
	health := s.store.Health(r.Context())
	out := api.ServerInfo{Version: s.cfg.Version, Fleet: s.ca.Fleet(), Started: s.started.UTC(), Time: s.now().UTC(), API: s.apiURL(), Link: s.linkAddresses(), DataDir: s.cfg.DataDir,
		StoreEngine: health.Engine, StoreBytes: health.Size, StoreQuota: health.Quota, JournalEvents: s.journal.Last(), Agents: s.hub.Len(), Problems: slices.Clone(health.Problems)}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.cfg.DataDir, &fs); err != nil {
		out.Problems = append(out.Problems, fmt.Sprintf("the free space of %s cannot be read: %v", s.cfg.DataDir, err))
	} else {
		out.DiskFree, out.DiskTotal = int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
		if out.DiskFree < littleDisk {
			out.Problems = append(out.Problems, fmt.Sprintf("only %d MB are free in %s: free some space before the store stops taking writes", out.DiskFree>>20, s.cfg.DataDir))
		}
	}
	certs, problems := s.certificates()
	out.Certificates = certs
	if out.Problems = append(out.Problems, problems...); out.Problems == nil {
		out.Problems = []string{}
	}
	if out.Link == nil {
		out.Link = []string{}
	}
	return domain.WriteJSON(w, http.StatusOK, out)
}

// certificates are those that the server shows, and what is wrong with them.
func (s *Server) certificates() (list []api.Certificate, problems []string) {
	list = []api.Certificate{}
	add := func(name string, der []byte, renewed bool) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			problems = append(problems, fmt.Sprintf("the certificate of the %s cannot be read: %v", name, err))
			return
		}
		list = append(list, api.Certificate{Name: name, Subject: c.Subject.String(), Expires: c.NotAfter.UTC(), Fingerprint: pki.LeafPin(c.Raw), Renewed: renewed})
		if left := c.NotAfter.Sub(s.now()); !renewed && left < soonExpires {
			problems = append(problems, fmt.Sprintf("the certificate of the %s ends at %s: put a new one in its place", name, c.NotAfter.UTC().Format(time.RFC3339)))
		}
	}
	for rest := s.ca.Bundle(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		add("fleet CA", block.Bytes, false)
	}
	own := "API and agents' door"
	if s.given != nil {
		own = "agents' door"
		if pair, err := s.given.get(nil); err != nil {
			problems = append(problems, fmt.Sprintf("the certificate %s cannot be read: %v", s.cfg.TLSCert, err))
		} else {
			add("API", pair.Certificate[0], false)
		}
	}
	if pair, err := s.ca.APITLS(s.names()...).GetCertificate(nil); err != nil {
		problems = append(problems, err.Error())
	} else {
		add(own, pair.Certificate[0], true)
	}
	return list, problems
}

// maxHistory is how many changes of an object are shown.
const maxHistory = 1000

// history is GET /v1/PLURAL/NAME/history: what the audit has of one object.
// What is no more has a history still.
func (k *kindAPI) history(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	limit, err := intParam(r.URL.Query().Get("limit"), "limit", 200)
	if err == nil && (limit < 1 || limit > maxHistory) {
		err = &api.Error{Code: api.CodeInvalid, Field: "limit", Message: fmt.Sprintf("the limit is 1 to %d", maxHistory), Remedy: "see /v1/audit for more"}
	}
	if err != nil {
		return err
	}
	entries, err := k.s.auditLog.List(r.Context(), audit.Filter{Object: k.kind.Name + "/" + strings.TrimSuffix(name, "*"), Limit: int(limit)})
	if err != nil {
		return err
	}
	out := api.ObjectHistory{Items: make([]api.ObjectChange, 0, len(entries))}
	for _, e := range slices.Backward(entries) {
		out.Items = append(out.Items, api.ObjectChange{Time: e.Time, Actor: e.Actor, Action: e.Action, Result: e.Result, Detail: e.Detail})
	}
	if len(out.Items) == 0 {
		if _, err := k.rows.Get(r.Context(), name); err != nil {
			return k.explain(r.Context(), name, err)
		}
	}
	return domain.WriteJSON(w, http.StatusOK, out)
}
