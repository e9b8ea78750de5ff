package play

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/fleetfile"
	"drover/internal/play/engine"
	"drover/internal/tree"
)

// Section is the body of the section "play" of an assignment.
type Section struct {
	Playbook string        `json:"playbook"`        // path in the bundle
	Bundle   string        `json:"bundle"`          // SHA-256 of a tar.zst
	Roles    []string      `json:"roles,omitempty"` // folders of roles, after those beside the playbook
	Slice    *engine.Slice `json:"slice"`           // the host's part of the inventory
	Names    string        `json:"names,omitempty"` // SHA-256 of the names of all hosts, when Slice leaves them out
}

// manyHosts is from where on the names of all hosts are a blob of their own,
// which hosts fetch once: in every assignment they would be most of it.
const manyHosts = 100

// warning is the code of a problem that does not refuse a revision.
const warning api.Code = "warning"

// Compiler turns revisions into bundles and sections. It keeps the bundle of
// the tree it saw last, which it makes again only when a file in it changed.
func Compiler() domain.Compiler {
	c := &compiler{}
	return domain.Compiler{Room: Name, Compile: c.compile}
}

type compiler struct {
	mu   sync.Mutex
	sum  string // of the bundle's tree
	blob domain.Blob
}

// ReadInventory reads the inventory that a fleet repository declares.
func ReadInventory(t fs.FS) (*engine.Inventory, error) {
	f, err := fleetfile.Load(t)
	if err != nil {
		return nil, err
	}
	return readInventory(t, f)
}

func readInventory(t fs.FS, f *fleetfile.File) (*engine.Inventory, error) {
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: engine.Bundle(t), Sources: f.Inventory, Vault: engine.NoPasswords(), INI: true})
	if err != nil {
		return nil, problems(err)
	}
	return inv, nil
}

// problems are the errors in err, with places as the repository names them.
func problems(err error) error {
	var list engine.Problems
	var one *api.Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = engine.Problems{one}
	default:
		list = engine.Problems{{Code: api.CodeInvalid, Message: err.Error()}}
	}
	return engine.Problems(relative(list))
}

// relative makes places relative to the repository's root, where bundles
// begin with a slash.
func relative(list []*api.Error) []*api.Error {
	out := make([]*api.Error, len(list))
	for i, e := range list {
		c := *e
		if c.Place != nil {
			p := *c.Place
			p.File = strings.TrimPrefix(p.File, "/")
			c.Place = &p
		}
		out[i] = &c
	}
	return out
}

func (c *compiler) compile(ctx context.Context, in domain.Input) (domain.Output, error) {
	f, err := fleetfile.Load(in.Tree)
	if err != nil {
		return domain.Output{}, err
	}
	// All that is wrong is told at once: whoever mends it pushes once.
	var out domain.Output
	inv, err := readInventory(in.Tree, f)
	var wrong engine.Problems
	switch {
	case err == nil:
		for _, w := range inv.Warnings() {
			out.Problems = append(out.Problems, &api.Error{Code: warning, Message: strings.TrimPrefix(w, "/"), Remedy: "it was left out"})
		}
	case errors.As(err, &wrong):
		out.Problems = append(out.Problems, wrong...)
	default:
		return domain.Output{}, err
	}
	if f.Playbook == "" && len(wrong) > 0 {
		return out, nil
	}
	if f.Playbook == "" {
		out.Problems = append(out.Problems, &api.Error{Code: warning, Message: "there is no playbook yet, so hosts are left as they are",
			Place: &api.Place{File: fleetfile.Name}, Remedy: "add site.yml, or name another playbook with `playbook:` in " + fleetfile.Name})
		return out, nil
	}
	project, err := engine.LoadProject(engine.ProjectOptions{Files: engine.Bundle(in.Tree), Playbooks: []string{f.Playbook}, RolesPath: rolesPath, Vault: engine.NoPasswords()})
	var list engine.Problems
	if err != nil && !errors.As(problems(err), &list) {
		return domain.Output{}, err
	}
	out.Problems = append(out.Problems, plain(relative(project.Check(inv)))...)
	if inv != nil {
		for _, p := range relative(project.Idle(inv)) {
			p.Code = warning
			out.Problems = append(out.Problems, p)
		}
	}
	for _, p := range out.Problems {
		if p.Code != warning {
			return out, nil // nothing is made of a tree with errors
		}
	}
	blob, err := c.bundle(in.Tree, f)
	if err != nil {
		return domain.Output{}, err
	}
	out.Blobs = []domain.Blob{blob}
	section := Section{Playbook: f.Playbook, Bundle: blob.SHA256, Roles: rolesPath}
	if hosts := inv.Hosts(); len(hosts) > manyHosts {
		names, err := allNames(inv, hosts[0])
		if err != nil {
			return domain.Output{}, err
		}
		out.Blobs = append(out.Blobs, names)
		section.Names = names.SHA256
	}
	out.Sections, err = sections(ctx, in, inv, section)
	return out, err
}

