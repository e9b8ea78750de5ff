package facts

import (
	"os"
	"slices"
	"strings"
)

// virtual finds what the machine runs on and what runs on it.
func (g *gathering) virtual() {
	v := &virtuality{typ: "NA", role: "NA"}
	g.containers(v)
	g.hypervisors(v)
	g.asHost(v)
	g.out["virtualization_type"], g.out["virtualization_role"] = v.typ, v.role
	slices.Sort(v.guest)
	slices.Sort(v.host)
	g.out["virtualization_tech_guest"] = anyList(slices.Compact(v.guest))
	g.out["virtualization_tech_host"] = anyList(slices.Compact(v.host))
}

// virtuality collects signs; the first that is found decides type and role.
type virtuality struct {
	typ, role   string
	guest, host []string
}

func (v *virtuality) add(role, typ string, tech ...string) {
	if v.typ == "NA" {
		v.typ, v.role = typ, role
	}
	if role == "guest" {
		v.guest = append(append(v.guest, typ), tech...)
	} else {
		v.host = append(append(v.host, typ), tech...)
	}
}

func (g *gathering) containers(v *virtuality) {
	var env []string
	if b, err := os.ReadFile(g.path("/proc/1/environ")); err == nil {
		env = strings.Split(string(b), "\x00")
	}
	cgroup := g.read("/proc/self/cgroup") + "\n" + g.read("/proc/1/cgroup")
	switch {
	case g.exists("/.dockerenv"), g.exists("/.dockerinit"), strings.Contains(cgroup, "/docker/"), strings.Contains(cgroup, "/docker-"):
		v.add("guest", "docker", "container")
	case slices.Contains(env, "container=podman"), g.exists("/run/.containerenv"):
		v.add("guest", "podman", "container")
	case strings.Contains(cgroup, "/lxc/"), slices.Contains(env, "container=lxc"):
		v.add("guest", "lxc", "container")
	}
	if g.exists("/proc/vz") {
		if g.exists("/proc/bc") {
			v.add("host", "openvz")
		} else {
			v.add("guest", "openvz", "container")
		}
	}
	if name := g.read("/run/systemd/container"); name != "" && !slices.Contains(v.guest, "container") {
		v.guest = append(v.guest, name)
		v.add("guest", "container")
	}
	for _, e := range env {
		if strings.HasPrefix(e, "container=") && !slices.Contains(v.guest, "container") {
			v.add("guest", "container")
		}
	}
}

func (g *gathering) hypervisors(v *virtuality) {
	if g.exists("/proc/xen") {
		if strings.Contains(g.read("/proc/xen/capabilities"), "control_d") {
			v.add("host", "xen")
		} else {
			v.add("guest", "xen")
		}
	}
	id := func(f string) string { return g.read("/sys/devices/virtual/dmi/id/" + f) }
	product, vendor, family, bios := id("product_name"), id("sys_vendor"), id("product_family"), id("bios_vendor")
	has := func(s string, any ...string) bool {
		return slices.ContainsFunc(any, func(x string) bool { return strings.Contains(s, x) })
	}
	switch {
	case product == "AHV":
		v.add("guest", "AHV", "kvm")
	case has(product, "RHEV Hypervisor", "oVirt"), family == "RHV":
		v.add("guest", "RHEV", "kvm")
	case has(product, "VMware Virtual Platform", "VMware7,1", "VMware20,1"):
		v.add("guest", "VMware")
	case has(product, "OpenStack Compute", "OpenStack Nova"):
		v.add("guest", "openstack", "kvm")
	case bios == "Xen":
		v.add("guest", "xen")
	case bios == "innotek GmbH":
		v.add("guest", "virtualbox")
	case bios == "Amazon EC2", bios == "DigitalOcean", bios == "Hetzner":
		v.add("guest", "kvm")
	case bios == "Parallels Software International Inc.", vendor == "Parallels Software International Inc.":
		v.add("guest", "parallels")
	case vendor == "Microsoft Corporation" && product == "Virtual Machine":
		v.add("guest", "VirtualPC")
	case has(product, "KVM", "Standard PC", "Google Compute Engine", "Bochs", "AltiVec", "HVM domU"), slices.Contains([]string{"QEMU", "Amazon EC2", "DigitalOcean", "Google", "Hetzner", "KubeVirt", "Nutanix", "oVirt", "linode", "Apple Virtualization"}, vendor) && vendor != "oVirt":
		v.add("guest", "kvm")
	case has(vendor, "OpenStack Foundation"):
		v.add("guest", "openstack", "kvm")
	default:
		for line := range strings.Lines(g.read("/proc/cpuinfo")) {
			k, val, _ := strings.Cut(line, ":")
			k = strings.TrimSpace(k)
			if (k == "model name" || k == "vendor_id" || k == "cpu") && strings.Contains(val, "QEMU") {
				v.add("guest", "kvm")
				return
			}
			if strings.Contains(val, "User Mode Linux") {
				v.add("guest", "uml")
				return
			}
		}
	}
}

// asHost finds the hypervisors whose modules are loaded.
func (g *gathering) asHost(v *virtuality) {
	modules := map[string]bool{}
	for line := range strings.Lines(g.read("/proc/modules")) {
		name, _, _ := strings.Cut(line, " ")
		modules[name] = true
	}
	if modules["kvm"] {
		if modules["vdsm"] || g.exists("/etc/vdsm") {
			v.add("host", "RHEV")
		} else {
			v.add("host", "kvm")
		}
	}
	if modules["vboxdrv"] {
		v.add("host", "virtualbox")
	}
	if modules["virtio"] && v.typ == "NA" {
		v.add("guest", "kvm")
	}
}
