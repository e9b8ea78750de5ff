package store

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"drover/api"
)

// backupLine is one line of a backup: an object, or the last line, which
// proves that nothing is cut off.
type backupLine struct {
	Key   string          `json:"key,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
	End   *int            `json:"end,omitempty"` // objects in the backup
}

// Export writes every object, at one revision, as JSON lines that Import
// reads into any backend, and returns how many. It holds the hashes of
// secrets: keep it private.
func Export(ctx context.Context, b Backend, w io.Writer) (int, error) {
	kvs, _, err := b.List(ctx, "o/")
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for _, kv := range kvs {
		if err := enc.Encode(backupLine{Key: kv.Key, Value: kv.Value}); err != nil {
			return 0, fmt.Errorf("cannot back up %s: %w", kv.Key, err)
		}
	}
	n := len(kvs)
	if err := enc.Encode(backupLine{End: &n}); err != nil {
		return 0, fmt.Errorf("cannot write the backup: %w", err)
	}
	if err := out.Flush(); err != nil {
		return 0, fmt.Errorf("cannot write the backup: %w", err)
	}
	return n, nil
}

// Import reads a backup into an empty backend. It reads it to its end before
// it writes anything. Objects keep their UIDs and generations; revisions begin anew.
func Import(ctx context.Context, b Backend, r io.Reader) (int, error) {
	have, _, err := b.List(ctx, "o/")
	if err != nil {
		return 0, err
	}
	if len(have) > 0 {
		return 0, api.Errorf(api.CodeConflict, "cannot restore the backup: the store has %d objects already", len(have)).WithRemedy("restore into a new data directory")
	}
	var ops []Op
	dec := json.NewDecoder(r)
	for {
		var l backupLine
		err := dec.Decode(&l)
		if err == nil && l.End != nil && *l.End == len(ops) {
			break
		}
		if err == nil && (l.End != nil || len(l.Key) < 3 || l.Key[:2] != "o/") {
			err = fmt.Errorf("line %d is not one of a backup", len(ops)+1)
		}
		if err != nil {
			return 0, api.Errorf(api.CodeInvalid, "cannot restore the backup: it is damaged or cut off after %d objects: %v", len(ops), err).WithRemedy("use another backup")
		}
		ops = append(ops, Op{Key: l.Key, Value: l.Value})
	}
	for batch := range slices.Chunk(ops, 20) { // 20 of the largest are 1.3 MB
		conds := make([]Cond, len(batch))
		for i, op := range batch {
			conds[i].Key = op.Key
		}
		_, ok, err := b.Txn(ctx, conds, batch)
		if err == nil && !ok {
			err = api.Errorf(api.CodeConflict, "cannot restore the backup: somebody else writes to the store").WithRemedy("stop the servers, and restore into a new data directory")
		}
		if err != nil {
			return 0, err
		}
	}
	return len(ops), nil
}
