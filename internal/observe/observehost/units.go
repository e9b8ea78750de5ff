package observehost

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"drover/api"
)

// unitKinds are the kinds of units that are shown, and whether it is asked
// since when each is what it is: a question to systemd for each of them.
var unitKinds = map[string]bool{".service": true, ".timer": true, ".socket": true, ".path": true,
	".mount": false, ".automount": false, ".swap": false, ".target": false}

// unitsMost bounds an answer.
const unitsMost = 2000

// units lists the host's units as systemd tells, by name.
func units(ctx context.Context) ([]api.Unit, error) {
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask systemd for its units: %w", err)
	}
	defer conn.Close()
	all, err := conn.ListUnitsContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask systemd for its units: %w", err)
	}
	list := []api.Unit{}
	for _, u := range all {
		dated, shown := unitKinds[path.Ext(u.Name)]
		if !shown && u.ActiveState != "failed" || u.LoadState == "not-found" && u.ActiveState == "inactive" {
			continue
		}
		x := api.Unit{Name: u.Name, Load: u.LoadState, Active: u.ActiveState, Sub: u.SubState}
		if u.Description != u.Name {
			x.Description = strings.ToValidUTF8(u.Description, "�")
		}
		if dated || u.ActiveState == "failed" {
			p, err := conn.GetUnitPropertyContext(ctx, u.Name, "StateChangeTimestamp")
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err == nil { // it may be gone since
				if us, ok := p.Value.Value().(uint64); ok && us > 0 {
					x.Since = time.UnixMicro(int64(us)).UTC()
				}
			}
		}
		if list = append(list, x); len(list) == unitsMost {
			break
		}
	}
	slices.SortFunc(list, func(a, b api.Unit) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
