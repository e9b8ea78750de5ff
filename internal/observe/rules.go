package observe

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"

	"drover/api"
)

// pack is the rule pack: a Prometheus rule file.
//
//go:embed rules.yml
var pack []byte

// rulePack evaluates the rules.
type rulePack struct {
	r       *Observe
	text    []byte
	manager atomic.Pointer[rules.Manager]
}

// packFile names the rule pack in Prometheus' API.
const packFile = "rules.yml"

func newRulePack(r *Observe) (*rulePack, error) {
	p := &rulePack{r: r, text: pack}
	if r.o.Rules != nil {
		p.text = r.o.Rules
	}
	if _, errs := p.Load(packFile, false, model.UTF8Validation); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// Load reads the pack; with Parse it is a rules.GroupLoader.
func (p *rulePack) Load(_ string, ignoreUnknown bool, names model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return rulefmt.Parse(p.text, ignoreUnknown, names, p.r.metrics.Parser(), p.log())
}

// Parse reads an expression.
func (p *rulePack) Parse(query string) (parser.Expr, error) {
	return p.r.metrics.Parser().ParseExpr(query)
}

func (p *rulePack) log() *slog.Logger { return p.r.log.With("part", "rules") }

// Of an alert that fired before a restart: how long the server may have been
// away for it to go on, and how long it waits again after the start.
const (
	outageTolerance = time.Hour
	forGrace        = time.Second
)

func (p *rulePack) run(ctx context.Context) error {
	select {
	case <-p.r.metrics.Ready():
	case <-ctx.Done():
		return nil
	}
	m := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:       rules.EngineQueryFunc(p.r.metrics.RuleEngine(), p.r.metrics),
		NotifyFunc:      func(context.Context, string, ...*rules.Alert) {},
		Context:         ctx,
		Appendable:      p.r.metrics,
		Queryable:       p.r.metrics,
		Logger:          p.log(),
		OutageTolerance: outageTolerance,
		ForGracePeriod:  forGrace,
		ResendDelay:     time.Minute,
		GroupLoader:     p,
		Parser:          p.r.metrics.Parser(),
	})
	if err := m.Update(p.r.o.Interval, []string{packFile}, labels.EmptyLabels(), "", nil); err != nil {
		return err
	}
	p.manager.Store(m)
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run() }()
	<-ctx.Done()
	m.Stop()
	<-ended
	return nil
}

// RuleGroups are the groups as they are evaluated; with AlertingRules it is a
// rules retriever of Prometheus' API.
func (p *rulePack) RuleGroups() []*rules.Group {
	if m := p.manager.Load(); m != nil {
		return m.RuleGroups()
	}
	return nil
}

// AlertingRules are the rules that make alerts.
func (p *rulePack) AlertingRules() []*rules.AlertingRule {
	if m := p.manager.Load(); m != nil {
		return m.AlertingRules()
	}
	return nil
}

// alertOf is an alert as it is served; expr is the rule's, written once for all its alerts.
func alertOf(rule *rules.AlertingRule, expr string, a *rules.Alert) api.Alert {
	out := api.Alert{Name: rule.Name(), State: api.AlertPending, Severity: a.Labels.Get("severity"), Summary: a.Annotations.Get("summary"),
		Detail: a.Annotations.Get("description"), Since: a.ActiveAt.UTC(), Value: a.Value, Labels: a.Labels.Map(), Expr: expr}
	if a.State == rules.StateFiring {
		out.State = api.AlertFiring
	}
	if host := a.Labels.Get("instance"); host != instanceServer || a.Labels.Get("job") != jobServer {
		out.Host = host
	}
	if name := a.Labels.Get("name"); strings.Contains(name, ".") {
		out.Unit = name
	}
	if out.Summary == "" {
		out.Summary = out.Host + ": " + out.Name
	}
	return out
}
