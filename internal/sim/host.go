package sim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/link"
)

func (h *host) hello() *api.Hello {
	return &api.Hello{Version: api.LinkVersion, AgentVersion: h.fleet.cfg.Version, Commit: h.commit, Hash: h.hash}
}

// use answers what the server sends, in the goroutine that reads.
func (h *host) use(ctx context.Context, c link.Conn) error {
	f := h.fleet
	hangUp := context.AfterFunc(ctx, func() { c.Close() })
	defer hangUp()
	if int(f.connected.Add(1)) == len(f.hosts) {
		f.mu.Lock()
		if f.allUp == 0 {
			f.allUp = time.Since(f.dialling)
		}
		f.mu.Unlock()
	}
	defer f.connected.Add(-1)
	defer f.drops.Add(1)
	if !h.told {
		facts := f.cfg.Facts(h.name)
		data, err := json.Marshal(facts)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if err := c.Send(ctx, &api.ToServer{Facts: &api.Facts{Hash: hex.EncodeToString(sum[:]), Facts: facts}}); err != nil {
			return err
		}
		h.told = true
	}
	h.line.Store(&c)
	defer h.line.Store(nil)
	for {
		m, err := c.Recv()
		if err != nil {
			return err
		}
		if err := h.answer(ctx, c, m); err != nil {
			return err
		}
	}
}

func (h *host) answer(ctx context.Context, c link.Conn, m *api.ToAgent) error {
	switch {
	case m.Assign != nil:
		h.commit, h.hash = m.Assign.Commit, m.Assign.Hash
		h.fleet.assigned.Add(1)
		if err := c.Send(ctx, &api.ToServer{Ack: &api.Ack{Commit: h.commit, Hash: h.hash}}); err != nil {
			return err
		}
		return c.Send(ctx, &api.ToServer{Report: h.report("new")})
	case m.ReportAck != nil:
		h.fleet.acked.Add(1)
	case m.Converge != nil:
		r := h.report("request")
		if !m.Converge.Check {
			if err := c.Send(ctx, &api.ToServer{Report: r}); err != nil {
				return err
			}
		}
		return c.Send(ctx, &api.ToServer{Done: &api.JobDone{ID: m.Converge.ID, Report: r}})
	case m.Look != nil:
		return c.Send(ctx, &api.ToServer{Seen: h.look(m.Look)})
	case m.Job != nil:
		h.fleet.jobs.Add(1)
		return h.job(ctx, c, m.Job)
	}
	return nil
}

// job is a shell that knows true, false and echo.
func (h *host) job(ctx context.Context, c link.Conn, j *api.Job) error {
	done := &api.JobDone{ID: j.ID}
	verb, rest, _ := strings.Cut(strings.TrimSpace(j.Command), " ")
	switch {
	case j.Session:
		done.Exit, done.Error = -1, "a simulated host has no play sessions"
	case verb == "false":
		done.Exit = 1
	case verb == "echo" || verb == "hostname":
		text := strings.Trim(rest, `"'`)
		if verb == "hostname" {
			text = h.name
		}
		if err := c.Send(ctx, &api.ToServer{Output: &api.JobOutput{ID: j.ID, Data: []byte(text + "\n")}}); err != nil {
			return err
		}
	}
	return c.Send(ctx, &api.ToServer{Done: done})
}

func (h *host) report(reason string) *api.Report {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return &api.Report{ID: hex.EncodeToString(id[:]), Host: h.name, Commit: h.commit, Hash: h.hash, Reason: reason, Start: time.Now().UTC(),
		Duration: time.Millisecond, Sections: map[string]api.Result{"play": {OK: 1}}}
}

// callAs is a POST to /v1/join with a header of its own.
func callAs(ctx context.Context, c *client.Client, header http.Header, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	header.Set("Content-Type", "application/json")
	resp, err := c.Do(ctx, http.MethodPost, "/v1/join", bytes.NewReader(body), header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}

func marshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
