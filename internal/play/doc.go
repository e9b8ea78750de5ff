// Package play is the room of configuration as code: it turns the fleet
// repository's playbooks into what each host runs by itself, and runs commands
// and playbooks now.
//
// Nouns: a bundle is the blob that holds everything a play needs: playbooks,
// roles, files; equal content is an equal blob. A slice is one host's part of
// the inventory. A section is a playbook, a bundle and a slice. A run is one
// command on many hosts, now. A play through agents is a playbook that the
// server interprets while the agents are its hands.
//
// Compile is pure: a tree in, sections out. Runs and plays are the exception to
// "be this": each job has an id, a deadline and runs once.
//
// The room's subfolders hold the language (engine, jinja, yaml, value, filter),
// the modules and the hands on a host; they know nothing of this package.
package play
