package api

// JoinInfo is what enrolling a host needs to know of the server: GET /v1/join.
type JoinInfo struct {
	Fleet  string        `json:"fleet"`
	URL    string        `json:"url"`              // of the API
	Link   []string      `json:"link"`             // addresses that agents dial
	Pin    string        `json:"pin"`              // names the CA: "sha256:HEX"
	APIPin string        `json:"apiPin,omitempty"` // names the API's certificate, if that is not of the CA
	CA     []byte        `json:"ca"`               // PEM
	Agents []AgentBinary `json:"agents"`
	// Script is the installer that Command runs, by the SHA-256 of what the
	// server serves at /join.sh.
	Script string `json:"script"`
	// Command is what to type on a host as root; TOKEN stands for a join token.
	Command string `json:"command"`
}

// AgentBinary is an agent program that the server serves at /agent/OS/ARCH.
type AgentBinary struct {
	OS   string `json:"os"`
	Arch string `json:"arch"` // as Go names it
	AgentOffer
}
