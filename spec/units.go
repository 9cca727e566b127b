package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// unitBytes maps a unit, in lower case, to its bytes. As everywhere that
// memory is sold, MB and GB count by 1024 like MiB and GiB.
var unitBytes = map[string]float64{
	"b": 1,
	"k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10,
	"m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20,
	"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30,
	"t": 1 << 40, "tb": 1 << 40, "tib": 1 << 40,
}

var sizeForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)$`)
})

const (
	leastMemory = 32      // MiB; no Linux boots in less
	mostMemory  = 1 << 24 // MiB; 16 TiB
	leastVolume = 1       // MiB
)

// ParseMemory reads a size such as "512MiB" into MiB, or says what to
// type instead.
func ParseMemory(text string) (mib int, problem string) {
	mib, problem = parseSize(text, 0)
	if problem == "" && mib < leastMemory {
		return 0, fmt.Sprintf(`No guest boots in less than %dMiB. Write "256MiB", or at least "%dMiB".`, leastMemory, leastMemory)
	}
	return mib, problem
}

// parseSize reads a size of at least some MiB, or says what to type instead.
func parseSize(text string, least int) (mib int, problem string) {
	m := sizeForm().FindStringSubmatch(text)
	if m == nil {
		return 0, `Write a number and a unit, such as "512MiB" or "2GiB".`
	}
	if m[2] == "" {
		return 0, fmt.Sprintf(`The unit is missing. Write "%sMiB".`, m[1])
	}
	unit, ok := unitBytes[strings.ToLower(m[2])]
	if !ok {
		meant := nearest(m[2], []string{"KiB", "MiB", "GiB", "TiB"})
		if meant == "" {
			meant = "MiB"
		}
		return 0, fmt.Sprintf(`There is no unit %q; there are KiB, MiB, GiB and TiB. Write, for example, "%s%s".`, m[2], m[1], meant)
	}
	number, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, `The number is too large. Write a size such as "2GiB".`
	}
	amount := number * unit / (1 << 20)
	switch {
	case amount > mostMemory:
		return 0, `That is more than any machine has. Write a size such as "2GiB".`
	case amount < float64(least):
		return 0, fmt.Sprintf(`That is too small. Write at least "%dMiB".`, least)
	case amount != float64(int(amount)) && amount > leastMemory:
		return 0, fmt.Sprintf(`Sizes are whole MiB. Write "%dMiB".`, int(amount)+1)
	}
	return int(amount), ""
}

// parseDuration reads "60s" or "1m30s", or says what to type
// instead.
func parseDuration(text string) (d time.Duration, problem string) {
	if m := sizeForm().FindStringSubmatch(text); m != nil && m[2] == "" {
		return 0, fmt.Sprintf(`The unit is missing. Write "%ss".`, text)
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	switch {
	case err != nil:
		return 0, `Write numbers and units out of h, m, s and ms, such as "60s" or "1m30s".`
	case d <= 0:
		return 0, `It must be more than zero. Write, for example, "60s".`
	}
	return d, ""
}
