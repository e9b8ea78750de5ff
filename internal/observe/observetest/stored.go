// Package observetest compares what a server has of a host's metrics with what
// the agent's own record says was read.
package observetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"drover/client"
	"drover/internal/observe/observehost"
)

// Stored is what the agent's record of a host would be, made from what the
// server has of the time that went by last: the line of each gather, by its
// time in milliseconds.
func Stored(ctx context.Context, c *client.Client, host string, last time.Duration) (map[int64]string, error) {
	query := fmt.Sprintf(`{instance=%q,job="node"}[%ds]`, host, int(last.Seconds()))
	resp, err := c.Do(ctx, http.MethodGet, "/api/v1/query?query="+url.QueryEscape(query), nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	count, hash := map[int64]int{}, map[int64]uint64{}
	for _, series := range answer.Data.Result {
		if series.Metric["__name__"] == "up" {
			continue // the server's word, which no host has read
		}
		delete(series.Metric, "instance")
		delete(series.Metric, "job")
		var names, pairs []string
		for name := range series.Metric {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			pairs = append(pairs, name, series.Metric[name])
		}
		for _, v := range series.Values {
			at, ok := v[0].(float64)
			text, isText := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if !ok || !isText || err != nil {
				return nil, fmt.Errorf("a value of %v is %v", series.Metric, v)
			}
			ms := int64(math.Round(at * 1000))
			count[ms]++
			hash[ms] += observehost.RecordHash(pairs, value)
		}
	}
	all := map[int64]string{}
	for ms, n := range count {
		all[ms] = fmt.Sprintf("%d %d %016x", ms, n, hash[ms])
	}
	return all, nil
}
