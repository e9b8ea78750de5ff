package sim

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// series is a name with labels and how its value moves.
type series struct {
	name string
	shape
}

// busyShare is the part of a processor that is used on a host of load 1.
const busyShare = 0.3

// units are what runs on a simulated host.
var units = []struct{ name, description, sub string }{
	{"ssh.service", "OpenBSD Secure Shell server", "running"}, {"nginx.service", "A high performance web server and a reverse proxy server", "running"},
	{"postgresql.service", "PostgreSQL RDBMS", "exited"}, {"postgresql@15-main.service", "PostgreSQL Cluster 15-main", "running"},
	{"cron.service", "Regular background program processing daemon", "running"}, {"dbus.service", "D-Bus System Message Bus", "running"},
	{"drover-agent.service", "Drover agent: keeps this host what its fleet declares", "running"}, {"systemd-journald.service", "Journal Service", "running"},
	{"systemd-logind.service", "User Login Management", "running"}, {"systemd-networkd.service", "Network Configuration", "running"},
	{"systemd-resolved.service", "Network Name Resolution", "running"}, {"systemd-timesyncd.service", "Network Time Synchronization", "running"},
	{"systemd-udevd.service", "Rule-based Manager for Device Events and Files", "running"}, {"getty@tty1.service", "Getty on tty1", "running"},
	{"networking.service", "Raise network interfaces", "exited"}, {"apparmor.service", "Load AppArmor profiles", "exited"},
	{"keyboard-setup.service", "Set the console keyboard layout", "exited"}, {"kmod-static-nodes.service", "Create List of Static Device Nodes", "exited"},
	{"systemd-modules-load.service", "Load Kernel Modules", "exited"}, {"systemd-random-seed.service", "Load/Save OS Random Seed", "exited"},
	{"systemd-remount-fs.service", "Remount Root and Kernel File Systems", "exited"}, {"systemd-sysctl.service", "Apply Kernel Variables", "exited"},
	{"systemd-sysusers.service", "Create System Users", "exited"}, {"systemd-tmpfiles-setup.service", "Create Volatile Files and Directories", "exited"},
	{"systemd-update-utmp.service", "Record System Boot/Shutdown in UTMP", "exited"}, {"systemd-user-sessions.service", "Permit User Sessions", "exited"},
	{"unattended-upgrades.service", "Unattended Upgrades Shutdown", "running"}, {"apt-daily.timer", "Daily apt download activities", "waiting"},
	{"apt-daily-upgrade.timer", "Daily apt upgrade and clean activities", "waiting"}, {"dpkg-db-backup.timer", "Daily dpkg database backup timer", "waiting"},
	{"e2scrub_all.timer", "Periodic ext4 Online Metadata Check for All Filesystems", "waiting"}, {"fstrim.timer", "Discard unused filesystem blocks once a week", "waiting"},
	{"logrotate.timer", "Daily rotation of log files", "waiting"}, {"man-db.timer", "Daily man-db regeneration", "waiting"},
	{"systemd-tmpfiles-clean.timer", "Daily Cleanup of Temporary Directories", "waiting"}, {"dbus.socket", "D-Bus System Message Bus Socket", "running"},
	{"systemd-journald.socket", "Journal Sockets", "running"}, {"systemd-udevd-control.socket", "udev Control Socket", "running"},
	{"basic.target", "Basic System", "active"}, {"graphical.target", "Graphical Interface", "active"}, {"local-fs.target", "Local File Systems", "active"},
	{"multi-user.target", "Multi-User System", "active"}, {"network.target", "Network", "active"}, {"network-online.target", "Network is Online", "active"},
	{"paths.target", "Path Units", "active"}, {"sockets.target", "Socket Units", "active"}, {"swap.target", "Swaps", "active"},
	{"sysinit.target", "System Initialization", "active"}, {"timers.target", "Timer Units", "active"},
}

