package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// Budget limits what one session of an agent asks of an API. 0 is no limit.
type Budget struct {
	Requests int
	Bytes    int64 // in both directions
}

func (b Budget) String() string {
	var parts []string
	if b.Requests > 0 {
		parts = append(parts, fmt.Sprintf("%d requests", b.Requests))
	}
	if b.Bytes > 0 {
		parts = append(parts, fmt.Sprintf("%d MiB", b.Bytes>>20))
	}
	return strings.Join(parts, ", ")
}

// ParseBudget reads "500 requests", "20 MiB", or both with a comma between them.
func ParseBudget(text string) (Budget, string) {
	var b Budget
	for _, part := range strings.Split(text, ",") {
		number, unit, _ := strings.Cut(strings.TrimSpace(part), " ")
		n, err := strconv.Atoi(number)
		switch unit = strings.TrimSpace(unit); {
		case err != nil || n < 1 || n > 1<<30:
			return Budget{}, budgetHint(text)
		case (unit == "requests" || unit == "request") && b.Requests == 0:
			b.Requests = n
		case unit == "MiB" && b.Bytes == 0:
			b.Bytes = int64(n) << 20
		default:
			return Budget{}, budgetHint(text)
		}
	}
	return b, ""
}

func budgetHint(text string) string {
	return fmt.Sprintf("%q is no budget: lkup counts requests to an API, and what they carry both ways. It knows no prices. Write, for example: budget = \"500 requests, 20 MiB\"", text)
}
