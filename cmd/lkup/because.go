package main

import (
	"context"
	"slices"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// madeFrom gathers what the stack's values are made from: variables, locals
// and files of the stack files, and the files of its templates.
func madeFrom(ctx context.Context, images *imageSources, stack *spec.Stack, digests map[spec.Address]sources.Digest, salt string) (map[string]spec.Fingerprint, error) {
	all := make(map[string]spec.Fingerprint, len(stack.Inputs)+len(digests))
	for key, input := range stack.Inputs {
		all[key] = input.Fingerprint([]byte(salt))
	}
	for _, address := range sortedKeys(digests) {
		img := stack.Images[address]
		parts, err := images.Inputs(ctx, img)
		if err != nil {
			return nil, err
		}
		from := slices.Clone(stack.From[img.Origin])
		for key, input := range parts {
			all[key] = input.Fingerprint([]byte(salt))
			from = append(from, key)
		}
		slices.Sort(from)
		all[string(address)] = spec.Fingerprint{Digest: string(digests[address]), From: from}
	}
	return all, nil
}
