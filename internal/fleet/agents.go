package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"

	"drover/api"
	"drover/internal/domain"
)

// AgentBinary is an agent program beside the server's own.
type AgentBinary struct {
	OS, Arch string
	Path     string
}

// offers are the agents that this server serves, by "os/arch".
type offers map[string]api.AgentBinary

// readAgents hashes and signs the agent programs and keeps them as blobs.
func (f *Fleet) readAgents() (offers, error) {
	out := offers{}
	for _, b := range f.o.Agents {
		file, err := os.Open(b.Path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot serve the agent %s: %w", b.Path, err)
		}
		sum, size, err := f.keepAgent(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("cannot serve the agent %s: %w", b.Path, err)
		}
		out[b.OS+"/"+b.Arch] = api.AgentBinary{OS: b.OS, Arch: b.Arch, AgentOffer: api.AgentOffer{
			Version: f.s.Version, SHA256: sum, Size: size, Signature: f.s.CA.SignBinary(f.s.Version, sum)}}
	}
	return out, nil
}

func (f *Fleet) keepAgent(file *os.File) (sum string, size int64, err error) {
	h := sha256.New()
	if size, err = io.Copy(h, file); err != nil {
		return "", 0, err
	}
	sum = hex.EncodeToString(h.Sum(nil))
	if f.s.Blobs.Has(sum) {
		return sum, size, nil
	}
	if _, err = file.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	return sum, size, f.s.Blobs.PutAs(sum, file)
}

// machines are Ansible's names of architectures by Go's.
var machines = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x"}

// offer names the agent that a host should run, if it runs another one.
func (f *Fleet) offer(host string, hello *api.Hello) *api.AgentOffer {
	if len(f.offers) == 0 || hello.AgentHash == "" {
		return nil
	}
	ctx, cancel := f.briefly()
	defer cancel()
	h, err := f.hosts.Get(ctx, host)
	if err != nil {
		return nil
	}
	machine, _ := h.Status.Facts["architecture"].(string)
	o, ok := f.offers["linux/"+machines[machine]]
	if !ok || o.SHA256 == hello.AgentHash {
		return nil
	}
	return &o.AgentOffer
}

// mayFetch allows a host the blobs of its own assignment, of a check that it
// was asked for, and the agents.
func (f *Fleet) mayFetch(ctx context.Context, host, sha string) error {
	for _, o := range f.offers {
		if o.SHA256 == sha {
			return nil
		}
	}
	if f.checks.mayFetch(host, sha) {
		return nil
	}
	as, err := f.assignments.Get(ctx, host)
	if err != nil && api.CodeOf(err) != api.CodeNotFound {
		return err
	}
	if err == nil {
		for _, s := range as.Spec.Sections {
			for _, b := range s.Blobs {
				if b == sha {
					return nil
				}
			}
		}
	}
	return api.Errorf(api.CodeForbidden, "blob %s is not for host %s", sha, host).WithRemedy("nothing to do: the host will be sent what it should be now")
}

// serveAgent is GET /agent/{os}/{arch}.
func (f *Fleet) serveAgent(w http.ResponseWriter, r *http.Request) error {
	platform := r.PathValue("os") + "/" + r.PathValue("arch")
	o, ok := f.offers[platform]
	if !ok {
		var have []string
		for p := range f.offers {
			have = append(have, p)
		}
		sort.Strings(have)
		e := api.Errorf(api.CodeNotFound, "this server has no agent for %q", platform)
		if len(have) == 0 {
			return e.WithRemedy("put drover-agent beside the program drover on the server and restart it")
		}
		return e.WithRemedy("it has those for %s", strings.Join(have, ", "))
	}
	b, err := f.s.Blobs.Open(o.SHA256)
	if err != nil {
		return err
	}
	defer b.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
	h.Set("ETag", `"`+o.SHA256+`"`)
	w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(w, b) // who left cannot be told
	return nil
}

// script installs the agent and joins. All that it trusts is in it, so that
// its own hash vouches for everything.
func (f *Fleet) script() string {
	var sums strings.Builder
	var platforms []string
	for p := range f.offers {
		platforms = append(platforms, p)
	}
	sort.Strings(platforms)
	for _, p := range platforms {
		fmt.Fprintf(&sums, "  %s) want=%s ;;\n", p, f.offers[p].SHA256)
	}
	return fmt.Sprintf(`#!/bin/sh
# Installs drover-agent and joins the fleet %[1]s.
# usage: sh join.sh --token TOKEN [--name NAME]
set -eu
server=%[2]s
pin=%[3]s
die() { echo "join: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "run this as root"
case "$(uname -m)" in
  x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; armv7l) arch=arm ;; riscv64) arch=riscv64 ;;
  *) die "there is no agent for $(uname -m)" ;;
esac
case "linux/$arch" in
%[4]s  *) die "the server has no agent for linux/$arch" ;;
esac
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if command -v curl >/dev/null; then
  curl -fsSk "$server/agent/linux/$arch" -o "$tmp/drover-agent"
elif command -v wget >/dev/null; then
  wget -q --no-check-certificate "$server/agent/linux/$arch" -O "$tmp/drover-agent"
else
  die "install curl or wget first"
fi
# The connection is not trusted; the hash is.
echo "$want  $tmp/drover-agent" | sha256sum -c - >/dev/null || die "the downloaded agent is not the one of this fleet"
install -m 0755 "$tmp/drover-agent" /usr/local/bin/drover-agent
/usr/local/bin/drover-agent join --server "$server" --pin "$pin" "$@"
`, f.s.CA.Fleet(), quote(f.s.API()), quote(f.s.CA.Pin()), sums.String())
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (f *Fleet) serveScript(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/x-shellscript; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, f.script())
	return nil
}

// joinInfo is GET /v1/join.
func (f *Fleet) joinInfo(w http.ResponseWriter, _ *http.Request) error {
	url := strings.TrimSuffix(f.s.API(), "/")
	sum := digest([]byte(f.script()))
	i := api.JoinInfo{Fleet: f.s.CA.Fleet(), URL: url, Link: f.s.Links(), Pin: f.s.CA.Pin(), CA: f.s.CA.Bundle(), Script: sum, Agents: []api.AgentBinary{},
		Command: fmt.Sprintf(`curl -fsSk %s/join.sh -o join.sh && echo "%s  join.sh" | sha256sum -c - && sh join.sh --token TOKEN`, url, sum)}
	for _, o := range f.offers {
		i.Agents = append(i.Agents, o)
	}
	sort.Slice(i.Agents, func(a, b int) bool { return i.Agents[a].OS+i.Agents[a].Arch < i.Agents[b].OS+i.Agents[b].Arch })
	return domain.WriteJSON(w, http.StatusOK, i)
}
