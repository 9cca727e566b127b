package main

import (
	"slices"

	"github.com/lkup/lkup/spec"
)

// madeFrom gathers what the stack's values are made from: variables, locals
// and files of the stack files, and the files of its templates.
func madeFrom(stack *spec.Stack, pinned resolved, salt string) map[string]spec.Fingerprint {
	all := make(map[string]spec.Fingerprint, len(stack.Inputs)+len(pinned.digests))
	for key, input := range stack.Inputs {
		all[key] = input.Fingerprint([]byte(salt))
	}
	for address, digest := range pinned.digests {
		from := slices.Clone(stack.From[stack.Images[address].Origin])
		for key, input := range pinned.inputs[address] {
			all[key] = input.Fingerprint([]byte(salt))
			from = append(from, key)
		}
		slices.Sort(from)
		all[string(address)] = spec.Fingerprint{Digest: string(digest), From: from}
	}
	return all
}