// nodeSeries are the series that node_exporter has on a small server, those
// that people look at first.
func nodeSeries() []series {
	var all []series
	counter := func(name string, rate float64) { all = append(all, series{name, shape{'c', rate, 0.5, false}}) }
	gauge := func(name string, base, swing float64) {
		all = append(all, series{name, shape{'g', base, swing, false}})
	}
	sized := func(name string, base, swing float64) { all = append(all, series{name, shape{'g', base, swing, true}}) }
	constant := func(name string, v float64) { all = append(all, series{name, shape{kind: '=', base: v}}) }

	for cpu := range 2 {
		all = append(all, series{fmt.Sprintf(`node_cpu_seconds_total{cpu="%d",mode="idle"}`, cpu), shape{kind: 'i'}})
		for mode, share := range sorted(map[string]float64{"user": 0.6, "system": 0.25, "iowait": 0.08, "softirq": 0.04, "steal": 0.02, "nice": 0.01, "irq": 0}) {
			counter(fmt.Sprintf(`node_cpu_seconds_total{cpu="%d",mode="%s"}`, cpu, mode), share*busyShare)
		}
	}
	gauge("node_load1", 0.8, 0.6)
	gauge("node_load5", 0.8, 0.4)
	gauge("node_load15", 0.8, 0.2)
	all = append(all, series{"node_time_seconds", shape{kind: 't'}}, series{"node_boot_time_seconds", shape{kind: 'b'}})
	const gib = 1 << 30
	sized("node_memory_MemTotal_bytes", 2*gib, 0)
	sized("node_memory_MemAvailable_bytes", 1.1*gib, 0.25)
	sized("node_memory_MemFree_bytes", 0.3*gib, 0.5)
	for name, size := range sorted(map[string]float64{"Buffers": 0.05, "Cached": 0.7, "Active": 0.8, "Inactive": 0.5, "Active_anon": 0.4, "Inactive_anon": 0.1,
		"Active_file": 0.4, "Inactive_file": 0.4, "AnonPages": 0.45, "Mapped": 0.2, "Shmem": 0.02, "Slab": 0.15, "SReclaimable": 0.1, "SUnreclaim": 0.05,
		"KernelStack": 0.004, "PageTables": 0.008, "CommitLimit": 1, "Committed_AS": 0.9, "Dirty": 0.001, "Writeback": 0, "SwapTotal": 1, "SwapFree": 0.95,
		"SwapCached": 0.01, "VmallocTotal": 32768, "VmallocUsed": 0.03, "Percpu": 0.002, "Unevictable": 0.001, "Mlocked": 0.001, "KReclaimable": 0.1,
		"DirectMap4k": 0.1, "DirectMap2M": 1.9, "AnonHugePages": 0.02, "HardwareCorrupted": 0, "Bounce": 0, "NFS_Unstable": 0, "WritebackTmp": 0}) {
		sized("node_memory_"+name+"_bytes", size*gib, 0.04)
	}
	for _, fs := range []struct {
		device, mount, kind string
		size, free          float64
	}{{"/dev/vda1", "/", "ext4", 40, 22}, {"/dev/vdb", "/var/lib/postgresql", "ext4", 100, 61}, {"tmpfs", "/run", "tmpfs", 0.2, 0.19}, {"/dev/vda15", "/boot/efi", "vfat", 0.12, 0.11}} {
		at := fmt.Sprintf(`{device="%s",device_error="",fstype="%s",mountpoint="%s"}`, fs.device, fs.kind, fs.mount)
		constant("node_filesystem_size_bytes"+at, fs.size*gib)
		all = append(all, series{"node_filesystem_avail_bytes" + at, shape{'=', fs.free * gib, 0, false}}, series{"node_filesystem_free_bytes" + at, shape{'=', (fs.free + fs.size/20) * gib, 0, false}})
		constant("node_filesystem_files"+at, fs.size*65536)
		constant("node_filesystem_files_free"+at, fs.free*65536)
		constant("node_filesystem_readonly"+at, 0)
		constant("node_filesystem_device_error"+at, 0)
	}
	for _, dev := range []string{"eth0", "lo"} {
		at := `{device="` + dev + `"}`
		counter("node_network_receive_bytes_total"+at, 150e3)
		counter("node_network_transmit_bytes_total"+at, 90e3)
		counter("node_network_receive_packets_total"+at, 240)
		counter("node_network_transmit_packets_total"+at, 180)
		for _, name := range []string{"receive_errs", "receive_drop", "receive_fifo", "receive_frame", "receive_compressed", "receive_multicast", "receive_nohandler",
			"transmit_errs", "transmit_drop", "transmit_fifo", "transmit_colls", "transmit_carrier", "transmit_compressed", "carrier_changes", "carrier_up_changes", "carrier_down_changes"} {
			constant("node_network_"+name+"_total"+at, 0)
		}
		for name, v := range sorted(map[string]float64{"up": 1, "mtu_bytes": 1500, "speed_bytes": 125e6, "carrier": 1, "dormant": 0, "flags": 4099, "iface_id": 2, "iface_link": 2,
			"iface_link_mode": 0, "device_id": 0, "net_dev_group": 0, "protocol_type": 1, "transmit_queue_length": 1000, "name_assign_type": 4, "address_assign_type": 0}) {
			constant("node_network_"+name+at, v)
		}
	}
	for _, dev := range []string{"vda", "vdb"} {
		at := `{device="` + dev + `"}`
		for name, rate := range sorted(map[string]float64{"reads_completed": 3, "reads_merged": 1, "read_bytes": 60e3, "read_time_seconds": 0.004, "writes_completed": 12,
			"writes_merged": 5, "written_bytes": 180e3, "write_time_seconds": 0.03, "io_time_seconds": 0.02, "io_time_weighted_seconds": 0.035, "discards_completed": 0.1,
			"discards_merged": 0, "discarded_sectors": 20, "discard_time_seconds": 0, "flush_requests": 2, "flush_requests_time_seconds": 0.003}) {
			counter("node_disk_"+name+"_total"+at, rate)
		}
		gauge("node_disk_io_now"+at, 0.5, 1)
	}
	for _, u := range units {
		for _, state := range []string{"active", "activating", "deactivating", "inactive", "failed"} {
			v := 0.0
			if state == "active" {
				v = 1
			}
			constant(fmt.Sprintf(`node_systemd_unit_state{name="%s",state="%s",type=""}`, u.name, state), v)
		}
	}
	constant("node_systemd_system_running", 1)
	for state, n := range sorted(map[string]float64{"active": float64(len(units)), "activating": 0, "deactivating": 0, "inactive": 31, "failed": 0}) {
		constant(`node_systemd_units{state="`+state+`"}`, n)
	}
	for name, rate := range sorted(map[string]float64{"node_context_switches_total": 900, "node_intr_total": 600, "node_forks_total": 2, "node_vmstat_pgfault": 800, "node_vmstat_pgmajfault": 0.05,
		"node_vmstat_pgpgin": 60, "node_vmstat_pgpgout": 180, "node_vmstat_pswpin": 0, "node_vmstat_pswpout": 0, "node_vmstat_oom_kill": 0,
		"node_pressure_cpu_waiting_seconds_total": 0.01, "node_pressure_io_waiting_seconds_total": 0.02, "node_pressure_io_stalled_seconds_total": 0.01,
		"node_pressure_memory_waiting_seconds_total": 0, "node_pressure_memory_stalled_seconds_total": 0}) {
		counter(name, rate)
	}
	for name, v := range sorted(map[string]float64{"node_procs_running": 2, "node_procs_blocked": 0, "node_processes_pids": 140, "node_processes_threads": 260, "node_processes_max_processes": 32768,
		"node_filefd_allocated": 1500, "node_filefd_maximum": 9.2e18, "node_entropy_available_bits": 256, "node_entropy_pool_size_bits": 256, "node_nf_conntrack_entries": 40,
		"node_nf_conntrack_entries_limit": 65536, "node_sockstat_TCP_inuse": 20, "node_sockstat_TCP_tw": 10, "node_sockstat_TCP_alloc": 30, "node_sockstat_TCP_mem": 4,
		"node_sockstat_UDP_inuse": 4, "node_sockstat_sockets_used": 180, "node_netstat_Tcp_CurrEstab": 14}) {
		gauge(name, v, 0.1)
	}
	for name, v := range sorted(map[string]float64{"node_timex_offset_seconds": 0.0004, "node_timex_sync_status": 1, "node_timex_maxerror_seconds": 0.02, "node_timex_estimated_error_seconds": 0,
		"node_timex_frequency_adjustment_ratio": 1, "node_timex_tick_seconds": 0.01, "node_timex_loop_time_constant": 7, "node_timex_status": 8193, "node_timex_tai_offset_seconds": 0,
		`node_uname_info{domainname="(none)",machine="x86_64",nodename="sim",release="6.1.0-28-amd64",sysname="Linux",version="#1 SMP Debian"}`:          1,
		`node_os_info{build_id="",id="debian",id_like="",image_id="",name="Debian GNU/Linux",pretty_name="Debian GNU/Linux 12 (bookworm)",version="12"}`: 1,
		`node_exporter_build_info{branch="HEAD",version="1.12.1"}`:                                                                                       1, "node_textfile_scrape_error": 0}) {
		constant(name, v)
	}
	for name, rate := range sorted(map[string]float64{"Tcp_ActiveOpens": 0.5, "Tcp_PassiveOpens": 1, "Tcp_InSegs": 200, "Tcp_OutSegs": 210, "Tcp_RetransSegs": 0.1, "Tcp_InErrs": 0, "Tcp_OutRsts": 0.05,
		"Udp_InDatagrams": 4, "Udp_OutDatagrams": 4, "Udp_InErrors": 0, "Udp_NoPorts": 0.01, "Udp_RcvbufErrors": 0, "Udp_SndbufErrors": 0, "Icmp_InMsgs": 0.01, "Icmp_OutMsgs": 0.01,
		"Icmp_InErrors": 0, "Ip_Forwarding": 0, "IpExt_InOctets": 150e3, "IpExt_OutOctets": 90e3, "TcpExt_ListenDrops": 0, "TcpExt_ListenOverflows": 0, "TcpExt_SyncookiesFailed": 0,
		"TcpExt_SyncookiesRecv": 0, "TcpExt_SyncookiesSent": 0, "TcpExt_TCPSynRetrans": 0.01, "TcpExt_TCPTimeouts": 0.01, "TcpExt_TCPOFOQueue": 0.02, "TcpExt_TCPRcvQDrop": 0}) {
		counter("node_netstat_"+name, rate)
	}
	for _, c := range []string{"arp", "bcache", "bonding", "btrfs", "conntrack", "cpu", "cpufreq", "diskstats", "dmi", "edac", "entropy", "fibrechannel", "filefd", "filesystem", "hwmon",
		"infiniband", "ipvs", "loadavg", "mdadm", "meminfo", "netclass", "netdev", "netstat", "nfs", "nfsd", "nvme", "os", "powersupplyclass", "pressure", "processes", "rapl", "schedstat",
		"selinux", "sockstat", "softnet", "stat", "systemd", "tapestats", "textfile", "thermal_zone", "time", "timex", "udp_queues", "uname", "vmstat", "watchdog", "xfs", "zfs"} {
		gauge(`node_scrape_collector_duration_seconds{collector="`+c+`"}`, 0.002, 0.8)
		constant(`node_scrape_collector_success{collector="`+c+`"}`, 1)
	}
	for name, v := range sorted(map[string]float64{"drover_agent_resident_memory_bytes": 36e6, "drover_agent_metrics_behind_seconds": 0, "drover_agent_metrics_log_bytes": 400e3}) {
		constant(name, v)
	}
	return all
}

// sorted goes through m by name, so that a series has its place for ever.
func sorted(m map[string]float64) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
