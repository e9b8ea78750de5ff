// Package version says which Drover this is.
package version

// Version is set by the build; "dev" where it was not.
var Version = "dev"
