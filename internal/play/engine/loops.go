package engine

import (
	"errors"
	"fmt"

	"drover/internal/play/filter"
	"drover/internal/play/value"
)

func isUndefined(err error) bool {
	var u *value.UndefinedError
	return errors.As(err, &u)
}

// loopItems works out the items of loop or of with_NAME.
func (r *run) loopItems(s *scope, t *Task) ([]value.Value, error) {
	if t.loopWith == "" {
		v, err := s.template(t.loop.v)
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case *value.List:
			return v.Items, nil
		case value.Tuple:
			return v, nil
		}
		return nil, fmt.Errorf("The `loop` value must resolve to a 'list', not '%s'.", value.TypeName(v))
	}
	terms, err := r.loopTerms(s, t)
	if err != nil {
		return nil, err
	}
	items, err := filter.RunLookup(s.ctx, r.env, r.fopts, s, t.loopWith, terms, nil)
	for i, x := range items {
		items[i] = listed(x)
	}
	return items, err
}

// listed makes lists of tuples, as values become when they leave a lookup.
func listed(v value.Value) value.Value {
	switch v := v.(type) {
	case value.Tuple:
		out := &value.List{Items: make([]value.Value, len(v))}
		for i, x := range v {
			out.Items[i] = listed(x)
		}
		return out
	}
	return v
}

// loopTerms templates the terms of with_NAME. A term that is undefined is left
// out for first_found, an error otherwise.
func (r *run) loopTerms(s *scope, t *Task) ([]value.Value, error) {
	var list []value.Value
	if l, ok := t.loop.v.(*value.List); ok {
		list = l.Items
	} else {
		v, err := s.template(t.loop.v)
		if err != nil {
			return nil, err
		}
		if l, ok := v.(*value.List); ok {
			return l.Items, nil
		}
		return []value.Value{v}, nil
	}
	out := make([]value.Value, 0, len(list))
	for _, x := range list {
		v, err := s.template(x)
		if err != nil {
			if t.loopWith == "first_found" && isUndefined(err) {
				continue
			}
			return nil, err
		}
		if _, gone := v.(omitted); gone {
			continue
		}
		out = append(out, v)
	}
	return out, nil
}
