package engine

import (
	"slices"

	"drover/internal/play/value"
)

// cursor is where one host stands in a play: a stack of blocks. A failure
// unwinds it to the next rescue or always.
type cursor struct {
	frames []*frame
	failed bool // the host has failed and does not go on in this play
	// forcing: it has failed, but runs its handlers still.
	forcing bool
	// what the last rescued failure was, for ansible_failed_task and _result.
	failedTask   *Task
	failedResult *value.Dict
}

// parts of a block.
const (
	partBody = iota
	partRescue
	partAlways
)

type frame struct {
	nodes  [3][]node
	part   int
	idx    int
	seq    int // order among several includes of one task
	failed bool
	role   *roleRun // the whole of a role: done when the frame ends
	block  *Block
	// handlers is set on the frame of a flush: idx walks the play's handlers.
	handlers bool
}

// newCursor begins a play's program.
func newCursor(ns []node) *cursor {
	return &cursor{frames: []*frame{{nodes: [3][]node{ns}}}}
}

func (c *cursor) top() *frame {
	if len(c.frames) == 0 {
		return nil
	}
	return c.frames[len(c.frames)-1]
}

// position orders hosts: the one that is furthest behind goes first.
func (c *cursor) position() []int {
	out := make([]int, 0, 3*len(c.frames))
	for _, f := range c.frames {
		out = append(out, f.seq, f.part, f.idx)
	}
	return out
}

// next finds the next task, entering and leaving blocks on the way. skip says
// whether a role has to be left out for this host.
func (c *cursor) next(pr *playRun, host string) *Task {
	for {
		f := c.top()
		if f == nil {
			return nil
		}
		if f.handlers {
			pr.r.includedDone(pr, host)
			if t := c.nextHandler(f, pr, host); t != nil {
				return t
			}
			c.pop(pr, host)
			continue
		}
		ns := f.nodes[f.part]
		if f.idx >= len(ns) {
			c.leave(pr, host)
			continue
		}
		switch n := ns[f.idx].(type) {
		case *Task:
			return n
		case *Block:
			if n.roleEntry != nil && pr.roleIsDone(n.roleEntry, host) {
				f.idx++
				continue
			}
			c.frames = append(c.frames, &frame{nodes: [3][]node{n.body, n.rescue, n.always}, block: n, role: n.roleEntry})
		}
	}
}

func (c *cursor) nextHandler(f *frame, pr *playRun, host string) *Task {
	for ; f.idx < len(pr.handlers); f.idx++ {
		h := pr.handlers[f.idx]
		if pr.notified[h][host] {
			return h
		}
	}
	return nil
}

// leave ends the part that the top frame is in.
func (c *cursor) leave(pr *playRun, host string) {
	f := c.top()
	if f.part != partAlways && len(f.nodes[partAlways]) > 0 {
		f.part, f.idx = partAlways, 0
		return
	}
	if f.failed {
		// The rescue or always has run, but the failure stands.
		c.pop(pr, host)
		c.unwind(pr, host)
		return
	}
	c.pop(pr, host)
}

// pop leaves the top frame for good; its parent goes on behind it.
func (c *cursor) pop(pr *playRun, host string) {
	f := c.top()
	c.frames = c.frames[:len(c.frames)-1]
	if f.role != nil && !f.failed {
		pr.roleDone(f.role, host)
	}
	if p := c.top(); p != nil {
		p.idx++
	}
}

// advance steps behind the task that has just run.
func (c *cursor) advance() {
	if f := c.top(); f != nil {
		f.idx++
	}
}

// include puts nodes before what comes next: they run as a frame of their own
// in place of the task that included them.
func (c *cursor) include(lists [][]node, roles []*roleRun) {
	if len(lists) == 0 {
		c.advance()
		return
	}
	wrap := make([]node, 0, len(lists))
	for i, l := range lists {
		b := &Block{body: l}
		if roles != nil {
			b.roleEntry = roles[i]
		}
		wrap = append(wrap, b)
	}
	c.frames = append(c.frames, &frame{nodes: [3][]node{wrap}})
}

// fail handles a failed task. It reports whether the failure is rescued.
func (c *cursor) fail(t *Task, res *value.Dict, pr *playRun, host string) (rescued bool) {
	for i := len(c.frames) - 1; i >= 0; i-- {
		f := c.frames[i]
		if !f.handlers && f.part == partBody && len(f.nodes[partRescue]) > 0 {
			rescued = true
			break
		}
	}
	if rescued {
		c.failedTask, c.failedResult = t, res
	}
	c.unwind(pr, host)
	return rescued
}

// unwind goes up to the next part that has to run despite a failure.
func (c *cursor) unwind(pr *playRun, host string) {
	for {
		f := c.top()
		if f == nil {
			c.failed = true
			return
		}
		if !f.handlers {
			if f.part == partBody && len(f.nodes[partRescue]) > 0 {
				f.part, f.idx, f.failed = partRescue, 0, false
				return
			}
			if f.part != partAlways && len(f.nodes[partAlways]) > 0 {
				f.part, f.idx, f.failed = partAlways, 0, true
				return
			}
		}
		f.failed = true
		c.frames = c.frames[:len(c.frames)-1]
	}
}

// endRole leaves the innermost role.
func (c *cursor) endRole(pr *playRun, host string) {
	for i := len(c.frames) - 1; i >= 0; i-- {
		if c.frames[i].role != nil {
			c.frames = c.frames[:i+1]
			c.pop(pr, host)
			return
		}
	}
	c.advance()
}

func before(a, b []int) bool { return slices.Compare(a, b) < 0 }
