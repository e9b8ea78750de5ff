package domain

import "drover/api"

// Access is the rule of a route or kind: who may use it. Its zero value is no
// rule, which the server refuses, so that a forgotten rule cannot open a door.
type Access struct {
	kind accessKind
	role api.Role
	why  string
}

type accessKind uint8

const (
	accessNone accessKind = iota
	accessRole
	accessSignedIn
	accessPublic
	accessJoin
)

// Admin lets administrators in.
func Admin() Access { return Access{kind: accessRole, role: api.RoleAdmin} }

// Operator lets operators and administrators in.
func Operator() Access { return Access{kind: accessRole, role: api.RoleOperator} }

// Viewer lets everybody in who has a role.
func Viewer() Access { return Access{kind: accessRole, role: api.RoleViewer} }

// SignedIn lets in everybody who is signed in, for what is their own.
func SignedIn() Access { return Access{kind: accessSignedIn} }

// Public lets everybody in; why must say why that is safe.
func Public(why string) Access { return Access{kind: accessPublic, why: why} }

// JoinToken lets in who shows a join token as bearer. The handler itself
// spends the token: spending is what checks it, once.
func JoinToken() Access {
	return Access{kind: accessJoin, why: "the join token is checked and spent by the handler"}
}

// IsZero reports whether a is no rule at all.
func (a Access) IsZero() bool {
	return a.kind == accessNone || a.kind == accessRole && !a.role.Allows(a.role) || a.kind == accessPublic && a.why == ""
}

// NeedsIdentity reports whether somebody must be signed in.
func (a Access) NeedsIdentity() bool { return a.kind == accessRole || a.kind == accessSignedIn }

// Role is the least role that gets in, empty where the rule is another one.
func (a Access) Role() api.Role { return a.role }

// String names the rule as the API's reference shows it.
func (a Access) String() string {
	switch a.kind {
	case accessRole:
		return string(a.role)
	case accessSignedIn:
		return "signed-in"
	case accessPublic:
		return "public"
	case accessJoin:
		return "join-token"
	}
	return "none"
}

// Why says why a rule that needs no identity is safe.
func (a Access) Why() string { return a.why }

// Check decides for somebody who is signed in; who is nil for nobody.
func (a Access) Check(who *Identity) error {
	switch a.kind {
	case accessPublic, accessJoin:
		return nil
	case accessRole, accessSignedIn:
		if who == nil {
			return api.Errorf(api.CodeUnauthorized, "nobody is signed in").
				WithRemedy("sign in by `drover login`, or send a token as `Authorization: Bearer TOKEN`")
		}
		if a.kind == accessRole && !who.Role.Allows(a.role) {
			return api.Errorf(api.CodeForbidden, "%s has the role %s; this needs %s", who.Actor, who.Role, a.role).
				WithRemedy("ask an administrator for the role %s", a.role)
		}
		return nil
	}
	return api.Errorf(api.CodeForbidden, "there is no access rule here, so nobody may use it")
}
