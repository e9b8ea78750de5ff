package cli

// tone is how a piece of text is to look; a colour never says something that
// the words do not.
type tone string

// The tones there are.
const (
	plain tone = ""
	bold  tone = "1"
	dim   tone = "2"
	good  tone = "32"
	warn  tone = "33"
	bad   tone = "31"
	info  tone = "36"
)

// style gives text a tone where the terminal of standard output takes it.
func (a *app) style(t tone, text string) string {
	if t == plain || !a.coloured() {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// coloured reports whether to colour: on terminals only, and never under
// NO_COLOR, --no-color or TERM=dumb.
func (a *app) coloured() bool {
	if a.noColor || a.Getenv("NO_COLOR") != "" || a.Getenv("TERM") == "dumb" {
		return false
	}
	return a.outTerminal()
}

// toneOf is the tone of a state word.
func toneOf(word string) tone {
	switch word {
	case "converged", "ok", "true", "yes", "up", "connected", "done":
		return good
	case "changed", "converging", "new", "paused", "drifted", "admin", "pending", "running", "partial", "cancelled":
		return warn
	case "failed", "unreachable", "refused", "disconnected", "expired", "used", "down", "lost", "away":
		return bad
	}
	return plain
}
