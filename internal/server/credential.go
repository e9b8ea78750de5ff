package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v4"

	"drover/api"
)

// adminTokenName is the token of this machine's root user.
const adminTokenName = "server-root"

// Credentials is the CLI's context file; a server writes one with itself as
// its only context.
type Credentials struct {
	Current  string                `yaml:"current" json:"current"`
	Contexts map[string]Credential `yaml:"contexts" json:"contexts"`
}

// Credential is how to reach one server and who one is there.
type Credential struct {
	Server string `yaml:"server" json:"server"`
	Token  string `yaml:"token,omitempty" json:"token,omitempty"`
	CA     string `yaml:"ca,omitempty" json:"ca,omitempty"` // PEM; empty: the system's roots
}

// credential makes sure that this machine's root user is an administrator: who
// can read the data directory holds the fleet anyway.
func (s *Server) credential(ctx context.Context) error {
	if old, err := ReadCredentials(AdminFile(s.cfg.DataDir)); err == nil {
		token := old.Contexts[old.Current].Token
		if id, err := s.access.Check(ctx, token); err == nil && id.Role.Allows(api.RoleAdmin) {
			s.adminToken = token
			return nil
		}
	}
	if err := s.access.DeleteToken(ctx, adminTokenName); err != nil && api.CodeOf(err) != api.CodeNotFound {
		return err
	}
	t := &api.Token{Meta: api.Meta{Kind: "token", Name: adminTokenName},
		Spec: api.TokenSpec{Role: api.RoleAdmin, Note: "root on the server's own machine"}}
	secret, err := s.access.CreateToken(ctx, t)
	if err != nil {
		return fmt.Errorf("cannot make the credential of this machine's root user: %w", err)
	}
	s.adminToken = secret
	return s.writeCredential("https://localhost:" + PortAPI)
}

// writeCredential writes where the server is now.
func (s *Server) writeCredential(url string) error {
	c := Credential{Server: url, Token: s.adminToken}
	if s.given == nil {
		c.CA = string(s.ca.Bundle())
	} else if chain, err := s.given.pem(); err == nil {
		c.CA = chain // of whatever CA it is; a pair that cannot be read ends the start elsewhere
	}
	return WriteCredentials(AdminFile(s.cfg.DataDir), &Credentials{Current: "local", Contexts: map[string]Credential{"local": c}})
}

// ReadCredentials reads a context file.
func ReadCredentials(file string) (*Credentials, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var c Credentials
	if err := yaml.Unmarshal(b, &c); err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: file}, Message: fmt.Sprintf("this is no context file: %v", err),
			Remedy: "mend it, or remove it and sign in again by `drover login`"}
	}
	return &c, nil
}

// WriteCredentials writes a context file whole or not at all, for its owner only.
func WriteCredentials(file string, c *Credentials) error {
	// JSON first: YAML of the same shape, with the block style for PEM.
	raw, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	plain(&tree)
	b, err := yaml.Marshal(&tree)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".context-*") // mode 0600
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}

func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}
