// Package filter gives a Jinja environment what Ansible adds to it: filters,
// tests, lookups and the globals lookup, query, q, now and undef.
package filter

import (
	"context"
	"io/fs"
	"time"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// Options are what filters and lookups need from outside. They are the whole
// of what templates can reach: the zero value reads no file, no environment,
// runs nothing and writes nothing, and says so when a template asks. Machine
// gives what a machine has, for whoever runs their own playbooks on it.
type Options struct {
	Now func() time.Time // default time.Now
	// ReadFile, Stat and ReadDir read the controller's files. Paths arrive as
	// Find returned them.
	ReadFile func(path string) ([]byte, error)
	Stat     func(path string, follow bool) (fs.FileInfo, error)
	ReadDir  func(dir string) ([]fs.DirEntry, error)
	// Readlink tells where a symbolic link leads.
	Readlink func(path string) (string, error)
	// Find resolves a file name of a lookup as Ansible's search path does:
	// kind is the folder it also looks into ("files", "templates", "vars").
	// It returns the path, or false and the places that were tried.
	// Default: the name itself, if Stat knows it.
	Find func(c *jinja.Call, kind, name string) (path string, tried []string, ok bool)
	// Getenv reads the controller's environment.
	Getenv func(name string) (string, bool)
	// WriteFile keeps a new password.
	WriteFile func(path string, data []byte) error
	// Run runs a command line for the pipe lookup and returns its output.
	Run func(ctx context.Context, command string) (stdout []byte, err error)
	// Fetch is the url lookup's GET.
	Fetch func(ctx context.Context, r Request) (body []byte, err error)
	// Decrypt opens vaulted text, for unvault and the vault filters.
	Decrypt func(text []byte) ([]byte, error)
	// Encrypt makes vaulted text.
	Encrypt func(plain []byte, secret, id string) ([]byte, error)
	// Hosts expands a host pattern, for inventory_hostnames.
	Hosts func(c *jinja.Call, pattern string) ([]string, error)
	// Warn is told of lookup errors that a template lets pass.
	Warn func(message string)
	// Lookups are further lookups by name, or replacements of ours.
	Lookups map[string]Lookup
}

// Request is what the url lookup asks for.
type Request struct {
	URL, Method, Username, Password string
	Headers                         map[string]string
	Body                            []byte
	Timeout                         time.Duration
	SkipVerify                      bool
}

// Lookup is one lookup: it takes its terms and options and returns a list.
type Lookup func(c *LookupCall) ([]value.Value, error)

// LookupCall is one call of a lookup.
type LookupCall struct {
	*jinja.Call
	Terms   []value.Value
	Kwargs  *value.Dict // its options; wantlist and errors are already taken out
	Options *Options
	Loop    bool // called for with_NAME
	set     *set
}
