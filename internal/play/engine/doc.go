// Package engine is the Ansible language: inventory, variables, plays and
// strategies. It reads a project (playbooks, roles, group_vars …) from a
// folder or a bundle, checks it before any host is touched, and runs it over
// connections that the caller hands in. No server is in it, so that the CLI,
// the server and the agent drive the same interpreter.
//
// The flow of a run:
//
//	LoadInventory ─► Inventory ─┐
//	LoadProject   ─► Project ───┼─► Check ─► Run ─► Events … Recap
//	Connector ──────────────────┘
//
// Words: a Play is a list of tasks for hosts that a pattern names; a task
// names an action. Most actions are modules, which run on the host by
// Conn.Run; a few (set_fact, debug, include_tasks …) are the engine's own.
//
// Invariants: variables are kept as they were written and templated when they
// are read; what a host reported is never templated. State of a run is
// changed by one goroutine only, the run's own; workers hand back outcomes.
package engine
