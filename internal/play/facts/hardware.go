package facts

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (g *gathering) hardware() {
	g.processor()
	g.memory()
	g.dmi()
	g.devices()
	if f := strings.Fields(g.read("/proc/uptime")); len(f) > 0 {
		if s, err := strconv.ParseFloat(f[0], 64); err == nil {
			g.out["uptime_seconds"] = int64(s)
		}
	}
	g.out["lvm"] = "N/A"
}

func (g *gathering) processor() {
	list := []any{}
	sockets := map[string]bool{}
	threads, cores, siblings := 0, 0, 0
	for line := range strings.Lines(g.read("/proc/cpuinfo")) {
		k, v, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		v = strings.TrimSpace(v)
		switch strings.TrimSpace(k) {
		case "processor":
			threads++
			list = append(list, v)
		case "model name", "Processor", "vendor_id", "cpu", "Vendor":
			list = append(list, v)
		case "physical id":
			sockets[v] = true
		case "cpu cores":
			cores, _ = strconv.Atoi(v)
		case "siblings":
			siblings, _ = strconv.Atoi(v)
		}
	}
	count := len(sockets)
	if count == 0 {
		count, cores, siblings = max(threads, 1), 1, 1
	}
	cores = max(cores, 1)
	perCore := max(siblings/cores, 1)
	nproc := threads
	if g.real() {
		var set unix.CPUSet
		if unix.SchedGetaffinity(0, &set) == nil {
			nproc = set.Count()
		}
	}
	g.out["processor"], g.out["processor_count"], g.out["processor_cores"] = list, count, cores
	g.out["processor_threads_per_core"], g.out["processor_vcpus"], g.out["processor_nproc"] = perCore, count*cores*perCore, nproc
}

func (g *gathering) memory() {
	kb := map[string]int64{}
	for line := range strings.Lines(g.read("/proc/meminfo")) {
		k, v, _ := strings.Cut(line, ":")
		if f := strings.Fields(v); len(f) > 0 {
			kb[k], _ = strconv.ParseInt(f[0], 10, 64)
		}
	}
	if len(kb) == 0 {
		return
	}
	mb := func(k string) int64 { return kb[k] / 1024 }
	g.out["memtotal_mb"], g.out["memfree_mb"] = mb("MemTotal"), mb("MemFree")
	g.out["swaptotal_mb"], g.out["swapfree_mb"] = mb("SwapTotal"), mb("SwapFree")
	nocache := (kb["MemFree"] + kb["Cached"] + kb["Buffers"]) / 1024
	g.out["memory_mb"] = map[string]any{
		"real":    map[string]any{"total": mb("MemTotal"), "free": mb("MemFree"), "used": mb("MemTotal") - mb("MemFree")},
		"nocache": map[string]any{"free": nocache, "used": mb("MemTotal") - nocache},
		"swap":    map[string]any{"total": mb("SwapTotal"), "free": mb("SwapFree"), "used": mb("SwapTotal") - mb("SwapFree"), "cached": mb("SwapCached")},
	}
}

// formFactors are the chassis types of the SMBIOS standard, by number.
var formFactors = []string{"Unknown", "Other", "Unknown", "Desktop", "Low Profile Desktop", "Pizza Box", "Mini Tower", "Tower", "Portable",
	"Laptop", "Notebook", "Hand Held", "Docking Station", "All In One", "Sub Notebook", "Space-saving", "Lunch Box", "Main Server Chassis",
	"Expansion Chassis", "Sub Chassis", "Bus Expansion Chassis", "Peripheral Chassis", "RAID Chassis", "Rack Mount Chassis", "Sealed-case PC",
	"Multi-system", "CompactPCI", "AdvancedTCA", "Blade", "Blade Enclosure", "Tablet", "Convertible", "Detachable", "IoT Gateway", "Embedded PC", "Mini PC", "Stick PC"}

