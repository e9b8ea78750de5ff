// Package all is the one list of rooms, and says who needs whom: rooms do not
// know each other, so what one makes for another is handed over here.
package all

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"drover/internal/domain"
	"drover/internal/fleet"
	"drover/internal/observe"
	"drover/internal/play"
	"drover/internal/play/engine"
)

// Rooms are all rooms, for server.Config. agents are agent programs to serve;
// those that are not there are left out.
func Rooms(agents ...fleet.AgentBinary) []domain.Room {
	return []domain.Room{
		fleet.Room(fleet.Options{
			Compilers: []domain.Compiler{play.Compiler()},
			Inventory: readInventory,
			Agents:    agents,
		}),
		play.Room(),
		observe.Room(observe.Options{}),
	}
}

// Agents are the agent programs beside this one: drover-agent for this
// platform, and drover-agent-OS-ARCH for others.
func Agents() []fleet.AgentBinary {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	beside := func(name string) string { return filepath.Join(filepath.Dir(self), name) }
	out := []fleet.AgentBinary{{OS: runtime.GOOS, Arch: runtime.GOARCH, Path: beside("drover-agent")}}
	for _, arch := range []string{"amd64", "arm64", "arm", "386", "riscv64"} {
		if arch != runtime.GOARCH {
			out = append(out, fleet.AgentBinary{OS: "linux", Arch: arch, Path: beside("drover-agent-linux-" + arch)})
		}
	}
	return out
}

// inventory is the engine's inventory as the fleet asks it.
type inventory struct{ *engine.Inventory }

func (i inventory) Groups(host string) []string { return i.GroupsOf(host) }

func readInventory(tree fs.FS) (fleet.Inventory, error) {
	inv, err := play.ReadInventory(tree)
	if err != nil {
		return nil, err
	}
	return inventory{inv}, nil
}
