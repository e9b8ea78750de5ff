package link

// Memory is a Dialer of host that reaches hub without a network.
func Memory(hub *Hub, host string) Dialer { return &memoryDialer{hub: hub, host: host} }
