// Package prompts is about the texts that calls were made with: what may be kept
// of them, which are alike, and what sending them again has cost. It knows no
// database and no provider; what does is a folder below it or passed in.
package prompts
