// Package source reads what plays are made of: files of a folder or a bundle,
// YAML with its places, files of variables, vaults. What is wrong is told as
// *api.Error with the place and, where it can be, what was probably meant.
package source
