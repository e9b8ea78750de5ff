package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/rules"

	"drover/api"
	"drover/internal/journal"
)

// The events of alerts.
const (
	eventFiring   = "alert.firing"
	eventResolved = "alert.resolved"
)

// alertLog turns what rules find into events: one when an alert fires, one when
// it is over. What it knows it has from the journal, so that a restart makes
// no event twice.
type alertLog struct {
	r *Observe

	mu     sync.Mutex
	firing map[string]api.Alert // that the journal has as firing, by key
	// blind is when the rules last could not know: at the start, while hosts
	// come back, and while metrics are not taken. What was wrong before is then
	// not over because it is not seen.
	blind time.Time
}

// keyOf names an alert: its rule and its labels.
func keyOf(name string, l map[string]string) string {
	var b strings.Builder
	b.WriteString(name)
	keys := make([]string, 0, len(l))
	for k := range l {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b.WriteString("\xff" + k + "\xff" + l[k])
	}
	return b.String()
}

// maxRecalled bounds the events that are read at a start.
const maxRecalled = 20_000

func newAlertLog(r *Observe) (*alertLog, error) {
	l := &alertLog{r: r, firing: map[string]api.Alert{}, blind: r.s.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	events, err := r.s.Journal.List(ctx, journal.Filter{Type: "alert.", Limit: maxRecalled})
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		a, ok := alertIn(e)
		if !ok {
			continue
		}
		switch e.Type {
		case eventFiring:
			l.firing[keyOf(a.Name, a.Labels)] = a
		case eventResolved:
			delete(l.firing, keyOf(a.Name, a.Labels))
		}
	}
	return l, nil
}

// alertIn is the alert that an event tells of.
func alertIn(e api.Event) (api.Alert, bool) {
	raw, err := json.Marshal(e.Data)
	if err != nil {
		return api.Alert{}, false
	}
	var a api.Alert
	if json.Unmarshal(raw, &a) != nil || a.Name == "" {
		return api.Alert{}, false
	}
	a.State = api.AlertFiring
	return a, true
}

func eventOf(typ string, a api.Alert) *api.Event {
	message := a.Summary
	if typ == eventResolved {
		message = "over: " + a.Summary
	}
	data := map[string]any{"name": a.Name, "severity": a.Severity, "summary": a.Summary, "since": a.Since, "value": a.Value, "labels": a.Labels, "expr": a.Expr}
	for k, v := range map[string]string{"host": a.Host, "unit": a.Unit, "detail": a.Detail} {
		if v != "" {
			data[k] = v
		}
	}
	return &api.Event{Type: typ, Host: a.Host, Message: message, Data: data}
}

func (l *alertLog) run(ctx context.Context) error {
	tick := time.NewTicker(l.r.o.Settle)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l.r.rate.note(l.r.s.Now(), l.r.metrics.Taken())
		if err := l.settle(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// found is what the rules say now.
type found struct {
	alerts map[string]api.Alert
	// asked is when each rule was last evaluated without an error.
	asked map[string]time.Time
}

func (l *alertLog) look() found {
	f := found{alerts: map[string]api.Alert{}, asked: map[string]time.Time{}}
	for _, rule := range l.r.rules.AlertingRules() {
		at := rule.GetEvaluationTimestamp()
		if rule.Health() != rules.HealthGood {
			at = time.Time{}
		}
		// Several rules may make the same alert of different causes.
		if was, there := f.asked[rule.Name()]; !there || at.Before(was) {
			f.asked[rule.Name()] = at
		}
		expr := rule.Query().String()
		for _, a := range rule.ActiveAlerts() {
			out := alertOf(rule, expr, a)
			if math.IsNaN(out.Value) || math.IsInf(out.Value, 0) {
				out.Value = 0 // JSON has no word for it
			}
			f.alerts[keyOf(out.Name, out.Labels)] = out
		}
	}
	return f
}

// settle writes the events of what changed.
func (l *alertLog) settle(ctx context.Context) error {
	now := l.r.s.Now()
	f := l.look()
	if len(l.r.metrics.Problems()) > 0 {
		l.mu.Lock()
		l.blind = now
		l.mu.Unlock()
	}
	hosts, err := l.hosts(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	var events []*api.Event
	var fire, over []string
	for key, a := range f.alerts {
		if a.State != api.AlertFiring {
			continue
		}
		if _, known := l.firing[key]; !known {
			events = append(events, eventOf(eventFiring, a))
			fire = append(fire, key)
		}
	}
	sees := l.blind.Add(l.r.o.StartGrace)
	for key, a := range l.firing {
		if _, still := f.alerts[key]; still {
			continue
		}
		asked, there := f.asked[a.Name]
		gone := a.Host != "" && !hosts[a.Host]                       // the host was removed
		dropped := !there && len(f.asked) > 0                        // the rule was
		if gone || dropped || now.After(sees) && asked.After(sees) { // asked after all could be known
			events = append(events, eventOf(eventResolved, a))
			over = append(over, key)
		}
	}
	l.mu.Unlock()
	if len(events) == 0 {
		return nil
	}
	slices.SortStableFunc(events, func(a, b *api.Event) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Message, b.Message))
	})
	if err := l.r.s.Journal.Append(ctx, events...); err != nil {
		return err // the next time tries again: nothing is forgotten
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range fire {
		l.firing[key] = f.alerts[key]
	}
	for _, key := range over {
		delete(l.firing, key)
	}
	return nil
}

// hosts are the fleet's, as a set.
func (l *alertLog) hosts(ctx context.Context) (map[string]bool, error) {
	all, err := l.r.hosts.Shared(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool, len(all))
	for _, h := range all {
		out[h.Name] = true
	}
	return out, nil
}

// list is every alert there is. One that the journal has as firing stays so
// while the rules only begin to see it again.
func (l *alertLog) list() []api.Alert {
	f := l.look()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []api.Alert{}
	for key, a := range f.alerts {
		if was, known := l.firing[key]; known {
			a.State = api.AlertFiring
			if was.Since.Before(a.Since) {
				a.Since = was.Since
			}
		}
		out = append(out, a)
	}
	for key, a := range l.firing {
		if _, there := f.alerts[key]; !there {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b api.Alert) int {
		return cmp.Or(strings.Compare(a.State, b.State), cmp.Compare(weight(a.Severity), weight(b.Severity)), b.Since.Compare(a.Since),
			strings.Compare(a.Host, b.Host), strings.Compare(a.Name, b.Name), strings.Compare(a.Summary, b.Summary))
	})
	return out
}

// weight orders severities, the most severe first.
func weight(severity string) int {
	return slices.Index([]string{"info", "warning", "critical"}, severity) * -1
}

// rate is how many samples come, over the last minute.
type rate struct {
	mu    sync.Mutex
	times []time.Time
	taken []uint64
}

func (r *rate) note(now time.Time, taken uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times, r.taken = append(r.times, now), append(r.taken, taken)
	for len(r.times) > 2 && now.Sub(r.times[1]) > time.Minute {
		r.times, r.taken = r.times[1:], r.taken[1:]
	}
}

func (r *rate) perSecond() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.times) - 1
	if n < 1 || !r.times[n].After(r.times[0]) {
		return 0
	}
	return float64(r.taken[n]-r.taken[0]) / r.times[n].Sub(r.times[0]).Seconds()
}
