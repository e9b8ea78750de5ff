package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/internal/sshdial"
)

// newCloneCommand is `drover clone`: a working copy of the fleet repository
// that fetches and pushes with the credential that drover itself uses.
func newCloneCommand(a *app) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "clone [DIR]",
		Short: "Get a working copy of the fleet repository, ready to push",
		Long: `Get a working copy of the fleet repository, ready to push.

The copy trusts the server's certificate and asks drover for the credential, so that plain
git fetch and git push work in it. With --from, where the server has no repository yet, it starts
from a folder's files (an example, or a fleet you have); nothing is pushed yet.`,
		GroupID: groupWork,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "fleet"
			if len(args) > 0 {
				dir = args[0]
			}
			return a.clone(cmd, dir, from)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "start from the files of this `folder`")
	return cmd
}

func (a *app) clone(cmd *cobra.Command, dir, from string) error {
	t, err := a.target()
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return api.Errorf(api.CodeExists, "cannot clone into %s: it is not empty", dir).WithRemedy("name another folder, or remove this one")
	}
	if _, err := exec.LookPath("git"); err != nil {
		return api.Errorf(api.CodeUnavailable, "cannot clone: git is not installed").WithRemedy("install it: apt-get install git")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	git := func(args ...string) error {
		c := exec.CommandContext(ctxOf(cmd), "git", append([]string{"-C", dir}, args...)...)
		var said strings.Builder
		c.Stderr = &said
		if err := c.Run(); err != nil {
			return fmt.Errorf("cannot clone: git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot clone: %w", err)
	}
	url := strings.TrimSuffix(t.Server, "/") + "/fleet.git"
	// The helper must find the same server later, from wherever git calls it.
	helper := sshdial.Quote(self)
	if a.contextName != "" {
		helper += " --context " + sshdial.Quote(a.contextName)
	}
	if config := a.Getenv("DROVER_CONFIG"); config != "" {
		abs, err := filepath.Abs(config)
		if err != nil {
			return err
		}
		helper = "DROVER_CONFIG=" + sshdial.Quote(abs) + " " + helper
	}
	steps := [][]string{
		{"init", "-q", "-b", "main"},
		{"remote", "add", "origin", url},
		{"config", "credential." + url + ".helper", "!" + helper + " git-credential"},
		{"config", "credential." + url + ".useHttpPath", "true"},
		{"config", "branch.main.remote", "origin"},
		{"config", "branch.main.merge", "refs/heads/main"},
	}
	if t.CA != "" {
		ca, err := filepath.Abs(filepath.Join(dir, ".git", "drover-ca"))
		if err != nil {
			return err
		}
		// As a folder too: GIT_SSL_CAINFO, where it is set, outweighs sslCAInfo.
		steps = append(steps, []string{"config", "http." + url + ".sslCAInfo", filepath.Join(ca, "ca.pem")}, []string{"config", "http." + url + ".sslCAPath", ca})
	}
	for i, s := range steps {
		if err := git(s...); err != nil {
			return err
		}
		if i == 0 && t.CA != "" {
			ca := filepath.Join(dir, ".git", "drover-ca")
			if err := os.Mkdir(ca, 0o755); err != nil {
				return fmt.Errorf("cannot clone: %w", err)
			}
			if err := os.WriteFile(filepath.Join(ca, "ca.pem"), []byte(t.CA), 0o644); err != nil {
				return fmt.Errorf("cannot clone: %w", err)
			}
		}
	}
	if err := git("fetch", "-q", "origin"); err != nil {
		return err
	}
	has := git("rev-parse", "-q", "--verify", "refs/remotes/origin/main") == nil
	if has && from != "" {
		os.RemoveAll(filepath.Join(dir, ".git")) // what was made of a folder that was empty
		return api.Errorf(api.CodeExists, "cannot start from %s: the server holds a fleet repository already", from).WithRemedy("clone without --from, and copy into it what you want")
	}
	if has {
		if err := git("reset", "-q", "--hard", "origin/main"); err != nil {
			return err
		}
	}
	if from != "" {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			return fmt.Errorf("cannot copy %s: %w", from, err)
		}
		if err := git("add", "-A"); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.Err, "%s is a working copy of the fleet repository\n", dir)
	return nil
}

// newGitCredentialCommand answers git when it asks for a credential, in the
// protocol of gitcredentials(7). It answers for the server it is signed in to only.
func newGitCredentialCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "git-credential get|store|erase",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "get" {
				return nil // drover keeps its credential itself
			}
			t, err := a.target()
			if err != nil {
				return err
			}
			protocol, host := readCredentialQuery(a.in)
			if protocol+"://"+host != strings.TrimSuffix(t.Server, "/") {
				return nil
			}
			_, err = fmt.Fprintf(a.Out, "username=drover\npassword=%s\n", t.Token)
			return err
		},
	}
}

func readCredentialQuery(r io.Reader) (protocol, host string) {
	for s := bufio.NewScanner(r); s.Scan() && s.Text() != ""; {
		key, value, _ := strings.Cut(s.Text(), "=")
		switch key {
		case "protocol":
			protocol = value
		case "host":
			host = value
		}
	}
	return protocol, host
}