func (g *gathering) dmi() {
	for fact, file := range map[string]string{
		"bios_date": "bios_date", "bios_vendor": "bios_vendor", "bios_version": "bios_version",
		"board_asset_tag": "board_asset_tag", "board_name": "board_name", "board_serial": "board_serial", "board_vendor": "board_vendor", "board_version": "board_version",
		"chassis_asset_tag": "chassis_asset_tag", "chassis_serial": "chassis_serial", "chassis_vendor": "chassis_vendor", "chassis_version": "chassis_version",
		"form_factor": "chassis_type", "product_name": "product_name", "product_serial": "product_serial", "product_uuid": "product_uuid",
		"product_version": "product_version", "system_vendor": "sys_vendor",
	} {
		v := orNA(g.read("/sys/devices/virtual/dmi/id/" + file))
		if n, err := strconv.Atoi(v); fact == "form_factor" && err == nil && n >= 0 && n < len(formFactors) {
			v = formFactors[n]
		}
		g.out[fact] = v
	}
}

// links groups the names that udev gives to block devices, by device.
func (g *gathering) links(dir string) map[string][]any {
	out := map[string][]any{}
	for _, n := range g.list("/dev/disk/" + dir) {
		if t, err := os.Readlink(g.path("/dev/disk/" + dir + "/" + n)); err == nil {
			out[filepath.Base(t)] = append(out[filepath.Base(t)], n)
		}
	}
	return out
}

func (g *gathering) devices() {
	ids, uuids, labels := g.links("by-id"), g.links("by-uuid"), g.links("by-label")
	masters := map[string][]any{}
	out := map[string]any{}
	linksOf := func(dev string) map[string]any {
		return map[string]any{"ids": orEmpty(ids[dev]), "uuids": orEmpty(uuids[dev]), "labels": orEmpty(labels[dev]), "masters": orEmpty(masters[dev])}
	}
	blocks := g.list("/sys/block")
	for _, dev := range blocks {
		for _, slave := range g.list("/sys/block/" + dev + "/slaves") {
			masters[slave] = append(masters[slave], dev)
		}
	}
	for _, dev := range blocks {
		dir := "/sys/block/" + dev
		real, err := filepath.EvalSymlinks(g.path(dir))
		if err != nil {
			continue
		}
		text := func(f string) any {
			if v := g.read(dir + "/" + f); v != "" {
				return v
			}
			return nil
		}
		d := map[string]any{"virtual": 1, "links": linksOf(dev), "vendor": text("device/vendor"), "model": text("device/model"),
			"sas_address": text("device/sas_address"), "sas_device_handle": text("device/sas_device_handle"),
			"removable": text("removable"), "support_discard": nil, "host": "", "partitions": g.partitions(dev, linksOf), "holders": g.holders(dir)}
		if s := g.read(dir + "/device/serial"); s != "" {
			d["serial"] = s
		}
		if v := g.read(dir + "/queue/discard_granularity"); v != "" {
			d["support_discard"] = v
		}
		d["rotational"] = g.read(dir + "/queue/rotational")
		d["scheduler_mode"] = ""
		if s := g.read(dir + "/queue/scheduler"); s != "" {
			d["scheduler_mode"] = s
			if _, rest, ok := strings.Cut(s, "["); ok {
				d["scheduler_mode"], _, _ = strings.Cut(rest, "]")
			}
		}
		sectors, _ := strconv.ParseInt(g.read(dir+"/size"), 10, 64)
		d["sectors"], d["sectorsize"] = strconv.FormatInt(sectors, 10), "512"
		if v := g.read(dir + "/queue/logical_block_size"); v != "" {
			d["sectorsize"] = v
		}
		d["size"] = humanSize(float64(sectors) * 512)
		_ = real
		out[dev] = d
	}
	g.out["devices"] = out
	g.out["device_links"] = map[string]any{"ids": anyMap(ids), "uuids": anyMap(uuids), "labels": anyMap(labels), "masters": anyMap(masters)}
}

func orEmpty(l []any) []any {
	if l == nil {
		return []any{}
	}
	return l
}

func anyMap(in map[string][]any) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		out[k] = v
	}
	return out
}

func (g *gathering) holders(dir string) []any {
	out := []any{}
	for _, h := range g.list(dir + "/holders") {
		if name := g.read("/sys/block/" + h + "/dm/name"); strings.HasPrefix(h, "dm-") && name != "" {
			h = name
		}
		out = append(out, h)
	}
	return out
}

