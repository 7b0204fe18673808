package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/costprof/costprof/client"
)

// Sending the same slice again is safe: an event is stored once.
func ExampleClient_Send() {
	c, err := client.New("http://127.0.0.1:3100", client.WithKey(os.Getenv("COSTPROF_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	result, err := c.Send(context.Background(), []client.Event{{
		TraceID: "t1", SpanID: "s1", Feature: "support-chat",
		Provider: "openai", Model: "gpt-4o",
		InputTokens: 1200, OutputTokens: 80, Latency: client.Millis(840),
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Accepted, "new,", result.Duplicates, "there already")
}

// Which feature's cost moved most against the week before, and because of what?
func ExampleClient_Compare() {
	c, err := client.New("http://127.0.0.1:3100")
	if err != nil {
		log.Fatal(err)
	}
	changes, err := c.Compare(context.Background(), client.CompareRequest{
		Filter: client.Filter{From: "2026-11-19", To: "2026-11-25"}, GroupBy: []string{"feature"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range changes.Items {
		fmt.Println(row.Name, row.Delta, "mainly", row.MainTerm)
	}
}

// What the server refuses is an Error with the fields that are wrong; that there
// is no server, Unreachable.
func ExampleError() {
	c, err := client.New("http://127.0.0.1:3100")
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Breakdown(context.Background(), client.BreakdownRequest{GroupBy: []string{"colour"}})
	var refused *client.Error
	var away *client.Unreachable
	switch {
	case errors.As(err, &refused):
		fmt.Println(refused.Status, refused.Message, refused.Details)
	case errors.As(err, &away):
		fmt.Println("nothing listens at", away.URL)
	}
}

// A wrong price of the past is cured by the right one and a rerate: the difference
// first, then exactly that.
func ExampleClient_Rerate() {
	c, err := client.New("http://127.0.0.1:3100")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	month := client.Rerate{
		From: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Model: "gpt-4o",
	}
	preview, err := c.Rerate(ctx, month)
	for err == nil && preview.State == "running" {
		time.Sleep(time.Second)
		var job client.Job
		if job, err = c.GetJob(ctx, preview.JobID); err == nil {
			preview, err = job.Rerated()
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(preview.Calls, "calls would cost", preview.NewCost, "instead of", preview.OldCost)
	month.Apply, month.Token = true, preview.Token
	if _, err := c.Rerate(ctx, month); err != nil {
		log.Fatal(err)
	}
}
