package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/server"
)

// configPath is where the context file is: $DROVER_CONFIG, or
// drover/config.yml in the user's configuration folder.
func (a *app) configPath() (string, error) {
	if p := a.Getenv("DROVER_CONFIG"); p != "" {
		return p, nil
	}
	if dir := a.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "drover", "config.yml"), nil
	}
	home := a.Getenv("HOME")
	if home == "" {
		return "", api.Errorf(api.CodeInvalid, "cannot find the context file: neither HOME nor DROVER_CONFIG is set").WithRemedy("set one of them")
	}
	return filepath.Join(home, ".config", "drover", "config.yml"), nil
}

// readConfig reads the context file; one that is not there is empty.
func (a *app) readConfig() (*server.Credentials, error) {
	path, err := a.configPath()
	if err != nil {
		return nil, err
	}
	c, err := server.ReadCredentials(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &server.Credentials{}, nil
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (a *app) writeConfig(c *server.Credentials) error {
	path, err := a.configPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return server.WriteCredentials(path, c)
}

// localAdmin is the credential of root on a server's own machine, nil if this
// is none or somebody else.
func (a *app) localAdmin() *server.Credential {
	dir := a.Getenv("DROVER_DATA")
	if dir == "" {
		dir = server.DefaultDataDir
	}
	c, err := server.ReadCredentials(server.AdminFile(dir))
	if err != nil {
		return nil
	}
	if cred, ok := c.Contexts[c.Current]; ok {
		return &cred
	}
	return nil
}

// target is the server to talk to, by the first that names one: flags,
// environment, --context, the context file's current one, and on a server's own
// machine root's credential in the data directory.
func (a *app) target() (server.Credential, error) {
	t, err := a.baseTarget()
	if err != nil {
		return t, err
	}
	if token := first(a.token, a.Getenv("DROVER_TOKEN")); token != "" {
		t.Token = token
	}
	if file := first(a.caFile, a.Getenv("DROVER_CA")); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return t, api.Errorf(api.CodeInvalid, "cannot read the CA: %v", err).WithRemedy("give a PEM file by --ca or DROVER_CA")
		}
		t.CA = string(b)
	}
	return t, nil
}

func (a *app) baseTarget() (server.Credential, error) {
	name := first(a.contextName, a.Getenv("DROVER_CONTEXT"))
	url := first(a.serverURL, a.Getenv("DROVER_SERVER"))
	c, err := a.readConfig()
	if err != nil {
		return server.Credential{}, err
	}
	if name != "" {
		t, ok := c.Contexts[name]
		if !ok {
			return t, unknownContext(name, c)
		}
		if url != "" {
			t.Server = url
		}
		return t, nil
	}
	local := a.localAdmin()
	if url != "" {
		// A server that is known by its address brings its token and CA.
		for _, t := range c.Contexts {
			if t.Server == url {
				return t, nil
			}
		}
		if local != nil && local.Server == url {
			return *local, nil
		}
		return server.Credential{Server: url}, nil
	}
	if t, ok := c.Contexts[c.Current]; ok {
		return t, nil
	}
	if local != nil {
		return *local, nil
	}
	return server.Credential{}, api.Errorf(api.CodeUnauthorized, "no server is known here").
		WithRemedy("sign in by `drover login https://HOST:7440`; on the server's own machine run as root, with DROVER_DATA set if its data is not in %s", server.DefaultDataDir)
}

func unknownContext(name string, c *server.Credentials) error {
	var names []string
	for n := range c.Contexts {
		names = append(names, n)
	}
	slices.Sort(names)
	e := api.Errorf(api.CodeInvalid, "there is no context %q", name).WithRemedy("sign in by `drover login URL --context %s`", name)
	if near := domain.Nearest(name, names); near != "" {
		e = e.WithRemedy("did you mean %q?", near)
	}
	return e
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
