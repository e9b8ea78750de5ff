package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/fleetfile"
	"drover/internal/tree"
)

// compiled is what the compilers made of one tree.
type compiled struct {
	commit   string // empty for a tree that is no commit
	inv      Inventory
	hosts    map[string]bool // for which it was compiled
	sections map[string][]api.Section
	blobs    []domain.Blob
	problems []*api.Error
}

// compile runs all compilers over a tree. Problems of the tree are in the
// result; the error is ours. only names the hosts to compile, nil for all.
func (f *Fleet) compile(ctx context.Context, commit string, t *tree.Tree, hosts []*api.Host, only []string) (*compiled, error) {
	c := &compiled{commit: commit, hosts: map[string]bool{}, sections: map[string][]api.Section{}, inv: noInventory{}}
	for _, h := range hosts {
		c.hosts[h.Name] = true
	}
	if _, err := fleetfile.Load(t); err != nil {
		return c, c.problem(err)
	}
	inv, err := f.o.Inventory(t)
	if err != nil {
		if err := c.problem(err); err != nil {
			return c, err
		}
	} else {
		c.inv = inv
	}
	in := domain.Input{Commit: commit, Tree: t, Hosts: hosts, Changed: only}
	for _, comp := range f.o.Compilers {
		out, err := comp.Compile(ctx, in)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err := c.problem(err); err != nil {
				return nil, fmt.Errorf("cannot compile the section %s: %w", comp.Room, err)
			}
			continue
		}
		c.add(out.Problems)
		c.blobs = append(c.blobs, out.Blobs...)
		for host, s := range out.Sections {
			if c.hosts[host] {
				c.sections[host] = append(c.sections[host], s)
			}
		}
	}
	return c, nil
}

// problem notes what is wrong with the tree; other errors are returned.
func (c *compiled) problem(err error) error {
	list := flatten(err)
	for _, e := range list {
		if e.Code != api.CodeInvalid && e.Code != api.CodeTooLarge {
			return err
		}
	}
	if len(list) == 0 {
		return err
	}
	c.add(list)
	return nil
}

// add notes problems, each once: several compilers may read the same file.
func (c *compiled) add(list []*api.Error) {
	for _, e := range list {
		if !slices.ContainsFunc(c.problems, func(o *api.Error) bool { return o.Code == e.Code && o.Error() == e.Error() }) {
			c.problems = append(c.problems, e)
		}
	}
}

// flatten finds the errors for people in an error, also in a joined one.
func flatten(err error) []*api.Error {
	switch e := err.(type) {
	case nil:
		return nil
	case *api.Error:
		return []*api.Error{e}
	case interface{ Unwrap() []error }:
		var out []*api.Error
		for _, one := range e.Unwrap() {
			out = append(out, flatten(one)...)
		}
		return out
	case interface{ Unwrap() error }:
		return flatten(e.Unwrap())
	}
	return nil
}

// errors counts the problems that refuse the tree, and gives the first.
func (c *compiled) errors() (n int, first error) {
	for _, p := range c.problems {
		if refuses(p) {
			if n++; first == nil {
				first = p
			}
		}
	}
	return n, first
}

func refuses(p *api.Error) bool { return p.Code == api.CodeInvalid || p.Code == api.CodeTooLarge }

// covers reports whether it was compiled for all of hosts.
func (c *compiled) covers(hosts []*api.Host) bool {
	for _, h := range hosts {
		if !c.hosts[h.Name] {
			return false
		}
	}
	return true
}

// store puts the blobs where hosts fetch them.
func (c *compiled) store(blobs blobStore) error {
	for _, b := range c.blobs {
		if blobs.Has(b.SHA256) {
			continue
		}
		hash, err := blobs.PutBytes(b.Content)
		if err != nil {
			return fmt.Errorf("cannot store a bundle: %w", err)
		}
		if hash != b.SHA256 {
			return api.Errorf(api.CodeInternal, "cannot store a bundle: it is %s, not %s", hash, b.SHA256)
		}
	}
	return nil
}

type blobStore interface {
	PutBytes(b []byte) (hash string, err error)
	Has(hash string) bool
}

// bundle is the first blob: what a revision shows.
func (c *compiled) bundle() string {
	if len(c.blobs) == 0 {
		return ""
	}
	return c.blobs[0].SHA256
}

// assignment is what a host should be.
func (c *compiled) assignment(h *api.Host) *api.Assignment {
	as := &api.Assignment{Meta: api.Meta{Kind: "assignment", Name: h.Name}, Spec: api.AssignmentSpec{Commit: c.commit}}
	if !h.Spec.Paused {
		as.Spec.Sections = c.sections[h.Name]
	}
	as.Spec.Hash = hashOf(as.Spec.Sections)
	return as
}

func (c *compiled) groups(host string) []string {
	return slices.Sorted(slices.Values(c.inv.Groups(host)))
}

// strangers are the hosts of the inventory without an agent, and the agents in
// no inventory.
func (c *compiled) strangers() (notEnrolled, notDeclared []string) {
	declared := map[string]bool{}
	for _, h := range c.inv.Hosts() {
		declared[h] = true
		if !c.hosts[h] {
			notEnrolled = append(notEnrolled, h)
		}
	}
	for _, h := range slices.Sorted(maps.Keys(c.hosts)) {
		if !declared[h] {
			notDeclared = append(notDeclared, h)
		}
	}
	slices.Sort(notEnrolled)
	return notEnrolled, notDeclared
}

type noInventory struct{}

func (noInventory) Hosts() []string        { return nil }
func (noInventory) Groups(string) []string { return nil }
