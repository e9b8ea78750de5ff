package engine

import (
	"context"
	"io"
	"time"

	"drover/api"
	"drover/internal/play/module"
)

// Conn is an open session on one host.
type Conn interface {
	// Run executes one module. An error means that the host did not answer
	// (it is then unreachable); a module's own failure is in the result.
	Run(ctx context.Context, req *module.Request) (*module.Result, error)
	Close() error
}

// Connector opens sessions. The engine asks once for each target of a run.
type Connector interface {
	Connect(ctx context.Context, t Target) (Conn, error)
}

// Target says how to reach a host, from its variables and the run's options.
type Target struct {
	Host       string // inventory name
	Address    string // ansible_host, or the name
	Port       int    // ansible_port; 0 is the connection's default
	User       string // ansible_user, remote_user; "" is the connection's default
	Password   string // ansible_password
	KeyFile    string // ansible_ssh_private_key_file
	Connection string // ssh, local, agent …
	SSHArgs    string // ansible_ssh_common_args and ansible_ssh_extra_args
	// HostKeyChecking is false when the configuration turns it off.
	HostKeyChecking bool
	Timeout         time.Duration
	Become          Become
	// Vars are the host's connection variables (ansible_*), templated.
	Vars map[string]any
	// Open gives the content of a Source that a request names by hash only.
	Open func(sha256 string) (io.ReadCloser, error)
}

// Become says as whom tasks run.
type Become struct {
	Enabled  bool
	Method   string // sudo, su …
	User     string // root if empty
	Password string
	Flags    string
	Exe      string
}

// Options says how to run a project.
type Options struct {
	Connector Connector
	Events    func(Event) // called from one goroutine at a time; may be nil

	Limit     string   // host pattern; "@file" is read by the caller's Files
	Tags      []string // as --tags
	SkipTags  []string
	Check     bool
	Diff      bool
	ExtraVars map[string]any // Go or value.Value values; win over everything
	Forks     int            // hosts at a time; 5 if zero

	User         string // -u
	PrivateKey   string // --private-key
	Password     string // -k
	Connection   string // -c
	Timeout      time.Duration
	SSHArgs      string // --ssh-common-args
	Become       Become // -b, --become-user, --become-method, -K
	StartAt      string // --start-at-task
	Step         func(task string) StepAnswer
	NoHostKeys   bool // host_key_checking = False
	ForceHandler bool // --force-handlers
	Gathering    string
	Verbosity    int

	// Facts keeps facts between runs; nil keeps them for the run.
	Facts FactCache
	// FlushCache forgets the facts kept by Facts first.
	FlushCache bool
	// Prompt asks a person: vars_prompt and pause. Nil takes defaults.
	Prompt func(ctx context.Context, p Prompt) (string, error)
	// BrokenConditionals accepts conditions that are not boolean, as
	// ansible-core before 2.19 did.
	BrokenConditionals bool
	// Env is the environment that lookup('env') sees; nil is none.
	Env map[string]string
	// Notified are the handlers that an earlier run notified and did not run:
	// they run in this one, whether or not a task notifies them again.
	Notified []Notice
	// Owed is told, in Run's goroutine and before the run goes on, of all
	// handlers that are notified but have not run, whenever that changes. What
	// is left when the run ends is for Notified of the next. Not in check mode.
	Owed func([]Notice)
	// MaxFailPercentage etc. come from plays. Only is the host whose tasks
	// are wanted when an agent runs its own slice of the inventory.
	Only string
	Now  func() time.Time
}

// StepAnswer answers --step.
type StepAnswer int

// Answers to --step.
const (
	StepYes StepAnswer = iota
	StepNo
	StepContinue
)

// Prompt is a question to a person.
type Prompt struct {
	Text    string
	Private bool
	Confirm bool
	Default string
	Seconds int // pause: go on after this long; 0 waits for an answer
}

// FactCache keeps facts between runs.
type FactCache interface {
	Load(host string) map[string]any
	Save(host string, facts map[string]any)
	Flush()
}

// EventKind says what an Event is.
type EventKind string

// Kinds of events.
const (
	EventPlay        EventKind = "play"    // Play starts
	EventNoHosts     EventKind = "nohosts" // Play has no hosts: Message says why
	EventTask        EventKind = "task"    // Task starts
	EventHandler     EventKind = "handler" // Task is a handler
	EventCleanup     EventKind = "cleanup"
	EventItem        EventKind = "item"   // one loop item's Result on Host
	EventResult      EventKind = "result" // Result of the task on Host
	EventRetry       EventKind = "retry"  // an until task failed and is tried again
	EventInclude     EventKind = "include"
	EventWarning     EventKind = "warning" // Message
	EventDeprecation EventKind = "deprecated"
	EventPlayEnd     EventKind = "playend"
	EventStats       EventKind = "stats" // Stats of set_stats at the end
)

// Event is one thing that happened in a run, in order.
type Event struct {
	Kind      EventKind
	Play      string
	Task      string
	Action    string
	Host      string
	Delegated string // host the task was delegated to
	Hosts     []string
	Message   string
	Result    *api.TaskResult
	Ignored   bool // the failure is ignored (ignore_errors, rescue is not)
	Verbose   bool // debug and friends: show the result even without -v
	Loop      bool // Result is of a task with a loop: its items were shown
	NoLog     bool
	Attempts  int // of a retry: tries left
	Handler   bool
	Place     *api.Place
	Stats     map[string]any
	Time      time.Time
}

// HostStats counts one host's results.
type HostStats struct {
	OK          int `json:"ok"`
	Changed     int `json:"changed"`
	Unreachable int `json:"unreachable"`
	Failed      int `json:"failed"`
	Skipped     int `json:"skipped"`
	Rescued     int `json:"rescued"`
	Ignored     int `json:"ignored"`
}

// Recap is what became of a run.
type Recap struct {
	Hosts  map[string]*HostStats
	Order  []string // hosts in order of their first play
	Custom map[string]any
	Facts  map[string]map[string]any // facts learned, by host, without prefix
	Fatal  bool                      // a play was aborted for reasons other than failed hosts
}

// Exit codes of ansible-playbook.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitFailed      = 2
	ExitUnreachable = 4
	ExitOptions     = 5
)

// Exit is the exit code ansible-playbook would end with.
func (r *Recap) Exit() int {
	code := ExitOK
	for _, s := range r.Hosts {
		switch {
		case s.Failed > 0:
			return ExitFailed
		case s.Unreachable > 0:
			code = ExitUnreachable
		}
	}
	return code
}

// Version is the ansible-core whose language this is.
const Version = "2.19.11"
