package facts

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Address is one address of an interface.
type Address struct {
	Interface string
	Prefix    netip.Prefix
	Broadcast string
	Label     string // "eth0:1", the alias it is shown under
	Scope     string // global, site, link, host
}

// Routes are the default ways out.
type Routes struct{ V4, V6 Route }

// Route is the way to the outside.
type Route struct{ Interface, Gateway, Source string }

func (g *gathering) network() {
	var addrs []Address
	var routes Routes
	if g.h.Addresses != nil {
		addrs, routes = g.h.Addresses()
	} else if g.real() {
		addrs, routes = kernelAddresses()
	}
	names := g.list("/sys/class/net")
	faces := map[string]map[string]any{}
	list := []any{}
	for _, n := range names {
		if st, err := os.Stat(g.path("/sys/class/net/" + n)); err != nil || !st.IsDir() {
			continue // bonding_masters is a file
		}
		faces[n] = g.linkFacts(n)
		list = append(list, n)
	}
	v4, v6 := []any{}, []any{}
	for _, a := range addrs {
		ip := a.Prefix.Addr()
		text := ip.String()
		f := faces[a.Interface]
		if f == nil {
			f = map[string]any{"device": a.Interface}
			faces[a.Interface] = f
			list = append(list, a.Interface)
		}
		if ip.Is4() {
			one := ipv4Facts(a)
			if f["ipv4"] == nil {
				f["ipv4"] = one
			} else {
				more, _ := f["ipv4_secondaries"].([]any)
				f["ipv4_secondaries"] = append(more, one)
			}
			if label := a.Label; label != "" && label != a.Interface {
				alias := map[string]any{"ipv4": one}
				faces[label] = alias
				list = append(list, label)
			}
			if !ip.IsLoopback() {
				v4 = append(v4, text)
			}
			continue
		}
		more, _ := f["ipv6"].([]any)
		f["ipv6"] = append(more, map[string]any{"address": text, "prefix": strconv.Itoa(a.Prefix.Bits()), "scope": a.Scope})
		if !ip.IsLoopback() {
			v6 = append(v6, text)
		}
	}
	for n, f := range faces {
		g.out[strings.NewReplacer("-", "_", ":", "_", ".", "_").Replace(n)] = f
	}
	g.out["interfaces"], g.out["all_ipv4_addresses"], g.out["all_ipv6_addresses"] = list, v4, v6
	g.out["default_ipv4"] = defaultFacts(routes.V4, faces, addrs)
	g.out["default_ipv6"] = defaultFacts(routes.V6, faces, addrs)
}

func ipv4Facts(a Address) map[string]any {
	mask := net.CIDRMask(a.Prefix.Bits(), 32)
	return map[string]any{"address": a.Prefix.Addr().String(), "broadcast": a.Broadcast, "netmask": net.IP(mask).String(),
		"network": a.Prefix.Masked().Addr().String(), "prefix": strconv.Itoa(a.Prefix.Bits())}
}

func defaultFacts(r Route, faces map[string]map[string]any, addrs []Address) map[string]any {
	out := map[string]any{}
	if r.Interface == "" || r.Gateway == "" {
		return out
	}
	out["interface"], out["gateway"], out["address"] = r.Interface, r.Gateway, r.Source
	if f := faces[r.Interface]; f != nil {
		out["mtu"], out["type"] = f["mtu"], f["type"]
		if mac, ok := f["macaddress"]; ok {
			out["macaddress"] = mac
		}
	}
	for _, a := range addrs {
		if a.Interface != r.Interface || a.Prefix.Addr().String() != r.Source {
			continue
		}
		if a.Prefix.Addr().Is4() {
			for k, v := range ipv4Facts(a) {
				out[k] = v
			}
			out["alias"] = a.Label
			if a.Label == "" {
				out["alias"] = a.Interface
			}
		} else {
			out["prefix"], out["scope"] = strconv.Itoa(a.Prefix.Bits()), a.Scope
		}
	}
	return out
}

// linkFacts is what sysfs knows of an interface.
func (g *gathering) linkFacts(name string) map[string]any {
	dir := "/sys/class/net/" + name
	f := map[string]any{"device": name}
	if mac := g.read(dir + "/address"); mac != "" && mac != "00:00:00:00:00:00" {
		f["macaddress"] = mac
	}
	if n, err := strconv.Atoi(g.read(dir + "/mtu")); err == nil {
		f["mtu"] = n
	}
	state := g.read(dir + "/operstate")
	f["active"] = state != "" && state != "down"
	if target, err := os.Readlink(g.path(dir + "/device/driver/module")); err == nil {
		f["module"] = filepath.Base(target)
	}
	f["type"] = "unknown"
	switch g.read(dir + "/type") {
	case "1":
		f["type"] = "ether"
	case "512":
		f["type"] = "ppp"
	case "772":
		f["type"] = "loopback"
	case "32":
		f["type"] = "infiniband"
	case "65534":
		f["type"] = "tunnel"
	}
	if g.exists(dir + "/bridge") {
		f["type"], f["interfaces"] = "bridge", orEmpty(anyList(g.list(dir+"/brif")))
		f["id"] = g.read(dir + "/bridge/bridge_id")
		f["stp"] = g.read(dir+"/bridge/stp_state") == "1"
	}
	if g.exists(dir + "/bonding") {
		slaves := strings.Fields(g.read(dir + "/bonding/slaves"))
		mode, _, _ := strings.Cut(g.read(dir+"/bonding/mode"), " ")
		f["type"], f["slaves"], f["mode"] = "bonding", anyList(slaves), mode
		f["miimon"] = g.read(dir + "/bonding/miimon")
		f["lacp_rate"] = g.read(dir + "/bonding/lacp_rate")
		if p := g.read(dir + "/bonding/primary"); p != "" {
			f["primary"] = p
			f["all_slaves_active"] = g.read(dir+"/bonding/all_slaves_active") == "1"
		}
	}
	if real, err := filepath.EvalSymlinks(g.path(dir + "/device")); err == nil {
		f["pciid"] = filepath.Base(real)
	}
	if n, err := strconv.Atoi(g.read(dir + "/speed")); err == nil {
		f["speed"] = n
	}
	if bits, err := strconv.ParseUint(strings.TrimPrefix(g.read(dir+"/flags"), "0x"), 16, 32); err == nil {
		f["promisc"] = bits&0x100 != 0
	}
	return f
}

// scopeName is the kernel's name of an address's scope.
func scopeName(scope uint8, ip netip.Addr) string {
	switch {
	case scope == 253:
		return "link"
	case scope == 254:
		return "host"
	case scope == 200, ip.Is6() && slices.Contains([]string{"fec"}, ip.String()[:min(3, len(ip.String()))]):
		return "site"
	}
	return "global"
}
