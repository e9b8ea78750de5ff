package sshdial

import (
	"io"
	"net"
	"os/exec"
	"sync"
	"time"
)

// programConn is the stream of a ProxyCommand. It has no deadlines: who waits
// on it closes it.
type programConn struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.ReadCloser
	once sync.Once
}

type programAddr struct{}

func (programAddr) Network() string { return "program" }
func (programAddr) String() string  { return "0.0.0.0:22" }

func (c *programConn) Read(p []byte) (int, error)  { return c.out.Read(p) }
func (c *programConn) Write(p []byte) (int, error) { return c.in.Write(p) }

func (c *programConn) Close() error {
	c.once.Do(func() {
		c.in.Close()
		c.cmd.Process.Kill() //nolint:errcheck // it may have ended
		c.cmd.Wait()         //nolint:errcheck // killed
	})
	return nil
}

func (c *programConn) LocalAddr() net.Addr              { return programAddr{} }
func (c *programConn) RemoteAddr() net.Addr             { return programAddr{} }
func (c *programConn) SetDeadline(time.Time) error      { return nil }
func (c *programConn) SetReadDeadline(time.Time) error  { return nil }
func (c *programConn) SetWriteDeadline(time.Time) error { return nil }
