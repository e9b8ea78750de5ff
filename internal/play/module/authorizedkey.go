package module

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drover/internal/play/machine"
	"drover/internal/play/param"
)

var authorizedKeyModule = &Module{
	Name: "authorized_key",
	Params: []Param{
		{Name: "user", Required: true}, {Name: "key", Required: true}, {Name: "path", Type: Path},
		{Name: "manage_dir", Type: Bool, Default: true}, {Name: "state", Default: "present", Choices: []string{"present", "absent"}},
		{Name: "key_options"}, {Name: "exclusive", Type: Bool, Default: false}, {Name: "comment"},
		{Name: "validate_certs", Type: Bool, Default: true}, {Name: "follow", Type: Bool, Default: false},
	},
	Run: runAuthorizedKey,
}

// sshKeyTypes are the words that begin a key in authorized_keys; what stands
// before one is its options.
var sshKeyTypes = []string{
	"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"ssh-dss", "ssh-ed25519", "ssh-rsa", "ssh-xmss@openssh.com", "ssh-dss-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com",
	"ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp521-cert-v01@openssh.com",
	"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com",
}

// authKey is a line of authorized_keys.
type authKey struct{ options, kind, key, comment string }

// parseAuthKey reads a line; ok is false for comments and what is no key.
func parseAuthKey(line string) (k authKey, ok bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return k, false
	}
	for i := 0; i < len(line); {
		for i < len(line) && param.IsSpace(line[i]) {
			i++
		}
		end := i
		for quoted := false; end < len(line) && (quoted || !param.IsSpace(line[end])); end++ {
			switch {
			case line[end] == '\\' && end+1 < len(line):
				end++
			case line[end] == '"':
				quoted = !quoted
			}
		}
		end = min(end, len(line))
		if slices.Contains(sshKeyTypes, line[i:end]) {
			k.options, k.kind = strings.TrimSpace(line[:i]), line[i:end]
			rest := strings.TrimSpace(line[end:])
			k.key, k.comment, _ = strings.Cut(rest, " ")
			k.comment = strings.TrimSpace(k.comment)
			return k, k.key != ""
		}
		if i > 0 || end == len(line) {
			break // options are one word
		}
		i = end
	}
	return k, false
}

func (k authKey) String() string {
	var parts []string
	for _, p := range []string{k.options, k.kind, k.key, k.comment} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, " ")
}

func runAuthorizedKey(ctx context.Context, c *Call) *Result {
	h, user := c.Host, c.Str("user")
	account, known := h.UserByName(user)
	file := c.Str("path")
	if !known && (file == "" || !c.Check) {
		return Fail("Failed to lookup user %s: no such user", user)
	}
	if file == "" {
		file = filepath.Join(account.Home, ".ssh", "authorized_keys")
	}
	if c.Bool("follow") {
		file = h.Realpath(file)
	}
	text := c.Str("key")
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		var err error
		if text, err = c.fetchKeys(ctx, text); err != nil {
			return Fail("%v", err)
		}
	}
	var wanted []authKey
	for line := range strings.Lines(text) {
		if s := strings.TrimSpace(line); s == "" || s[0] == '#' {
			continue
		}
		k, ok := parseAuthKey(line)
		if !ok {
			return Fail("invalid key specified: %s", strings.TrimSpace(line))
		}
		if c.Has("key_options") {
			k.options = c.Str("key_options")
		}
		if c.Has("comment") {
			k.comment = c.Str("comment")
		}
		wanted = append(wanted, k)
	}
	b, err := h.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Fail("cannot read %s: %s", file, reason(err))
	}
	after := editAuthKeys(string(b), wanted, c.Str("state") == "present", c.Bool("exclusive"))
	r := (&Result{}).Set("keyfile", file).Set("user", user).Set("key", c.Str("key")).Set("state", c.Str("state")).
		Set("exclusive", c.Bool("exclusive")).Set("key_options", c.Raw("key_options")).Set("comment", c.Raw("comment")).
		Set("path", c.Raw("path")).Set("manage_dir", c.Bool("manage_dir")).Set("follow", c.Bool("follow")).Set("validate_certs", c.Bool("validate_certs"))
	if after == string(b) {
		return r
	}
	before := h.Record(file)
	if c.Diff {
		r.addDiff(file, string(b), after)
	}
	action := "update"
	if before == nil {
		action = "create"
	}
	if c.Check {
		return r.Change("file", file, action, before, map[string]any{"size": len(after), "sha256": machine.SumsOf([]byte(after)).SHA256})
	}
	if bad := c.writeKeys(file, account, []byte(after), before == nil); bad != nil {
		return bad
	}
	return r.Change("file", file, action, before, h.Record(file))
}

