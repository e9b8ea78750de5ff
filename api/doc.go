// Package api holds the data that Drover's parts exchange: the objects people
// declare and read, the messages between server and agents, and the errors
// both ends understand. It is plain data over the standard library, one file
// per room; behaviour lives in the rooms.
package api
