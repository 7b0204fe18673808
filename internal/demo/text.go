package demo

import (
	"fmt"
	"strings"
)

// The texts of a feature are variations of a few: what a cache or a template
// would save is there to be found.

func supportQuestion(g *generator) string {
	text := oneOf(g,
		"How do I reset my password?",
		"How can I reset my password?",
		"I forgot my password, how do I reset it?",
		"Where do I find the invoice for %s?",
		"Where can I download the invoice for %s?",
		"My order #%d has not arrived yet, where is it?",
		"The order #%d has still not arrived. Where is it?",
		"Can I change the delivery address of order #%d?",
		"How do I cancel my subscription?",
		"The app shows error E-%d after the update. What can I do?",
	)
	switch {
	case strings.Contains(text, "%d"):
		return fmt.Sprintf(text, g.between(1_000, 9_999))
	case strings.Contains(text, "%s"):
		return fmt.Sprintf(text, oneOf(g, "September", "October", "November"))
	}
	return text
}

func searchQuestion(g *generator) string {
	return oneOf(g,
		"What is the notice period in the standard contract?",
		"What notice period does the standard contract have?",
		"Which regions does the premium plan cover?",
		"How is travel time reimbursed?",
		"What changed in the data protection policy this year?",
	)
}

func emailRequest(g *generator) string {
	who := oneOf(g, "Anna Keller", "Marc Dubois", "Priya Nair", "Tom Becker", "Lucía Ortega", "Yuki Tanaka")
	about := oneOf(g, "the offer of last week", "our call on Tuesday", "the trial that ends soon")
	return fmt.Sprintf("Write a short, friendly follow-up e-mail to %s about %s. Keep it under 120 words and end with a question.", who, about)
}

func reviewRequest(g *generator, wholeFiles bool) string {
	files, number := "", g.between(100, 9_999)
	if wholeFiles {
		files = pastedFiles(number)
	}
	return fmt.Sprintf("Review pull request #%d%s. Report bugs first, then style; be brief.", number, files)
}

// pastedFiles are the beginnings of files that were sent instead of what changed in
// them.
func pastedFiles(number int64) string {
	var b strings.Builder
	for file := range 12 {
		fmt.Fprintf(&b, "\n--- services/billing/part_%d_%d.go\n", number, file)
		for line := range 10 {
			fmt.Fprintf(&b, "func step%d(in Order) (Order, error) { return in.apply(rule%d) }\n", line, line*file)
		}
	}
	return b.String()
}

func sqlQuestion(g *generator) string {
	return fmt.Sprintf("Revenue by %s for the last %d days, as one SQL query.", oneOf(g, "country", "product line", "sales team", "channel"), oneOf(g, 7, 30, 90))
}
