package api

import "time"

// ServerInfo is what there is to know of a server: GET /v1/server.
type ServerInfo struct {
	Version       string        `json:"version"`
	Fleet         string        `json:"fleet"` // the fleet's id
	Started       time.Time     `json:"started"`
	Time          time.Time     `json:"time"`                 // on the server, now
	API           string        `json:"api"`                  // URL of the API and the console
	Link          []string      `json:"link"`                 // addresses HOST:PORT that agents are told to dial
	DataDir       string        `json:"dataDir"`              // of all that the server keeps
	DiskFree      int64         `json:"diskFree"`             // bytes that the server may still use of the data directory's file system
	DiskTotal     int64         `json:"diskTotal"`            // bytes of that file system
	StoreEngine   string        `json:"storeEngine"`          // what the store is kept by
	StoreBytes    int64         `json:"storeBytes"`           // bytes of the store; 0 where it cannot tell
	StoreQuota    int64         `json:"storeQuota,omitempty"` // bytes that it may have
	JournalEvents int64         `json:"journalEvents"`        // events so far; the oldest are not kept
	Agents        int           `json:"agents"`               // on the line now
	Problems      []string      `json:"problems"`             // what needs somebody; empty: nothing does
	Certificates  []Certificate `json:"certificates"`
}

// Certificate is one that a server uses.
type Certificate struct {
	Name        string    `json:"name"` // what it is for: "fleet CA", "API and agents' door" …
	Subject     string    `json:"subject"`
	Expires     time.Time `json:"expires"`
	Fingerprint string    `json:"fingerprint"` // sha256:HEX of the certificate, as browsers show it
	Renewed     bool      `json:"renewed"`     // the server renews it by itself
}

// ObjectHistory is who changed one object: GET /v1/PLURAL/NAME/history.
type ObjectHistory struct {
	Items []ObjectChange `json:"items"` // the newest first
}

// ObjectChange is one change of an object, or one that was refused, as the
// audit has it.
type ObjectChange struct {
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`  // person, token or "host/NAME"
	Action string    `json:"action"` // "PATCH /v1/hosts/web-1"
	Result string    `json:"result"` // ok, or the error's code
	Detail string    `json:"detail,omitempty"`
}