// allNames is a slice with nothing but names.
func allNames(inv *engine.Inventory, any string) (domain.Blob, error) {
	s, err := inv.Slice(any)
	if err != nil {
		return domain.Blob{}, err
	}
	s.Host, s.Vars, s.Plugin = "", nil, nil
	for i := range s.Groups {
		s.Groups[i].Vars, s.Groups[i].Plugin = nil, nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return domain.Blob{}, fmt.Errorf("cannot write the names of all hosts: %w", err)
	}
	sum := sha256.Sum256(b)
	return domain.Blob{SHA256: hex.EncodeToString(sum[:]), Content: b}, nil
}

// rolesPath is where roles are beside those next to the playbook: in roles/ at
// the repository's root. The executor on the host looks in the same places.
var rolesPath = []string{"roles"}

func (s Section) blobs() []string {
	if s.Names == "" {
		return []string{s.Bundle}
	}
	return []string{s.Bundle, s.Names}
}

// sections cuts out what each host runs.
func sections(ctx context.Context, in domain.Input, inv *engine.Inventory, s Section) (map[string]api.Section, error) {
	declared := map[string]bool{}
	for _, h := range inv.Hosts() {
		declared[h] = true
	}
	want := in.Changed
	if want == nil {
		for _, h := range in.Hosts {
			want = append(want, h.Name)
		}
	}
	slice := inv.Slice
	if s.Names != "" {
		slicer, err := inv.Slicer()
		if err != nil {
			return nil, err
		}
		slice = slicer.Alone
	}
	out := make(map[string]api.Section, len(want))
	for _, host := range want {
		if !declared[host] {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		body, err := body(slice, host, s)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		out[host] = api.Section{Room: Name, Hash: hex.EncodeToString(sum[:]), Body: body, Blobs: s.blobs()}
	}
	return out, nil
}

func body(slice func(host string) (*engine.Slice, error), host string, s Section) ([]byte, error) {
	var err error
	if s.Slice, err = slice(host); err != nil {
		return nil, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot write the section of %s: %w", host, err)
	}
	if len(b) > maxSection {
		return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("the variables of host %s are %d KB, the most is %d KB", host, len(b)>>10, maxSection>>10),
			Remedy: "put large content into files of a role and read it with copy or the file lookup"}
	}
	return b, nil
}

// maxSection bounds a section: a whole assignment is at most 64 KB with its
// bodies in base64.
const maxSection = 44 << 10

// bundle packs what hosts need. Inventories stay on the server: they hold what
// is other hosts' business.
func (c *compiler) bundle(files fs.FS, f *fleetfile.File) (domain.Blob, error) {
	t, ok := files.(*tree.Tree)
	if !ok {
		var err error
		if t, err = tree.FromFS(files, tree.Limits{}); err != nil {
			return domain.Blob{}, err
		}
	}
	t, err := t.Sub(func(p string) bool { return bundled(p, f) })
	if err != nil {
		return domain.Blob{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sum == t.Sum() {
		return c.blob, nil
	}
	var b bytes.Buffer
	if err := t.Pack(&b); err != nil {
		return domain.Blob{}, err
	}
	sum := sha256.Sum256(b.Bytes())
	c.sum, c.blob = t.Sum(), domain.Blob{SHA256: hex.EncodeToString(sum[:]), Content: b.Bytes()}
	return c.blob, nil
}

// otherRooms are folders of the repository that no playbook reads.
var otherRooms = []string{"rules", "scrapes", "dashboards", "detections", "access"}

// bundled reports whether hosts get a file of the repository.
func bundled(p string, f *fleetfile.File) bool {
	top, rest, deep := strings.Cut(p, "/")
	if strings.HasPrefix(top, ".") || p == fleetfile.Name {
		return false
	}
	if !deep && (strings.HasSuffix(p, ".md") || p == "LICENSE" || p == "alertmanager.yml") {
		return false
	}
	for _, d := range otherRooms {
		if deep && top == d && rest != "" {
			return false
		}
	}
	for _, inv := range f.Inventory {
		if p == inv || strings.HasPrefix(p, inv+"/") {
			return false
		}
		// The variables beside an inventory file are part of the slices.
		for _, d := range []string{"group_vars", "host_vars"} {
			if vars := path.Join(path.Dir(inv), d); strings.HasPrefix(p, vars+"/") {
				return false
			}
		}
	}
	return true
}
