package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFollow(t *testing.T) {
	const events = `{"Action":"build-output","ImportPath":"a","Output":"# a\n"}
warning: from the go command
{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"    a_test.go:1: chatter\n"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"--- PASS: TestGood (0.00s)\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestLeft/out","Output":"    a_test.go:2: no browser here\n"}
{"Action":"output","Package":"a","Test":"TestLeft/out","Output":"    --- SKIP: TestLeft/out (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestLeft/out"}
{"Action":"skip","Package":"a","Test":"TestMute"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"    b_test.go:1: got 1, want 2\n"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"b","Test":"TestBad"}
{"Action":"output","Package":"b","Test":"TestHangs","Output":"panic: test timed out\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t0.1s\n"}
{"Action":"fail","Package":"b"}
{"Action":"skip","Package":"c"}
`
	const shown = `# a
warning: from the go command
ok  	a	0.1s
    b_test.go:1: got 1, want 2
--- FAIL: TestBad (0.00s)
FAIL	b	0.1s
panic: test timed out
`
	var out strings.Builder
	skipped, err := follow(strings.NewReader(events), &out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shown, out.String()); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	want := []string{"a TestLeft/out: a_test.go:2: no browser here", "a TestMute: no reason given"}
	if diff := cmp.Diff(want, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}
