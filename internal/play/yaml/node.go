package yaml

import "drover/internal/play/value"

// Value is the node as a value; text under !unsafe becomes value.Unsafe,
// under other tags of the application plain strings.
func (n *Node) Value() value.Value {
	v, _ := n.Decode(nil)
	return v
}

// Decode is Value with a say over tags: tag is called for each node that
// carries one and returns its value, or false to go on as Value does.
func (n *Node) Decode(tag func(*Node) (value.Value, bool, error)) (value.Value, error) {
	return n.decode(tag, false)
}

func (n *Node) decode(tag func(*Node) (value.Value, bool, error), unsafe bool) (value.Value, error) {
	if n == nil {
		return nil, nil
	}
	if n.Tag != "" && tag != nil {
		if v, ok, err := tag(n); ok || err != nil {
			return v, err
		}
	}
	unsafe = unsafe || n.Tag == "!unsafe"
	switch n.Kind {
	case Seq:
		list := &value.List{Items: make([]value.Value, 0, len(n.Items))}
		for _, item := range n.Items {
			v, err := item.decode(tag, unsafe)
			if err != nil {
				return nil, err
			}
			list.Items = append(list.Items, v)
		}
		return list, nil
	case Map:
		d := value.NewDict()
		for _, p := range n.Pairs {
			v, err := p.Value.decode(tag, unsafe)
			if err != nil {
				return nil, err
			}
			d.Set(p.Key.Scalar, v)
		}
		return d, nil
	}
	if s, ok := n.Scalar.(string); ok && unsafe {
		return value.Unsafe(s), nil
	}
	return n.Scalar, nil
}

// Get is the value of a string key of a mapping, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil || n.Kind != Map {
		return nil
	}
	for _, p := range n.Pairs {
		if s, ok := p.Key.Scalar.(string); ok && s == key {
			return p.Value
		}
	}
	return nil
}

// AllDuplicates lists the duplicate keys of n and everything below it.
func (n *Node) AllDuplicates() []Duplicate {
	if n == nil {
		return nil
	}
	all := n.Duplicates
	for _, item := range n.Items {
		all = append(all, item.AllDuplicates()...)
	}
	for _, p := range n.Pairs {
		all = append(all, p.Value.AllDuplicates()...)
	}
	return all
}
