package module

import (
	"fmt"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/param"
)

// modules is the one list of what Drover runs on hosts, by short name.
var modules = byName([]*Module{
	// run things
	pingModule, commandModule, shellModule, rawModule, scriptModule,
	// files
	copyModule, templateModule, fileModule, statModule, lineinfileModule, blockinfileModule, replaceModule, slurpModule, tempfileModule, findModule,
	// the system and the net
	cronModule, sysctlModule, getURLModule, uriModule, authorizedKeyModule, assembleModule, unarchiveModule,
	// the system
	setupModule, userModule, groupModule, systemdModule, serviceModule,
	aptModule, packageModule, packageFactsModule, serviceFactsModule, getentModule, waitForModule, aptRepositoryModule, deb822Module,
})

// collections that a full name may carry, each with the modules it has here;
// ansible.builtin and ansible.legacy answer to every name.
var collections = map[string][]string{
	"ansible.posix":     {"sysctl", "authorized_key", "mount", "synchronize", "acl", "selinux"},
	"community.general": {"ufw", "modprobe", "ini_file", "timezone", "locale_gen", "alternatives"},
}

func byName(list []*Module) map[string]*Module {
	out := make(map[string]*Module, len(list))
	for _, m := range list {
		if out[m.Name] != nil {
			panic("module listed twice: " + m.Name)
		}
		out[m.Name] = m
	}
	return out
}

// Lookup finds a module by its short or its full name.
func Lookup(name string) (*Module, bool) {
	short := name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		c := name[:i]
		short = name[i+1:]
		if c != "ansible.builtin" && c != "ansible.legacy" && !slices.Contains(collections[c], short) {
			return nil, false
		}
	}
	if short == "systemd_service" {
		short = "systemd"
	}
	m, ok := modules[short]
	return m, ok
}

// Names are the short names of all modules, sorted.
func Names() []string {
	out := make([]string, 0, len(modules))
	for n := range modules {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func unknownModule(name string) *api.Error {
	e := &api.Error{Code: api.CodeInvalid, Field: "module", Message: fmt.Sprintf("couldn't resolve module/action '%s'", name)}
	short := name[strings.LastIndexByte(name, '.')+1:]
	if g := param.Nearest(short, Names()); g != "" {
		e.Remedy = fmt.Sprintf("did you mean %q?", g)
	}
	return e
}
