package github

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/lkup/lkup/sources"
)

// maxChecksums is how large a file of checksums may be.
const maxChecksums = 1 << 20

// claim is what somebody says an asset's digest is.
type claim struct {
	by     string
	digest sources.Digest
}

// claims are all that is said about an asset: by the API, and by the files of
// checksums beside it. They must agree.
func (s Source) claims(ctx context.Context, all []asset, a asset) ([]claim, error) {
	var claims []claim
	if d := sources.Digest(strings.ToLower(a.Digest)); d.Valid() {
		claims = append(claims, claim{"GitHub's own digest", d})
	}
	for _, file := range checksumFiles(all, a.Name) {
		content, err := s.small(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("read the checksums in %s: %w", file.Name, err)
		}
		d, found := checksumOf(content, a.Name, isOwn(file.Name, a.Name))
		if isOwn(file.Name, a.Name) && !found {
			return nil, fmt.Errorf("%s holds no SHA-256 of %s", file.Name, a.Name)
		}
		if found {
			claims = append(claims, claim{file.Name, d})
		}
	}
	for _, c := range claims {
		if c.digest != claims[0].digest {
			return nil, fmt.Errorf("%s of %s is %s, and %s says %s: one of them is not what its makers meant, so nothing was downloaded",
				claims[0].by, a.Name, claims[0].digest.Hex(), c.by, c.digest.Hex())
		}
	}
	return claims, nil
}

// isOwn reports whether a file holds the checksum of one asset alone.
func isOwn(file, name string) bool {
	return file == name+".sha256" || file == name+".sha256sum" || file == name+".sha256.txt"
}

func checksumFiles(all []asset, name string) []asset {
	var files []asset
	for _, a := range all {
		lower := strings.ToLower(a.Name)
		ofMany := false
		for _, pattern := range []string{"sha256sums", "sha256sums.txt", "sha256sum.txt", "checksums.txt", "checksums.sha256", "checksums-sha256.txt", "*_checksums.txt", "*_sha256sums", "*_sha256sums.txt"} {
			matches, _ := path.Match(pattern, lower)
			ofMany = ofMany || matches
		}
		if a.Name != name && (ofMany || isOwn(a.Name, name)) {
			files = append(files, a)
		}
	}
	return files
}

// small downloads a file of checksums.
func (s Source) small(ctx context.Context, a asset) ([]byte, error) {
	if a.Size > maxChecksums {
		return nil, fmt.Errorf("it has %d bytes, which is no list of checksums", a.Size)
	}
	address, header := s.at(a)
	answer, err := s.Client.Ask(ctx, address, header, maxChecksums)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		if limited := s.limited(answer.Header); limited != nil && answer.Status != http.StatusNotFound {
			return nil, limited
		}
		return nil, fmt.Errorf("the server answers %d %s", answer.Status, http.StatusText(answer.Status))
	}
	if bytes.IndexByte(answer.Body, 0) >= 0 {
		return nil, errors.New("it is no text")
	}
	return answer.Body, nil
}

var (
	gnuLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^\\?([0-9a-fA-F]{64})\s+\*?(.+)$`)
	})
	bsdLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^SHA256 ?\((.+)\) ?= ?([0-9a-fA-F]{64})$`)
	})
	onlySum = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	})
)

// checksumOf finds the digest of a name: in the lines of sha256sum, or of BSD's
// sha256, or, in a file that is about one asset only, alone on its line.
func checksumOf(content []byte, name string, own bool) (sources.Digest, bool) {
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		sum, of := "", ""
		if m := gnuLine().FindStringSubmatch(line); m != nil {
			sum, of = m[1], m[2]
		} else if m := bsdLine().FindStringSubmatch(line); m != nil {
			sum, of = m[2], m[1]
		} else if own && onlySum().MatchString(line) {
			sum, of = line, name
		}
		if sum != "" && path.Base(strings.TrimSpace(of)) == name {
			return sources.Digest("sha256:" + strings.ToLower(sum)), true
		}
	}
	return "", false
}
