package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/costprof/costprof/client"
)

// printHelp shows a command's help without the flags that mean nothing to it.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	var idle []string
	if command := ctx.Selected(); command != nil {
		switch command.Name {
		case "serve":
			idle = []string{"server", "key", "json"}
		case "version", "doctor":
			idle = []string{"server", "key"}
		}
	}
	for _, flag := range ctx.Model.Flags {
		flag.Hidden = slices.Contains(idle, flag.Name)
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// describeValue adds to a flag's help what its placeholder hides, the default,
// and the variable that sets it.
func describeValue(v *kong.Value) string {
	var notes []string
	if v.Flag != nil && v.Flag.PlaceHolder != "" && v.Default != "" {
		notes = append(notes, "default "+v.Default)
	}
	for _, env := range v.Tag.Envs {
		notes = append(notes, "$"+env)
	}
	if len(notes) == 0 {
		return v.Help
	}
	text, stop := strings.CutSuffix(v.Help, ".")
	text += " (" + strings.Join(notes, ", ") + ")"
	if stop {
		text += "."
	}
	return text
}

// misparsed says in one line what is wrong with a command line, and whose help
// would put it right. Of a setting's value the sentence says all.
func misparsed(e *kong.ParseError) string {
	text, command := e.Error(), "costprof"
	if e.Context != nil && e.Context.Selected() != nil {
		command = e.Context.Selected().FullPath()
		name := e.Context.Selected().Name
		// Validation is of the whole command, a config file of no single flag, but
		// the parser puts a name before either.
		text, _ = strings.CutPrefix(text, name+": ")
		if _, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(rest, "config file ") {
			text = rest
		}
		if name == "serve" && !strings.HasPrefix(text, "unknown flag") && !strings.HasPrefix(text, "unexpected argument") {
			return text
		}
	}
	return fmt.Sprintf("%s (see %q)", text, command+" --help")
}

// flagOf names the flag behind a parameter of the API.
var flagOf = map[string]string{
	"from": "--from", "to": "--to", "tz": "--tz", "status": "--status", "cursor": "--cursor", "limit": "-n", "state": "--state",
	"groupBy": "the dimension", "levels": "--levels", "maxNodes": "--max-nodes", "granularity": "--granularity", "series": "--series",
}

// argumentRules says which rules a request broke, in the words of the command
// line.
func argumentRules(details map[string][]string) string {
	named := make(map[string][]string, len(details))
	for field, rules := range details {
		if flag, ok := flagOf[field]; ok {
			field = flag
		}
		named[field] = append(named[field], rules...)
	}
	return rulesText(named)
}

// rulesText lists broken rules by field, without a sentence before them.
func rulesText(details map[string][]string) string {
	return strings.TrimPrefix((&client.Error{Details: details}).Error(), ": ")
}

// between checks a flag that the server would take as not given when it is 0.
func between(flag string, n, least, most int) error {
	if n < least || n > most {
		return usagef("%s must be between %d and %d", flag, least, most)
	}
	return nil
}
