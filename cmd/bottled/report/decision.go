package report

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/state/audit"
)

// Decision is a record of an audit log, or a sidecar's own line about the same, without its time and whose it is. It is bad when
// something was refused, went wrong or is missing.
func Decision(r audit.Record) Line {
	s := r.Statement
	if s == nil {
		s = &audit.Statement{}
	}
	verb := strings.ToUpper(string(s.Action))
	var details []string
	switch r.Kind {
	case audit.KindGap:
		verb, details = "GAP", gapDetails(r.Gap)
	case audit.KindEgress:
		details = egressDetails(s)
	case audit.KindRequest:
		verb, details = requestDetails(s)
	case audit.KindCredential:
		details = []string{"token of " + routeOf(s), string(s.Reason)}
	default:
		details = []string{string(s.Tool), string(s.Reason)}
	}
	if s.Warning != "" {
		details = append(details, "warning: "+string(s.Warning))
	}
	if s.Count > 0 && s.Phase == "" {
		details = append(details, fmt.Sprintf("%d more", s.Count))
	}
	details = slices.DeleteFunc(details, func(d string) bool { return d == "" })
	return Line{Text: fmt.Sprintf("%-5s  %s", verb, strings.Join(details, "  ")), Bad: slices.Contains(badVerbs, verb)}
}

var badVerbs = []string{"DENY", "ERROR", "MISSING", "GAP"}

// Denied reports whether the bottle refused what a record is about. An upstream that refuses is something else.
func Denied(r audit.Record) bool {
	s := r.Statement
	return s != nil && (r.Kind == audit.KindEgress && s.Action == "deny" || r.Kind == audit.KindRequest && s.Refused)
}

func egressDetails(s *audit.Statement) []string {
	host := string(s.Host)
	if s.Port != 0 {
		host += ":" + strconv.Itoa(int(s.Port))
	}
	switch {
	case s.Others:
		host = "several hosts"
	case host == "":
		host = "(not named)" // the request line had a secret
	}
	// The host stands in front of it already.
	reason := strings.TrimSuffix(string(s.Reason), ": "+string(s.Host))
	return []string{strings.TrimSpace(string(s.Method) + " " + host + string(s.Path)), string(s.Status), strings.TrimPrefix(reason, "domain ")}
}

func requestDetails(s *audit.Statement) (verb string, details []string) {
	switch s.Phase {
	case "reserve":
		return "ALLOW", []string{fmt.Sprintf("up to %d more requests on %s", s.AtMost, routeOf(s))}
	case "count":
		return requestVerb(s), []string{fmt.Sprintf("%d more requests on %s", s.Count, routeOf(s)), fmt.Sprintf("%d failed", s.Failed)}
	case "begin":
		verb = "BEGIN"
	default:
		verb = requestVerb(s)
	}
	request := string(s.Method) + " " + cmp.Or(string(s.Path), routeOf(s))
	aborted := ""
	if s.Aborted {
		aborted = "aborted"
	}
	return verb, []string{request, string(s.Status), string(s.Reason), string(s.Error), aborted}
}

func requestVerb(s *audit.Statement) string {
	switch {
	case s.Refused:
		return "DENY"
	case s.Error != "" || s.Aborted || s.Code != "":
		return "ERROR"
	}
	return "ALLOW"
}

func routeOf(s *audit.Statement) string {
	if s.Route == "" {
		return "no route"
	}
	return "route " + string(s.Route)
}

func gapDetails(g *audit.Gap) []string {
	if g == nil {
		return nil
	}
	var missing []string
	for _, kind := range slices.Sorted(maps.Keys(g.Dropped)) {
		missing = append(missing, fmt.Sprintf("%d %s not recorded", g.Dropped[kind], kind))
	}
	if g.Lost > 0 {
		missing = append(missing, fmt.Sprintf("%d lost", g.Lost))
	}
	if g.Malformed > 0 {
		missing = append(missing, fmt.Sprintf("%d malformed lines", g.Malformed))
	}
	span := fmt.Sprintf("from %s to %s", g.From.Local().Format(time.DateTime), g.To.Local().Format(time.DateTime))
	return []string{strings.Join(missing, ", "), g.Why, span}
}

// ComponentLine is a line that a component logged. Only an audited component's lines are believed to be about decisions.
func ComponentLine(audited bool, text []byte) Line {
	if audited {
		return SidecarLine(text)
	}
	return PlainLine(text)
}

// SidecarLine is a line that a sidecar logged: a decision, another JSON line of a program's log, or any text.
func SidecarLine(text []byte) Line {
	if r, ok := audit.ParseStatement(text); ok {
		return Decision(r)
	}
	var out bytes.Buffer
	w := zerolog.ConsoleWriter{
		Out: &out, NoColor: true, PartsOrder: []string{zerolog.LevelFieldName, zerolog.MessageFieldName},
		FieldsExclude: []string{zerolog.TimestampFieldName, "role", "run", "number"},
	}
	if _, err := w.Write(text); err != nil {
		return PlainLine(text)
	}
	return Line{Text: strings.TrimRight(out.String(), "\n")}
}

// PlainLine is a line of any program's output.
func PlainLine(text []byte) Line {
	return Line{Text: strings.ReplaceAll(string(bytes.TrimRight(text, "\r\n")), "\t", "    ")}
}
