// Package machine is the host below a module: paths (a folder of a test may stand for
// "/"), accounts, commands, and the ways to change a file so that a kill at any
// moment leaves the old or the new: staging, renaming, attributes, links.
package machine
