package jsonevents

import (
	"bytes"
	"fmt"
	"testing"
)

// sample is a typical event of about 370 bytes.
func sample(i int) string {
	return fmt.Sprintf(`{"traceId":"trace-%08d","spanId":"span-%08d","timestamp":"2026-11-01T12:%02d:%02d.123456Z","feature":"document-search","provider":"openai","model":"gpt-4o-mini","inputTokens":%d,"outputTokens":%d,"cachedTokens":128,"latencyMs":842.5,"timeToFirstTokenMs":120,"userId":"user-%04d","environment":"production","isStreaming":true,"tags":{"team":"search","release":"2026.44"}}`,
		i, i, i/60%60, i%60, 1200+i%977, 80+i%131, i%500)
}

func batch(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"events":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(sample(i))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	body := batch(100)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		inputs, err := decode(body, JSON)
		if err != nil || len(inputs) != 100 || len(inputs[0].Problems) > 0 {
			b.Fatal(err, inputs)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(len(body))/100, "B/event")
}

func BenchmarkDecodeLines(b *testing.B) {
	var lines bytes.Buffer
	for i := range 100 {
		lines.WriteString(sample(i) + "\n")
	}
	b.SetBytes(int64(lines.Len()))
	b.ReportAllocs()
	for b.Loop() {
		inputs, err := decode(lines.Bytes(), NDJSON)
		if err != nil || len(inputs) != 100 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
}

// Whatever a body holds, its time must grow with its size alone: no name may be
// an order of magnitude slower than the others.
func BenchmarkDecodeHostile(b *testing.B) {
	for name, body := range hostileBodies() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_, _ = Decode([]byte(body), JSON)
			}
		})
	}
}
