package facts

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// kernelAddresses asks the kernel for addresses and for the ways out.
func kernelAddresses() ([]Address, Routes) {
	index := map[int]string{}
	if list, err := net.Interfaces(); err == nil {
		for _, i := range list {
			index[i.Index] = i.Name
		}
	}
	var out []Address
	rib, err := syscall.NetlinkRIB(unix.RTM_GETADDR, unix.AF_UNSPEC)
	if err == nil {
		msgs, _ := syscall.ParseNetlinkMessage(rib)
		for i := range msgs {
			if a, ok := addressOf(&msgs[i], index); ok {
				out = append(out, a)
			}
		}
	}
	// Addresses of documentation's and everybody's: nothing is sent there, the
	// kernel only says which way it would go.
	return out, Routes{V4: routeTo(netip.MustParseAddr("8.8.8.8"), index), V6: routeTo(netip.MustParseAddr("2404:6800:400a:800::1012"), index)}
}

func addressOf(m *syscall.NetlinkMessage, index map[int]string) (Address, bool) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return Address{}, false
	}
	bits, scope := int(m.Data[1]), m.Data[3]
	a := Address{Interface: index[int(binary.NativeEndian.Uint32(m.Data[4:]))]}
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return a, false
	}
	var ip, local netip.Addr
	for _, at := range attrs {
		switch at.Attr.Type {
		case unix.IFA_ADDRESS:
			ip, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_LOCAL: // on point-to-point links IFA_ADDRESS is the other end
			local, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_BROADCAST:
			if b, ok := netip.AddrFromSlice(at.Value); ok {
				a.Broadcast = b.String()
			}
		case unix.IFA_LABEL:
			a.Label = unix.ByteSliceToString(at.Value)
		}
	}
	if local.IsValid() {
		ip = local
	}
	if !ip.IsValid() || a.Interface == "" {
		return a, false
	}
	a.Prefix, a.Scope = netip.PrefixFrom(ip, bits), scopeName(scope, ip)
	return a, true
}

// routeTo asks the kernel by which way it would send to an address.
func routeTo(to netip.Addr, index map[int]string) Route {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return Route{}
	}
	defer unix.Close(fd)
	tv := unix.Timeval{Sec: 1}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv) //nolint:errcheck // a hang is all it prevents
	dst := to.AsSlice()
	msg := make([]byte, unix.SizeofNlMsghdr+unix.SizeofRtMsg+unix.SizeofRtAttr+len(dst))
	binary.NativeEndian.PutUint32(msg[0:], uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], unix.RTM_GETROUTE)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(msg[8:], 1)
	rt := msg[unix.SizeofNlMsghdr:]
	rt[0], rt[1] = unix.AF_INET, byte(to.BitLen())
	if to.Is6() {
		rt[0] = unix.AF_INET6
	}
	attr := rt[unix.SizeofRtMsg:]
	binary.NativeEndian.PutUint16(attr[0:], uint16(unix.SizeofRtAttr+len(dst)))
	binary.NativeEndian.PutUint16(attr[2:], unix.RTA_DST)
	copy(attr[unix.SizeofRtAttr:], dst)
	if unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return Route{}
	}
	buf := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return Route{}
	}
	msgs, err := syscall.ParseNetlinkMessage(buf[:n])
	if err != nil {
		return Route{}
	}
	var r Route
	for i := range msgs {
		if msgs[i].Header.Type != unix.RTM_NEWROUTE {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&msgs[i])
		if err != nil {
			continue
		}
		for _, at := range attrs {
			switch at.Attr.Type {
			case unix.RTA_OIF:
				r.Interface = index[int(binary.NativeEndian.Uint32(at.Value))]
			case unix.RTA_GATEWAY:
				if a, ok := netip.AddrFromSlice(at.Value); ok {
					r.Gateway = a.String()
				}
			case unix.RTA_PREFSRC:
				if a, ok := netip.AddrFromSlice(at.Value); ok {
					r.Source = a.String()
				}
			}
		}
	}
	return r
}
