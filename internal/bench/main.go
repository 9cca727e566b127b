// Command bench measures lkup against what it is made of, in one run, and
// prints ratios: seconds differ from host to host, ratios much less. It drives
// bin/lkup as a user does and keeps its state to a temporary directory.
//
// Runs of the things compared are interleaved, so that a busy moment of the
// host falls on all of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each thing is measured")
	binary := flag.String("lkup", "bin/lkup", "the lkup to measure")
	cache := flag.String("cache", os.Getenv("LKUP_TEST_CACHE"), "where images are kept between runs")
	only := flag.String("only", "", "measure one thing alone: boots, builds, plans, unchanged, network or watch")
	check := flag.Bool("check", false, "exit with 1 if a target is missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	missed, err := run(ctx, os.Stdout, *binary, *cache, *only, *rounds)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	case missed > 0 && *check:
		os.Exit(1)
	}
}

// run measures everything and returns how many targets were missed.
func run(ctx context.Context, out io.Writer, binary, cache, only string, rounds int) (missed int, err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "lkb")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if cache == "" {
		cache = filepath.Join(dir, "cache")
	}
	l := lkup{binary: binary, dir: dir, cache: cache}
	r := &report{out: out}
	for _, m := range []struct {
		name    string
		measure func(context.Context, lkup, *report, int) error
	}{{"boots", measureBoots}, {"builds", measureBuilds}, {"plans", measurePlans}, {"unchanged", measureUnchanged}, {"network", measureNetwork}, {"watch", measureWatch}} {
		if only != "" && only != m.name {
			continue
		}
		if err := m.measure(ctx, l, r, rounds); err != nil {
			return r.missed, err
		}
	}
	return r.missed, nil
}
