package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/server"
)

// loginFlags are what `drover login` is told.
type loginFlags struct {
	once, person, fingerprint string
	passwordStdin             bool
}

func newLoginCommand(a *app) *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use: "login URL", GroupID: groupServer,
		Short: "Sign in to a server",
		Long: `Sign in to a server and remember it in the context file
(~/.config/drover/config.yml, readable by you alone).

The first time, the server's CA is unknown here: compare the fingerprint that is
shown with the one that the server printed at its start, or give it by
--ca-fingerprint. With --once CODE, from the command that a new server prints,
you become its first administrator. With --token you sign in by a token that
somebody made for you.`,
		Example: `  drover login https://drover.example.org:7440
  drover login https://drover.example.org:7440 --once CODE --ca-fingerprint sha256:…
  printf %s "$PASSWORD" | drover login URL --person ann --password-stdin --ca-fingerprint sha256:…`,
		Args: exactArgs("the server's URL"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.login(ctxOf(cmd), args[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.once, "once", "", "one-time `code` that makes the first administrator")
	fl.StringVar(&f.person, "person", "", "your sign-in `name`")
	fl.StringVar(&f.fingerprint, "ca-fingerprint", "", "`SHA-256` of the server's CA")
	fl.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (a *app) login(ctx context.Context, serverURL string, f loginFlags) error {
	if !strings.Contains(serverURL, "://") {
		serverURL = "https://" + serverURL
	}
	serverURL = strings.TrimSuffix(serverURL, "/")
	cred := server.Credential{Server: serverURL}
	var err error
	if cred.CA, err = a.trust(ctx, serverURL, f.fingerprint); err != nil {
		return err
	}
	token := first(a.token, a.Getenv("DROVER_TOKEN"))
	c, err := client.New(client.Config{URL: serverURL, Token: token, CA: []byte(cred.CA), UserAgent: "drover/" + a.Version})
	if err != nil {
		return err
	}
	var who api.Me
	if token != "" {
		if err := c.Call(ctx, "GET", "/v1/whoami", nil, &who); err != nil {
			return err
		}
		cred.Token = token
	} else {
		out, err := a.signIn(ctx, c, f)
		if err != nil {
			return err
		}
		cred.Token, who.Actor, who.Role = out.Token, out.Person, out.Role
	}
	conf, err := a.readConfig()
	if err != nil {
		return err
	}
	name := first(a.contextName, a.Getenv("DROVER_CONTEXT"), contextFor(serverURL))
	if conf.Contexts == nil {
		conf.Contexts = map[string]server.Credential{}
	}
	conf.Contexts[name], conf.Current = cred, name
	if err := a.writeConfig(conf); err != nil {
		return err
	}
	if a.structured() {
		return a.printValue(map[string]any{"server": serverURL, "actor": who.Actor, "role": who.Role, "context": name})
	}
	fmt.Fprintf(a.Out, "Signed in to %s as %s (%s).\n", serverURL, who.Actor, who.Role)
	return nil
}

// contextFor names a context after its server.
func contextFor(serverURL string) string {
	if u, err := url.Parse(serverURL); err == nil {
		return u.Hostname()
	}
	return "default"
}

// trust finds the CA to trust: none if the system trusts the server already,
// else the server's own, if its fingerprint is the one that is known.
func (a *app) trust(ctx context.Context, serverURL, fingerprint string) (string, error) {
	if file := first(a.caFile, a.Getenv("DROVER_CA")); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", api.Errorf(api.CodeInvalid, "cannot read the CA: %v", err).WithRemedy("give a PEM file")
		}
		return string(b), nil
	}
	if strings.HasPrefix(serverURL, "http://") {
		return "", api.Errorf(api.CodeInvalid, "a server is reached by https").WithRemedy("use https://%s", strings.TrimPrefix(serverURL, "http://"))
	}
	if fingerprint == "" && a.systemTrusts(ctx, serverURL) {
		return "", nil
	}
	ca, found, err := client.FetchCA(ctx, serverURL)
	if err != nil {
		return "", err
	}
	if fingerprint != "" {
		if !client.SameFingerprint(fingerprint, found) {
			return "", api.Errorf(api.CodeUnauthorized, "the CA of %s has the fingerprint sha256:%s, not %s", serverURL, found, fingerprint).
				WithRemedy("compare with what the server printed at its start: either the address is another server's, or somebody is in between")
		}
		return string(ca), nil
	}
	answer, err := a.ask(fmt.Sprintf("The CA of %s is not known here. Its fingerprint is\n  sha256:%s\nIs that what the server printed at its start? [y/N] ", serverURL, found),
		fmt.Sprintf("if the server printed this one: --ca-fingerprint sha256:%s", found))
	if err != nil {
		return "", err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return "", api.Errorf(api.CodeUnauthorized, "the server's CA is not trusted").WithRemedy("ask the server's administrator for the fingerprint")
	}
	return string(ca), nil
}

