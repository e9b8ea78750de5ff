// Package module holds what Drover does on a host: one file for each module of
// Ansible's that Drover knows, over a small frame of arguments, file
// attributes and results.
//
// A module is a [Module]: a table of parameters and a Run function. The
// interpreter sends a [Request]; [Run] looks the module up, checks and converts
// the arguments, runs it and turns a panic into a failed [Result].
//
// What every module keeps to:
//   - check mode changes nothing and answers as the real run would;
//   - a second run of the same request changes nothing;
//   - a file is replaced in one step (temporary file in the same folder, fsync,
//     rename), so that a kill at any moment leaves the old or the new content;
//   - parameters and return keys carry Ansible's names and meaning;
//   - each thing changed is also told as a typed [api.Change].
//
// Everything a module touches goes through its [Host], so that a test gives it
// a root folder of its own and no real machine is changed.
package module
