package engine

import (
	"sort"
	"strings"
)

// shape is the type a keyword wants, for the checks on load.
type shape int

const (
	anyShape shape = iota
	boolShape
	intShape
	stringShape
	listShape // a list, or one value that stands for a list of one
	dictShape
	condShape
	numberShape
)

// where a keyword may stand.
const (
	onPlay = 1 << iota
	onRole
	onBlock
	onTask
	onHandler
	inherits // children take it over unless they say otherwise
)

const (
	onAll    = onPlay | onRole | onBlock | onTask | onHandler
	onNoPlay = onRole | onBlock | onTask | onHandler
	onTasks  = onTask | onHandler
)

type keyword struct {
	where int
	shape shape
}

// keywords is the language's table of keywords.
var keywords = map[string]keyword{
	"any_errors_fatal":    {onAll | inherits, boolShape},
	"become":              {onAll | inherits, boolShape},
	"become_exe":          {onAll | inherits, stringShape},
	"become_flags":        {onAll | inherits, stringShape},
	"become_method":       {onAll | inherits, stringShape},
	"become_user":         {onAll | inherits, stringShape},
	"check_mode":          {onAll | inherits, boolShape},
	"collections":         {onAll, listShape},
	"connection":          {onAll | inherits, stringShape},
	"debugger":            {onAll | inherits, stringShape},
	"diff":                {onAll | inherits, boolShape},
	"environment":         {onAll, anyShape},
	"ignore_errors":       {onAll | inherits, boolShape},
	"ignore_unreachable":  {onAll | inherits, boolShape},
	"module_defaults":     {onAll, anyShape},
	"name":                {onAll, stringShape},
	"no_log":              {onAll | inherits, boolShape},
	"port":                {onAll | inherits, intShape},
	"remote_user":         {onAll | inherits, stringShape},
	"run_once":            {onAll | inherits, boolShape},
	"tags":                {onAll, listShape},
	"throttle":            {onAll | inherits, intShape},
	"timeout":             {onAll | inherits, intShape},
	"vars":                {onAll, anyShape},
	"when":                {onNoPlay, condShape},
	"delegate_to":         {onNoPlay | inherits, stringShape},
	"delegate_facts":      {onNoPlay | inherits, boolShape},
	"notify":              {onBlock | onTasks, listShape},
	"fact_path":           {onPlay, stringShape},
	"force_handlers":      {onPlay, boolShape},
	"gather_facts":        {onPlay, boolShape},
	"gather_subset":       {onPlay, listShape},
	"gather_timeout":      {onPlay, intShape},
	"handlers":            {onPlay, listShape},
	"hosts":               {onPlay, anyShape},
	"max_fail_percentage": {onPlay, numberShape},
	"order":               {onPlay, stringShape},
	"post_tasks":          {onPlay, listShape},
	"pre_tasks":           {onPlay, listShape},
	"roles":               {onPlay, listShape},
	"serial":              {onPlay, anyShape},
	"strategy":            {onPlay, stringShape},
	"tasks":               {onPlay, listShape},
	"vars_files":          {onPlay, listShape},
	"vars_prompt":         {onPlay, listShape},
	"validate_argspec":    {onPlay, anyShape},
	"block":               {onBlock, listShape},
	"rescue":              {onBlock, listShape},
	"always":              {onBlock, listShape},
	"action":              {onTasks, anyShape},
	"args":                {onTasks, anyShape},
	"async":               {onTasks, intShape},
	"changed_when":        {onTasks, condShape},
	"delay":               {onTasks, numberShape},
	"failed_when":         {onTasks, condShape},
	"local_action":        {onTasks, anyShape},
	"loop":                {onTasks, anyShape},
	"loop_control":        {onTasks, dictShape},
	"poll":                {onTasks, intShape},
	"register":            {onTasks, stringShape},
	"retries":             {onTasks, intShape},
	"until":               {onTasks, condShape},
	"listen":              {onHandler, listShape},
}

// allowed reports whether key may stand at where.
func allowed(key string, where int) bool { return keywords[key].where&where != 0 }

func keywordsAt(where int) []string {
	var out []string
	for k, w := range keywords {
		if w.where&where != 0 {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

// ownActions are the actions that the engine runs itself, with the parameters
// each takes; "*" takes any, "_" takes free text.
var ownActions = map[string][]string{
	"add_host":               {"*", "_"},
	"assert":                 {"that", "msg", "fail_msg", "success_msg", "quiet"},
	"debug":                  {"msg", "var", "verbosity"},
	"fail":                   {"msg"},
	"group_by":               {"key", "parents"},
	"import_playbook":        {"file", "_"},
	"import_role":            {"name", "tasks_from", "vars_from", "defaults_from", "handlers_from", "allow_duplicates", "rolespec_validate", "public"},
	"import_tasks":           {"file", "_"},
	"include_role":           {"name", "apply", "tasks_from", "vars_from", "defaults_from", "handlers_from", "allow_duplicates", "public", "rolespec_validate"},
	"include_tasks":          {"file", "apply", "_"},
	"include_vars":           {"file", "dir", "name", "depth", "extensions", "files_matching", "ignore_files", "ignore_unknown_extensions", "hash_behaviour", "_"},
	"meta":                   {"_"},
	"pause":                  {"echo", "minutes", "prompt", "seconds"},
	"set_fact":               {"*", "_"},
	"set_stats":              {"data", "per_host", "aggregate"},
	"validate_argument_spec": {"argument_spec", "provided_arguments"},
	"fetch":                  {"src", "dest", "flat", "fail_on_missing", "validate_checksum"},
	"async_status":           {"jid", "mode", "_async_dir"},
	"wait_for_connection":    {"connect_timeout", "delay", "sleep", "timeout"},
	"gather_facts":           {"parallel"},
}

// required names the parameters that an own action cannot do without; one of
// those separated by "|" is enough.
var required = map[string][]string{
	"assert":                 {"that"},
	"group_by":               {"key"},
	"include_role":           {"name"},
	"import_role":            {"name"},
	"set_stats":              {"data"},
	"validate_argument_spec": {"argument_spec"},
	"async_status":           {"jid"},
	"fetch":                  {"src", "dest"},
}

// metaActions are the values of meta.
var metaActions = []string{"clear_facts", "clear_host_errors", "end_batch", "end_host", "end_play", "end_role", "flush_handlers", "noop", "refresh_inventory", "reset_connection"}

// shortAction strips the collections whose modules are known by their short names.
func shortAction(name string) string {
	for _, c := range []string{"ansible.builtin.", "ansible.legacy."} {
		if s, ok := strings.CutPrefix(name, c); ok {
			return s
		}
	}
	return name
}
