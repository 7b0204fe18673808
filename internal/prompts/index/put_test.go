package index

import "testing"

// What reading the vectors after a start costs, apart from the ledger.
func BenchmarkPut(b *testing.B) {
	vectors := clustered(1000, 1536, 1)
	x := New(1536)
	for i := 0; b.Loop(); i++ {
		if err := x.Put("p", id(i%len(vectors)), vectors[i%len(vectors)]); err != nil {
			b.Fatal(err)
		}
	}
}