// editAuthKeys adds or removes keys in a file's text and leaves everything else
// as it is. A key with other options or comment than wanted is replaced in place.
func editAuthKeys(text string, wanted []authKey, present, exclusive bool) string {
	var lines []string
	placed := map[string]bool{}
	for _, l := range keepLines(text) {
		k, ok := parseAuthKey(l)
		if !ok {
			if !exclusive || !present {
				lines = append(lines, l)
			}
			continue
		}
		var match *authKey
		for i := range wanted {
			if wanted[i].kind == k.kind && wanted[i].key == k.key {
				match = &wanted[i]
			}
		}
		switch {
		case match == nil && present && exclusive, match != nil && !present, match != nil && placed[k.key]:
		case match == nil || *match == k:
			lines = append(lines, l)
		default:
			lines = append(lines, match.String()+"\n")
		}
		if match != nil {
			placed[k.key] = true
		}
	}
	if present {
		for _, k := range wanted {
			if placed[k.key] {
				continue
			}
			placed[k.key] = true
			if n := len(lines); n > 0 {
				lines[n-1] = ended(lines[n-1])
			}
			lines = append(lines, k.String()+"\n")
		}
	}
	return strings.Join(lines, "")
}

// writeKeys puts the file in place as its user's own, sshd's conditions kept.
func (c *Call) writeKeys(file string, account Account, b []byte, fresh bool) *Result {
	h := c.Host
	own := &machine.Attrs{HaveIDs: true, UID: account.UID, GID: account.GID, Mode: int64(0o600)}
	dir := filepath.Dir(file)
	if c.Bool("manage_dir") {
		if err := os.MkdirAll(h.Path(dir), 0o700); err != nil {
			return Fail("Failed to create directory %s : %s", dir, reason(err))
		}
		a := &machine.Attrs{HaveIDs: true, UID: account.UID, GID: account.GID, Mode: int64(0o700)}
		if _, err := h.Apply(dir, a, true, false, nil); err != nil {
			return Fail("%v", err)
		}
	} else if fi, err := h.Stat(dir); err != nil || !fi.IsDir() {
		return Fail("Failed to write to file %s: [Errno 2] No such file or directory", file)
	}
	if !fresh && !c.Bool("manage_dir") {
		own = nil
	}
	s, err := h.Stage(file, true)
	if err != nil {
		return Fail("Failed to write to file %s: %s", file, reason(err))
	}
	defer s.Abort()
	if _, err := s.Write(b); err != nil {
		return Fail("Failed to write to file %s: %s", file, reason(err))
	}
	if err := s.Commit(own, false); err != nil {
		return Fail("Failed to write to file %s: %v", file, err)
	}
	return nil
}

// fetchKeys gets keys from a URL, as https://github.com/NAME.keys.
func (c *Call) fetchKeys(ctx context.Context, target string) (string, error) {
	g := &getURL{Call: c, r: &Result{}}
	var err error
	if g.client, err = c.httpClient(httpTimeout, g.always); err != nil {
		return "", err
	}
	b, err := g.read(ctx, target)
	if err != nil {
		return "", fmt.Errorf("Error getting key from: %s: %w", target, err)
	}
	return string(b), nil
}
