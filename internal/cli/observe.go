package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"drover/api"
)

func newAlertsCommand(a *app) *cobra.Command {
	var host, severity string
	var all, exitCode bool
	cmd := &cobra.Command{
		Use: "alerts", GroupID: groupFleet,
		Short: "Show what is wrong in the fleet now",
		Long: `Show the alerts that fire now, the most severe first. The rules that make them
are at /v1/rules.yml; what fired and ended before is in drover events.

The exit status is 0 also when there are alerts; with --exit-code it is 1 then.`,
		Example: `  drover alerts
  drover alerts --severity critical --exit-code
  drover events -f --type 'alert.*'`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch severity {
			case "", "critical", "warning", "info":
			default:
				return usagef("--severity %s is not a severity: use critical, warning or info", severity)
			}
			return a.alerts(ctxOf(cmd), all, exitCode, func(x api.Alert) bool {
				return (host == "" || x.Host == host) && (severity == "" || x.Severity == severity)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&host, "host", "", "of this `host` only")
	f.StringVar(&severity, "severity", "", "of this `severity` only: critical, warning, info")
	f.BoolVarP(&all, "all", "a", false, "also those that are pending: wrong, but not for long enough")
	f.BoolVar(&exitCode, "exit-code", false, "exit with 1 when an alert that is shown fires")
	return cmd
}

func (a *app) alerts(ctx context.Context, all, exitCode bool, wanted func(api.Alert) bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var list api.AlertList
	if err := c.Call(ctx, "GET", "/v1/alerts", nil, &list); err != nil {
		return err
	}
	shown, firing := []api.Alert{}, 0
	for _, x := range list.Items {
		if !wanted(x) || x.State != api.AlertFiring && !all {
			continue
		}
		shown = append(shown, x)
		if x.State == api.AlertFiring {
			firing++
		}
	}
	switch {
	case a.structured():
		err = a.printValue(shown)
	case len(shown) == 0:
		_, err = fmt.Fprintln(a.Out, "Nothing is wrong.")
	default:
		now := time.Now()
		heads := []string{"SEVERITY", "STATE", "SINCE", "HOST", "WHAT"}
		if a.output == "wide" {
			heads = append(heads, "RULE", "VALUE")
		}
		t := newTable(heads...)
		for _, x := range shown {
			row := []string{x.Severity, x.State, since(x.Since, now), first(x.Host, "-"), x.Summary}
			if a.output == "wide" {
				row = append(row, x.Name, number(x.Value))
			}
			t.row(row...)
		}
		a.printTable(t)
	}
	if err == nil && exitCode && firing > 0 {
		err = exit(ExitFailed)
	}
	return err
}

func newQueryCommand(a *app) *cobra.Command {
	var at, span, step string
	cmd := &cobra.Command{
		Use: "query PROMQL", GroupID: groupFleet,
		Short: "Ask the fleet's metrics, in PromQL",
		Long: `Ask the fleet's metrics, in Prometheus' query language. The label instance is
the host's name. Without --range the answer is of one time; with it, the least,
mean, greatest and last value over that time are shown, and -o json has all.

The exit status is 6 when the answer is empty.`,
		Example: `  drover query 'drover:host_cpu:ratio > 0.8'
  drover query 'topk(5, node_filesystem_size_bytes - node_filesystem_avail_bytes)'
  drover query node_load1 --range 1h`,
		Args: exactArgs("PROMQL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if span == "" && step != "" {
				return usagef("--step goes with --range")
			}
			return a.query(ctxOf(cmd), args[0], at, span, step)
		},
	}
	f := cmd.Flags()
	f.StringVar(&at, "at", "", "as it was at this `time`: 2h (ago), 3d or 2006-01-02T15:04:05Z")
	f.StringVar(&span, "range", "", "over this `time` up to then: 30m, 2d")
	f.StringVar(&step, "step", "", "a value every `time` of the range (a 60th of it, at least 15s)")
	return cmd
}

// promAnswer is the answer of Prometheus' API to a query.
type promAnswer struct {
	Data struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
	Warnings []string `json:"warnings"`
}

// promSeries is one series of an answer: of one time or of many.
type promSeries struct {
	Metric map[string]string `json:"metric"`
	Value  promPoint         `json:"value"`
	Values []promPoint       `json:"values"`
}

// promPoint is a time and a value, which JSON has as text because of NaN.
type promPoint struct{ V float64 }

func (p *promPoint) UnmarshalJSON(b []byte) error {
	var pair [2]any
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	text, _ := pair[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	p.V = v
	return err
}

func (a *app) query(ctx context.Context, promql, at, span, step string) error {
	end := time.Now()
	if at != "" {
		text, err := sinceParam(at, end)
		if err != nil {
			return usagef("--at %s is not a time: use 2h, 3d or 2006-01-02T15:04:05Z", at)
		}
		if end, err = time.Parse(time.RFC3339, text); err != nil {
			return err
		}
	}
	path := "/api/v1/query?" + url.Values{"query": {promql}, "time": {end.Format(time.RFC3339Nano)}}.Encode()
	if span != "" {
		d, err := model.ParseDuration(span)
		if err != nil || d <= 0 {
			return usagef("--range %s is no time: use 30m or 2d", span)
		}
		every := max(time.Duration(d)/60, 15*time.Second)
		if step != "" {
			s, err := model.ParseDuration(step)
			if err != nil || s <= 0 {
				return usagef("--step %s is no time: use 15s or 5m", step)
			}
			every = time.Duration(s)
		}
		path = "/api/v1/query_range?" + url.Values{"query": {promql}, "start": {end.Add(-time.Duration(d)).Format(time.RFC3339Nano)},
			"end": {end.Format(time.RFC3339Nano)}, "step": {strconv.FormatFloat(every.Seconds(), 'f', -1, 64)}}.Encode()
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	var answer promAnswer
	if err := c.Call(ctx, "GET", path, nil, &answer); err != nil {
		return err
	}
	for _, w := range answer.Warnings {
		fmt.Fprintln(a.Err, a.style(dim, "warning: "+oneLine(w)))
	}
	if a.structured() {
		var v any
		if err := json.Unmarshal(answer.Data.Result, &v); err != nil {
			return err
		}
		return a.printValue(v)
	}
	return a.printAnswer(answer)
}

func (a *app) printAnswer(answer promAnswer) error {
	switch answer.Data.ResultType {
	case "scalar":
		var p promPoint
		if err := json.Unmarshal(answer.Data.Result, &p); err != nil {
			return err
		}
		_, err := fmt.Fprintln(a.Out, number(p.V))
		return err
	case "string":
		var pair [2]any
		if err := json.Unmarshal(answer.Data.Result, &pair); err != nil {
			return err
		}
		_, err := fmt.Fprintln(a.Out, oneLine(fmt.Sprint(pair[1])))
		return err
	}
	var list []promSeries
	if err := json.Unmarshal(answer.Data.Result, &list); err != nil {
		return err
	}
	if len(list) == 0 {
		if !a.quiet {
			fmt.Fprintln(a.Err, "no such series at that time")
		}
		return exit(ExitNotFound)
	}
	heads := []string{"HOST", "SERIES", "VALUE"}
	if answer.Data.ResultType == "matrix" {
		heads = []string{"HOST", "SERIES", "MIN", "MEAN", "MAX", "LAST"}
	}
	t := newTable(heads...)
	for _, s := range list {
		row := []string{first(s.Metric["instance"], "-"), first(seriesName(s.Metric), "-")}
		if answer.Data.ResultType == "matrix" {
			low, high, sum := math.Inf(1), math.Inf(-1), 0.0
			for _, p := range s.Values {
				low, high, sum = math.Min(low, p.V), math.Max(high, p.V), sum+p.V
			}
			n := len(s.Values)
			row = append(row, number(low), number(sum/float64(n)), number(high), number(s.Values[n-1].V))
		} else {
			row = append(row, number(s.Value.V))
		}
		t.row(row...)
	}
	a.printTable(t)
	return nil
}

// seriesName is a series' name and labels but the host and the job.
func seriesName(metric map[string]string) string {
	var parts []string
	for k, v := range metric {
		if k != "__name__" && k != "instance" && k != "job" {
			parts = append(parts, fmt.Sprintf("%s=%q", k, v))
		}
	}
	sort.Strings(parts)
	name := metric["__name__"]
	if len(parts) > 0 {
		name += "{" + strings.Join(parts, ",") + "}"
	}
	return name
}

// number writes a value so that people can read it: four digits, no exponent
// where there is a way without.
func number(v float64) string {
	switch abs := math.Abs(v); {
	case v == math.Trunc(v) && abs < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case abs >= 1000 && abs < 1e15:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// metricsLimits are the flags of `drover server` about metrics.
type metricsLimits struct{ retention, maxSize string }

// minRetention is the least time metrics are kept: they are written in blocks of two hours.
const minRetention = 3 * time.Hour

// read gives the limits; 0 for those that are not given.
func (m metricsLimits) read() (keep time.Duration, size int64, err error) {
	if m.retention != "" {
		d, err := model.ParseDuration(m.retention)
		if err != nil || time.Duration(d) < minRetention {
			return 0, 0, usagef("--metrics-retention %s is no time of at least 3h: use 15d, 8w or 1y", m.retention)
		}
		keep = time.Duration(d)
	}
	if size, err = parseSize(m.maxSize); err != nil {
		return 0, 0, usagef("--metrics-max-size %s is no size: use 50GB or 512MB", m.maxSize)
	}
	return keep, size, nil
}

// parseSize reads a size with its unit: 512MB, 50GB, 1TB; units are of 1,024.
func parseSize(s string) (int64, error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	text := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I")
	for i, unit := range []string{"K", "M", "G", "T"} {
		if digits, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
			if err == nil && (n < 0 || n > math.MaxInt64>>(10*(i+1))) {
				err = strconv.ErrRange
			}
			return n << (10 * (i + 1)), err
		}
	}
	return 0, strconv.ErrSyntax
}
