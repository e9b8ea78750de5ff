package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drover/api"
)

// enrolment is what the server remembers of how a host joined. It is private:
// the API never serves it. Its name is the host's.
type enrolment struct {
	api.Meta
	Spec enrolmentSpec `json:"spec"`
}

type enrolmentSpec struct {
	// Token and Key are hashes of the join token and of the host's public key:
	// the same two again are the same host, whose answer was lost.
	Token string `json:"token"`
	Key   string `json:"key"`
	// First is when the first certificate ends. One that ends before it was
	// given to another machine, which had this name earlier.
	First time.Time `json:"first"`
	By    string    `json:"by,omitempty"` // name of the token
}

func (e *enrolment) Validate() error { return api.ValidName(e.Name) }

// hostFacts are all facts of one host, compressed: decoded they are large, and
// they are read rarely. Private; served by /v1/hosts/NAME/facts.
type hostFacts struct {
	api.Meta
	Spec struct {
		Hash string    `json:"hash"`
		Data []byte    `json:"data"` // zstd of JSON
		Time time.Time `json:"time"`
	} `json:"spec"`
}

func (h *hostFacts) Validate() error { return api.ValidName(h.Name) }

// maxFacts bounds the facts of one host, as JSON.
const maxFacts = 4 << 20

// Facts are all facts of one host as JSON.
func (f *Fleet) Facts(ctx context.Context, host string) (json.RawMessage, error) {
	if _, err := f.hosts.Get(ctx, host); err != nil {
		return nil, err
	}
	o, err := f.facts.Get(ctx, host)
	if api.CodeOf(err) == api.CodeNotFound {
		return json.RawMessage("{}"), nil
	}
	if err != nil {
		return nil, err
	}
	b, err := f.unzip.DecodeAll(o.Spec.Data, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the facts of %s: %w", host, err)
	}
	return b, nil
}

// few are the facts that a host's status shows.
var few = []string{"distribution", "distribution_version", "os_family", "kernel", "architecture", "fqdn", "processor_vcpus", "memtotal_mb", "virtualization_type"}

func fewFacts(all map[string]any) map[string]any {
	out := map[string]any{}
	for _, k := range few {
		switch v := all[k].(type) {
		case string:
			if v != "" && len(v) <= 200 {
				out[k] = v
			}
		case float64, int, int64, bool, json.Number:
			out[k] = v
		}
	}
	if ip, ok := all["default_ipv4"].(map[string]any); ok {
		if a, ok := ip["address"].(string); ok {
			out["default_ipv4"] = a
		}
	}
	return out
}
