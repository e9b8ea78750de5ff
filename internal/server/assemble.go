package server

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	"drover/api"
	"drover/internal/console"
	"drover/internal/domain"
)

// table is every route there is, in the order of the reference.
type table struct {
	routes []domain.Route
	byKey  map[string]int
}

// add puts routes into the table. A later route of the same method and path
// takes the place of an earlier one only if replace is set.
func (t *table) add(replace bool, routes ...domain.Route) {
	if t.byKey == nil {
		t.byKey = map[string]int{}
	}
	for _, r := range routes {
		if err := checkRoute(r); err != nil {
			panic(err)
		}
		key := r.Method + " " + r.Path
		if i, there := t.byKey[key]; there {
			if !replace {
				panic(fmt.Sprintf("server: two routes for %s", key))
			}
			t.routes[i] = r
			continue
		}
		t.byKey[key] = len(t.routes)
		t.routes = append(t.routes, r)
	}
}

// checkRoute refuses, when the server is assembled, what would be a hole or a
// riddle later.
func checkRoute(r domain.Route) error {
	key := r.Method + " " + r.Path
	switch {
	case r.Access.IsZero():
		return fmt.Errorf("server: route %s has no access rule", key)
	case r.Handle == nil:
		return fmt.Errorf("server: route %s has no handler", key)
	case r.Method == "" || r.Method != strings.ToUpper(r.Method) || !strings.HasPrefix(r.Path, "/"):
		return fmt.Errorf("server: route %q needs a method in upper case and a path", key)
	case r.Doc == "":
		return fmt.Errorf("server: route %s has no Doc", key)
	}
	return nil
}

// mux is the table as a handler.
func (s *Server) mux(t *table) http.Handler {
	m := http.NewServeMux()
	for _, r := range t.routes {
		pattern := r.Method + " " + r.Path
		m.Handle(pattern, s.door(r))
	}
	nowhere := s.door(domain.Route{Method: "*", Path: "(none)", Doc: "answers where there is no route", Quiet: true,
		Access: domain.Public("it only says that there is nothing"),
		Handle: func(w http.ResponseWriter, r *http.Request) error { return t.missing(w, r, m) }})
	page, file := s.door(s.pageRoute("(page)", s.console.Page)), s.door(s.pageRoute("(file)", s.console.File))
	taken := t.firsts()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch _, pattern := m.Handler(r); {
		case pattern != "":
			m.ServeHTTP(w, r)
		case !taken[first] && s.console.Has(r.URL.Path) && !mutates(r.Method):
			file.ServeHTTP(w, r)
		case !taken[first] && console.WantsPage(r):
			page.ServeHTTP(w, r)
		default:
			nowhere.ServeHTTP(w, r)
		}
	})
}

// firsts are the first parts of all routes' paths: no page is below them.
func (t *table) firsts() map[string]bool {
	taken := map[string]bool{"v1": true, "api": true}
	for _, r := range t.routes {
		if first, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/"); first != "{$}" {
			taken[first] = true
		}
	}
	return taken
}

// consoleRoutes serve the console's files; its pages are all paths that
// nothing else has.
func (s *Server) consoleRoutes() []domain.Route {
	return []domain.Route{s.pageRoute("/assets/{file...}", s.console.File)}
}

func (s *Server) pageRoute(path string, handle func(http.ResponseWriter, *http.Request) error) domain.Route {
	return domain.Route{Method: "GET", Path: path, Internal: true, Doc: "The web console.", Handle: handle,
		Access: domain.Public("the console's program holds no data: what it shows it asks the API for")}
}

// missing says what is wrong with a path that no route has.
func (t *table) missing(w http.ResponseWriter, r *http.Request, m *http.ServeMux) error {
	var allowed []string
	for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := m.Handler(probe); pattern != "" && method != r.Method {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return &statusError{http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "%s does not take %s", r.URL.Path, r.Method).
			WithRemedy("use %s", strings.Join(allowed, " or "))}
	}
	e := api.Errorf(api.CodeNotFound, "there is nothing at %s", r.URL.Path).WithRemedy("see /openapi.json for all there is")
	if near := t.near(r.URL.Path); near != "" {
		e = e.WithRemedy("did you mean %s?", near)
	}
	return e
}

// near finds the route whose first parts a misspelt path most likely meant.
func (t *table) near(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) < 2 || parts[0] != "v1" {
		return ""
	}
	var seconds []string
	for _, r := range t.routes {
		if p := strings.Split(strings.Trim(r.Path, "/"), "/"); len(p) >= 2 && p[0] == "v1" && !slices.Contains(seconds, p[1]) {
			seconds = append(seconds, p[1])
		}
	}
	if near := domain.Nearest(parts[1], seconds); near != "" && near != parts[1] {
		return "/v1/" + near
	}
	return ""
}

// sorted is the table by path and method.
func (t *table) sorted() []domain.Route {
	rs := slices.Clone(t.routes)
	sort.SliceStable(rs, func(i, j int) bool {
		if rs[i].Path != rs[j].Path {
			return rs[i].Path < rs[j].Path
		}
		return rs[i].Method < rs[j].Method
	})
	return rs
}

// statusError is an error that travels under another status than its code's.
type statusError struct {
	status int
	err    *api.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }
