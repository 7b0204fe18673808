// Command bookbuild builds the price book that the binary ships from the
// genai-prices list:
//
//	go run ./internal/pricing/bookbuild -in list.json -out internal/pricing/book.json -version 0.1.8 -listed 2026-09-23
//
// The same list always gives the same bytes.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/pricing/genaiprices"
)

func main() {
	in := flag.String("in", "", "the list, a JSON array of providers")
	out := flag.String("out", "", "the book to write")
	version := flag.String("version", "", "the version of the package that the list is from")
	listed := flag.String("listed", "", "the day that version was published, YYYY-MM-DD")
	flag.Parse()
	if err := run(*in, *out, *version, *listed); err != nil {
		fmt.Fprintln(os.Stderr, "bookbuild:", err)
		os.Exit(1)
	}
}

func run(in, out, version, listed string) error {
	if in == "" || out == "" || version == "" {
		return fmt.Errorf("-in, -out, -version and -listed are needed")
	}
	if _, err := time.Parse(time.DateOnly, listed); err != nil {
		return fmt.Errorf("-listed must be a day, YYYY-MM-DD")
	}
	list, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	res, err := genaiprices.Convert(list, genaiprices.Provenance(version, listed))
	if err != nil {
		return err
	}
	book, err := pricing.Encode(res.Data)
	if err != nil {
		return err
	}
	b, err := pricing.Load(book)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, book, 0o644); err != nil {
		return err
	}
	info := b.Info()
	fmt.Printf("%d providers, %d models, %d versions\n", info.Providers, info.Models, info.Versions)
	for _, r := range res.Rounded {
		fmt.Println("rounded to a picodollar:", r)
	}
	return nil
}
