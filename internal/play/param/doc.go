// Package param knows parameters the way Ansible does: tables of names, aliases,
// types and choices, what is wrong with a task's arguments and what was probably
// meant, how a value becomes the type that is wanted, and how the free text of a task
// is split into words.
package param
