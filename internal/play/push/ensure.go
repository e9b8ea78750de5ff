package push

import (
	"bytes"
	"context"

	"drover/internal/sshdial"
)

// Ensure sees to it that the agent's program is on a host that somebody is
// signed in to, and returns its path there. It is copied only where its hash
// is not there yet.
func (c *Connector) Ensure(ctx context.Context, host string, ssh *sshdial.Client) (string, error) {
	arch, err := archOf(ctx, host, ssh)
	if err != nil {
		return "", err
	}
	b, err := c.binary(arch)
	if err != nil {
		return "", err
	}
	path := b.pathFor(ssh.User())
	out, err := ssh.Run(ctx, "test -x "+path, nil)
	if err != nil {
		return "", err
	}
	if out.Exit == 0 {
		return path, nil
	}
	if c.o.Progress != nil {
		c.o.Progress(host, "copying the agent")
	}
	packed, err := b.packed()
	if err != nil {
		return "", err
	}
	return path, ssh.UploadGzip(ctx, path, bytes.NewReader(packed), 0o755, b.hash)
}
