// Package fleet is the room of hosts and of what they should be.
//
// Nouns: a Host is one enrolled server. The fleet repository is a bare Git
// repository in the data folder; a Revision is a commit of its main branch
// that was checked. An Assignment is everything one host should be: the
// sections that compilers made for it from the active revision.
//
// Flow of a push: objects land in a quarantine → the tree is checked and
// compiled in memory → the plan is printed → the objects move into the
// repository → refs/heads/main moves, and that one step is the acceptance →
// the assign loop, which compares main with the active revision and every
// assignment with what it should be, writes what differs and sends it. A crash
// between any two steps leaves either nothing or work that the loop finishes.
//
// Flow of a report: an event in the journal (which knows each report's id once)
// → the host's status → the acknowledgement, so that a report is neither lost
// nor counted twice.
//
// Invariants: what a host is told is "be this", never "do that"; connection
// state lives in memory and is never stored; a host reads its own assignment
// and blobs only; a host that was deleted is refused at once.
//
// The room never reads what a section means and never runs a playbook: the
// compilers it is given do the first, the hosts the second.
package fleet