// systemTrusts reports whether the server's certificate is of a CA that this
// machine trusts.
func (a *app) systemTrusts(ctx context.Context, serverURL string) bool {
	c, err := client.New(client.Config{URL: serverURL})
	return err == nil && c.Call(ctx, "GET", "/v1/version", nil, nil) == nil
}

func (a *app) signIn(ctx context.Context, c *client.Client, f loginFlags) (*server.LoginResponse, error) {
	if f.person == "" {
		guess := a.Getenv("USER")
		if u, err := user.Current(); guess == "" && err == nil {
			guess = u.Username
		}
		answer, err := a.ask(fmt.Sprintf("Name [%s]: ", guess), "give --person NAME")
		if err != nil {
			return nil, err
		}
		f.person = first(answer, guess)
	}
	password, err := a.password(f)
	if err != nil {
		return nil, err
	}
	return a.signInWith(ctx, c, f, password)
}

func (a *app) signInWith(ctx context.Context, c *client.Client, f loginFlags, password string) (*server.LoginResponse, error) {
	host, _ := os.Hostname()
	in := server.LoginRequest{Person: f.person, Password: password, Token: true, Note: "drover on " + host}
	var out server.LoginResponse
	var err error
	if f.once != "" {
		err = c.Call(ctx, "POST", "/v1/login/first", server.FirstLoginRequest{Code: f.once, LoginRequest: in}, &out)
	} else {
		err = c.Call(ctx, "POST", "/v1/login", in, &out)
	}
	return &out, err
}

func (a *app) password(f loginFlags) (string, error) {
	if f.passwordStdin {
		b, err := io.ReadAll(io.LimitReader(a.in, 4096))
		if err != nil {
			return "", fmt.Errorf("cannot read the password: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	const remedy = "give --password-stdin and the password on standard input"
	password, err := a.askSecret("Password: ", remedy)
	if err != nil || f.once == "" {
		return password, err
	}
	again, err := a.askSecret("Password again: ", remedy)
	if err == nil && again != password {
		err = api.Errorf(api.CodeInvalid, "the two passwords differ").WithRemedy("try again")
	}
	return password, err
}

func newLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "logout", GroupID: groupServer,
		Short: "Sign out: revoke the token that was made at the login, and forget it",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := a.readConfig()
			if err != nil {
				return err
			}
			name := first(a.contextName, a.Getenv("DROVER_CONTEXT"), conf.Current)
			cred, ok := conf.Contexts[name]
			if !ok {
				return api.Errorf(api.CodeUnauthorized, "you are not signed in").WithRemedy("sign in by `drover login URL`")
			}
			c, err := client.New(client.Config{URL: cred.Server, Token: cred.Token, CA: []byte(cred.CA), UserAgent: "drover/" + a.Version})
			if err != nil {
				return err
			}
			// A token that the server no longer knows needs no revoking.
			err = c.Call(ctxOf(cmd), "POST", "/v1/logout", nil, nil)
			if err != nil && api.CodeOf(err) != api.CodeUnauthorized {
				return fmt.Errorf("cannot revoke the token, so it is kept: %w", err)
			}
			delete(conf.Contexts, name)
			if conf.Current == name {
				conf.Current = ""
			}
			if err := a.writeConfig(conf); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "Signed out of %s.\n", cred.Server)
			return nil
		},
	}
}