func (g *gathering) partitions(dev string, linksOf func(string) map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range g.list("/sys/block/" + dev) {
		dir := "/sys/block/" + dev + "/" + name
		if !strings.HasPrefix(name, dev) || !g.exists(dir+"/partition") {
			continue
		}
		links := linksOf(name)
		sectors, _ := strconv.ParseInt(g.read(dir+"/size"), 10, 64)
		p := map[string]any{"links": links, "start": orZero(g.read(dir + "/start")), "sectors": strconv.FormatInt(sectors, 10),
			"sectorsize": 512, "size": humanSize(float64(sectors) * 512), "uuid": nil, "holders": g.holders(dir)}
		if v, err := strconv.Atoi(g.read(dir + "/queue/logical_block_size")); err == nil {
			p["sectorsize"] = v
		}
		if u := links["uuids"].([]any); len(u) > 0 {
			p["uuid"] = u[0]
		}
		out[name] = p
	}
	return out
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

func humanSize(n float64) string {
	units := []string{"Bytes", "KB", "MB", "GB", "TB", "PB", "EB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return fmt.Sprintf("%.2f %s", n, units[i])
}

// mounts tells of what is mounted from a device or over a network.
func (g *gathering) mounts() {
	uuids := g.links("by-uuid")
	binds := map[string]bool{}
	for line := range strings.Lines(g.read("/proc/self/mountinfo")) {
		f := strings.Fields(line)
		if len(f) > 4 && f[3] != "/" {
			binds[unescape(f[4])] = true
		}
	}
	table := "/etc/mtab"
	if !g.exists(table) {
		table = "/proc/mounts"
	}
	var order []string
	byPoint := map[string]map[string]any{}
	for line := range strings.Lines(g.read(table)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		device, point, fstype, options := unescape(f[0]), unescape(f[1]), f[2], f[3]
		if (!strings.HasPrefix(device, "/") && !strings.Contains(device, ":/")) || fstype == "none" {
			continue
		}
		if binds[point] {
			options += ",bind"
		}
		m := map[string]any{"mount": point, "device": device, "fstype": fstype, "options": options, "uuid": "N/A", "dump": 0, "passno": 0}
		if len(f) >= 6 {
			m["dump"], _ = strconv.Atoi(f[4])
			m["passno"], _ = strconv.Atoi(f[5])
		}
		real := device
		if r, err := filepath.EvalSymlinks(g.path(device)); err == nil {
			real = r
		}
		if u := uuids[filepath.Base(real)]; len(u) > 0 {
			m["uuid"] = u[0]
		}
		if byPoint[point] == nil {
			order = append(order, point)
		}
		byPoint[point] = m
	}
	list := []any{}
	for _, p := range order {
		if g.real() {
			g.mountSize(byPoint[p])
		}
		list = append(list, byPoint[p])
	}
	g.out["mounts"] = list
}

// networked are filesystems whose server may be gone: asking one for its size
// may then never return.
var networked = map[string]bool{"nfs": true, "nfs4": true, "cifs": true, "smb3": true, "ceph": true, "glusterfs": true, "fuse": true, "9p": true, "lustre": true, "afs": true}

func (g *gathering) mountSize(m map[string]any) {
	var st unix.Statfs_t
	point, fstype := m["mount"].(string), m["fstype"].(string)
	base, _, _ := strings.Cut(fstype, ".")
	if !networked[base] {
		if unix.Statfs(point, &st) != nil {
			return
		}
	} else {
		// A hanging server keeps this goroutine until it answers; nothing can end
		// the call, and the buffered channel lets it go unheard.
		answer := make(chan *unix.Statfs_t, 1)
		go func() {
			var st unix.Statfs_t
			if unix.Statfs(point, &st) == nil {
				answer <- &st
			} else {
				answer <- nil
			}
		}()
		select {
		case got := <-answer:
			if got == nil {
				return
			}
			st = *got
		case <-time.After(min(g.o.Timeout, 2*time.Second)):
			m["note"] = "Timed out while attempting to get mount information"
			return
		}
	}
	unit := int64(st.Frsize)
	m["size_total"], m["size_available"] = unit*int64(st.Blocks), unit*int64(st.Bavail)
	m["block_size"], m["block_total"], m["block_available"], m["block_used"] = int64(st.Bsize), int64(st.Blocks), int64(st.Bavail), int64(st.Blocks-st.Bavail)
	m["inode_total"], m["inode_available"], m["inode_used"] = int64(st.Files), int64(st.Ffree), int64(st.Files-st.Ffree)
}

// unescape undoes the octal escapes of mount tables.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
