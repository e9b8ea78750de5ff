package api

import "embed"

// Source is this package's own Go files. The server reads the comments of the
// types and fields from them, so that the API's reference says what they say.
//
//go:embed *.go
var Source embed.FS
