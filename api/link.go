package api

import "time"

// LinkVersion is the integer version of the protocol between server and
// agents. A server speaks every version from LinkOldest to LinkVersion.
const (
	LinkVersion = 1
	LinkOldest  = 1
)

// ToServer is one message of an agent; exactly one field is set.
type ToServer struct {
	Hello   *Hello     `json:"hello,omitempty"`
	Ack     *Ack       `json:"ack,omitempty"`    // the assignment is on the host's disk
	Report  *Report    `json:"report,omitempty"` // answered by ReportAck
	Facts   *Facts     `json:"facts,omitempty"`
	Output  *JobOutput `json:"output,omitempty"`
	Done    *JobDone   `json:"done,omitempty"`
	Session *Frame     `json:"session,omitempty"` // a play session's bytes, host to server
	Seen    *Seen      `json:"seen,omitempty"`    // answers Look
}

// ToAgent is one message of the server; exactly one field is set.
type ToAgent struct {
	Welcome   *Welcome        `json:"welcome,omitempty"`
	Assign    *AssignmentSpec `json:"assign,omitempty"` // be this; the newest wins
	ReportAck *ReportAck      `json:"reportAck,omitempty"`
	Job       *Job            `json:"job,omitempty"`
	Cancel    *Cancel         `json:"cancel,omitempty"`
	Session   *Frame          `json:"session,omitempty"`
	Converge  *Converge       `json:"converge,omitempty"` // converge or check now
	Look      *Look           `json:"look,omitempty"`     // what is there now; answered by Seen
	Goodbye   *Error          `json:"goodbye,omitempty"`  // the server ends the stream, and why
}

// Hello opens a stream. The host's name is in its certificate, not here.
type Hello struct {
	Version      int    `json:"version"` // LinkVersion of the agent
	AgentVersion string `json:"agentVersion"`
	AgentHash    string `json:"agentHash"`          // SHA-256 of the running binary
	Platform     string `json:"platform,omitempty"` // OS/ARCH as Go names them
	Commit       string `json:"commit,omitempty"`
	Hash         string `json:"hash,omitempty"` // of the assignment on its disk
	BootID       string `json:"bootId,omitempty"`
	// PutBack is the newest agent that was offered, tried and put back, while
	// no newer one was.
	PutBack *PutBack `json:"putBack,omitempty"`
}

// PutBack is an agent that did not come up on a host and was put back.
type PutBack struct {
	Version string    `json:"version,omitempty"`
	SHA256  string    `json:"sha256"`
	Why     string    `json:"why"`
	Time    time.Time `json:"time"`
}

// Welcome answers Hello.
type Welcome struct {
	Version       int         `json:"version"` // what both speak
	ServerVersion string      `json:"serverVersion"`
	Time          time.Time   `json:"time"`
	Update        *AgentOffer `json:"update,omitempty"` // a newer agent, if there is one
}

// AgentOffer is an agent binary that the host should run.
type AgentOffer struct {
	Version   string `json:"version"`
	SHA256    string `json:"sha256"`
	Size      int64  `json:"size"`
	Signature []byte `json:"signature"` // by the fleet's signing key over "drover-agent\n"+Version+"\n"+SHA256
}

// Ack says which assignment the host now keeps.
type Ack struct {
	Commit string `json:"commit"`
	Hash   string `json:"hash"`
}

// ReportAck lets the agent forget a report.
type ReportAck struct {
	ID string `json:"id"`
}

// Facts are a host's facts by Ansible's names without the "ansible_" prefix,
// sent when their hash changed.
type Facts struct {
	Hash  string         `json:"hash"`
	Facts map[string]any `json:"facts"`
}

// Job is a command to run once. The same ID is never run twice.
type Job struct {
	ID       string            `json:"id"`
	Command  string            `json:"command,omitempty"` // by /bin/sh -c
	Session  bool              `json:"session,omitempty"` // open a play session instead, bytes in Frames with this job's ID
	User     string            `json:"user,omitempty"`    // as whom; root if empty
	Env      map[string]string `json:"env,omitempty"`
	Deadline time.Time         `json:"deadline"`
}

// Cancel ends a job.
type Cancel struct {
	ID string `json:"id"`
}

// Converge asks for a converge now. With Check nothing is changed, and the
// answer is a Done whose Report says what would be. With Assignment, that one
// is checked instead of the kept one; it is not kept.
type Converge struct {
	ID         string          `json:"id"`
	Check      bool            `json:"check,omitempty"`
	Assignment *AssignmentSpec `json:"assignment,omitempty"`
	Deadline   time.Time       `json:"deadline"`
}

// JobOutput is a piece of a job's output, in order.
type JobOutput struct {
	ID     string `json:"id"`
	Stderr bool   `json:"stderr,omitempty"`
	Data   []byte `json:"data"`
}

// JobDone ends a job.
type JobDone struct {
	ID     string  `json:"id"`
	Exit   int     `json:"exit"`             // exit status; 128+n for signal n; -1 if it never ran
	Error  string  `json:"error,omitempty"`  // why it never ran or was ended
	Report *Report `json:"report,omitempty"` // of a Converge
}

// Frame carries bytes of a play session in order; Close ends that direction.
type Frame struct {
	ID    string `json:"id"`
	Data  []byte `json:"data,omitempty"`
	Close bool   `json:"close,omitempty"`
}

// JoinRequest enrols a host: POST /v1/join with the join token as bearer.
type JoinRequest struct {
	Name         string `json:"name"`
	CSR          []byte `json:"csr"` // PKCS #10, DER
	AgentVersion string `json:"agentVersion"`
	Address      string `json:"address,omitempty"`
}

// JoinResponse is the host's identity.
type JoinResponse struct {
	Fleet       string   `json:"fleet"`       // the fleet's id, the CA's common name
	Certificate []byte   `json:"certificate"` // PEM
	CA          []byte   `json:"ca"`          // PEM, one or more roots
	SigningKey  []byte   `json:"signingKey"`  // ed25519 public key that signs agent binaries
	Link        []string `json:"link"`        // addresses host:port to dial, in order
}

// RenewRequest asks over the link's own identity for a new certificate.
type RenewRequest struct {
	CSR []byte `json:"csr"`
}

// RenewResponse is the new certificate, and the roots to trust from now on.
type RenewResponse struct {
	Certificate []byte `json:"certificate"`
	CA          []byte `json:"ca"`
}
