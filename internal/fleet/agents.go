package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
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

// offer names the agent that a host should run: the one beside the server, by
// its hash. Another hash is another agent, whatever the versions say, so that
// going back to an older server brings its agents back too.
func (f *Fleet) offer(host string, hello *api.Hello) *api.AgentOffer {
	if len(f.offers) == 0 || hello.AgentHash == "" {
		return nil
	}
	platform := hello.Platform
	if platform == "" { // an agent from before it was said
		ctx, cancel := f.briefly()
		defer cancel()
		h, err := f.hosts.Get(ctx, host)
		if err != nil {
			return nil
		}
		machine, _ := h.Status.Facts["architecture"].(string)
		platform = "linux/" + machines[machine]
	}
	o, ok := f.offers[platform]
	if !ok || o.SHA256 == hello.AgentHash {
		return nil
	}
	return &o.AgentOffer
}

// offered reports whether sum is one of the agents beside the server.
func (f *Fleet) offered(sum string) bool {
	for _, o := range f.offers {
		if o.SHA256 == sum {
			return true
		}
	}
	return false
}

// mayFetch allows a host the blobs of its own assignment, of a check that it
// was asked for, and the agents.
func (f *Fleet) mayFetch(ctx context.Context, host, sha string) error {
	if f.offered(sha) {
		return nil
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

// platforms are those that there is an agent for, in order.
func (f *Fleet) platforms() []string { return slices.Sorted(maps.Keys(f.offers)) }

// serveAgent is GET /agent/{os}/{arch}.
func (f *Fleet) serveAgent(w http.ResponseWriter, r *http.Request) error {
	platform := r.PathValue("os") + "/" + r.PathValue("arch")
	o, ok := f.offers[platform]
	if !ok {
		have := f.platforms()
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
	apiPin := ""
	if pin := f.apiPin(); pin != "" {
		apiPin = " --api-fingerprint " + pin
	}
	var sums strings.Builder
	for _, p := range f.platforms() {
		fmt.Fprintf(&sums, "  %s) want=%s ;;\n", p, f.offers[p].SHA256)
	}
	return strings.NewReplacer("@FLEET@", f.s.CA.Fleet(), "@SERVER@", quote(f.url()), "@PIN@", quote(f.s.CA.Pin()), "@APIPIN@", apiPin, "@SUMS@", sums.String()).Replace(joinScript)
}

// joinScript runs the downloaded program from the folder that it will live
// beside: /tmp is often mounted without the right to run programs. Until the
// join has succeeded nothing stays on the host.
const joinScript = `#!/bin/sh
# Installs drover-agent on this host, which joins the fleet @FLEET@.
# usage: DROVER_TOKEN=TOKEN sh join.sh [--server URL] [options of "drover-agent join"]
set -eu
server=@SERVER@
pin=@PIN@
die() {
  echo "join: $1" >&2
  [ -z "${2-}" ] || echo "→ $2" >&2
  exit 1
}
if [ "${1-}" = --server ]; then
  server=$2
  shift 2
fi
[ "$(id -u)" = 0 ] || die "only root can install the agent" "become root (sudo -i) and run the same line again"
case "$(uname -m)" in
  x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; armv7l) arch=arm ;; riscv64) arch=riscv64 ;; i?86) arch=386 ;;
  *) die "there is no agent for $(uname -m)" ;;
esac
case "linux/$arch" in
@SUMS@  *) die "the server has no agent for linux/$arch" "put drover-agent-linux-$arch beside the program drover on the server and restart it" ;;
esac
mkdir -p /var/lib
tmp=$(mktemp -d /var/lib/.drover-join.XXXXXX) || die "cannot make a folder in /var/lib" "make room on this host's disk"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP
url=$server/agent/linux/$arch
if command -v curl >/dev/null; then
  curl -fsSk --connect-timeout 15 "$url" -o "$tmp/drover-agent" || die "cannot fetch the agent from $url" "check that this host reaches the server, and that there is room on its disk"
elif command -v wget >/dev/null; then
  wget -q --no-check-certificate --timeout 15 "$url" -O "$tmp/drover-agent" || die "cannot fetch the agent from $url" "check that this host reaches the server, and that there is room on its disk"
else
  die "there is neither curl nor wget" "install one of them"
fi
# The connection is not trusted; the hash is.
echo "$want  $tmp/drover-agent" | sha256sum -c - >/dev/null 2>&1 ||
  die "the downloaded agent is not the one that this line names" "make a new line by drover token join: the server may have been upgraded since"
chmod 0755 "$tmp/drover-agent"
"$tmp/drover-agent" join --server "$server" --ca-fingerprint "$pin"@APIPIN@ "$@"
# With systemd the join has installed it; elsewhere somebody must start it.
[ -e /usr/local/bin/drover-agent ] || install -D -m 0755 "$tmp/drover-agent" /usr/local/bin/drover-agent
`

// url is the API's, without a slash at its end.
func (f *Fleet) url() string { return strings.TrimSuffix(f.s.API(), "/") }

// joinCommand is one line for a bare host: what it runs as root is verified by
// the hash in the line.
func joinCommand(url, sum string) string {
	return fmt.Sprintf(`s=$(curl -fsSk %s/join.sh) && [ "$(printf '%%s\n' "$s" | sha256sum)" = "%s  -" ] || { echo "join.sh did not come from %s, or is not the one this line names: make a new line by drover token join" >&2; false; } && DROVER_TOKEN=TOKEN sh -c "$s" join.sh`,
		url, sum, url)
}

// apiPin names the API's certificate, if that is not of the fleet's CA.
func (f *Fleet) apiPin() string {
	if f.s.APIPin == nil {
		return ""
	}
	return f.s.APIPin()
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
	sum := digest([]byte(f.script()))
	i := api.JoinInfo{Fleet: f.s.CA.Fleet(), URL: f.url(), Link: f.s.Links(), Pin: f.s.CA.Pin(), APIPin: f.apiPin(), CA: f.s.CA.Bundle(), Script: sum, Agents: []api.AgentBinary{},
		Command: joinCommand(f.url(), sum)}
	for _, p := range f.platforms() {
		i.Agents = append(i.Agents, f.offers[p])
	}
	return domain.WriteJSON(w, http.StatusOK, i)
}
