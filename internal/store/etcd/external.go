package etcd

import (
	"context"
	"crypto/tls"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"drover/api"
)

// External is a cluster run elsewhere.
type External struct {
	Endpoints []string    // "https://etcd-1:2379"; an element may hold several, with commas
	TLS       *tls.Config // for https; nil trusts the system's roots
	Username  string
	Password  string
	Prefix    string // before every key; "drover/" if empty
}

// Dial connects to a cluster and checks that it answers.
func Dial(ctx context.Context, c External) (*Backend, error) {
	var eps []string
	for _, e := range c.Endpoints {
		for _, ep := range strings.Split(e, ",") {
			if ep = strings.TrimSpace(ep); ep != "" {
				eps = append(eps, ep)
			}
		}
	}
	where := strings.Join(eps, ",")
	secure := false
	for _, ep := range eps {
		scheme, _, ok := strings.Cut(ep, "://")
		if !ok || scheme != "http" && scheme != "https" && scheme != "unix" && scheme != "unixs" {
			return nil, api.Errorf(api.CodeInvalid, "cannot use %q as etcd's address", ep).WithRemedy("write it as https://host:2379")
		}
		secure = secure || scheme == "https"
	}
	if len(eps) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "cannot use an external etcd: no address is given").WithRemedy("write it as https://host:2379")
	}
	if secure && c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.Prefix == "" {
		c.Prefix = "drover/"
	}
	cli, err := clientv3.New(clientv3.Config{
		Endpoints: eps, TLS: c.TLS, Username: c.Username, Password: c.Password, Logger: zap.NewNop(),
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		MaxCallSendMsgSize: 8 << 20, MaxCallRecvMsgSize: 64 << 20, RejectOldCluster: false,
	})
	if err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "cannot reach etcd at %s: %v", where, err).WithRemedy("check the address, its certificate and that etcd runs")
	}
	b := newBackend(cli, c.Prefix, where)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, _, err := b.Get(ctx, "ping"); err != nil {
		_ = b.Close()
		return nil, api.Errorf(api.CodeUnavailable, "cannot reach etcd at %s: %v", where, err).WithRemedy("check the address, its certificate and that etcd runs")
	}
	return b, nil
}
