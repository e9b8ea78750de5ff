package engine

import (
	"io/fs"

	"drover/internal/play/inventory"
	"drover/internal/play/source"
)

// The words of a run that other packages hold, named here as well so that
// whoever runs plays needs one import.
type (
	// Inventory is the hosts and groups that plays choose from.
	Inventory = inventory.Inventory
	// InventoryOptions say what to load.
	InventoryOptions = inventory.Options
	// Slice is what one host needs of an inventory.
	Slice = inventory.Slice
	// Files is where projects and inventories are read from.
	Files = source.Files
	// Vault opens vaulted files and values.
	Vault = source.Vault
	// VaultSecret is one password of a vault.
	VaultSecret = source.VaultSecret
	// Problems are several errors in one.
	Problems = source.Problems
)

// NoPasswords is a vault that refuses whatever is vaulted.
func NoPasswords() *Vault { return source.NoPasswords() }

// LoadInventory reads inventory sources in order; later ones win.
func LoadInventory(o InventoryOptions) (*Inventory, error) { return inventory.Load(o) }

// SliceInventory loads a slice back; files are those of the bundle.
func SliceInventory(s *Slice, files Files) (*Inventory, error) { return inventory.LoadSlice(s, files) }

// OS reads this machine's files; relative names start at dir.
func OS(dir string) Files { return source.OS(dir) }

// Bundle reads a file system whose root is "/".
func Bundle(fsys fs.FS) Files { return source.Bundle(fsys) }
