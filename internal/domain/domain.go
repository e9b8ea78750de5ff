// Package domain is the contract that a room hands over: its kinds, compilers,
// loops and routes, as data. The server puts them behind one door and gives
// every kind its API, watch, access check, audit and CLI. The package also
// holds what a room's handlers need at that door: who is asking, strict
// decoding, JSON answers and event streams. It knows no room and no server.
package domain

import (
	"context"
	"io/fs"
	"net/http"

	"drover/api"
)

// Domain is everything one room brings.
type Domain struct {
	Name      string // "fleet", "play"
	Doc       string // one sentence, shown in the API's reference
	Kinds     []Kind
	Compilers []Compiler
	Loops     []Loop
	Routes    []Route
	Link      *Link // nil: nothing on the line to the hosts
	// Problems says what keeps the room from its work, for /healthz; it may be nil.
	Problems func() []string
}

// Kind is one kind of stored object. The generic API under /v1/PLURAL, its
// watch and its table come with it.
type Kind struct {
	Name   string // lower case, singular: "host"
	Plural string // "hosts"
	Short  []string
	Doc    string // what it is, in a sentence or two

	New     func() api.Object // an empty object of the kind
	Columns []api.Column      // nil: the Columns method of New's type

	Read  Access // get, list and watch
	Write Access // create, replace, patch and delete
	// ReadOnly marks a kind that only the server writes: the generic API
	// offers no writes. The others take away one verb each.
	ReadOnly, NoCreate, NoUpdate, NoDelete bool
	// Made says how one is made where the generic API does not: a remedy.
	Made string

	// BeforeWrite checks or completes an object that somebody writes; old is
	// nil when it is created. Status has been set to the stored one before.
	BeforeWrite func(ctx context.Context, old, obj api.Object) error
	// AfterWrite follows a write that is stored: obj is nil when old was deleted.
	AfterWrite func(ctx context.Context, old, obj api.Object)
	// BeforeDelete may refuse a deletion.
	BeforeDelete func(ctx context.Context, old api.Object) error
	// Delete replaces the plain deletion, for what has more to remove with it.
	Delete func(ctx context.Context, name string) error
	// View completes an object as it is served with what is never stored, such
	// as a host's connection. It gets a copy of its own.
	View func(obj api.Object)
}

// ParamType is the JSON type of a query parameter.
type ParamType string

// The types a query parameter can have.
const (
	String  ParamType = "string"
	Integer ParamType = "integer"
	Boolean ParamType = "boolean"
)

// Param is one query parameter of a route.
type Param struct {
	Name string
	Type ParamType // String if empty
	Doc  string
}

// Route is one method and path of the API. A route with the method and path
// of a generic one (POST /v1/tokens) takes its place.
type Route struct {
	Method string // GET, POST … in upper case
	Path   string // a pattern of http.ServeMux without method: "/v1/hosts/{name}/facts"
	Access Access // a route without a rule is refused when the server is assembled
	Doc    string // first line is the summary

	Query    []Param
	Request  any // an empty value of the request's body, nil for none: JoinRequest{}
	Response any // an empty value of the answer, nil for none
	// Events are empty values of a stream's events by their names, for the
	// reference; one without a name is under "message".
	Events map[string]any

	// Stream marks an answer that goes on until somebody ends it. It is not
	// timed, and its request's context ends when the server drains.
	Stream bool
	// MaxBody is the most bytes a request may carry; 0 is 1 MiB.
	MaxBody int64
	// Basic also asks for HTTP basic authentication, the token being the
	// password: for git and other clients that know nothing else.
	Basic bool
	// Internal leaves the route out of the OpenAPI document: for protocols
	// that are described elsewhere, such as git's.
	Internal bool
	// Quiet leaves a route that changes nothing out of the audit, although its
	// method is not GET.
	Quiet bool

	// Handle answers. What it returns is sent as an api.Error; it must not
	// have written anything then.
	Handle func(w http.ResponseWriter, r *http.Request) error
}

// Loop is something that goes on while the server runs. Run returns when its
// context ends; when it returns an error before, the server starts it again
// after a while and says so.
type Loop struct {
	Name   string // "fleet.assign"
	Leader bool   // runs on one server only when there are several
	Run    func(ctx context.Context) error
}

// Compiler turns one snapshot of declared and reported state into the section
// of each host. Compile is pure: no clock, no network, no store; the same
// input gives the same output.
type Compiler struct {
	Room    string // the section's room: "play"
	Compile func(ctx context.Context, in Input) (Output, error)
}

// Input is what a compiler may read.
type Input struct {
	Commit string                    // hash of the fleet revision
	Tree   fs.FS                     // its files
	Hosts  []*api.Host               // every enrolled host, by name; shared, not to be changed
	Facts  map[string]map[string]any // facts by host
	// Changed names the hosts to compile; nil means all.
	Changed []string
}

// Output is what a compiler made. Err-free output may still have problems;
// one with Code CodeInvalid refuses the revision.
type Output struct {
	Sections map[string]api.Section // by host
	Problems []*api.Error           // each with its place in the tree
	Blobs    []Blob                 // what the sections name by hash
}

// Blob is content that a section names by its hash.
type Blob struct {
	SHA256  string
	Content []byte
}
