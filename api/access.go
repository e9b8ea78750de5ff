package api

import "time"

// Role is what a signed-in person or program may do.
type Role string

// The roles, each allowed all that the next one is.
const (
	RoleAdmin    Role = "admin"    // people, tokens, settings
	RoleOperator Role = "operator" // push, run, play, enrol
	RoleViewer   Role = "viewer"   // read
)

// Allows reports whether r may do what needs role want.
func (r Role) Allows(want Role) bool { return rank(r) >= rank(want) && rank(want) > 0 }

func rank(r Role) int {
	switch r {
	case RoleAdmin:
		return 3
	case RoleOperator:
		return 2
	case RoleViewer:
		return 1
	}
	return 0
}

// Person is somebody who signs in with a password. Its name is the sign-in name.
type Person struct {
	Meta
	Spec PersonSpec `json:"spec"`
}

// PersonSpec says who it is.
type PersonSpec struct {
	FullName string `json:"fullName,omitempty"`
	Role     Role   `json:"role"`
	Disabled bool   `json:"disabled,omitempty"`
}

// Validate checks name and role.
func (p *Person) Validate() error {
	if err := ValidName(p.Name); err != nil {
		return err
	}
	return validRole(p.Spec.Role)
}

func validRole(r Role) error {
	if rank(r) > 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Field: "spec.role", Message: "unknown role " + string(r), Remedy: "use admin, operator or viewer"}
}

// Columns of the table of people.
func (*Person) Columns() []Column {
	return []Column{{Head: "NAME", Path: "name"}, {Head: "ROLE", Path: "spec.role"}, {Head: "FULL NAME", Path: "spec.fullName"}, {Head: "DISABLED", Path: "spec.disabled"}}
}

// Token lets a program or a signed-in CLI act. The secret is shown once, when it is made.
type Token struct {
	Meta
	Spec   TokenSpec   `json:"spec"`
	Status TokenStatus `json:"status"`
}

// TokenSpec says what the token is for.
type TokenSpec struct {
	Person  string    `json:"person,omitempty"` // whose it is; empty for a program's
	Role    Role      `json:"role"`
	Expires time.Time `json:"expires,omitzero"`
	Note    string    `json:"note,omitempty"`
	// Join marks a token that enrols one host and is then used up; Host, if
	// set, is the only name it may enrol.
	Join bool   `json:"join,omitempty"`
	Host string `json:"host,omitempty"`
	// SignIn marks the token of a program that somebody signed in with a
	// password; only the server sets it. It ends with the person's sessions.
	SignIn bool `json:"signIn,omitempty"`
}

// TokenStatus says what became of it.
type TokenStatus struct {
	Used   time.Time `json:"used,omitzero"` // last use, to the minute; for a join token the use
	UsedBy string    `json:"usedBy,omitempty"`
}

// Validate checks name and role; a join token has no role.
func (t *Token) Validate() error {
	if err := ValidName(t.Name); err != nil || t.Spec.Join {
		return err
	}
	return validRole(t.Spec.Role)
}

// Columns of the token table.
func (*Token) Columns() []Column {
	return []Column{{Head: "NAME", Path: "name"}, {Head: "PERSON", Path: "spec.person"}, {Head: "ROLE", Path: "spec.role"},
		{Head: "JOIN", Path: "spec.join"}, {Head: "HOST", Path: "spec.host"}, {Head: "EXPIRES", Path: "spec.expires"},
		{Head: "USED", Path: "status.used"}, {Head: "USED BY", Path: "status.usedBy"}, {Head: "NOTE", Path: "spec.note"}}
}

// Me is who a request's credential is: GET /v1/whoami.
type Me struct {
	Actor    string    `json:"actor"`              // as the audit names who it is
	Person   string    `json:"person,omitempty"`   // left out for a program's token
	FullName string    `json:"fullName,omitempty"` // of the person
	Token    string    `json:"token,omitempty"`    // name of the token that was shown
	Session  string    `json:"session,omitempty"`  // id of the session that was shown
	Role     Role      `json:"role"`
	Expires  time.Time `json:"expires,omitzero"` // when the credential ends; left out for one that does not
	Fleet    string    `json:"fleet"`            // the fleet's id
	Version  string    `json:"version"`          // of the server
	Time     time.Time `json:"time"`             // on the server
}

// Kinds of sessions.
const (
	SessionBrowser = "browser" // a cookie
	SessionToken   = "token"   // of a program that somebody signed in, such as `drover login`
)

// Session is something that a person has signed in with and that still works.
type Session struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // browser or token
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Used    time.Time `json:"used,omitzero"`    // last use, to some minutes
	Remote  string    `json:"remote,omitempty"` // address that it was made from
	Note    string    `json:"note,omitempty"`   // what the browser said it is, or what the token is for
	Current bool      `json:"current"`          // the one that the request showed
}

// SessionList is the answer to GET /v1/sessions: one's own, the newest first.
type SessionList struct {
	Items []Session `json:"items"`
}

// AuditEntry is one line of the audit: a mutation, who did it, and the chain.
type AuditEntry struct {
	Seq    int64     `json:"seq"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`            // person, token or "host/NAME"
	Action string    `json:"action"`           // "POST /v1/hosts", "git.push", "host.join" …
	Object string    `json:"object,omitempty"` // "host/web-1"
	Result string    `json:"result"`           // ok, or the error's code
	Remote string    `json:"remote,omitempty"` // address it came from
	Detail string    `json:"detail,omitempty"`
	Prev   string    `json:"prev"` // hash of the entry before
	Hash   string    `json:"hash"` // SHA-256 over this entry without Hash
}
