package link

import (
	"context"
	"crypto/x509"
	"io"
	"time"

	"drover/api"
)

// Limits of the line.
const (
	MaxMessage = 8 << 20  // bytes of one message, encoded
	chunkSize  = 64 << 10 // bytes of one piece of a blob
)

// Consumer is told what hosts do. Calls about one host never overlap; those
// about several hosts do. A call that blocks holds up that host alone.
type Consumer interface {
	// Joined says that host has a new connection. It comes again, without Left
	// between, when a newer connection replaces the one before.
	Joined(host string, hello *api.Hello)
	// Left says that host has no connection any more. Undelivered are the
	// messages that Send took and that were not handed to the network.
	Left(host string, undelivered []*api.ToAgent)
	// Message is one message of the host, never a Hello.
	Message(host string, m *api.ToServer)
}

// Authorizer decides which blobs a host may fetch: those named in its own
// assignment, in a check that it was asked for, or in the offer of an agent.
type Authorizer interface {
	MayFetch(ctx context.Context, host, sha256 string) error
}

// Blobs opens stored files by their SHA-256 in lower-case hex.
type Blobs interface {
	Open(sha256 string) (io.ReadSeekCloser, int64, error)
}

// Renewer signs a host's certificate request again; it refuses a host that was
// removed from the fleet.
type Renewer interface {
	Renew(ctx context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error)
}

// Conn is a host's end of an open line, after Welcome.
type Conn interface {
	Welcome() *api.Welcome
	Server() string // address of the server
	// Send waits until the line takes m. It is safe for concurrent use.
	Send(ctx context.Context, m *api.ToServer) error
	// Recv waits for the next message. One goroutine calls it.
	Recv() (*api.ToAgent, error)
	// Blob reads a blob from offset to its end; size is that of all of it.
	Blob(ctx context.Context, sha256 string, offset int64) (r io.ReadCloser, size int64, err error)
	Renew(ctx context.Context, r *api.RenewRequest) (*api.RenewResponse, error)
	Writer
	Close() error
}

// Dialer opens lines to the server.
type Dialer interface {
	// Dial connects, says hello and waits for the welcome.
	Dial(ctx context.Context, hello *api.Hello) (Conn, error)
	// Renew asks for a certificate without a stream, which is all that an
	// expired certificate is good for.
	Renew(ctx context.Context, r *api.RenewRequest) (*api.RenewResponse, error)
}

// HubConfig says how a Hub works. Consumer is needed; the rest has defaults.
type HubConfig struct {
	Consumer   Consumer
	Authorizer Authorizer // nil: no blob may be fetched
	Blobs      Blobs      // nil: there are none
	Renewer    Renewer    // nil: certificates are not renewed here
	Metrics    Metrics    // nil: samples are not taken now

	ServerVersion string
	// Offer is the agent a host should run instead, or nil. It must not block.
	Offer func(host string, hello *api.Hello) *api.AgentOffer
	Now   func() time.Time

	QueueMessages int   // messages a host's queue holds; 1,024
	QueueBytes    int64 // bytes it holds; 8 MiB
	BlobStreams   int   // blob fetches served at once; 128
	Writes        int   // bodies of samples taken at once; 64
}

// ConnInfo describes the connection of a host.
type ConnInfo struct {
	Host        string
	Hello       api.Hello
	Remote      string // address it came from
	Since       time.Time
	LastSeen    time.Time // of its last message
	CertExpires time.Time // of the certificate it came with
	Queued      int       // messages that wait to be sent
}

// Identify returns the host's name in a certificate that was already verified
// against the fleet's roots, or an error that says why it names no host.
type Identify func(*x509.Certificate) (host string, err error)
