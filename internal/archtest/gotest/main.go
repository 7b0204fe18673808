// Command gotest is go test that says which tests were skipped. It prints what
// go test prints without -v, and where CI is true a skipped test is a failure: a
// test that silently does not run there runs nowhere.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	gobin := os.Getenv("GO")
	if gobin == "" {
		gobin = "go"
	}
	cmd := exec.CommandContext(context.Background(), gobin, append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	skipped, readErr := follow(out, os.Stdout)
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
	if len(skipped) > 0 {
		fmt.Printf("%d skipped:\n  %s\n", len(skipped), strings.Join(skipped, "\n  "))
		if os.Getenv("CI") == "true" {
			fmt.Println("In CI a skipped test is a failure.")
			os.Exit(1)
		}
	}
}

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// follow copies what is worth showing and returns the tests that were skipped,
// each with its last words.
func follow(r io.Reader, w io.Writer) (skipped []string, err error) {
	type key struct{ pkg, test string }
	said := map[key][]string{} // by tests that run
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(w, lines.Text()) // no event: the go command itself speaks
			continue
		}
		k := key{e.Package, e.Test}
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "" && e.Output != "PASS\n":
			fmt.Fprint(w, e.Output)
		case e.Action == "output" && e.Test != "" && !strings.HasPrefix(e.Output, "=== "):
			said[k] = append(said[k], e.Output)
		case e.Action == "skip" && e.Test != "":
			skipped = append(skipped, e.Package+" "+e.Test+": "+reason(said[k]))
			delete(said, k)
		case e.Action == "pass" && e.Test != "":
			delete(said, k)
		case e.Action == "fail" && e.Test != "":
			fmt.Fprint(w, strings.Join(said[k], ""))
			delete(said, k)
		case e.Action == "fail":
			// What had not ended when the package did: a panic, or the timeout.
			for k, text := range said {
				if k.pkg == e.Package {
					fmt.Fprint(w, strings.Join(text, ""))
					delete(said, k)
				}
			}
		}
	}
	return skipped, lines.Err()
}

// reason is what a skipped test said before its own line of result.
func reason(said []string) string {
	for i := len(said) - 1; i >= 0; i-- {
		if text := strings.TrimSpace(said[i]); text != "" && !strings.HasPrefix(text, "--- ") {
			return text
		}
	}
	return "no reason given"
}
